// Which part of a checkpoint tensor one rank reads, and where its bytes lie in the file.
//
//   q_proj [256, 256] bf16 at 8312, cut into rows over tp 2: rank 1 reads rows [128, 256) x columns [0, 256),
//   bytes [73848, 139384): one range. down_proj cut into columns: 256 ranges of 512 bytes, each 1024 after the last.
#pragma once

#include <cstdint>

#include "plans/diff/rectangles.h"
#include "plans/plan_generated.h"

namespace mrs {

// The coordinate of a rank that a slice is a function of.
uint32_t CoordinateOf(const plan::Rank& rank, plan::Axis axis);

// Rows and columns of the tensor; padding past its end is left out. Numbers need not make sense.
diff::Rectangle PartOf(const plan::WeightSource& source, const plan::Rank& rank);

// Equally long pieces of the file, one row after the other; one where the rows are whole.
struct FileRanges {
  uint64_t first_byte = 0;
  uint64_t range_bytes = 0;   // of each
  uint64_t range_count = 0;   // 0: nothing is read
  uint64_t stride_bytes = 0;  // from one's beginning to the next one's
  uint64_t total_bytes() const { return range_bytes * range_count; }
  uint64_t end_byte() const {
    return range_count == 0 ? 0 : first_byte + (range_count - 1) * stride_bytes + range_bytes;
  }
};
FileRanges RangesOf(const plan::WeightSource& source, const diff::Rectangle& part);

}  // namespace mrs
