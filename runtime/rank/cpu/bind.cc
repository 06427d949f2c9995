#include "runtime/rank/cpu/bind.h"

#include <string_view>

#include "plans/contract.h"
#include "plans/dtype.h"
#include "runtime/rank/stages.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

using plan::DType;
using plan::OpKind;

// One bucket of one rank: turns a step into a launch.
class Binder {
 public:
  Binder(const plan::Plan& plan, uint32_t rank, const kernels::KernelSet& kernels, const Arenas& arenas,
         uint32_t bucket)
      : plan_(plan),
        stage_(StageOf(plan, rank)),
        rank_index_(rank),
        rank_(*plan.ranks()->Get(rank)),
        kernels_(kernels),
        arenas_(arenas),
        placement_begin_(bucket * stage_.buffers()->size()) {}

  // The steps that run in `variant`, which leave their result in `output`.
  Program Bind(plan::Variant variant, uint32_t output) const {
    Program program;
    if (output != contract::kNone) {
      const plan::Buffer& buffer = *stage_.buffers()->Get(output);
      program.output = BufferAddress(output);
      program.output_row_bytes = buffer.width() * ByteSize(buffer.dtype());
    }
    for (uint32_t i = 0; i < stage_.steps()->size(); ++i) {
      const plan::Step& step = *stage_.steps()->Get(i);
      if (step.variant() != plan::Variant::always && step.variant() != variant) continue;
      program.launches.push_back(BindStep(i, step));
    }
    return program;
  }

  InputBuffers Inputs() const {
    InputBuffers inputs;
    inputs.slots.resize(stage_.kv_classes()->size());
    inputs.block_tables.resize(stage_.kv_classes()->size());
    for (uint32_t i = 0; i < stage_.buffers()->size(); ++i) {
      const plan::Buffer& buffer = *stage_.buffers()->Get(i);
      if (!buffer.input()) continue;
      const std::string_view name = plan_.names()->Get(buffer.name())->string_view();
      auto* address = reinterpret_cast<int32_t*>(BufferAddress(i));
      if (name == contract::kTokens) inputs.ids = address;
      if (name == contract::kPositions) inputs.positions = address;
      if (name == contract::kSequence) inputs.sequence = address;
      if (name == contract::kLogitRows) inputs.logit_rows = address;
      for (uint32_t kv_class = 0; kv_class < inputs.slots.size(); ++kv_class) {
        if (name == contract::KvInputName(contract::kSlots, kv_class)) inputs.slots[kv_class] = address;
        if (name == contract::KvInputName(contract::kBlockTable, kv_class)) inputs.block_tables[kv_class] = address;
      }
    }
    return inputs;
  }

 private:
  // Operands and results in one row: i < operand_count is an operand, the results follow.
  plan::Ref RefAt(const plan::Step& step, uint32_t i) const { return *stage_.refs()->Get(step.operand_begin() + i); }
  const plan::Buffer& BufferAt(const plan::Step& step, uint32_t i) const {
    return *stage_.buffers()->Get(RefAt(step, i).index());
  }
  const plan::Weight& WeightAt(const plan::Step& step, uint32_t i) const {
    return *stage_.weights()->Get(RefAt(step, i).index());
  }
  std::byte* BufferAddress(uint32_t buffer) const {
    return arenas_.activations + stage_.placements()->Get(placement_begin_ + buffer);
  }
  std::byte* Address(const plan::Step& step, uint32_t i) const { return BufferAddress(RefAt(step, i).index()); }

  template <typename T>
  T* Value(const plan::Step& step, uint32_t i) const {
    return reinterpret_cast<T*>(Address(step, i));
  }
  template <typename T>
  const T* WeightValue(const plan::Step& step, uint32_t i) const {
    return reinterpret_cast<const T*>(arenas_.weights + WeightAt(step, i).offset());
  }

  static kernels::Type TypeOf(DType dtype) { return dtype == DType::bf16 ? kernels::Type::kBf16 : kernels::Type::kF32; }
  static int64_t Width(const plan::Buffer& buffer) { return static_cast<int64_t>(buffer.width()); }
  static kernels::PackedShape ShapeOf(const plan::Weight& weight) {
    return {.n = static_cast<int64_t>(weight.n()),
            .chunk_k = static_cast<int64_t>(weight.chunk_k()),
            .chunk_count = static_cast<int64_t>(weight.chunk_count())};
  }

  // The cache of one layer. The class's arena holds, layer after layer, all K blocks and then all V blocks of the
  // layer.
  kernels::KvCache CacheOf(const plan::AttentionAttr& attr) const {
    std::byte* base = arenas_.kv;
    for (uint32_t i = 0; i < attr.kv_class(); ++i) {
      const plan::KvClass& before = *stage_.kv_classes()->Get(i);
      base += before.block_count() * before.block_bytes();
    }
    const plan::KvClass& kv = *stage_.kv_classes()->Get(attr.kv_class());
    const uint64_t row_bytes = uint64_t{contract::kBlockTokens} * kv.kv_heads() * ByteSize(kv.dtype());
    const uint64_t k_bytes = kv.block_count() * row_bytes * kv.k_dim();
    const uint64_t v_bytes = kv.block_count() * row_bytes * kv.v_dim();
    std::byte* layer = base + attr.kv_layer() * (k_bytes + v_bytes);
    return {.k = layer,
            .v = layer + k_bytes,
            .block_count = static_cast<int64_t>(kv.block_count()),
            .kv_heads = static_cast<int64_t>(attr.kv_heads()),
            .head_dim = static_cast<int64_t>(attr.head_dim())};
  }
  bool CacheIsBf16(const plan::AttentionAttr& attr) const {
    return stage_.kv_classes()->Get(attr.kv_class())->dtype() == DType::bf16;
  }

  MatmulLaunch BindMatmul(const plan::Step& step) const;
  CollectiveLaunch BindCollective(const plan::Step& step) const;
  TransferLaunch BindTransfer(const plan::Step& step) const;
  Launch BindStep(uint32_t index, const plan::Step& step) const;

  const plan::Plan& plan_;
  const plan::Stage& stage_;
  const uint32_t rank_index_;
  const plan::Rank& rank_;
  const kernels::KernelSet& kernels_;
  const Arenas arenas_;
  const uint32_t placement_begin_;  // of this bucket in Stage.placements
};

// (x, weight0, bias0|none, weight1, bias1|none, ...) -> (y0, y1, ...)
MatmulLaunch Binder::BindMatmul(const plan::Step& step) const {
  const bool bf16 = WeightAt(step, 1).dtype() == DType::bf16;
  MatmulLaunch launch{.kernel = bf16 ? kernels_.matmul_bf16 : kernels_.matmul_f32, .parts = {}};
  for (uint32_t part = 0; part < step.result_count(); ++part) {
    const uint32_t weight = 1 + 2 * part;
    const uint32_t result = step.operand_count() + part;
    const bool has_bias = RefAt(step, weight + 1).space() == plan::RefSpace::weight;
    launch.parts.push_back({.x = Address(step, 0),
                            .w = WeightValue<std::byte>(step, weight),
                            .bias = has_bias ? WeightValue<float>(step, weight + 1) : nullptr,
                            .y = Value<float>(step, result),
                            .rows = 0,
                            .shape = ShapeOf(WeightAt(step, weight)),
                            .x_stride = Width(BufferAt(step, 0)),
                            .y_stride = Width(BufferAt(step, result))});
  }
  return launch;
}

CollectiveLaunch Binder::BindCollective(const plan::Step& step) const {
  const plan::Collective& collective = *stage_.collectives()->Get(step.attr());
  return {.op = step.op(),
          .algorithm = collective.algorithm(),
          .x = Address(step, 0),
          .y = Address(step, 1),
          .row_bytes = collective.row_elements() * ByteSize(collective.dtype())};
}

// Its one buffer is the operand of a send and the result of a recv.
TransferLaunch Binder::BindTransfer(const plan::Step& step) const {
  const plan::Transfer& transfer = *stage_.transfers()->Get(step.attr());
  return {.is_send = step.op() == OpKind::send,
          .peer = static_cast<int>(PeerIn(plan_, rank_index_, transfer.peer_stage())),
          .data = Address(step, 0),
          .row_bytes = transfer.row_elements() * ByteSize(transfer.dtype())};
}

Launch Binder::BindStep(uint32_t index, const plan::Step& step) const {
  const bool has_result = step.result_count() > 0;
  const uint32_t y = has_result ? step.operand_count() : 0;
  const plan::Buffer& out = BufferAt(step, y);  // whose rows the step's rows are
  Launch launch{.step = index, .rows = out.rows(), .work = {}};
  const int64_t width = Width(out);
  const kernels::Type type = TypeOf(out.dtype());
  switch (step.op()) {
    case OpKind::embed: {
      const plan::EmbedAttr& attr = *stage_.embeds()->Get(step.attr());
      launch.work =
          KernelLaunch<kernels::EmbedArgs>{kernels_.embed,
                                           {.ids = Value<int32_t>(step, 0),
                                            .table = WeightValue<std::byte>(step, 1),
                                            .table_type = TypeOf(WeightAt(step, 1).dtype()),
                                            .y = Value<float>(step, y),
                                            .rows = 0,
                                            .shape = ShapeOf(WeightAt(step, 1)),
                                            .vocab_begin = static_cast<int64_t>(SliceAt(attr.vocab(), rank_).begin)}};
      return launch;
    }
    case OpKind::rope_angles: {
      const plan::Rope& rope = *plan_.ropes()->Get(step.attr());
      launch.work = KernelLaunch<kernels::RopeAnglesArgs>{kernels_.rope_angles,
                                                          {.positions = Value<int32_t>(step, 0),
                                                           .inv_freq = rope.inv_freq()->data(),
                                                           .cos_sin = Value<float>(step, y),
                                                           .tokens = 0,
                                                           .half = static_cast<int64_t>(rope.inv_freq()->size()),
                                                           .scale = rope.attention_factor()}};
      return launch;
    }
    case OpKind::rms_norm: {
      const plan::NormAttr& attr = *stage_.norms()->Get(step.attr());
      launch.work = KernelLaunch<kernels::RmsNormArgs>{kernels_.rms_norm,
                                                       {.x = Value<float>(step, 0),
                                                        .w = WeightValue<float>(step, 1),
                                                        .y = Address(step, y),
                                                        .rows = 0,
                                                        .width = static_cast<int64_t>(attr.width()),
                                                        .eps = attr.eps(),
                                                        .out = type},
                                                       static_cast<int64_t>(attr.heads())};
      return launch;
    }
    case OpKind::layer_norm: {
      const plan::NormAttr& attr = *stage_.norms()->Get(step.attr());
      launch.work = KernelLaunch<kernels::LayerNormArgs>{kernels_.layer_norm,
                                                         {.x = Value<float>(step, 0),
                                                          .w = WeightValue<float>(step, 1),
                                                          .b = WeightValue<float>(step, 2),
                                                          .y = Address(step, y),
                                                          .rows = 0,
                                                          .width = static_cast<int64_t>(attr.width()),
                                                          .eps = attr.eps(),
                                                          .out = type},
                                                         static_cast<int64_t>(attr.heads())};
      return launch;
    }
    case OpKind::sum_squares: {
      const plan::SumSquaresAttr& attr = *stage_.sum_squares()->Get(step.attr());
      launch.work = KernelLaunch<kernels::SumSquaresArgs>{kernels_.sum_squares,
                                                          {.x = Value<float>(step, 0),
                                                           .y = Value<float>(step, y),
                                                           .rows = 0,
                                                           .heads = static_cast<int64_t>(attr.heads()),
                                                           .head_dim = static_cast<int64_t>(attr.width()),
                                                           .chunk_heads = static_cast<int64_t>(attr.chunk_heads())}};
      return launch;
    }
    case OpKind::rms_scale: {
      const plan::RmsScaleAttr& attr = *stage_.rms_scales()->Get(step.attr());
      launch.work = KernelLaunch<kernels::RmsScaleArgs>{kernels_.rms_scale,
                                                        {.x = Value<float>(step, 0),
                                                         .sum = Value<float>(step, 1),
                                                         .w = WeightValue<float>(step, 2),
                                                         .y = Address(step, y),
                                                         .rows = 0,
                                                         .width = static_cast<int64_t>(attr.width()),
                                                         .total = static_cast<int64_t>(attr.total()),
                                                         .eps = attr.eps(),
                                                         .out = type}};
      return launch;
    }
    case OpKind::scale:
      launch.work = KernelLaunch<kernels::ScaleArgs>{kernels_.scale,
                                                     {.x = Value<float>(step, 0),
                                                      .y = Address(step, y),
                                                      .rows = 0,
                                                      .width = width,
                                                      .factor = stage_.scales()->Get(step.attr())->factor(),
                                                      .out = type}};
      return launch;
    case OpKind::soft_cap:
      launch.work = KernelLaunch<kernels::SoftCapArgs>{kernels_.soft_cap,
                                                       {.x = Value<float>(step, 0),
                                                        .y = Value<float>(step, y),
                                                        .rows = 0,
                                                        .width = width,
                                                        .cap = stage_.scales()->Get(step.attr())->factor()}};
      return launch;
    case OpKind::position_scale: {
      const plan::PositionScaleAttr& attr = *stage_.position_scales()->Get(step.attr());
      launch.work = KernelLaunch<kernels::PositionScaleArgs>{kernels_.position_scale,
                                                             {.x = Address(step, 0),
                                                              .positions = Value<int32_t>(step, 1),
                                                              .y = Address(step, y),
                                                              .rows = 0,
                                                              .width = width,
                                                              .beta = attr.beta(),
                                                              .original = static_cast<int64_t>(attr.original()),
                                                              .type = type}};
      return launch;
    }
    case OpKind::gelu_mul:
      launch.work =
          KernelLaunch<kernels::GeluMulArgs>{kernels_.gelu_mul,
                                             {.gate = Value<float>(step, 0),
                                              .up = Value<float>(step, 1),
                                              .y = Address(step, y),
                                              .rows = 0,
                                              .width = width,
                                              .out = type,
                                              .approximate = stage_.glus()->Get(step.attr())->approximate()}};
      return launch;
    case OpKind::matmul:
      launch.work = BindMatmul(step);
      return launch;
    case OpKind::rope: {
      const plan::HeadsAttr& attr = *stage_.heads()->Get(step.attr());
      launch.work = KernelLaunch<kernels::RopeArgs>{
          kernels_.rope,
          {.x = Value<float>(step, 0),
           .cos_sin = Value<float>(step, 1),
           .y = Address(step, y),
           .tokens = 0,
           .heads = static_cast<int64_t>(attr.heads()),
           .head_dim = static_cast<int64_t>(attr.head_dim()),
           .half = static_cast<int64_t>(plan_.ropes()->Get(attr.rope())->inv_freq()->size()),
           .out = type,
           .interleaved = attr.interleaved()}};
      return launch;
    }
    case OpKind::kv_append: {
      const plan::AttentionAttr& attr = *stage_.attentions()->Get(step.attr());
      launch.work =
          KernelLaunch<kernels::KvAppendArgs>{CacheIsBf16(attr) ? kernels_.kv_append_bf16 : kernels_.kv_append_f32,
                                              {.cache = CacheOf(attr),
                                               .k = Address(step, 0),
                                               .v = Value<float>(step, 1),
                                               .slots = Value<int32_t>(step, 2),
                                               .tokens = 0}};
      return launch;
    }
    case OpKind::attention: {
      const plan::AttentionAttr& attr = *stage_.attentions()->Get(step.attr());
      launch.work =
          KernelLaunch<kernels::AttentionArgs>{CacheIsBf16(attr) ? kernels_.attention_bf16 : kernels_.attention_f32,
                                               {.q = Address(step, 0),
                                                .cache = CacheOf(attr),
                                                .sequence = Value<int32_t>(step, 1),
                                                .positions = Value<int32_t>(step, 2),
                                                .block_table = Value<int32_t>(step, 3),
                                                .table_stride = Width(BufferAt(step, 3)),
                                                .y = Address(step, y),
                                                .tokens = 0,
                                                .heads = static_cast<int64_t>(attr.heads()),
                                                .scale = attr.scale(),
                                                .window = attr.window(),
                                                .soft_cap = attr.soft_cap()}};
      return launch;
    }
    case OpKind::silu_mul:
      launch.work = KernelLaunch<kernels::SiluMulArgs>{kernels_.silu_mul,
                                                       {.gate = Value<float>(step, 0),
                                                        .up = Value<float>(step, 1),
                                                        .y = Address(step, y),
                                                        .rows = 0,
                                                        .width = width,
                                                        .out = type}};
      return launch;
    case OpKind::add:
    case OpKind::add_bias: {
      const bool is_bias = step.op() == OpKind::add_bias;
      launch.work = KernelLaunch<kernels::AddArgs>{kernels_.add,
                                                   {.a = Value<float>(step, 0),
                                                    .b = is_bias ? WeightValue<float>(step, 1) : Value<float>(step, 1),
                                                    .y = Value<float>(step, y),
                                                    .rows = 0,
                                                    .width = width,
                                                    .broadcast_b = is_bias}};
      return launch;
    }
    case OpKind::select_rows:
      launch.work = KernelLaunch<kernels::SelectRowsArgs>{kernels_.select_rows,
                                                          {.x = Value<float>(step, 0),
                                                           .rows = Value<int32_t>(step, 1),
                                                           .y = Value<float>(step, y),
                                                           .count = 0,
                                                           .width = width}};
      return launch;
    case OpKind::top_candidates: {
      const plan::TopCandidatesAttr& attr = *stage_.candidates()->Get(step.attr());
      launch.work = KernelLaunch<kernels::TopCandidatesArgs>{
          kernels_.top_candidates,
          {.logits = Value<float>(step, 0),
           .rows = 0,
           .chunk_size = static_cast<int64_t>(attr.chunk_size()),
           .chunk_count = attr.chunk_count(),
           .vocab_begin = static_cast<int64_t>(SliceAt(attr.vocab(), rank_).begin),
           .vocab_valid = static_cast<int64_t>(attr.vocab_valid()),
           .k = attr.k(),
           .records = Address(step, y)}};
      return launch;
    }
    case OpKind::all_reduce:
    case OpKind::all_gather:
      launch.work = BindCollective(step);
      return launch;
    case OpKind::send:
    case OpKind::recv:
      launch.work = BindTransfer(step);
      return launch;
    default:
      break;
  }
  MRS_CHECK(false);  // CheckSupported has refused it
}

// Ops that have their place in the format, but no launch here.
Status CheckSupported(const plan::Plan& plan, uint32_t rank) {
  const plan::Stage& stage = StageOf(plan, rank);
  for (uint32_t i = 0; i < stage.steps()->size(); ++i) {
    const plan::Step& step = *stage.steps()->Get(i);
    if (step.op() > OpKind::none && step.op() <= OpKind::all_gather) continue;
    if (step.op() >= OpKind::layer_norm && step.op() <= OpKind::rms_scale) continue;
    if (step.op() == OpKind::send || step.op() == OpKind::recv) continue;
    return Refuse("rank {} step {} '{}': this version cannot run {}; use the mrs-exec that belongs to {}", rank, i,
                  plan.names()->Get(step.name())->c_str(), plan::EnumNameOpKind(step.op()), plan.producer()->c_str());
  }
  return Status();
}

}  // namespace

Result<std::vector<BoundBucket>> BindPlan(const plan::Plan& plan, uint32_t rank, const kernels::KernelSet& kernels,
                                          const Arenas& arenas) {
  MRS_RETURN_IF_ERROR(CheckSupported(plan, rank));
  const plan::Stage& stage = StageOf(plan, rank);
  std::vector<BoundBucket> buckets;
  for (uint32_t i = 0; i < stage.buckets()->size(); ++i) {
    const plan::Bucket& bucket = *stage.buckets()->Get(i);
    const Binder binder(plan, rank, kernels, arenas, i);
    buckets.push_back({.tokens = bucket.tokens(),
                       .sequences = bucket.sequences(),
                       .logit_rows = bucket.logit_rows(),
                       .inputs = binder.Inputs(),
                       .candidates = binder.Bind(plan::Variant::candidates, stage.candidates_buffer()),
                       .all_logits = binder.Bind(plan::Variant::all_logits, stage.logits_buffer())});
  }
  return buckets;
}

}  // namespace mrs
