// Where each instruction set keeps its kernels; SelectKernels chooses among them.
//
//   const KernelSet& set = Avx2Kernels(Chain::kPair2);   // only on a host that has AVX2
#pragma once

#include "kernels/kernels.h"

namespace mrs::kernels {

const KernelSet& ReferenceKernels(Chain chain);
const KernelSet& Avx2Kernels(Chain chain);
const KernelSet& Avx512Kernels(Chain chain);
const KernelSet& Avx512Bf16Kernels(Chain chain);

}  // namespace mrs::kernels
