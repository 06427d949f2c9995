// One instruction set's kernels: the templates of this folder over the simd_*.h included before, and the reference
// where a kernel only moves bytes (or is one sine per token and frequency).
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/candidates.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/rope.h"
#include "kernels/sets.h"

namespace mrs::kernels {
namespace {

template <Chain chain>
KernelSet MakeSet() {
  KernelSet set = ReferenceKernels(chain);
  set.matmul_bf16 = Matmul<bf16, chain>;
  set.matmul_f32 = Matmul<float, chain>;
  set.attention_bf16 = Attention<bf16, chain>;
  set.attention_f32 = Attention<float, chain>;
  set.rms_norm = RmsNorm;
  set.layer_norm = LayerNorm;
  set.sum_squares = SumSquares;
  set.rms_scale = RmsScale;
  set.rope = Rope;
  set.position_scale = PositionScale;
  set.silu_mul = SiluMul;
  set.gelu_mul = GeluMul;
  set.scale = Scale;
  set.soft_cap = SoftCap;
  set.add = AddRows;
  set.top_candidates = TopCandidates;
  return set;
}

inline const KernelSet& SetOf(Chain chain) {
  static const KernelSet pair2 = MakeSet<Chain::kPair2>();
  static const KernelSet block32 = MakeSet<Chain::kBlock32>();
  return chain == Chain::kPair2 ? pair2 : block32;
}

}  // namespace
}  // namespace mrs::kernels
