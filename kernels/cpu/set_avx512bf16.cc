#include "kernels/cpu/dot_avx512bf16.h"
// Then what is written over it.
#include "kernels/cpu/set.h"

namespace mrs::kernels {

const KernelSet& Avx512Bf16Kernels(Chain chain) { return SetOf(chain); }

}  // namespace mrs::kernels
