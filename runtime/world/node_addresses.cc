#include "runtime/world/node_addresses.h"

#include <fmt/format.h>

#include <algorithm>

#include "plans/printable.h"

namespace mrs {
namespace {

constexpr size_t kMaxAsking = 8;  // lookups at once: each is a thread
constexpr std::chrono::seconds kAskAgain{2};

std::vector<std::string> NumericForms(const AddressList& list) {
  std::vector<std::string> all;
  for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
    all.push_back(WithoutZone(NumericHost(*info)));
  }
  return all;
}

}  // namespace

std::string WithoutZone(const std::string& address) { return address.substr(0, address.find('%')); }

NodeAddresses::NodeAddresses(const std::vector<PlanNode>& nodes) : nodes_(nodes.size()) {
  for (size_t node = 0; node < nodes.size(); ++node) Tell(node, nodes[node].address);
}

void NodeAddresses::Tell(size_t node, const std::string& address) {
  if (nodes_[node].lookup.has_value()) --asking_;  // whose answer nobody takes
  nodes_[node] = {};
  if (address.empty()) return;
  const Result<AddressList> numeric = Resolve(address, 0, AI_NUMERICHOST);
  if (numeric.ok()) {
    nodes_[node].known = NumericForms(*numeric);
  } else {
    nodes_[node].name = address;
  }
}

void NodeAddresses::Ask(Node& node, Time now) {
  if (node.lookup.has_value() || asking_ >= kMaxAsking) return;
  node.lookup.emplace(node.name, uint16_t{0});
  node.asked = now;
  ++asking_;
}

void NodeAddresses::TakeAnswer(Node& node) {
  if (!node.lookup.has_value() || !node.lookup->done()) return;
  const Result<AddressList> list = node.lookup->Take();
  node.lookup.reset();
  node.answered_to = node.asked;
  --asking_;
  node.why = list.ok() ? "" : Printable(list.message());
  if (list.ok()) node.known = NumericForms(*list);
}

void NodeAddresses::Advance(Time now, const std::function<bool(size_t node)>& missing) {
  for (Node& node : nodes_) TakeAnswer(node);
  for (size_t number = 0; number < nodes_.size() && asking_ < kMaxAsking; ++number) {
    Node& node = nodes_[number];
    const bool open = !node.name.empty() && (node.known.empty() || !node.why.empty());
    const bool rested = node.asked == Time() || now - node.asked >= kAskAgain;
    if (open && rested && missing(number)) Ask(node, now);
  }
}

bool NodeAddresses::IsKnownAt(size_t node, const std::string& from) const {
  return std::ranges::find(nodes_[node].known, WithoutZone(from)) != nodes_[node].known.end();
}

NodeAddresses::Match NodeAddresses::IsAt(size_t number, const std::string& from, Time since, Time now) {
  Node& node = nodes_[number];
  TakeAnswer(node);
  if (IsKnownAt(number, from)) return Match::kYes;
  if (node.name.empty()) return node.known.empty() ? Match::kUnknown : Match::kNo;
  if (node.answered_to >= since) return node.why.empty() ? Match::kNo : Match::kUnknown;
  Ask(node, now);
  return Match::kLater;
}

}  // namespace mrs
