// Which bytes of which file one rank reads, and where they land: the plan's weight rules at one rank's coordinates.
//
//   // tensor [512, 256] bf16, rows split over 4: rank 1 reads rows [128, 256)
//   WeightRead{.file_offset = tensor + 128 * 512, .row_count = 128, .row_bytes = 512, .row_stride_bytes = 512, ...}
//
// A rank reads nothing else, and by offset: the file's header is compared with the plan (model_files.h), not searched.
#pragma once

#include <cstdint>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs {

// Rows of one tensor that fill rows [dest_row, + row_count) of one weight. Rows past the tensor's end are not here:
// they stay zero.
struct WeightRead {
  uint64_t file_offset;       // of the first byte of the first row's columns
  uint64_t row_stride_bytes;  // from one row to the next in the file; row_bytes where whole rows are read
  uint64_t row_bytes;         // of this rank's columns
  uint64_t row_count;         // >= 1
  uint64_t dest_row;
  uint32_t weight;  // Stage.weights
  uint32_t source;  // Stage.sources
  uint32_t file;    // Plan.files
  plan::DType dtype;
  plan::Transform transform;
  plan::EncodingKind encoding;  // of the weight; dense: it is a vector
};

// A slice at a rank's coordinates: [begin, begin + size).
struct Interval {
  uint64_t begin;
  uint64_t size;
};
Interval SliceAt(const plan::Slice& slice, const plan::Rank& rank);

// The stage that `rank` runs.
const plan::Stage& StageOf(const plan::Plan& plan, uint32_t rank);

// All reads of a rank, in the order of its weights. The plan is verified.
std::vector<WeightRead> PlanWeightReads(const plan::Plan& plan, uint32_t rank);

uint64_t ReadBytes(const std::vector<WeightRead>& reads);

}  // namespace mrs
