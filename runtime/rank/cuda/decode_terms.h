// How a rank's decodes exchange in its stream, which all ranks must have alike: each waits there for the others.
//
//   CompareDecodes({.most_rows = 4}, {.most_rows = 8}, "rank 1")
//   // decodes are of up to 4 rows here and 8 on rank 1, and ranks pad them alike: rebuild the plan
#pragma once

#include <cstdint>
#include <string>

#include "plans/status.h"

namespace mrs {

// Told to other processes as it is.
struct DecodeTerms {
  int64_t most_rows = 0;
  int64_t runs_before_capture = 0;  // of each size at start: where it captures graphs, which the host's settings say
};

inline Status CompareDecodes(const DecodeTerms& mine, const DecodeTerms& other, const std::string& name) {
  if (other.most_rows != mine.most_rows) {
    return Refuse("decodes are of up to {} rows here and {} on {}, and ranks pad them alike: rebuild the plan",
                  mine.most_rows, other.most_rows, name);
  }
  if (other.runs_before_capture != mine.runs_before_capture) {
    const bool here = mine.runs_before_capture > other.runs_before_capture;
    return Refuse(
        "{} each size of a decode once before it captures its graph, and {} does not, for which it would wait: start "
        "all ranks with one --cuda-graphs",
        here ? "this rank runs" : name + " runs", here ? name : "this rank");
  }
  return Status();
}

}  // namespace mrs
