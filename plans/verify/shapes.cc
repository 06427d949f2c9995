// Operands, results and attributes of every step fit each other and the kernel that runs it (kernels/kernels.h).
#include <bit>
#include <string>

#include "plans/verify/checks.h"
#include "plans/verify/inputs.h"
#include "plans/verify/slices.h"

namespace mrs::verify {
namespace {

using plan::BufferRef;
using plan::DType;
using plan::Rows;
using plan::WeightRef;

std::string Shape(DType dtype, Rows rows, uint64_t width) {
  return fmt::format("{} [{}, {}]", plan::EnumNameDType(dtype), plan::EnumNameRows(rows), width);
}

bool IsMatrixType(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }

// What fits in one step, an overload an operation. Every one refuses with the step's name.
class StepShapes {
 public:
  StepShapes(const StageView& stage, uint32_t step) : stage_(stage), index_(step) {}

  Status operator()(const plan::EmbedStep& s) const {
    MRS_RETURN_IF_ERROR(IsInput(0, s.ids, Input::kTokens));
    MRS_RETURN_IF_ERROR(IsMatrix(s.table));
    const plan::Weight& table = stage_.At(s.table);
    if (table.chunk_count_global() != 1) return Wrong("a table of {} chunks, expected 1", table.chunk_count_global());
    if (table.source_count() != 1 || !SameSlice(stage_.sources[table.source_begin()].rows(), s.attr->vocab()) ||
        table.n() != s.attr->vocab().size()) {
      return Wrong("its vocabulary slice is not the one that table '{}' holds", stage_.WeightName(s.table));
    }
    MRS_RETURN_IF_ERROR(Vocabulary(s.attr->vocab(), s.attr->vocab_valid()));
    return ResultIs(s.y, DType::f32, RowsOf(s.ids), table.chunk_k());
  }

  Status operator()(const plan::RopeAnglesStep& s) const {
    MRS_RETURN_IF_ERROR(IsInput(0, s.positions, Input::kPositions));
    const uint64_t half = stage_.plan.ropes()->Get(s.rope)->inv_freq()->size();
    return ResultIs(s.y, DType::f32, RowsOf(s.positions), 2 * half);
  }

  Status operator()(const plan::RmsNormStep& s) const { return Norm(s.x, s.weight, s.y, *s.attr); }

  Status operator()(const plan::LayerNormStep& s) const {
    MRS_RETURN_IF_ERROR(Norm(s.x, s.weight, s.y, *s.attr));
    return IsVector(s.bias, s.attr->width());
  }

  Status operator()(const plan::ScaleStep& s) const {
    MRS_RETURN_IF_ERROR(IsF32(s.x));
    return ResultIsMatrixInput(s.y, RowsOf(s.x), WidthOf(s.x));
  }

  Status operator()(const plan::SoftCapStep& s) const {
    const float cap = s.attr->factor();
    if (!(cap > 0)) return Wrong("its cap is {}, expected more than 0", cap);
    MRS_RETURN_IF_ERROR(IsF32(s.x));
    return ResultIs(s.y, DType::f32, RowsOf(s.x), WidthOf(s.x));
  }

  Status operator()(const plan::PositionScaleStep& s) const {
    const plan::PositionScaleAttr& attr = *s.attr;
    if (attr.original() == 0 || attr.original() > INT32_MAX || !(attr.beta() >= 0)) {
      return Wrong("grows by {} from token {} on, expected 0 or more, and a token from 1 on", attr.beta(),
                   attr.original());
    }
    const DType dtype = IsMatrixType(stage_.At(s.x).dtype()) ? stage_.At(s.x).dtype() : DType::f32;
    MRS_RETURN_IF_ERROR(OperandIs(s.x, dtype, Rows::tokens, WidthOf(s.x)));
    MRS_RETURN_IF_ERROR(IsInput(1, s.positions, Input::kPositions));
    return ResultIs(s.y, dtype, Rows::tokens, WidthOf(s.x));
  }

  Status operator()(const plan::SumSquaresStep& s) const {
    const plan::SumSquaresAttr& attr = *s.attr;
    const bool whole = attr.chunk_heads() > 0 && attr.heads() % attr.chunk_heads() == 0;
    if (!whole || !std::has_single_bit(attr.heads() / attr.chunk_heads())) {
      return Wrong("sums {} heads in chunks of {}, expected a power of two of chunks", attr.heads(),
                   attr.chunk_heads());
    }
    MRS_RETURN_IF_ERROR(OperandIs(s.x, DType::f32, RowsOf(s.x), SatMul(attr.heads(), attr.width())));
    return ResultIs(s.y, DType::f32, RowsOf(s.x), 1);
  }

  Status operator()(const plan::RmsScaleStep& s) const {
    const plan::RmsScaleAttr& attr = *s.attr;
    MRS_RETURN_IF_ERROR(EpsIsPositive(attr.eps()));
    if (attr.total() < attr.width() || attr.total() > INT32_MAX) {
      return Wrong("divides by {} elements, expected {} and more", attr.total(), attr.width());
    }
    MRS_RETURN_IF_ERROR(OperandIs(s.x, DType::f32, RowsOf(s.x), attr.width()));
    MRS_RETURN_IF_ERROR(OperandIs(s.sum, DType::f32, RowsOf(s.x), 1));
    MRS_RETURN_IF_ERROR(IsVector(s.weight, attr.width()));
    return ResultIsMatrixInput(s.y, RowsOf(s.x), attr.width());
  }

  Status operator()(const plan::MatmulStep& s) const {
    for (const plan::MatmulStep::Part& part : s.parts) MRS_RETURN_IF_ERROR(Product(s.x, part));
    return Status();
  }

  // One kernel reads both matrices side by side, so that they are alike but for their values.
  Status operator()(const plan::GatedMatmul& s) const {
    MRS_RETURN_IF_ERROR(IsOfCuda());
    MRS_RETURN_IF_ERROR(Product(s.x, s.gate));
    MRS_RETURN_IF_ERROR(Product(s.x, s.up));
    const plan::Weight &gate = stage_.At(s.gate.weight), &up = stage_.At(s.up.weight);
    if (gate.chunk_count() != up.chunk_count() || gate.chunk_k() != up.chunk_k()) {
      return Wrong("sums '{}' in {} chunks of {}, '{}' in {} of {}, expected the same of both",
                   stage_.WeightName(s.gate.weight), gate.chunk_count(), gate.chunk_k(), stage_.WeightName(s.up.weight),
                   up.chunk_count(), up.chunk_k());
    }
    return Gated(s.gate.y, s.up.y, s.y);
  }

  Status operator()(const plan::RopeStep& s) const {
    const plan::HeadsAttr& attr = *s.attr;
    MRS_ASSIGN_OR_RETURN(const uint64_t rotary, RotaryOf(attr));
    const uint64_t width = SatMul(attr.heads(), attr.head_dim());
    MRS_RETURN_IF_ERROR(OperandIs(s.x, DType::f32, RowsOf(s.x), width));
    MRS_RETURN_IF_ERROR(OperandIs(s.cos_sin, DType::f32, RowsOf(s.x), rotary));
    return ResultIsMatrixInput(s.y, RowsOf(s.x), width);
  }

  Status operator()(const plan::AddRmsNormStep& s) const {
    MRS_RETURN_IF_ERROR(IsOfCuda());
    MRS_RETURN_IF_ERROR(IsF32(s.a));
    MRS_RETURN_IF_ERROR(OperandIs(s.b, DType::f32, RowsOf(s.a), WidthOf(s.a)));
    MRS_RETURN_IF_ERROR(ResultIs(s.sum, DType::f32, RowsOf(s.a), WidthOf(s.a)));
    if (s.attr->heads() != 1) return Wrong("norms {} heads of a row, expected the whole row as one", s.attr->heads());
    return Norm(s.a, s.weight, s.y, *s.attr);
  }

  Status operator()(const plan::RopeAppendStep& s) const {
    const plan::RopeAppendAttr& attr = *s.attr;
    MRS_RETURN_IF_ERROR(IsOfCuda());
    MRS_RETURN_IF_ERROR(CacheOf(attr));
    MRS_ASSIGN_OR_RETURN(const uint64_t rotary, RotaryOf(attr));
    const uint64_t kv_width = SatMul(attr.kv_heads(), attr.head_dim());
    const uint64_t q_width = SatMul(attr.heads(), attr.head_dim());
    MRS_RETURN_IF_ERROR(OperandIs(s.q, DType::f32, Rows::tokens, q_width));
    MRS_RETURN_IF_ERROR(OperandIs(s.k, DType::f32, Rows::tokens, kv_width));
    MRS_RETURN_IF_ERROR(OperandIs(s.v, DType::f32, Rows::tokens, kv_width));
    MRS_RETURN_IF_ERROR(OperandIs(s.cos_sin, DType::f32, Rows::tokens, rotary));
    MRS_RETURN_IF_ERROR(IsInput(4, s.slots, Input::kSlots, attr.kv_class()));
    return ResultIs(s.y, stage_.kv_classes[attr.kv_class()].dtype(), Rows::tokens, q_width);
  }

  Status operator()(const plan::KvAppendStep& s) const {
    const plan::AttentionAttr& attr = *s.attr;
    MRS_RETURN_IF_ERROR(CacheOf(attr));
    const uint64_t width = SatMul(attr.kv_heads(), attr.head_dim());
    const DType dtype = stage_.kv_classes[attr.kv_class()].dtype();
    MRS_RETURN_IF_ERROR(OperandIs(s.k, dtype, Rows::tokens, width));
    MRS_RETURN_IF_ERROR(OperandIs(s.v, DType::f32, Rows::tokens, width));
    return IsInput(2, s.slots, Input::kSlots, attr.kv_class());
  }

  Status operator()(const plan::AttentionStep& s) const {
    const plan::AttentionAttr& attr = *s.attr;
    MRS_RETURN_IF_ERROR(CacheOf(attr));
    if (!(attr.soft_cap() >= 0)) return Wrong("its soft cap is {}, expected 0 or more", attr.soft_cap());
    if (!(attr.scale() > 0)) return Wrong("its scale is {}, expected more than 0", attr.scale());
    const uint64_t width = SatMul(attr.heads(), attr.head_dim());
    const DType dtype = stage_.kv_classes[attr.kv_class()].dtype();
    MRS_RETURN_IF_ERROR(OperandIs(s.q, dtype, Rows::tokens, width));
    MRS_RETURN_IF_ERROR(IsInput(1, s.sequence, Input::kSequence));
    MRS_RETURN_IF_ERROR(IsInput(2, s.positions, Input::kPositions));
    MRS_RETURN_IF_ERROR(IsInput(3, s.block_table, Input::kBlockTable, attr.kv_class()));
    return ResultIs(s.y, dtype, Rows::tokens, width);
  }

  Status operator()(const plan::SiluMulStep& s) const { return Gated(s.gate, s.up, s.y); }
  Status operator()(const plan::GeluMulStep& s) const { return Gated(s.gate, s.up, s.y); }

  Status operator()(const plan::AddStep& s) const {
    MRS_RETURN_IF_ERROR(IsF32(s.a));
    MRS_RETURN_IF_ERROR(OperandIs(s.b, DType::f32, RowsOf(s.a), WidthOf(s.a)));
    return ResultIs(s.y, DType::f32, RowsOf(s.a), WidthOf(s.a));
  }

  Status operator()(const plan::AddBiasStep& s) const {
    MRS_RETURN_IF_ERROR(IsF32(s.a));
    MRS_RETURN_IF_ERROR(IsVector(s.bias, WidthOf(s.a)));
    return ResultIs(s.y, DType::f32, RowsOf(s.a), WidthOf(s.a));
  }

  Status operator()(const plan::SelectRowsStep& s) const {
    MRS_RETURN_IF_ERROR(OperandIs(s.x, DType::f32, Rows::tokens, WidthOf(s.x)));
    MRS_RETURN_IF_ERROR(IsInput(1, s.rows, Input::kLogitRows));
    return ResultIs(s.y, DType::f32, Rows::logit_rows, WidthOf(s.x));
  }

  Status operator()(const plan::TopCandidatesStep& s) const {
    const plan::TopCandidatesAttr& attr = *s.attr;
    MRS_RETURN_IF_ERROR(Vocabulary(attr.vocab(), attr.vocab_valid()));
    const uint64_t chunk_size = stage_.plan.model()->vocab_padded() / contract::kVocabChunks;
    if (attr.chunk_size() != chunk_size || SatMul(attr.chunk_count(), chunk_size) != attr.vocab().size()) {
      return Wrong("{} chunks of {} ids, expected {} ids in chunks of {}", attr.chunk_count(), attr.chunk_size(),
                   attr.vocab().size(), chunk_size);
    }
    if (attr.k() == 0 || attr.k() > contract::kMaxCandidates) {
      return Wrong("keeps {} candidates, expected 1 to {}", attr.k(), contract::kMaxCandidates);
    }
    MRS_RETURN_IF_ERROR(OperandIs(s.logits, DType::f32, Rows::logit_rows, attr.vocab().size()));
    return ResultIs(s.records, DType::u8, Rows::logit_rows,
                    contract::CandidateRecordBytes(attr.k(), attr.chunk_count()));
  }

  Status operator()(const plan::AllReduceStep& s) const {
    MRS_RETURN_IF_ERROR(GroupOf(*s.attr));
    return Collective(s.x, s.y, *s.attr, s.attr->row_elements());
  }
  Status operator()(const plan::AllGatherStep& s) const {
    MRS_RETURN_IF_ERROR(GroupOf(*s.attr));
    const uint64_t ranks = stage_.plan.groups()->Get(s.attr->group())->count();
    return Collective(s.x, s.y, *s.attr, SatMul(s.attr->row_elements(), ranks));
  }

  Status operator()(const plan::SendStep& s) const {
    return OperandIs(s.x, TypeOf(*s.attr), s.attr->rows(), s.attr->row_elements());
  }
  Status operator()(const plan::RecvStep& s) const {
    return ResultIs(s.y, TypeOf(*s.attr), s.attr->rows(), s.attr->row_elements());
  }

 private:
  template <typename... Args>
  Error Wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return stage_.AtStep(index_, "{}", fmt::format(format, std::forward<Args>(args)...));
  }

  Rows RowsOf(BufferRef buffer) const { return stage_.At(buffer).rows(); }
  uint64_t WidthOf(BufferRef buffer) const { return stage_.At(buffer).width(); }

  Status IsVector(WeightRef ref, uint64_t n) const {
    const plan::Weight& weight = stage_.At(ref);
    if (stage_.IsVector(weight) && weight.n() == n) return Status();
    return Wrong("weight '{}' is {} of {} rows, expected a vector of {}", stage_.WeightName(ref),
                 stage_.IsVector(weight) ? "a vector" : "a matrix", weight.n(), n);
  }
  Status IsMatrix(WeightRef ref) const {
    if (!stage_.IsVector(stage_.At(ref))) return Status();
    return Wrong("weight '{}' is a vector, expected a packed matrix", stage_.WeightName(ref));
  }
  Status IsInput(size_t operand, BufferRef buffer, Input input, uint32_t kv_class = 0) const {
    const InputBuffer expected{input, kv_class};
    if (InputOf(stage_, buffer.index) == expected) return Status();
    return Wrong("operand {} is '{}', expected the input '{}'", operand, stage_.BufferName(buffer),
                 InputName(expected));
  }
  Status BufferIs(const char* what, BufferRef buffer, DType dtype, Rows rows, uint64_t width) const {
    const plan::Buffer& b = stage_.At(buffer);
    if (b.dtype() == dtype && b.rows() == rows && b.width() == width) return Status();
    return Wrong("{} '{}' is {}, expected {}", what, stage_.BufferName(buffer), Shape(b.dtype(), b.rows(), b.width()),
                 Shape(dtype, rows, width));
  }
  Status OperandIs(BufferRef buffer, DType dtype, Rows rows, uint64_t width) const {
    return BufferIs("operand", buffer, dtype, rows, width);
  }
  Status ResultIs(BufferRef buffer, DType dtype, Rows rows, uint64_t width) const {
    return BufferIs("result", buffer, dtype, rows, width);
  }
  Status IsF32(BufferRef buffer) const { return OperandIs(buffer, DType::f32, RowsOf(buffer), WidthOf(buffer)); }
  // What kernels write for a matrix to read: f32 or bf16, as the buffer says.
  Status ResultIsMatrixInput(BufferRef buffer, Rows rows, uint64_t width) const {
    const DType dtype = stage_.At(buffer).dtype();
    return ResultIs(buffer, IsMatrixType(dtype) ? dtype : DType::f32, rows, width);
  }
  Status EpsIsPositive(float eps) const { return eps > 0 ? Status() : Wrong("eps is {}, expected more than 0", eps); }

  // Every id lies on exactly one rank, or all of them on every rank.
  Status Vocabulary(const plan::Slice& vocab, uint64_t valid) const {
    const plan::Model& model = *stage_.plan.model();
    if (valid != model.vocab()) return Wrong("{} valid ids, the model has {}", valid, model.vocab());
    if (const Status sane = CheckSlice(stage_.plan, vocab); !sane.ok()) return Wrong("vocabulary: {}", sane.message());
    const bool whole = AxisSize(stage_.plan, vocab.axis()) == 1 && vocab.size() >= model.vocab() &&
                       vocab.size() <= model.vocab_padded();
    if (whole || TilesOnce(stage_.plan, vocab, model.vocab_padded())) return Status();
    return Wrong("the vocabulary slices of the ranks ({} + {} * rank, {} ids) do not cut [0, {}) in order",
                 vocab.start(), vocab.step(), vocab.size(), model.vocab_padded());
  }

  Status Norm(BufferRef x, WeightRef weight, BufferRef y, const plan::NormAttr& attr) const {
    MRS_RETURN_IF_ERROR(EpsIsPositive(attr.eps()));
    const uint64_t width = SatMul(attr.heads(), attr.width());
    MRS_RETURN_IF_ERROR(OperandIs(x, DType::f32, RowsOf(x), width));
    MRS_RETURN_IF_ERROR(IsVector(weight, attr.width()));
    return ResultIsMatrixInput(y, RowsOf(x), width);
  }

  // Several operations as one are kernels that only a GPU's rank has.
  Status IsOfCuda() const {
    const plan::DeviceKind kind = stage_.plan.ranks()->Get(0)->kind();  // all are of one
    if (kind == plan::DeviceKind::cuda) return Status();
    return Wrong("is {}, an operation of CUDA ranks alone, but rank 0 is {}",
                 plan::EnumNameOpKind(stage_.steps[index_].op()), plan::EnumNameDeviceKind(kind));
  }

  // How many elements of a head are rotated.
  Result<uint64_t> RotaryOf(const auto& attr) const {
    if (attr.rope() >= stage_.plan.ropes()->size()) {
      return Wrong("uses rope {} of {}", attr.rope(), stage_.plan.ropes()->size());
    }
    const uint64_t rotary = 2 * uint64_t{stage_.plan.ropes()->Get(attr.rope())->inv_freq()->size()};
    if (rotary > attr.head_dim()) return Wrong("rotates {} of {} elements of a head", rotary, attr.head_dim());
    return rotary;
  }

  // The attribute agrees with the cache it points at.
  Status CacheOf(const auto& attr) const {
    const plan::Variant variant = stage_.steps[index_].variant();
    if (variant != plan::Variant::always)
      return Wrong("must run in every forward, not in {} alone", plan::EnumNameVariant(variant));
    if (attr.kv_class() >= stage_.kv_classes.size()) {
      return Wrong("uses KV class {} of {}", attr.kv_class(), stage_.kv_classes.size());
    }
    const plan::KvClass& cache = stage_.kv_classes[attr.kv_class()];
    if (attr.kv_layer() >= cache.layer_count()) {
      return Wrong("uses layer {} of {} in KV class {}", attr.kv_layer(), cache.layer_count(), attr.kv_class());
    }
    if (attr.kv_heads() != cache.kv_heads() || attr.head_dim() != cache.k_dim() || attr.head_dim() != cache.v_dim()) {
      return Wrong("has {} KV heads of {}, KV class {} has {} of {} and {}", attr.kv_heads(), attr.head_dim(),
                   attr.kv_class(), cache.kv_heads(), cache.k_dim(), cache.v_dim());
    }
    if (attr.window() != cache.window()) {
      return Wrong("has a window of {}, KV class {} one of {}", attr.window(), attr.kv_class(), cache.window());
    }
    if (attr.heads() == 0 || attr.heads() % attr.kv_heads() != 0) {
      return Wrong("{} query heads do not share {} KV heads evenly", attr.heads(), attr.kv_heads());
    }
    return Status();
  }

  Status Product(BufferRef x, const plan::MatmulStep::Part& part) const {
    MRS_RETURN_IF_ERROR(IsMatrix(part.weight));
    const plan::Weight& weight = stage_.At(part.weight);
    const uint64_t k = SatMul(weight.chunk_count(), weight.chunk_k());
    MRS_RETURN_IF_ERROR(OperandIs(x, weight.dtype(), RowsOf(x), k));
    MRS_RETURN_IF_ERROR(ResultIs(part.y, DType::f32, RowsOf(x), weight.n()));
    if (!part.bias) return Status();
    MRS_RETURN_IF_ERROR(IsVector(*part.bias, weight.n()));
    if (weight.chunk_count() == weight.chunk_count_global()) return Status();
    return Wrong("bias '{}' would be added once on each rank that holds chunks of '{}'", stage_.WeightName(*part.bias),
                 stage_.WeightName(part.weight));
  }

  Status Gated(BufferRef gate, BufferRef up, BufferRef y) const {
    MRS_RETURN_IF_ERROR(IsF32(gate));
    MRS_RETURN_IF_ERROR(OperandIs(up, DType::f32, RowsOf(gate), WidthOf(gate)));
    return ResultIsMatrixInput(y, RowsOf(gate), WidthOf(gate));
  }

  // The schedule's own rules are CheckCollectives'.
  Status GroupOf(const plan::Collective& entry) const {
    const uint32_t groups = stage_.plan.groups()->size();
    return entry.group() < groups ? Status() : Wrong("is of group {} of {}", entry.group(), groups);
  }
  Status Collective(BufferRef x, BufferRef y, const plan::Collective& entry, uint64_t result_width) const {
    MRS_RETURN_IF_ERROR(OperandIs(x, entry.dtype(), entry.rows(), entry.row_elements()));
    return ResultIs(y, entry.dtype(), entry.rows(), result_width);
  }

  static DType TypeOf(const plan::Transfer& entry) { return IsMatrixType(entry.dtype()) ? entry.dtype() : DType::f32; }

  const StageView& stage_;
  uint32_t index_;
};

}  // namespace

Status CheckShapes(const StageView& stage) {
  for (uint32_t i = 0; i < stage.steps.size(); ++i) MRS_RETURN_IF_ERROR(stage.Visit(i, StepShapes(stage, i)));
  return Status();
}

}  // namespace mrs::verify
