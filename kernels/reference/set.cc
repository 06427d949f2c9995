#include "kernels/reference/reference.h"
#include "kernels/sets.h"

namespace mrs::kernels {
namespace {

template <Chain chain>
constexpr KernelSet Set() {
  KernelSet set{};
  set.matmul_bf16 = reference::Run<bf16, chain>;
  set.matmul_f32 = reference::Run<float, chain>;
  set.attention_bf16 = reference::Run<bf16, chain>;
  set.attention_f32 = reference::Run<float, chain>;
  set.kv_append_bf16 = reference::Run<bf16>;
  set.kv_append_f32 = reference::Run<float>;
#define ROW(name, Args) set.name = reference::Run;  // the overload for Args
  MRS_PLAIN_KERNELS(ROW)
#undef ROW
  return set;
}

}  // namespace

const KernelSet& ReferenceKernels(Chain chain) {
  static constexpr KernelSet kPair2 = Set<Chain::kPair2>();
  static constexpr KernelSet kBlock32 = Set<Chain::kBlock32>();
  return chain == Chain::kPair2 ? kPair2 : kBlock32;
}

}  // namespace mrs::kernels
