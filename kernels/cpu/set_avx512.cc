#include "kernels/sets.h"

namespace mrs::kernels {

const KernelSet& Avx512Kernels(Chain chain) { return ReferenceKernels(chain); }

}  // namespace mrs::kernels
