// C, the number of canonical chunks that K of a row-parallel product is summed in: the same for every layout.
//
//   CanonicalChunks(32)    ->  16: 32 heads, or a K of 32 blocks
//   CanonicalChunks(172)   ->  4: 172 = 4 x 43
#pragma once

#include <algorithm>
#include <cstdint>

namespace mrs {

inline constexpr int64_t kMaxChunks = 16;  // C is never more, so neither is tensor parallelism

// The largest power of two up to 16 that divides `units`, which are above 0: heads for an attention output, else K over
// the quantization block.
constexpr int64_t CanonicalChunks(int64_t units) { return std::min(kMaxChunks, units & -units); }

}  // namespace mrs
