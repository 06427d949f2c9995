#include "runtime/engine/stop_scanner.h"

#include <algorithm>
#include <utility>

namespace mrs {

StopScanner::StopScanner(const std::vector<std::string>& stops) : nodes_(1) {
  const auto node = [&](int32_t index) -> Node& { return nodes_[static_cast<size_t>(index)]; };
  for (const std::string& stop : stops) {
    int32_t at = 0;
    for (const char c : stop) {
      const auto [edge, is_new] =
          node(at).next.emplace(static_cast<unsigned char>(c), static_cast<int32_t>(nodes_.size()));
      const int32_t child = edge->second;
      if (is_new) {
        const size_t length = node(at).length + 1;
        nodes_.emplace_back();
        nodes_.back().length = length;
      }
      at = child;
    }
    node(at).longest = stop.size();
  }
  // Breadth first, so that the links of shorter nodes are there before longer ones need them.
  std::vector<int32_t> order = {0};
  for (size_t i = 0; i < order.size(); ++i) {
    const int32_t parent = order[i];
    for (const auto& [byte, child] : node(parent).next) {
      int32_t fail = node(parent).fail;
      while (parent != 0 && fail != 0 && !node(fail).next.contains(byte)) fail = node(fail).fail;
      const auto edge = node(fail).next.find(byte);
      node(child).fail = parent != 0 && edge != node(fail).next.end() ? edge->second : 0;
      node(child).longest = std::max(node(child).longest, node(node(child).fail).longest);
      order.push_back(child);
    }
  }
}

std::string StopScanner::Push(std::string_view text) {
  std::string out;
  if (stopped_) return out;
  if (nodes_.size() == 1) return std::string(text);
  std::string all = std::exchange(held_, {});
  const size_t start = all.size();
  all.append(text);
  for (size_t i = start; i < all.size(); ++i) {
    const auto byte = static_cast<unsigned char>(all[i]);
    const Node* node = &nodes_[static_cast<size_t>(state_)];
    while (state_ != 0 && !node->next.contains(byte)) {
      state_ = node->fail;
      node = &nodes_[static_cast<size_t>(state_)];
    }
    if (const auto edge = node->next.find(byte); edge != node->next.end()) state_ = edge->second;
    if (const size_t length = nodes_[static_cast<size_t>(state_)].longest; length > 0) {
      stopped_ = true;
      matched_ = all.substr(i + 1 - length, length);
      all.resize(i + 1 - length);
      return all;
    }
  }
  const size_t held = nodes_[static_cast<size_t>(state_)].length;
  held_ = all.substr(all.size() - held);
  all.resize(all.size() - held);
  return all;
}

std::string StopScanner::Finish() {
  state_ = 0;
  return std::exchange(held_, {});
}

}  // namespace mrs
