// The graphs of a rank: which are there, which is to be captured now, and which goes to make room.
//
//   GraphCache cache(/*most=*/3);
//   cache.Find({.rows = 8, .variant = Variant::kCandidates})   // null, the first time: its steps run one by one
//   cache.Find({.rows = 8, .variant = Variant::kCandidates})   // no graphs, the second: they are to be captured
//   cache.Keep(...)                                            // from then on, they
//
// A forward is a graph, or where its rank exchanges something with others, a graph before, between and after exchanges.
// A graph is captured when its size is used again, not at the start: by then every kernel of it has run once, as the
// capture of one that the driver has yet to load may fail, and sizes that nobody uses take no memory. There are never
// more than the plan counts; the one that was not used for longest goes first.
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
    uint64_t captured = 0, launched = 0, dropped = 0;  // forwards
  };

  // `most`: forwards that have graphs at once.
  explicit GraphCache(size_t most) : most_(most) {}

  using Graphs = std::vector<DeviceGraph>;  // of one forward, in order; at least one

  // Counts as a use. Null: not to be captured yet. Empty: to be captured, for which there is room now.
  const Graphs* Find(const Key& key);
  // Of a key that Find gave no graphs for.
  const Graphs* Keep(const Key& key, Graphs graphs);
  void Clear() { entries_.clear(); }
  size_t size() const;  // forwards whose graphs are there

 private:
  struct Entry {
    Key key;
    uint64_t used = 0;
    Graphs graphs;
  };
  void MakeRoom();

  const size_t most_;
  uint64_t uses_ = 0;
  std::vector<Entry> entries_;

 public:
  Counts counts;
};

}  // namespace mrs
