#include "runtime/rank/cuda/graph_cache.h"

#include <algorithm>

namespace mrs {

const GraphCache::Graphs* GraphCache::Find(const Key& key) const {
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == key; });
  return at == entries_.end() ? nullptr : &at->second;
}

void GraphCache::Keep(const Key& key, Graphs graphs) {
  entries_.emplace_back(key, std::move(graphs));
  ++counts.captured;
}

}  // namespace mrs
