// Weights: where they lie, how big they are, and that their sources fill each of them exactly once on every rank.
#include <algorithm>
#include <vector>

#include "plans/encoding.h"
#include "plans/verify/checks.h"
#include "plans/verify/slices.h"

namespace mrs::verify {
namespace {

using plan::Axis;
using plan::DType;

// The encoding is one that there is, for elements of the weight's type. Others have no kernel that reads them.
Result<EncodingRow> EncodingOf(const StageView& stage, uint32_t w) {
  const plan::Weight& weight = stage.weights[w];
  const plan::Encoding& said = *stage.plan.encodings()->Get(weight.encoding());
  const EncodingRow* row = FindEncoding(said.kind(), weight.dtype());
  if (row != nullptr && said.row_multiple() == row->row_multiple && said.k_multiple() == row->k_multiple &&
      said.block_elements() == row->block_elements && said.block_bytes() == row->block_bytes) {
    return *row;
  }
  return stage.AtWeight(w,
                        "encoding {} ({}, rows by {}, K by {}, {} bytes for {} elements) is none that this version "
                        "has for {}",
                        weight.encoding(), plan::EnumNameEncodingKind(said.kind()), said.row_multiple(),
                        said.k_multiple(), said.block_bytes(), said.block_elements(),
                        plan::EnumNameDType(weight.dtype()));
}

Status CheckForm(const StageView& stage, uint32_t w) {
  const plan::Weight& weight = stage.weights[w];
  if (weight.n() == 0 || weight.n() > contract::kMaxWidth) {
    return stage.AtWeight(w, "n is {}, expected 1 to {}", weight.n(), contract::kMaxWidth);
  }
  if (stage.IsVector(weight)) {
    if (weight.dtype() != DType::f32)
      return stage.AtWeight(w, "a dense vector is f32, not {}", plan::EnumNameDType(weight.dtype()));
    if (weight.chunk_k() != 0 || weight.chunk_count() != 0 || weight.chunk_count_global() != 0) {
      return stage.AtWeight(w, "a dense vector has no chunks, here are {} (of {}) by {}", weight.chunk_count(),
                            weight.chunk_count_global(), weight.chunk_k());
    }
  } else {
    if (weight.dtype() != stage.plan.numerics()->weight_dtype()) {
      return stage.AtWeight(w, "is {}, but numerics.weight_dtype is {}", plan::EnumNameDType(weight.dtype()),
                            plan::EnumNameDType(stage.plan.numerics()->weight_dtype()));
    }
    if (!IsPowerOfTwo(weight.chunk_count()) || !IsPowerOfTwo(weight.chunk_count_global()) ||
        weight.chunk_count() > weight.chunk_count_global() || weight.chunk_count_global() > contract::kMaxChunks) {
      return stage.AtWeight(w, "has {} chunks of {}, expected powers of two up to {}", weight.chunk_count(),
                            weight.chunk_count_global(), contract::kMaxChunks);
    }
    if (weight.chunk_k() == 0 || SatMul(weight.chunk_k(), weight.chunk_count_global()) > contract::kMaxWidth) {
      return stage.AtWeight(w, "has {} chunks of {} elements, expected 1 to {} in all", weight.chunk_count_global(),
                            weight.chunk_k(), contract::kMaxWidth);
    }
  }
  MRS_ASSIGN_OR_RETURN(const EncodingRow row, EncodingOf(stage, w));
  const plan::Chain chain = stage.plan.numerics()->chain();
  if (!stage.IsVector(weight) && row.kind != MatrixEncodingKind(chain)) {
    return stage.AtWeight(w, "is {}, but products of numerics.chain {} read it {}",
                          plan::EnumNameEncodingKind(row.kind), plan::EnumNameChain(chain),
                          plan::EnumNameEncodingKind(MatrixEncodingKind(chain)));
  }
  const uint64_t bytes = EncodedBytes(row, weight.n(), weight.chunk_k(), weight.chunk_count());
  if (weight.bytes() != bytes) return stage.AtWeight(w, "has {} bytes, its shape needs {}", weight.bytes(), bytes);
  return Status();
}

Status CheckArena(const StageView& stage) {
  const uint64_t arena = stage.stage.weight_arena_bytes();
  if (arena > contract::kMaxArenaBytes) {
    return Refuse("stage {}: a weight arena of {} bytes, at most {} are accepted", stage.index, arena,
                  contract::kMaxArenaBytes);
  }
  std::vector<uint32_t> by_offset(stage.weights.size());
  for (uint32_t w = 0; w < by_offset.size(); ++w) {
    by_offset[w] = w;
    const plan::Weight& weight = stage.weights[w];
    if (weight.offset() % contract::kArenaAlignment != 0) {
      return stage.AtWeight(w, "its offset {} is no multiple of {}", weight.offset(), contract::kArenaAlignment);
    }
    if (SatAdd(weight.offset(), weight.bytes()) > arena) {
      return stage.AtWeight(w, "lies at [{}, {}), past the weight arena's {} bytes", weight.offset(),
                            SatAdd(weight.offset(), weight.bytes()), arena);
    }
  }
  std::ranges::sort(by_offset, {}, [&](uint32_t w) { return stage.weights[w].offset(); });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const plan::Weight& before = stage.weights[by_offset[i - 1]];
    if (before.offset() + before.bytes() > stage.weights[by_offset[i]].offset()) {
      return stage.AtWeight(by_offset[i], "lies at {}, inside '{}' [{}, {})", stage.weights[by_offset[i]].offset(),
                            stage.Name(before.name()), before.offset(), before.offset() + before.bytes());
    }
  }
  return Status();
}

// The tensor inside its file.
Status CheckTensor(const StageView& stage, uint32_t w, const plan::WeightSource& source) {
  const std::string_view name = stage.Name(source.name());
  if (source.file() >= stage.plan.files()->size()) {
    return stage.AtWeight(w, "tensor '{}' is in file {} of {}", name, source.file(), stage.plan.files()->size());
  }
  if (source.dtype() != DType::f32 && source.dtype() != DType::bf16 && source.dtype() != DType::f16) {
    return stage.AtWeight(w, "tensor '{}' is {}, expected f32, bf16 or f16", name, plan::EnumNameDType(source.dtype()));
  }
  if (source.tensor_rows() == 0 || source.tensor_rows() > contract::kMaxWidth || source.tensor_columns() == 0 ||
      source.tensor_columns() > contract::kMaxWidth) {
    return stage.AtWeight(w, "tensor '{}' is [{}, {}], expected 1 to {} each", name, source.tensor_rows(),
                          source.tensor_columns(), contract::kMaxWidth);
  }
  if (source.row_count() == 0 || source.row_count() > source.tensor_rows() ||
      source.row_begin() > source.tensor_rows() - source.row_count()) {
    return stage.AtWeight(w, "rows {} to {} of tensor '{}' are read, it has {}", source.row_begin(),
                          SatAdd(source.row_begin(), source.row_count()), name, source.tensor_rows());
  }
  if (source.transform() == plan::Transform::add_one && !stage.IsVector(stage.weights[w])) {
    return stage.AtWeight(w, "tensor '{}' is read with 1 added, which only a vector may be", name);
  }
  const plan::File& file = *stage.plan.files()->Get(source.file());
  const uint64_t bytes = SatMul(SatMul(source.tensor_rows(), source.tensor_columns()), ByteSize(source.dtype()));
  const uint64_t end = SatAdd(source.file_offset(), bytes);
  if (source.file_offset() < file.header_bytes() || end > file.size_bytes()) {
    return stage.AtWeight(w, "tensor '{}' is [{}, {}) of '{}', expected inside [{}, {})", name, source.file_offset(),
                          end, file.name()->string_view(), file.header_bytes(), file.size_bytes());
  }
  return Status();
}

// A matrix cut along K gives each rank its own canonical chunks, in order; any other holds all of K.
Status CheckColumns(const StageView& stage, uint32_t w, const plan::WeightSource& source) {
  const plan::Weight& weight = stage.weights[w];
  const std::string_view name = stage.Name(source.name());
  if (stage.IsVector(weight)) {
    if (source.tensor_columns() == 1 && source.columns().size() == 1 && source.columns().axis() == Axis::none) {
      return Status();
    }
    return stage.AtWeight(w, "tensor '{}' has {} columns, a vector has one", name, source.tensor_columns());
  }
  const uint32_t parts = AxisSize(stage.plan, source.columns().axis());
  if (SatMul(weight.chunk_count(), parts) != weight.chunk_count_global()) {
    return stage.AtWeight(w, "{} chunks on each of {} ranks along K make {}, but the matrix has {}",
                          weight.chunk_count(), parts, SatMul(weight.chunk_count(), parts),
                          weight.chunk_count_global());
  }
  if (weight.chunk_k() * weight.chunk_count_global() != source.tensor_columns()) {
    return stage.AtWeight(w, "{} chunks of {} do not make the {} columns of tensor '{}'", weight.chunk_count_global(),
                          weight.chunk_k(), source.tensor_columns(), name);
  }
  if (!TilesOnce(stage.plan, source.columns(), source.tensor_columns())) {
    return stage.AtWeight(w, "its ranks do not take the columns of tensor '{}' in order, each once", name);
  }
  return Status();
}

// The ranks read all rows of the source and no others, but for the padding of a vocabulary.
Status CheckRows(const StageView& stage, uint32_t w, const plan::WeightSource& source) {
  const plan::Model& model = *stage.plan.model();
  const uint64_t total = TotalOf(stage.plan, source.rows());
  if (total < source.row_count()) {
    return stage.AtWeight(w, "tensor '{}': no rank reads row {} of {}", stage.Name(source.name()),
                          source.row_begin() + total, source.tensor_rows());
  }
  const bool may_be_padded = source.row_count() == source.tensor_rows() && source.tensor_rows() == model.vocab() &&
                             !stage.IsVector(stage.weights[w]);
  if (total == source.row_count() || (may_be_padded && total == model.vocab_padded())) return Status();
  return stage.AtWeight(w, "tensor '{}': the ranks read {} rows of {}; only a vocabulary is padded, to {}",
                        stage.Name(source.name()), total, source.row_count(), model.vocab_padded());
}

Status CheckSources(const StageView& stage) {
  uint64_t next_source = 0;
  for (uint32_t w = 0; w < stage.weights.size(); ++w) {
    const plan::Weight& weight = stage.weights[w];
    if (weight.source_begin() != next_source || weight.source_count() > stage.sources.size() - next_source) {
      return stage.AtWeight(w, "its sources are entries {} to {} of {}, expected to start at {}", weight.source_begin(),
                            uint64_t{weight.source_begin()} + weight.source_count(), stage.sources.size(), next_source);
    }
    next_source += weight.source_count();
    uint64_t next_row = 0;
    for (const plan::WeightSource& source : stage.sources.subspan(weight.source_begin(), weight.source_count())) {
      for (const auto& [what, slice] : {std::pair("rows", &source.rows()), std::pair("columns", &source.columns())}) {
        if (const Status sane = CheckSlice(stage.plan, *slice); !sane.ok()) {
          return stage.AtWeight(w, "{} of tensor '{}': {}", what, stage.Name(source.name()), sane.message());
        }
      }
      if (weight.source_count() > 1 && AxisSize(stage.plan, source.rows().axis()) > 1) {
        return stage.AtWeight(w, "its {} tensors are cut over the ranks, which only a weight of one tensor may be",
                              weight.source_count());
      }
      if (source.dest_row() != next_row) {
        return stage.AtWeight(w, "tensor '{}' fills it from row {}, expected {}", stage.Name(source.name()),
                              source.dest_row(), next_row);
      }
      next_row = SatAdd(next_row, source.rows().size());
      MRS_RETURN_IF_ERROR(CheckTensor(stage, w, source));
      MRS_RETURN_IF_ERROR(CheckColumns(stage, w, source));
      MRS_RETURN_IF_ERROR(CheckRows(stage, w, source));
    }
    if (next_row != weight.n()) {
      return stage.AtWeight(w, "its sources fill {} of {} rows", next_row, weight.n());
    }
  }
  if (next_source != stage.sources.size()) {
    return Refuse("stage {}: its weights use {} of {} sources, expected all", stage.index, next_source,
                  stage.sources.size());
  }
  return Status();
}

}  // namespace

Status CheckWeights(const StageView& stage) {
  for (uint32_t w = 0; w < stage.weights.size(); ++w) MRS_RETURN_IF_ERROR(CheckForm(stage, w));
  MRS_RETURN_IF_ERROR(CheckArena(stage));
  return CheckSources(stage);
}

}  // namespace mrs::verify
