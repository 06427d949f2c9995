#include "runtime/rank/bind.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

#include "kernels/cuda/exact.h"
#include "plans/contract.h"
#include "plans/dtype.h"
#include "plans/step_view.h"
#include "runtime/rank/stages.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

using plan::BufferRef;
using plan::DType;
using plan::WeightRef;

// One bucket of one rank: turns a step into a launch.
template <typename Set>
class Binder {
 public:
  Binder(const plan::Plan& plan, uint32_t rank, const Set& kernels, const Arenas& arenas, uint32_t bucket,
         Joined joined)
      : plan_(plan),
        stage_(StageOf(plan, rank)),
        rank_index_(rank),
        rank_(*plan.ranks()->Get(rank)),
        kernels_(kernels),
        arenas_(arenas),
        placement_begin_(bucket * stage_.buffers()->size()),
        joined_(joined) {}

  // The steps that run in `variant`, which leave their result in `output`.
  Program<Set> Bind(plan::Variant variant, uint32_t output) const {
    Program<Set> program;
    if (output != contract::kNone) {
      const plan::Buffer& buffer = *stage_.buffers()->Get(output);
      program.output = Value<std::byte>(BufferRef{output});
      program.output_row_bytes = buffer.width() * ByteSize(buffer.dtype());
    }
    for (uint32_t i = 0; i < stage_.steps()->size(); ++i) {
      const plan::Step& step = *stage_.steps()->Get(i);
      if (step.variant() != plan::Variant::always && step.variant() != variant) continue;
      if (IsJoined(i)) {
        Join(&program.launches.back(), BindStep(i, step));
      } else {
        program.launches.push_back(BindStep(i, step));
      }
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
      auto* address = Value<int32_t>(BufferRef{i});
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
  Launch<Set> BindStep(uint32_t index, const plan::Step& step) const {
    // Whose rows the step's rows are: its first result, or where it has none, its first operand.
    const uint32_t shown = step.operand_begin() + (step.result_count() > 0 ? step.operand_count() : 0);
    return {.step = index,
            .rows = stage_.buffers()->Get(stage_.refs()->Get(shown)->index())->rows(),
            .work = plan::VisitStep(plan_, stage_, step,
                                    [this](const auto& view) { return typename Launch<Set>::Work(this->Bind(view)); })};
  }

  bool IsJoined(uint32_t step) const {
    if (joined_ == Joined::kApart || stage_.joined() == nullptr) return false;
    if (!std::ranges::binary_search(*stage_.joined(), step)) return false;
    return joined_ == Joined::kAsPlanned || stage_.steps()->Get(step - 1)->op() == plan::OpKind::matmul;
  }

  // The verifier lets these be one, and nothing else.
  static void Join(Launch<Set>* first, Launch<Set> next) {
    if constexpr (kHasFused) {
      using kernels::cuda::AddRmsNormArgs;
      using kernels::cuda::RopeAppendArgs;
      auto* const products = std::get_if<MatmulLaunch<Set>>(&first->work);
      auto* const norm = std::get_if<KernelLaunch<Set, AddRmsNormArgs>>(&next.work);
      if (products == nullptr) {
        MRS_CHECK(norm != nullptr);
        first->work = SumNormLaunch{std::get<CollectiveLaunch>(first->work), *norm};
      } else if (norm != nullptr) {
        first->work = MatmulAddRmsNormLaunch{std::move(*products), *norm};
      } else {
        first->work =
            MatmulRopeAppendLaunch{std::move(*products), std::get<KernelLaunch<Set, RopeAppendArgs>>(next.work)};
      }
    } else {
      OfCudaAlone();
    }
  }

  // ---- Each operation as a launch; a forward fills in the rows ----

  static constexpr bool kHasFused = std::is_same_v<Set, kernels::cuda::CudaKernels>;
  // The verifier refuses such a step of another rank.
  [[noreturn]] static CollectiveLaunch OfCudaAlone() {
    MRS_CHECK(false);
    std::abort();
  }

  KernelLaunch<Set, kernels::EmbedArgs> Bind(const plan::EmbedStep& s) const {
    return {kernels_.embed,
            {.ids = Value<int32_t>(s.ids),
             .table = Value<std::byte>(s.table),
             .table_type = TypeOf(At(s.table)),
             .y = Value<float>(s.y),
             .rows = 0,
             .shape = ShapeOf(At(s.table)),
             .vocab_begin = static_cast<int64_t>(SliceAt(s.attr->vocab(), rank_).begin)}};
  }
  KernelLaunch<Set, kernels::RopeAnglesArgs> Bind(const plan::RopeAnglesStep& s) const {
    const plan::Rope& rope = *plan_.ropes()->Get(s.rope);
    return {kernels_.rope_angles,
            {.positions = Value<int32_t>(s.positions),
             .inv_freq = arenas_.frequencies.empty() ? rope.inv_freq()->data() : arenas_.frequencies[s.rope],
             .cos_sin = Value<float>(s.y),
             .tokens = 0,
             .half = static_cast<int64_t>(rope.inv_freq()->size()),
             .scale = rope.attention_factor()}};
  }
  KernelLaunch<Set, kernels::RmsNormArgs> Bind(const plan::RmsNormStep& s) const {
    return {kernels_.rms_norm,
            {.x = Value<float>(s.x),
             .w = Value<float>(s.weight),
             .y = Value<std::byte>(s.y),
             .rows = 0,
             .width = static_cast<int64_t>(s.attr->width()),
             .eps = s.attr->eps(),
             .out = TypeOf(At(s.y))},
            static_cast<int64_t>(s.attr->heads())};
  }
  KernelLaunch<Set, kernels::LayerNormArgs> Bind(const plan::LayerNormStep& s) const {
    return {kernels_.layer_norm,
            {.x = Value<float>(s.x),
             .w = Value<float>(s.weight),
             .b = Value<float>(s.bias),
             .y = Value<std::byte>(s.y),
             .rows = 0,
             .width = static_cast<int64_t>(s.attr->width()),
             .eps = s.attr->eps(),
             .out = TypeOf(At(s.y))},
            static_cast<int64_t>(s.attr->heads())};
  }
  KernelLaunch<Set, kernels::SumSquaresArgs> Bind(const plan::SumSquaresStep& s) const {
    return {kernels_.sum_squares,
            {.x = Value<float>(s.x),
             .y = Value<float>(s.y),
             .rows = 0,
             .heads = static_cast<int64_t>(s.attr->heads()),
             .head_dim = static_cast<int64_t>(s.attr->width()),
             .chunk_heads = static_cast<int64_t>(s.attr->chunk_heads())}};
  }
  KernelLaunch<Set, kernels::RmsScaleArgs> Bind(const plan::RmsScaleStep& s) const {
    return {kernels_.rms_scale,
            {.x = Value<float>(s.x),
             .sum = Value<float>(s.sum),
             .w = Value<float>(s.weight),
             .y = Value<std::byte>(s.y),
             .rows = 0,
             .width = static_cast<int64_t>(s.attr->width()),
             .total = static_cast<int64_t>(s.attr->total()),
             .eps = s.attr->eps(),
             .out = TypeOf(At(s.y))}};
  }
  KernelLaunch<Set, kernels::ScaleArgs> Bind(const plan::ScaleStep& s) const {
    return {kernels_.scale,
            {.x = Value<float>(s.x),
             .y = Value<std::byte>(s.y),
             .rows = 0,
             .width = WidthOf(s.y),
             .factor = s.attr->factor(),
             .out = TypeOf(At(s.y))}};
  }
  KernelLaunch<Set, kernels::SoftCapArgs> Bind(const plan::SoftCapStep& s) const {
    return {
        kernels_.soft_cap,
        {.x = Value<float>(s.x), .y = Value<float>(s.y), .rows = 0, .width = WidthOf(s.y), .cap = s.attr->factor()}};
  }
  KernelLaunch<Set, kernels::PositionScaleArgs> Bind(const plan::PositionScaleStep& s) const {
    return {kernels_.position_scale,
            {.x = Value<std::byte>(s.x),
             .positions = Value<int32_t>(s.positions),
             .y = Value<std::byte>(s.y),
             .rows = 0,
             .width = WidthOf(s.y),
             .beta = s.attr->beta(),
             .original = static_cast<int64_t>(s.attr->original()),
             .type = TypeOf(At(s.y))}};
  }
  MatmulLaunch<Set> Bind(const plan::MatmulStep& s) const { return BindProducts(s.x, s.parts); }
  KernelLaunch<Set, kernels::RopeArgs> Bind(const plan::RopeStep& s) const {
    return {kernels_.rope,
            {.x = Value<float>(s.x),
             .cos_sin = Value<float>(s.cos_sin),
             .y = Value<std::byte>(s.y),
             .tokens = 0,
             .heads = static_cast<int64_t>(s.attr->heads()),
             .head_dim = static_cast<int64_t>(s.attr->head_dim()),
             .half = static_cast<int64_t>(plan_.ropes()->Get(s.attr->rope())->inv_freq()->size()),
             .out = TypeOf(At(s.y)),
             .interleaved = s.attr->interleaved()}};
  }
  KernelLaunch<Set, kernels::KvAppendArgs> Bind(const plan::KvAppendStep& s) const {
    return {CacheIsBf16(*s.attr) ? kernels_.kv_append_bf16 : kernels_.kv_append_f32,
            {.cache = CacheOf(*s.attr),
             .k = Value<std::byte>(s.k),
             .v = Value<float>(s.v),
             .slots = Value<int32_t>(s.slots),
             .tokens = 0}};
  }
  KernelLaunch<Set, kernels::AttentionArgs> Bind(const plan::AttentionStep& s) const {
    return {CacheIsBf16(*s.attr) ? kernels_.attention_bf16 : kernels_.attention_f32,
            {.q = Value<std::byte>(s.q),
             .cache = CacheOf(*s.attr),
             .sequence = Value<int32_t>(s.sequence),
             .positions = Value<int32_t>(s.positions),
             .block_table = Value<int32_t>(s.block_table),
             .table_stride = WidthOf(s.block_table),
             .y = Value<std::byte>(s.y),
             .tokens = 0,
             .heads = static_cast<int64_t>(s.attr->heads()),
             .scale = s.attr->scale(),
             .window = s.attr->window(),
             .soft_cap = s.attr->soft_cap(),
             .sinks = nullptr}};  // no plan has them
  }
  KernelLaunch<Set, kernels::SiluMulArgs> Bind(const plan::SiluMulStep& s) const {
    return {kernels_.silu_mul,
            {.gate = Value<float>(s.gate),
             .up = Value<float>(s.up),
             .y = Value<std::byte>(s.y),
             .rows = 0,
             .width = WidthOf(s.y),
             .out = TypeOf(At(s.y))}};
  }
  KernelLaunch<Set, kernels::GeluMulArgs> Bind(const plan::GeluMulStep& s) const {
    return {kernels_.gelu_mul,
            {.gate = Value<float>(s.gate),
             .up = Value<float>(s.up),
             .y = Value<std::byte>(s.y),
             .rows = 0,
             .width = WidthOf(s.y),
             .out = TypeOf(At(s.y)),
             .approximate = s.attr->approximate()}};
  }
  KernelLaunch<Set, kernels::AddArgs> Bind(const plan::AddStep& s) const {
    return BindAdd(s.a, Value<float>(s.b), s.y, /*broadcast_b=*/false);
  }
  KernelLaunch<Set, kernels::AddArgs> Bind(const plan::AddBiasStep& s) const {
    return BindAdd(s.a, Value<float>(s.bias), s.y, /*broadcast_b=*/true);
  }
  KernelLaunch<Set, kernels::SelectRowsArgs> Bind(const plan::SelectRowsStep& s) const {
    return {kernels_.select_rows,
            {.x = Value<float>(s.x),
             .rows = Value<int32_t>(s.rows),
             .y = Value<float>(s.y),
             .count = 0,
             .width = WidthOf(s.y)}};
  }
  KernelLaunch<Set, kernels::TopCandidatesArgs> Bind(const plan::TopCandidatesStep& s) const {
    return {kernels_.top_candidates,
            {.logits = Value<float>(s.logits),
             .rows = 0,
             .chunk_size = static_cast<int64_t>(s.attr->chunk_size()),
             .chunk_count = s.attr->chunk_count(),
             .vocab_begin = static_cast<int64_t>(SliceAt(s.attr->vocab(), rank_).begin),
             .vocab_valid = static_cast<int64_t>(s.attr->vocab_valid()),
             .k = s.attr->k(),
             .records = Value<std::byte>(s.records)}};
  }
  auto Bind(const plan::AddRmsNormStep& s) const {
    if constexpr (kHasFused) {
      return KernelLaunch<Set, kernels::cuda::AddRmsNormArgs>{kernels_.add_rms_norm,
                                                              {.a = Value<float>(s.a),
                                                               .b = Value<float>(s.b),
                                                               .w = Value<float>(s.weight),
                                                               .sum = Value<float>(s.sum),
                                                               .y = Value<std::byte>(s.y),
                                                               .rows = 0,
                                                               .width = static_cast<int64_t>(s.attr->width()),
                                                               .eps = s.attr->eps(),
                                                               .out = TypeOf(At(s.y))}};
    } else {
      return OfCudaAlone();
    }
  }
  auto Bind(const plan::RopeAppendStep& s) const {
    if constexpr (kHasFused) {
      const int64_t half = plan_.ropes()->Get(s.attr->rope())->inv_freq()->size();
      return KernelLaunch<Set, kernels::cuda::RopeAppendArgs>{kernels_.rope_append,
                                                              {.q = Value<float>(s.q),
                                                               .k = Value<float>(s.k),
                                                               .v = Value<float>(s.v),
                                                               .cos_sin = Value<float>(s.cos_sin),
                                                               .slots = Value<int32_t>(s.slots),
                                                               .y = Value<std::byte>(s.y),
                                                               .cache = CacheOf(*s.attr),
                                                               .tokens = 0,
                                                               .heads = static_cast<int64_t>(s.attr->heads()),
                                                               .half = half,
                                                               .type = TypeOf(At(s.y)),
                                                               .interleaved = s.attr->interleaved()}};
    } else {
      return OfCudaAlone();
    }
  }
  auto Bind(const plan::MatmulSiluMulStep& s) const { return BindGated(s, kernels::cuda::Activation::kSilu); }
  auto Bind(const plan::MatmulGeluMulStep& s) const {
    using kernels::cuda::Activation;
    return BindGated(s, s.attr->approximate() ? Activation::kGeluTanh : Activation::kGelu);
  }
  CollectiveLaunch Bind(const plan::AllReduceStep& s) const {
    return BindCollective(/*is_gather=*/false, s.x, s.y, *s.attr);
  }
  CollectiveLaunch Bind(const plan::AllGatherStep& s) const {
    return BindCollective(/*is_gather=*/true, s.x, s.y, *s.attr);
  }
  TransferLaunch Bind(const plan::SendStep& s) const { return BindTransfer(/*is_send=*/true, s.x, *s.attr); }
  TransferLaunch Bind(const plan::RecvStep& s) const { return BindTransfer(/*is_send=*/false, s.y, *s.attr); }

  MatmulLaunch<Set> BindProducts(BufferRef x, std::span<const plan::MatmulStep::Part> parts) const {
    const bool bf16 = At(parts[0].weight).dtype() == DType::bf16;
    MatmulLaunch<Set> launch{
        .kernel = bf16 ? kernels_.matmul_bf16 : kernels_.matmul_f32, .x_bytes = bf16 ? 2 : 4, .parts = {}};
    for (const plan::MatmulStep::Part& part : parts) {
      launch.parts.push_back({.x = Value<std::byte>(x),
                              .w = Value<std::byte>(part.weight),
                              .bias = part.bias ? Value<float>(*part.bias) : nullptr,
                              .y = Value<float>(part.y),
                              .rows = 0,
                              .shape = ShapeOf(At(part.weight)),
                              .x_stride = WidthOf(x),
                              .y_stride = WidthOf(part.y)});
    }
    return launch;
  }
  auto BindGated(const plan::GatedMatmul& s, kernels::cuda::Activation activation) const {
    if constexpr (kHasFused) {
      return GatedMatmulLaunch{.products = BindProducts(s.x, std::array{s.gate, s.up}),
                               .y = Value<std::byte>(s.y),
                               .out = TypeOf(At(s.y)),
                               .activation = activation};
    } else {
      return OfCudaAlone();
    }
  }
  KernelLaunch<Set, kernels::AddArgs> BindAdd(BufferRef a, const float* b, BufferRef y, bool broadcast_b) const {
    return {kernels_.add,
            {.a = Value<float>(a),
             .b = b,
             .y = Value<float>(y),
             .rows = 0,
             .width = WidthOf(y),
             .broadcast_b = broadcast_b}};
  }
  CollectiveLaunch BindCollective(bool is_gather, BufferRef x, BufferRef y, const plan::Collective& entry) const {
    return {.is_gather = is_gather,
            .algorithm = entry.algorithm(),
            .x = Value<std::byte>(x),
            .y = Value<std::byte>(y),
            .row_bytes = entry.row_elements() * ByteSize(entry.dtype())};
  }
  TransferLaunch BindTransfer(bool is_send, BufferRef data, const plan::Transfer& entry) const {
    return {.is_send = is_send,
            .peer = static_cast<int>(PeerIn(plan_, rank_index_, entry.peer_stage())),
            .data = Value<std::byte>(data),
            .row_bytes = entry.row_elements() * ByteSize(entry.dtype())};
  }

  // ---- Where things lie and what they are ----

  const plan::Buffer& At(BufferRef ref) const { return *stage_.buffers()->Get(ref.index); }
  const plan::Weight& At(WeightRef ref) const { return *stage_.weights()->Get(ref.index); }
  template <typename T>
  T* Value(BufferRef ref) const {
    if (!arenas_.inputs.empty() && arenas_.inputs[ref.index] != nullptr) {
      return reinterpret_cast<T*>(arenas_.inputs[ref.index]);
    }
    return reinterpret_cast<T*>(arenas_.activations + stage_.placements()->Get(placement_begin_ + ref.index));
  }
  template <typename T>
  const T* Value(WeightRef ref) const {
    const uint64_t offset = arenas_.weight_offsets.empty() ? At(ref).offset() : arenas_.weight_offsets[ref.index];
    return reinterpret_cast<const T*>(arenas_.weights + offset);
  }
  int64_t WidthOf(BufferRef ref) const { return static_cast<int64_t>(At(ref).width()); }
  // Of a buffer or a weight.
  static kernels::Type TypeOf(const auto& stored) {
    return stored.dtype() == DType::bf16 ? kernels::Type::kBf16 : kernels::Type::kF32;
  }
  static kernels::PackedShape ShapeOf(const plan::Weight& weight) {
    return {.n = static_cast<int64_t>(weight.n()),
            .chunk_k = static_cast<int64_t>(weight.chunk_k()),
            .chunk_count = static_cast<int64_t>(weight.chunk_count())};
  }

  // The cache of one layer. The class's arena holds, layer after layer, all K blocks and then all V blocks of the
  // layer.
  kernels::KvCache CacheOf(const auto& attr) const {
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

  const plan::Plan& plan_;
  const plan::Stage& stage_;
  const uint32_t rank_index_;
  const plan::Rank& rank_;
  const Set& kernels_;
  const Arenas arenas_;
  const uint32_t placement_begin_;  // of this bucket in Stage.placements
  const Joined joined_;
};

}  // namespace

template <typename Set>
std::vector<BoundBucket<Set>> BindPlan(const plan::Plan& plan, uint32_t rank, const Set& kernels, const Arenas& arenas,
                                       Joined joined) {
  const plan::Stage& stage = StageOf(plan, rank);
  std::vector<BoundBucket<Set>> buckets;
  for (uint32_t i = 0; i < stage.buckets()->size(); ++i) {
    const plan::Bucket& bucket = *stage.buckets()->Get(i);
    const Binder<Set> binder(plan, rank, kernels, arenas, i, joined);
    buckets.push_back({.tokens = bucket.tokens(),
                       .sequences = bucket.sequences(),
                       .logit_rows = bucket.logit_rows(),
                       .inputs = binder.Inputs(),
                       .candidates = binder.Bind(plan::Variant::candidates, stage.candidates_buffer()),
                       .all_logits = binder.Bind(plan::Variant::all_logits, stage.logits_buffer())});
  }
  return buckets;
}

template std::vector<BoundBucket<kernels::KernelSet>> BindPlan(const plan::Plan&, uint32_t, const kernels::KernelSet&,
                                                               const Arenas&, Joined);
template std::vector<BoundBucket<kernels::cuda::CudaKernels>> BindPlan(const plan::Plan&, uint32_t,
                                                                       const kernels::cuda::CudaKernels&, const Arenas&,
                                                                       Joined);

}  // namespace mrs
