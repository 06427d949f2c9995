#include "kernels/cuda/fast.h"

#include "kernels/cuda/dialect.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

// Of matrices that no plan of fast numerics has.
int RefuseMatmul(const MatmulArgs&, void*) { return kInvalidValue; }
const MatmulGroupArgs& ProductsOf(const MatmulGroupArgs& a) { return a; }
const MatmulGroupArgs& ProductsOf(const auto& a) { return a.of; }
template <typename Args>
int StartFast(const Args& a, void* stream) {
  return ProductsOf(a).type == Type::kBf16 ? StartGemv(a, stream) : kInvalidValue;
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
#define ROW(name, Args) table.name = StartFast<Args>;
  MRS_FUSED_PRODUCTS(ROW)
#undef ROW
  table.matmul_f32 = RefuseMatmul;
  table.attention_bf16 = StartFastAttention;
  table.embed = StartEmbedOfRows;
  return table;
}();

}  // namespace

const CudaKernels& FastKernels() { return kFast; }

}  // namespace mrs::kernels::cuda
