// What a rank runs on, and how much memory it may use of it.
#pragma once

#include <cstdint>
#include <string>

namespace mrs::planner {

struct RankPlace {
  std::string kind = "cpu";  // or "cuda"
  int64_t node = 0;          // of the cluster
  int64_t device = 0;        // ordinal there
  int64_t memory = 0;        // bytes
  bool operator==(const RankPlace&) const = default;
};

}  // namespace mrs::planner
