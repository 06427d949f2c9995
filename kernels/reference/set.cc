#include "kernels/reference/reference.h"
#include "kernels/sets.h"

namespace mrs::kernels {
namespace {

template <Chain chain>
constexpr KernelSet Set() {
  KernelSet set{};
  set.matmul_bf16 = reference::Matmul<bf16, chain>;
  set.matmul_f32 = reference::Matmul<float, chain>;
  set.attention_bf16 = reference::Attention<bf16, chain>;
  set.attention_f32 = reference::Attention<float, chain>;
  set.kv_append_bf16 = reference::KvAppend<bf16>;
  set.kv_append_f32 = reference::KvAppend<float>;
  set.rms_norm = reference::RmsNorm;
  set.layer_norm = reference::LayerNorm;
  set.sum_squares = reference::SumSquares;
  set.rms_scale = reference::RmsScale;
  set.rope_angles = reference::RopeAngles;
  set.rope = reference::Rope;
  set.position_scale = reference::PositionScale;
  set.silu_mul = reference::SiluMul;
  set.gelu_mul = reference::GeluMul;
  set.scale = reference::Scale;
  set.soft_cap = reference::SoftCap;
  set.add = reference::Add;
  set.embed = reference::Embed;
  set.select_rows = reference::SelectRows;
  set.top_candidates = reference::TopCandidates;
  return set;
}

}  // namespace

const KernelSet& ReferenceKernels(Chain chain) {
  static constexpr KernelSet kPair2 = Set<Chain::kPair2>();
  static constexpr KernelSet kBlock32 = Set<Chain::kBlock32>();
  return chain == Chain::kPair2 ? kPair2 : kBlock32;
}

}  // namespace mrs::kernels
