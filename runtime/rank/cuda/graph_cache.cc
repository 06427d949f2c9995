#include "runtime/rank/cuda/graph_cache.h"

#include <algorithm>

namespace mrs {

const GraphCache::Graphs* GraphCache::Find(const Key& key) {
  if (most_ == 0) return nullptr;
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
  ++uses_;
  if (at == entries_.end()) {
    entries_.push_back({.key = key, .used = uses_, .graphs = {}});
    return nullptr;
  }
  at->used = uses_;
  if (!at->graphs.empty()) return &at->graphs;
  MakeRoom();
  static const Graphs kEmpty;
  return &kEmpty;
}

const GraphCache::Graphs* GraphCache::Keep(const Key& key, Graphs graphs) {
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
  at->graphs = std::move(graphs);
  ++counts.captured;
  return &at->graphs;
}

size_t GraphCache::size() const {
  return static_cast<size_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const Entry& entry) { return !entry.graphs.empty(); }));
}

void GraphCache::MakeRoom() {
  while (size() >= most_) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      const bool has_a = !a.graphs.empty(), has_b = !b.graphs.empty();
      return has_a != has_b ? has_a : a.used < b.used;
    });
    entries_.erase(oldest);
    ++counts.dropped;
  }
}

}  // namespace mrs
