// How fast kernels are on a device, beside copies of the same run; and what cuda_check compares, too.
//
//   BenchKernels();   // prints a line each
#pragma once

#include "kernels/cuda/fast.h"

namespace mrs::kernels::cuda {

// A workspace is in use.
void BenchKernels();

// What follows a product, by itself.
inline int StartThen(const RopeAppendArgs& then) { return FastKernels().rope_append(then, nullptr); }
inline int StartThen(const AddRmsNormArgs& then) { return FastKernels().add_rms_norm(then, nullptr); }

}  // namespace mrs::kernels::cuda
