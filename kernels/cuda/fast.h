// The kernel table of fast numerics: as ExactKernels(kPair2), but for what reads matrices. Those are bf16 and lie row
// after row (kernels/rows.h), and a product's sum has no order that anyone else keeps: only a bound
// (gemv_split.h).
//
//   const CudaKernels& k = FastKernels();
//   int error = k.matmul_bf16(args, stream);   // any number of rows; made for at most kMostGemvRows
//
// Of more rows cuBLASLt is quicker: runtime/rank/cuda chooses. A row's bits depend on how many others there are.
#pragma once

#include "kernels/cuda/exact.h"
#include "kernels/cuda/flash_attention.h"
#include "kernels/cuda/gemv_split.h"

namespace mrs::kernels::cuda {

constexpr int64_t kMostGemvRows = 16;

const CudaKernels& FastKernels();

int StartGemv(const MatmulArgs& args, void* stream);  // gemv.cu, as are products fused
#define ROW(name, Args)                          \
  int StartGemv(const Args& args, void* stream); \
  int StartGemvSplit(const Args& args, const GemvSplit& split, void* stream); /* however it is spread: for tests */
MRS_FUSED_PRODUCTS(ROW)
#undef ROW
int StartEmbedOfRows(const EmbedArgs& args, void* stream);  // embed_rows.cu
// flash_attention.cu, of what FlashHas: bf16. So many runs of a tile are taken side by side.
int StartFlash(const AttentionArgs& args, int runs_at_once, void* stream);
// Likewise: bf16 of any size, by the exact kernel what FlashTakes not.
int StartFastAttention(const AttentionArgs& args, void* stream);

}  // namespace mrs::kernels::cuda
