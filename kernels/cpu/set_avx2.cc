#include "kernels/sets.h"

namespace mrs::kernels {

const KernelSet& Avx2Kernels(Chain chain) { return ReferenceKernels(chain); }

}  // namespace mrs::kernels
