#include "runtime/testing/weight_cases.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "plans/encoding.h"
#include "plans/slice_digest.h"
#include "plans/status.h"
#include "plans/weight_digests.h"
#include "runtime/rank/weight_reads.h"

namespace mrs::testing {

void FuseInto(TestModel* model, const std::vector<std::string>& tensors) {
  plan::StageT& stage = *model->tree.stages[0];
  const auto begin = static_cast<uint32_t>(stage.sources.size());
  uint64_t rows = 0;
  for (const std::string& tensor : tensors) {
    const auto found = std::ranges::find_if(
        stage.sources, [&](const plan::WeightSource& source) { return model->tree.names[source.name()] == tensor; });
    MRS_CHECK(found != stage.sources.end());
    plan::WeightSource source = *found;
    source.mutate_dest_row(rows);
    rows += source.rows().size();
    stage.sources.push_back(source);
  }
  const plan::WeightSource& first = stage.sources[begin];
  const plan::DType dtype = model->config.dtype;
  const uint64_t columns = first.columns().size();
  const uint64_t bytes = EncodedBytes(*FindEncoding(plan::EncodingKind::packed, dtype), rows, columns, 1);
  stage.weights.emplace_back(stage.weight_arena_bytes, bytes, rows, columns, 1, 1, begin,
                             static_cast<uint32_t>(tensors.size()), first.name(), kMatrixEncoding, dtype);
  stage.weight_arena_bytes += (bytes + 63) / 64 * 64;
}

void AddDigests(TestModel* model, plan::DigestKind kind) {
  Repack(model);
  const plan::Plan& plan = model->plan();
  const plan::Stage& stage = *plan.stages()->Get(0);
  std::ifstream file(model->file, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  const std::vector<uint64_t> starts = DigestStarts(plan, stage);
  const uint64_t bytes = DigestBytes(kind);
  std::vector<uint8_t> digests(starts.back() * bytes);
  for (uint32_t rank = 0; rank < plan.ranks()->size(); ++rank) {
    for (const WeightRead& read : PlanWeightReads(plan, rank)) {
      SliceDigest digest(kind, read.row_bytes, read.row_count);
      std::string rows;
      for (uint64_t row = 0; row < read.row_count; ++row) {
        rows += content.substr(read.file_offset + row * read.row_stride_bytes, read.row_bytes);
      }
      const uint64_t piece_bytes = RowsOfAPiece(read.row_bytes) * read.row_bytes;
      for (size_t piece = 0; piece < digest.piece_count(); ++piece) {
        digest.Add(piece, std::as_bytes(std::span(rows))
                              .subspan(piece * piece_bytes)
                              .first(std::min(piece_bytes, rows.size() - piece * piece_bytes)));
      }
      const std::string all = digest.Finish();
      const uint64_t slice = SliceOf(*stage.sources()->Get(read.source), *plan.ranks()->Get(rank));
      std::ranges::copy(all, digests.begin() + static_cast<std::ptrdiff_t>((starts[read.source] + slice) * bytes));
    }
  }
  model->tree.digest_kind = kind;
  model->tree.stages[0]->digests = std::move(digests);
  Repack(model);
}

}  // namespace mrs::testing
