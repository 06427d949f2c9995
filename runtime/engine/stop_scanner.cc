#include "runtime/engine/stop_scanner.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace mrs {

StopAutomaton::StopAutomaton(const std::vector<std::string>& stops) : nodes_(1) {
  const auto mutable_node = [&](int32_t index) -> Node& { return nodes_[static_cast<size_t>(index)]; };
  for (const std::string& stop : stops) {
    int32_t at = 0;
    for (const char byte : stop) {
      int32_t child = Child(at, byte);
      if (child < 0) {
        child = static_cast<int32_t>(nodes_.size());
        nodes_.push_back({.sibling = node(at).child, .length = node(at).length + 1, .byte = byte});
        mutable_node(at).child = child;
      }
      at = child;
    }
    mutable_node(at).longest = static_cast<uint32_t>(stop.size());
  }
  // Breadth first, so that the links of shorter nodes are there before longer ones need them.
  std::vector<int32_t> order = {0};
  order.reserve(nodes_.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const int32_t parent = order[i];
    for (int32_t child = node(parent).child; child >= 0; child = node(child).sibling) {
      if (parent != 0) mutable_node(child).fail = Next(node(parent).fail, node(child).byte);
      mutable_node(child).longest = std::max(node(child).longest, node(node(child).fail).longest);
      order.push_back(child);
    }
  }
}

int32_t StopAutomaton::Child(int32_t state, char byte) const {
  int32_t child = node(state).child;
  while (child >= 0 && node(child).byte != byte) child = node(child).sibling;
  return child;
}

int32_t StopAutomaton::Next(int32_t state, char byte) const {
  int32_t child = Child(state, byte);
  while (child < 0 && state != 0) {
    state = node(state).fail;
    child = Child(state, byte);
  }
  return std::max(child, 0);
}

struct StopStrings::Shared {
  explicit Shared(std::vector<std::string> strings) : texts(std::move(strings)) {}
  const std::vector<std::string> texts;
  std::once_flag once;
  std::unique_ptr<const StopAutomaton> automaton;
  std::atomic<bool> is_built = false;
};

StopStrings::StopStrings(std::vector<std::string> texts) {
  if (!texts.empty()) shared_ = std::make_shared<Shared>(std::move(texts));
}

const std::vector<std::string>& StopStrings::texts() const {
  static const std::vector<std::string> none;
  return shared_ == nullptr ? none : shared_->texts;
}

const StopAutomaton& StopStrings::automaton() const {
  static const StopAutomaton none({});
  if (shared_ == nullptr) return none;
  std::call_once(shared_->once, [this] {
    shared_->automaton = std::make_unique<const StopAutomaton>(shared_->texts);
    shared_->is_built = true;
  });
  return *shared_->automaton;
}

bool StopStrings::is_built() const { return shared_ != nullptr && shared_->is_built; }

StopScanner::StopScanner(StopStrings stops) : stops_(std::move(stops)) {}

std::string StopScanner::Push(std::string_view text) {
  std::string out;
  if (stopped_) return out;
  if (stops_.empty()) return std::string(text);
  const StopAutomaton& automaton = stops_.automaton();
  std::string all = std::exchange(held_, {});
  const size_t start = all.size();
  all.append(text);
  for (size_t i = start; i < all.size(); ++i) {
    state_ = automaton.Next(state_, all[i]);
    if (const size_t length = automaton.stop_length(state_); length > 0) {
      stopped_ = true;
      matched_ = all.substr(i + 1 - length, length);
      all.resize(i + 1 - length);
      return all;
    }
  }
  const size_t held = automaton.length(state_);
  held_ = all.substr(all.size() - held);
  all.resize(all.size() - held);
  return all;
}

std::string StopScanner::Finish() {
  state_ = 0;
  return std::exchange(held_, {});
}

}  // namespace mrs
