#include "kernels/cuda/exact.h"

namespace mrs::kernels::cuda {
namespace {

template <Chain chain>
constexpr CudaKernels Table() {
  CudaKernels table{};
  table.matmul_bf16 = Start<bf16, chain>;
  table.matmul_f32 = Start<float, chain>;
  table.attention_bf16 = Start<bf16, chain>;
  table.attention_f32 = Start<float, chain>;
  table.kv_append_bf16 = Start<bf16>;
  table.kv_append_f32 = Start<float>;
#define ROW(name, Args) table.name = Start;  // the overload for Args
  MRS_PLAIN_KERNELS(ROW)
  MRS_FUSED_KERNELS(ROW)
#undef ROW
#define ROW(name, Args) table.name = Start<chain>;
  MRS_FUSED_PRODUCTS(ROW)
#undef ROW
  return table;
}

thread_local Workspace workspace_of_thread;

}  // namespace

Workspace WorkspaceOf(void* zeros, int64_t bytes) {
  constexpr int64_t kCountBytes = kMostCounts * int64_t{sizeof(uint32_t)};
  // What is left for data is of whole counts.
  const int64_t left = (bytes - kCountBytes) / int64_t{sizeof(uint32_t)} * int64_t{sizeof(uint32_t)};
  if (left <= 0) return {zeros, bytes};
  return {zeros, left, reinterpret_cast<uint32_t*>(static_cast<std::byte*>(zeros) + left)};
}

void UseWorkspace(const Workspace& workspace) { workspace_of_thread = workspace; }
const Workspace& WorkspaceOfThread() { return workspace_of_thread; }

const CudaKernels& ExactKernels(Chain chain) {
  static constexpr CudaKernels kPair2 = Table<Chain::kPair2>();
  static constexpr CudaKernels kBlock32 = Table<Chain::kBlock32>();
  return chain == Chain::kPair2 ? kPair2 : kBlock32;
}

}  // namespace mrs::kernels::cuda
