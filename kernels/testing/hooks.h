// Single operations of an instruction set, for tests and ceilings: each in a file compiled for that set, so that a
// caller compiled for the baseline can ask the host first.
//
//   if (DetectIsa() >= Isa::kAvx512) ExpAvx512(x, y, 16);
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace mrs::kernels {

// y[i] = Exp(x[i]) by lanes, Tanh, Erf; count is a multiple of 16.
void ExpAvx2(const float* x, float* y, int64_t count);
void TanhAvx2(const float* x, float* y, int64_t count);
void ErfAvx2(const float* x, float* y, int64_t count);
void ExpAvx512(const float* x, float* y, int64_t count);
void TanhAvx512(const float* x, float* y, int64_t count);
void ErfAvx512(const float* x, float* y, int64_t count);
// Rounds to bf16 and splits pairs by lanes, as the kernels do.
void RoundAvx2(const float* x, bf16* y, int64_t count);
void RoundAvx512(const float* x, bf16* y, int64_t count);

// acc[16] += a[16][2] * b[16][2] by vdpbf16ps.
void NativePair2(const bf16* a, const bf16* b, float* acc);

// Asks the kernel for tile registers, once a process; false where it refuses.
bool RequestAmx();
// acc[16][16] += a[16 rows][32] * b[16 pairs][16 lanes][2] by tdpbf16ps. RequestAmx must have said yes.
void NativeBlock32(const bf16* a, const bf16* b, float* acc);

// `count` rounds of 8 independent FMAs on full registers: flops done. For the ceiling of a benchmark.
double FmaRoundsAvx2(int64_t count);
double FmaRoundsAvx512(int64_t count);

}  // namespace mrs::kernels
