#include "kernels/cuda/fast.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

// Of matrices that no plan of fast numerics has.
int RefuseMatmul(const MatmulArgs&, void*) { return kInvalidValue; }
template <typename Args>
int StartFast(const Args& a, void* stream) {
  return ProductsOf(a).type == Type::kBf16 ? StartGemv(a, stream) : kInvalidValue;
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
