#include "kernels/cuda/fast.h"

#include "kernels/cuda/dialect.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

// Of matrices that no plan of fast numerics has.
int RefuseMatmul(const MatmulArgs&, void*) { return kInvalidValue; }
int StartFastGroup(const MatmulGroupArgs& a, void* stream) {
  return a.type == Type::kBf16 ? StartGemv(a, stream) : kInvalidValue;
}
int StartFastGated(const GatedMatmulArgs& a, void* stream) {
  return a.of.type == Type::kBf16 ? StartGemv(a, stream) : kInvalidValue;
}

int StartFastAttention(const AttentionArgs& a, void* stream) {
  const AttentionSize size = {a.tokens, a.heads, a.cache.kv_heads, a.cache.head_dim, a.table_stride, a.window};
  if (!FlashTakes(size, LimitsOfDevice().multiprocessors, WorkspaceOfThread().BytesOfSpread())) {
    return Start<bf16, Chain::kPair2>(a, stream);
  }
  return StartFlash(a, kFlashRunsAtOnce, stream);
}

const CudaKernels kFast = [] {
  CudaKernels table = ExactKernels(Chain::kPair2);
  table.matmul_bf16 = StartGemv;
  table.matmul_group = StartFastGroup;
  table.gated_matmul = StartFastGated;
  table.matmul_f32 = RefuseMatmul;
  table.attention_bf16 = StartFastAttention;
  table.embed = StartEmbedOfRows;
  return table;
}();

}  // namespace

const CudaKernels& FastKernels() { return kFast; }

}  // namespace mrs::kernels::cuda
