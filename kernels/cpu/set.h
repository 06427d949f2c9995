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

// The Run for Args of the headers above; `reference` where there is none.
template <typename Args>
constexpr Kernel<Args> OwnOr(Kernel<Args> reference) {
  if constexpr (requires(const Args& args) { Run(args, int64_t{0}, int64_t{0}); }) {
    return Run;
  } else {
    return reference;
  }
}

template <Chain chain>
KernelSet MakeSet() {
  KernelSet set = ReferenceKernels(chain);
  set.matmul_bf16 = Run<bf16, chain>;
  set.matmul_f32 = Run<float, chain>;
  set.attention_bf16 = Run<bf16, chain>;
  set.attention_f32 = Run<float, chain>;
#define ROW(name, Args) set.name = OwnOr<Args>(set.name);
  MRS_PLAIN_KERNELS(ROW)
#undef ROW
  return set;
}

inline const KernelSet& SetOf(Chain chain) {
  static const KernelSet pair2 = MakeSet<Chain::kPair2>();
  static const KernelSet block32 = MakeSet<Chain::kBlock32>();
  return chain == Chain::kPair2 ? pair2 : block32;
}

}  // namespace
}  // namespace mrs::kernels
