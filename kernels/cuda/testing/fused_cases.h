// Random arguments for the fused kernels, and what each stands for: the rows of a kernel table that it joins, in turn.
//
//   for (const Case<AddRmsNormArgs>& c : TestCases<AddRmsNormArgs>(Type::kF32, seed)) RunPlain(set, c.args);
//
// A row of MRS_FUSED_KERNELS or MRS_FUSED_PRODUCTS that lacks either does not link; of the latter a case has matrices
// of the type that is asked for.
#pragma once

#include "kernels/cuda/fused.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels {

#define ROW(name, Args)                                                          \
  template <>                                                                    \
  std::vector<Case<cuda::Args>> TestCases<cuda::Args>(Type type, uint64_t seed); \
  template <>                                                                    \
  Case<cuda::Args> BenchCase<cuda::Args>(Type type);
MRS_FUSED_KERNELS(ROW)
MRS_FUSED_PRODUCTS(ROW)
#undef ROW

}  // namespace mrs::kernels

namespace mrs::kernels::cuda {

#define ROW(name, Args) void RunPlain(const KernelSet& set, const Args& args);
MRS_FUSED_KERNELS(ROW)
MRS_FUSED_PRODUCTS(ROW)
#undef ROW

}  // namespace mrs::kernels::cuda
