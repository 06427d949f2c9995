#include "kernels/cpu/simd_avx2.h"
// Then what is written over it.
#include "kernels/cpu/set.h"

namespace mrs::kernels {

const KernelSet& Avx2Kernels(Chain chain) { return SetOf(chain); }

}  // namespace mrs::kernels
