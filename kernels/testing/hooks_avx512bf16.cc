#include <immintrin.h>

#include "kernels/testing/hooks.h"

namespace mrs::kernels {

void NativePair2(const bf16* a, const bf16* b, float* acc) {
  const __m512bh left = (__m512bh)_mm512_loadu_si512(a);
  const __m512bh right = (__m512bh)_mm512_loadu_si512(b);
  _mm512_storeu_ps(acc, _mm512_dpbf16_ps(_mm512_loadu_ps(acc), left, right));
}

}  // namespace mrs::kernels
