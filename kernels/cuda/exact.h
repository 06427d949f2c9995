// The kernel table on a CUDA device, in the CPU's arithmetic: same argument blocks, same layouts, same bits.
//
//   const CudaKernels& k = ExactKernels(Chain::kPair2);
//   int error = k.rms_norm(args, stream);          // pointers in args are the device's
//
// What each computes stands in kernels/kernels.h, item for item; a launch takes all items. Beyond that, a slot of -1 is
// a row that kv_append writes nowhere: a graph of more rows than its batch has runs the rest for nothing. Compiled
// twice: by nvcc (mrs_cuda_kernels), and by the host's compiler for the emulator (mrs_cuda_kernels_emulated).
#pragma once

#include "kernels/cuda/attention_split.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/matmul_split.h"
#include "kernels/kernels.h"

namespace mrs::kernels::cuda {

// `stream` is a cudaStream_t. Returns 0, or the cudaError_t of the launch; what fails later the stream says.
template <typename Args>
using CudaKernel = int (*)(const Args& args, void* stream);

struct CudaKernels {
  template <typename Args>
  using Function = CudaKernel<Args>;
#define ROW(name, args) CudaKernel<args> name;
  MRS_KERNELS(ROW)
  MRS_FUSED_KERNELS(ROW)
  MRS_FUSED_PRODUCTS(ROW)
#undef ROW
};
const CudaKernels& ExactKernels(Chain chain);

// Whether the calling thread's device can run them: 0, or a cudaError_t.
int CanRunHere();

// Whether launches of the calling thread may be there before those before them have ended, from now on; where nothing
// is said, they may (dependents.h).
void UseDependentLaunch(bool use);

// Memory of the device that launches of the calling thread may use from now on, for what blocks leave to others; none:
// they do without, and with the same bits.
struct Workspace {
  void* data = nullptr;
  int64_t bytes = 0;
  // Zero whenever no kernel runs, and nothing else writes them: [kMostCounts] of blocks (CountBlock); null: none.
  uint32_t* counts = nullptr;
  int64_t BytesOfSpread() const { return counts == nullptr ? 0 : bytes; }  // for attention's (attention_split.h)
};
constexpr int64_t kMostCounts = kMostContexts;
// Of zeros. Its last bytes are the counts; one that has no more than they take is all data.
Workspace WorkspaceOf(void* zeros, int64_t bytes);
void UseWorkspace(const Workspace& workspace);
const Workspace& WorkspaceOfThread();

// A row each, in the file of its kind.
template <typename T, Chain chain>
int Start(const MatmulArgs& args, void* stream);  // matmul.cu, as are products fused
#define ROW(name, Args)                                        \
  template <Chain chain>                                       \
  int Start(const Args& args, void* stream);                   \
  template <Chain chain> /* however it is spread: for tests */ \
  int StartSplit(const Args& args, const MatmulSplit& split, void* stream);
MRS_FUSED_PRODUCTS(ROW)
#undef ROW
template <typename T, Chain chain>
int Start(const AttentionArgs& args, void* stream);  // attention.cu
template <typename T, Chain chain>
int StartSpread(const AttentionArgs& args, const AttentionSplit& split, const Workspace& workspace,
                void* stream);  // for tests
template <typename T>
int Start(const KvAppendArgs& args, void* stream);  // rows.cu
#define ROW(name, Args) int Start(const Args& args, void* stream);
MRS_PLAIN_KERNELS(ROW)
MRS_FUSED_KERNELS(ROW)
#undef ROW

}  // namespace mrs::kernels::cuda
