// Token ids to rows of a table that lies row after row, in fast numerics: as Embed of rows.cu, to the bit.
#include "kernels/cuda/device.h"
#include "kernels/cuda/fast.h"
#include "kernels/cuda/modules.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) EmbedOfRows(EmbedArgs a) {
  AwaitPrevious();
  const int64_t row = blockIdx.x, width = a.shape.chunk_k;
  const int64_t padded = (width + kGranule - 1) / kGranule * kGranule;
  const int64_t id = a.ids[row] - a.vocab_begin;
  const bool here = id >= 0 && id < a.shape.n;
  const bf16* const from = static_cast<const bf16*>(a.table) + (here ? id : 0) * padded;
  for (int64_t k = int64_t{blockIdx.y} * blockDim.x + threadIdx.x; k < width; k += int64_t{gridDim.y} * blockDim.x) {
    a.y[row * width + k] = here ? ToF32(from[k]) + 0.0f : 0.0f;
  }
}

const Module kModule(EmbedOfRows);

}  // namespace

int StartEmbedOfRows(const EmbedArgs& args, void* stream) {
  const int64_t width = args.shape.chunk_k;
  if (args.rows == 0 || width == 0) return 0;
  return Launch(EmbedOfRows, {dim3{unsigned(args.rows), BlocksOfRow(width, kThreads)}, dim3{kThreads}}, stream, args);
}

}  // namespace mrs::kernels::cuda
