#include "kernels/cuda/fast.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

// Of matrices that no plan of fast numerics has.
int RefuseMatmul(const MatmulArgs&, void*) { return kInvalidValue; }

}  // namespace

const CudaKernels& FastKernels() {
  static const CudaKernels kFast = [] {
    CudaKernels table = ExactKernels(Chain::kPair2);
    table.matmul_bf16 = StartGemv;
    table.matmul_f32 = RefuseMatmul;
    table.embed = StartEmbedOfRows;
    return table;
  }();
  return kFast;
}

}  // namespace mrs::kernels::cuda
