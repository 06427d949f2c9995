// The graphs of a rank: of which decodes there are some, and what came of them.
//
//   GraphCache cache;
//   cache.Keep({.rows = 8, .variant = Variant::kCandidates}, graphs)   // at start
//   cache.Find({.rows = 8, .variant = Variant::kCandidates})           // they
//   cache.Find({.rows = 16, .variant = Variant::kCandidates})          // null: its steps run one by one
//
// A forward is a graph, or where its rank exchanges something with others, a graph before, between and after exchanges.
// All that the plan counts are captured at start, so that what fails by it fails then, and no answer waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/rank/cuda/device.h"
#include "runtime/rank/executor.h"

namespace mrs {

class GraphCache {
 public:
  struct Key {
    int64_t rows = 0;
    Variant variant = Variant::kCandidates;  // always this of a stage whose program is the same for both
    bool operator==(const Key&) const = default;
  };
  struct Counts {
    uint64_t captured = 0, launched = 0;  // forwards
    double capture_seconds = 0;           // of all
  };

  using Graphs = std::vector<DeviceGraph>;  // of one forward, in order; at least one

  // Null: none are kept.
  const Graphs* Find(const Key& key) const;
  // Of a key that has none.
  void Keep(const Key& key, Graphs graphs);
  void Clear() { entries_.clear(); }
  size_t size() const { return entries_.size(); }  // forwards

 private:
  std::vector<std::pair<Key, Graphs>> entries_;

 public:
  Counts counts;
};

}  // namespace mrs
