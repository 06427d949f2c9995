// Operands, results and attributes of every step fit each other and the kernel that runs it (kernels/kernels.h).
#include <algorithm>
#include <bit>
#include <string>

#include "plans/verify/checks.h"
#include "plans/verify/inputs.h"
#include "plans/verify/slices.h"

namespace mrs::verify {
namespace {

using plan::DType;
using plan::OpKind;
using plan::RefSpace;
using plan::Rows;

std::string Shape(DType dtype, Rows rows, uint64_t width) {
  return fmt::format("{} [{}, {}]", plan::EnumNameDType(dtype), plan::EnumNameRows(rows), width);
}

bool IsMatrixType(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }

// One step with its operands at hand. Every method refuses with the step's name.
class StepShapes {
 public:
  StepShapes(const StageView& stage, uint32_t step) : stage_(stage), index_(step), step_(stage.steps[step]) {}

  Status Check() {
    switch (step_.op()) {
      case OpKind::embed:
        return Embed();
      case OpKind::rope_angles:
        return RopeAngles();
      case OpKind::rms_norm:
      case OpKind::layer_norm:
        return Norm();
      case OpKind::scale:
        return Scale();
      case OpKind::soft_cap:
        return SoftCap();
      case OpKind::position_scale:
        return PositionScale();
      case OpKind::sum_squares:
        return SumSquares();
      case OpKind::rms_scale:
        return RmsScale();
      case OpKind::matmul:
        return Matmul();
      case OpKind::rope:
        return Rope();
      case OpKind::kv_append:
        return KvAppend();
      case OpKind::attention:
        return Attention();
      case OpKind::silu_mul:
      case OpKind::gelu_mul:
        return Gated();
      case OpKind::add:
        return Add();
      case OpKind::add_bias:
        return AddBias();
      case OpKind::select_rows:
        return SelectRows();
      case OpKind::top_candidates:
        return TopCandidates();
      case OpKind::all_reduce:
      case OpKind::all_gather:
        return Collective();
      case OpKind::send:
        return Send();
      case OpKind::recv:
        return Recv();
      default:
        return Wrong("operation {} cannot be run", plan::EnumNameOpKind(step_.op()));
    }
  }

 private:
  template <typename... Args>
  Error Wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return stage_.AtStep(index_, "{}", fmt::format(format, std::forward<Args>(args)...));
  }

  Status Counts(size_t operands, size_t results) const {
    if (step_.operand_count() == operands && step_.result_count() == results) return Status();
    return Wrong("{} takes {} operands and yields {} results, here are {} and {}", plan::EnumNameOpKind(step_.op()),
                 operands, results, step_.operand_count(), step_.result_count());
  }

  const plan::Ref& Operand(size_t i) const { return stage_.Operands(step_)[i]; }
  const plan::Buffer& In(size_t i) const { return stage_.buffers[Operand(i).index()]; }
  const plan::Weight& WeightIn(size_t i) const { return stage_.weights[Operand(i).index()]; }
  const plan::Buffer& Out(size_t i = 0) const { return stage_.buffers[stage_.Results(step_)[i].index()]; }

  Status IsBuffer(size_t i) const {
    if (Operand(i).space() == RefSpace::buffer) return Status();
    return Wrong("operand {} is no buffer", i);
  }
  Status IsDense(size_t i, uint64_t n) const {
    if (Operand(i).space() != RefSpace::weight) return Wrong("operand {} is no weight", i);
    if (stage_.IsVector(WeightIn(i)) && WeightIn(i).n() == n) return Status();
    return Wrong("weight '{}' is {} of {} rows, expected a vector of {}", stage_.Name(WeightIn(i).name()),
                 stage_.IsVector(WeightIn(i)) ? "a vector" : "a matrix", WeightIn(i).n(), n);
  }
  Status IsPacked(size_t i) const {
    if (Operand(i).space() != RefSpace::weight) return Wrong("operand {} is no weight", i);
    if (!stage_.IsVector(WeightIn(i))) return Status();
    return Wrong("weight '{}' is a vector, expected a packed matrix", stage_.Name(WeightIn(i).name()));
  }
  Status IsInput(size_t i, Input input, uint32_t kv_class = 0) const {
    MRS_RETURN_IF_ERROR(IsBuffer(i));
    const InputBuffer expected{input, kv_class};
    if (InputOf(stage_, Operand(i).index()) == expected) return Status();
    return Wrong("operand {} is '{}', expected the input '{}'", i, stage_.BufferName(Operand(i).index()),
                 InputName(expected));
  }
  Status BufferIs(const char* what, uint32_t buffer, DType dtype, Rows rows, uint64_t width) const {
    const plan::Buffer& b = stage_.buffers[buffer];
    if (b.dtype() == dtype && b.rows() == rows && b.width() == width) return Status();
    return Wrong("{} '{}' is {}, expected {}", what, stage_.BufferName(buffer), Shape(b.dtype(), b.rows(), b.width()),
                 Shape(dtype, rows, width));
  }
  Status OperandIs(size_t i, DType dtype, Rows rows, uint64_t width) const {
    MRS_RETURN_IF_ERROR(IsBuffer(i));
    return BufferIs("operand", Operand(i).index(), dtype, rows, width);
  }
  Status ResultIs(size_t i, DType dtype, Rows rows, uint64_t width) const {
    return BufferIs("result", stage_.Results(step_)[i].index(), dtype, rows, width);
  }
  // What kernels write for a matrix to read: f32 or bf16, as the buffer says.
  Status ResultIsMatrixInput(Rows rows, uint64_t width) const {
    return ResultIs(0, IsMatrixType(Out().dtype()) ? Out().dtype() : DType::f32, rows, width);
  }

  Status Embed() {
    MRS_RETURN_IF_ERROR(Counts(2, 1));
    MRS_RETURN_IF_ERROR(IsInput(0, Input::kTokens));
    MRS_RETURN_IF_ERROR(IsPacked(1));
    const plan::EmbedAttr& attr = *stage_.stage.embeds()->Get(step_.attr());
    const plan::Weight& table = WeightIn(1);
    if (table.chunk_count_global() != 1) return Wrong("a table of {} chunks, expected 1", table.chunk_count_global());
    if (table.source_count() != 1 || !SameSlice(stage_.sources[table.source_begin()].rows(), attr.vocab()) ||
        table.n() != attr.vocab().size()) {
      return Wrong("its vocabulary slice is not the one that table '{}' holds", stage_.Name(table.name()));
    }
    MRS_RETURN_IF_ERROR(Vocabulary(attr.vocab(), attr.vocab_valid()));
    return ResultIs(0, DType::f32, In(0).rows(), table.chunk_k());
  }

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

  Status RopeAngles() {
    MRS_RETURN_IF_ERROR(Counts(1, 1));
    MRS_RETURN_IF_ERROR(IsInput(0, Input::kPositions));
    const uint64_t half = stage_.plan.ropes()->Get(step_.attr())->inv_freq()->size();
    return ResultIs(0, DType::f32, In(0).rows(), 2 * half);
  }

  Status Norm() {
    const bool has_bias = step_.op() == OpKind::layer_norm;
    MRS_RETURN_IF_ERROR(Counts(has_bias ? 3 : 2, 1));
    const plan::NormAttr& attr = *stage_.stage.norms()->Get(step_.attr());
    if (!(attr.eps() > 0)) return Wrong("eps is {}, expected more than 0", attr.eps());
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    const uint64_t width = SatMul(attr.heads(), attr.width());
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), width));
    MRS_RETURN_IF_ERROR(IsDense(1, attr.width()));
    if (has_bias) MRS_RETURN_IF_ERROR(IsDense(2, attr.width()));
    return ResultIsMatrixInput(In(0).rows(), width);
  }

  Status Scale() {
    MRS_RETURN_IF_ERROR(Counts(1, 1));
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), In(0).width()));
    return ResultIsMatrixInput(In(0).rows(), In(0).width());
  }

  Status SoftCap() {
    MRS_RETURN_IF_ERROR(Counts(1, 1));
    const float cap = stage_.stage.scales()->Get(step_.attr())->factor();
    if (!(cap > 0)) return Wrong("its cap is {}, expected more than 0", cap);
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), In(0).width()));
    return ResultIs(0, DType::f32, In(0).rows(), In(0).width());
  }

  Status PositionScale() {
    MRS_RETURN_IF_ERROR(Counts(2, 1));
    const plan::PositionScaleAttr& attr = *stage_.stage.position_scales()->Get(step_.attr());
    if (attr.original() == 0 || attr.original() > INT32_MAX || !(attr.beta() >= 0)) {
      return Wrong("grows by {} from token {} on, expected 0 or more, and a token from 1 on", attr.beta(),
                   attr.original());
    }
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    const DType dtype = IsMatrixType(In(0).dtype()) ? In(0).dtype() : DType::f32;
    MRS_RETURN_IF_ERROR(OperandIs(0, dtype, Rows::tokens, In(0).width()));
    MRS_RETURN_IF_ERROR(IsInput(1, Input::kPositions));
    return ResultIs(0, dtype, Rows::tokens, In(0).width());
  }

  Status SumSquares() {
    MRS_RETURN_IF_ERROR(Counts(1, 1));
    const plan::SumSquaresAttr& attr = *stage_.stage.sum_squares()->Get(step_.attr());
    const bool whole = attr.chunk_heads() > 0 && attr.heads() % attr.chunk_heads() == 0;
    if (!whole || !std::has_single_bit(attr.heads() / attr.chunk_heads())) {
      return Wrong("sums {} heads in chunks of {}, expected a power of two of chunks", attr.heads(),
                   attr.chunk_heads());
    }
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), SatMul(attr.heads(), attr.width())));
    return ResultIs(0, DType::f32, In(0).rows(), 1);
  }

  Status RmsScale() {
    MRS_RETURN_IF_ERROR(Counts(3, 1));
    const plan::RmsScaleAttr& attr = *stage_.stage.rms_scales()->Get(step_.attr());
    if (!(attr.eps() > 0)) return Wrong("eps is {}, expected more than 0", attr.eps());
    if (attr.total() < attr.width() || attr.total() > INT32_MAX) {
      return Wrong("divides by {} elements, expected {} and more", attr.total(), attr.width());
    }
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), attr.width()));
    MRS_RETURN_IF_ERROR(OperandIs(1, DType::f32, In(0).rows(), 1));
    MRS_RETURN_IF_ERROR(IsDense(2, attr.width()));
    return ResultIsMatrixInput(In(0).rows(), attr.width());
  }

  Status Matmul() {
    const size_t count = step_.result_count();
    MRS_RETURN_IF_ERROR(Counts(1 + 2 * std::max<size_t>(count, 1), std::max<size_t>(count, 1)));
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    for (size_t i = 0; i < count; ++i) {
      MRS_RETURN_IF_ERROR(IsPacked(1 + 2 * i));
      const plan::Weight& weight = WeightIn(1 + 2 * i);
      const uint64_t k = SatMul(weight.chunk_count(), weight.chunk_k());
      MRS_RETURN_IF_ERROR(OperandIs(0, weight.dtype(), In(0).rows(), k));
      MRS_RETURN_IF_ERROR(ResultIs(i, DType::f32, In(0).rows(), weight.n()));
      if (Operand(2 + 2 * i).space() == RefSpace::none) continue;
      MRS_RETURN_IF_ERROR(IsDense(2 + 2 * i, weight.n()));
      if (weight.chunk_count() != weight.chunk_count_global()) {
        return Wrong("bias '{}' would be added once on each rank that holds chunks of '{}'",
                     stage_.Name(WeightIn(2 + 2 * i).name()), stage_.Name(weight.name()));
      }
    }
    return Status();
  }

  Status Rope() {
    MRS_RETURN_IF_ERROR(Counts(2, 1));
    const plan::HeadsAttr& attr = *stage_.stage.heads()->Get(step_.attr());
    if (attr.rope() >= stage_.plan.ropes()->size()) {
      return Wrong("uses rope {} of {}", attr.rope(), stage_.plan.ropes()->size());
    }
    const uint64_t rotary = 2 * uint64_t{stage_.plan.ropes()->Get(attr.rope())->inv_freq()->size()};
    if (rotary > attr.head_dim()) return Wrong("rotates {} of {} elements of a head", rotary, attr.head_dim());
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    const uint64_t width = SatMul(attr.heads(), attr.head_dim());
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), width));
    MRS_RETURN_IF_ERROR(OperandIs(1, DType::f32, In(0).rows(), rotary));
    return ResultIsMatrixInput(In(0).rows(), width);
  }

  // The attribute agrees with the cache it points at.
  Status CacheOf(const plan::AttentionAttr& attr) const {
    if (step_.variant() != plan::Variant::always)
      return Wrong("must run in every forward, not in {} alone", plan::EnumNameVariant(step_.variant()));
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

  Status KvAppend() {
    MRS_RETURN_IF_ERROR(Counts(3, 0));
    const plan::AttentionAttr& attr = *stage_.stage.attentions()->Get(step_.attr());
    MRS_RETURN_IF_ERROR(CacheOf(attr));
    const uint64_t width = SatMul(attr.kv_heads(), attr.head_dim());
    const DType dtype = stage_.kv_classes[attr.kv_class()].dtype();
    MRS_RETURN_IF_ERROR(OperandIs(0, dtype, Rows::tokens, width));
    MRS_RETURN_IF_ERROR(OperandIs(1, DType::f32, Rows::tokens, width));
    return IsInput(2, Input::kSlots, attr.kv_class());
  }

  Status Attention() {
    MRS_RETURN_IF_ERROR(Counts(4, 1));
    const plan::AttentionAttr& attr = *stage_.stage.attentions()->Get(step_.attr());
    MRS_RETURN_IF_ERROR(CacheOf(attr));
    if (!(attr.soft_cap() >= 0)) return Wrong("its soft cap is {}, expected 0 or more", attr.soft_cap());
    if (!(attr.scale() > 0)) return Wrong("its scale is {}, expected more than 0", attr.scale());
    const uint64_t width = SatMul(attr.heads(), attr.head_dim());
    const DType dtype = stage_.kv_classes[attr.kv_class()].dtype();
    MRS_RETURN_IF_ERROR(OperandIs(0, dtype, Rows::tokens, width));
    MRS_RETURN_IF_ERROR(IsInput(1, Input::kSequence));
    MRS_RETURN_IF_ERROR(IsInput(2, Input::kPositions));
    MRS_RETURN_IF_ERROR(IsInput(3, Input::kBlockTable, attr.kv_class()));
    return ResultIs(0, dtype, Rows::tokens, width);
  }

  Status Gated() {
    MRS_RETURN_IF_ERROR(Counts(2, 1));
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), In(0).width()));
    MRS_RETURN_IF_ERROR(OperandIs(1, DType::f32, In(0).rows(), In(0).width()));
    return ResultIsMatrixInput(In(0).rows(), In(0).width());
  }

  Status Add() {
    MRS_RETURN_IF_ERROR(Counts(2, 1));
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), In(0).width()));
    MRS_RETURN_IF_ERROR(OperandIs(1, DType::f32, In(0).rows(), In(0).width()));
    return ResultIs(0, DType::f32, In(0).rows(), In(0).width());
  }

  Status AddBias() {
    MRS_RETURN_IF_ERROR(Counts(2, 1));
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, In(0).rows(), In(0).width()));
    MRS_RETURN_IF_ERROR(IsDense(1, In(0).width()));
    return ResultIs(0, DType::f32, In(0).rows(), In(0).width());
  }

  Status SelectRows() {
    MRS_RETURN_IF_ERROR(Counts(2, 1));
    MRS_RETURN_IF_ERROR(IsBuffer(0));
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, Rows::tokens, In(0).width()));
    MRS_RETURN_IF_ERROR(IsInput(1, Input::kLogitRows));
    return ResultIs(0, DType::f32, Rows::logit_rows, In(0).width());
  }

  Status TopCandidates() {
    MRS_RETURN_IF_ERROR(Counts(1, 1));
    const plan::TopCandidatesAttr& attr = *stage_.stage.candidates()->Get(step_.attr());
    const plan::Model& model = *stage_.plan.model();
    MRS_RETURN_IF_ERROR(Vocabulary(attr.vocab(), attr.vocab_valid()));
    const uint64_t chunk_size = model.vocab_padded() / contract::kVocabChunks;
    if (attr.chunk_size() != chunk_size || SatMul(attr.chunk_count(), chunk_size) != attr.vocab().size()) {
      return Wrong("{} chunks of {} ids, expected {} ids in chunks of {}", attr.chunk_count(), attr.chunk_size(),
                   attr.vocab().size(), chunk_size);
    }
    if (attr.k() == 0 || attr.k() > contract::kMaxCandidates) {
      return Wrong("keeps {} candidates, expected 1 to {}", attr.k(), contract::kMaxCandidates);
    }
    MRS_RETURN_IF_ERROR(OperandIs(0, DType::f32, Rows::logit_rows, attr.vocab().size()));
    return ResultIs(0, DType::u8, Rows::logit_rows, contract::CandidateRecordBytes(attr.k(), attr.chunk_count()));
  }

  // The schedule's own rules are CheckCollectives'.
  Status Collective() {
    MRS_RETURN_IF_ERROR(Counts(1, 1));
    const plan::Collective& entry = stage_.collectives[step_.attr()];
    if (entry.group() >= stage_.plan.groups()->size()) {
      return Wrong("is of group {} of {}", entry.group(), stage_.plan.groups()->size());
    }
    const uint64_t count = stage_.plan.groups()->Get(entry.group())->count();
    const uint64_t result_width = SatMul(entry.row_elements(), step_.op() == OpKind::all_gather ? count : 1);
    MRS_RETURN_IF_ERROR(OperandIs(0, entry.dtype(), entry.rows(), entry.row_elements()));
    return ResultIs(0, entry.dtype(), entry.rows(), result_width);
  }

  Status Send() {
    MRS_RETURN_IF_ERROR(Counts(1, 0));
    const plan::Transfer& entry = stage_.transfers[step_.attr()];
    return OperandIs(0, IsMatrixType(entry.dtype()) ? entry.dtype() : DType::f32, entry.rows(), entry.row_elements());
  }

  Status Recv() {
    MRS_RETURN_IF_ERROR(Counts(0, 1));
    const plan::Transfer& entry = stage_.transfers[step_.attr()];
    return ResultIs(0, IsMatrixType(entry.dtype()) ? entry.dtype() : DType::f32, entry.rows(), entry.row_elements());
  }

  const StageView& stage_;
  uint32_t index_;
  const plan::Step& step_;
};

}  // namespace

Status CheckShapes(const StageView& stage) {
  for (uint32_t i = 0; i < stage.steps.size(); ++i) MRS_RETURN_IF_ERROR(StepShapes(stage, i).Check());
  return Status();
}

}  // namespace mrs::verify
