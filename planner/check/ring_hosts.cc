#include "planner/check/ring_hosts.h"

#include <algorithm>
#include <cctype>
#include <numeric>

namespace mrs::check {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool IsIpv4(const std::string& address) { return address.find_first_not_of("0123456789.") == std::string::npos; }

}  // namespace

// IPv6 addresses have several spellings each.
bool SurelyDiffer(const std::string& a, const std::string& b) {
  if (a.starts_with('[') || b.starts_with('[') || IsIpv4(a) != IsIpv4(b)) return false;
  return Lower(a) != Lower(b);
}

RingHosts::RingHosts(size_t rank_count) : parent_(rank_count), addresses_(rank_count) {
  std::iota(parent_.begin(), parent_.end(), size_t{0});
}

size_t RingHosts::Root(size_t rank) const {
  while (parent_[rank] != rank) rank = parent_[rank];
  return rank;
}

// The smaller number is the root, so that what is told does not depend on the order of the questions. Depth is that of
// the ring at most, and rings are small: Root stays a walk.
void RingHosts::Put(size_t rank, const std::string& address) {
  const std::string name = Lower(address);
  addresses_[Root(rank)].insert(name);
  const auto [found, first] = first_with_.emplace(name, rank);
  if (first) return;
  const size_t a = Root(found->second), b = Root(rank);
  if (a == b) return;
  parent_[std::max(a, b)] = std::min(a, b);
  addresses_[std::min(a, b)].merge(addresses_[std::max(a, b)]);
}

bool RingHosts::Join(size_t a, size_t b) {
  const size_t first = Root(a), second = Root(b);
  if (first == second) return true;
  const std::set<std::string>&of_first = addresses_[first], &of_second = addresses_[second];
  const bool apart = !of_first.empty() && !of_second.empty() &&
                     std::all_of(of_first.begin(), of_first.end(), [&](const std::string& one) {
                       return std::all_of(of_second.begin(), of_second.end(),
                                          [&](const std::string& other) { return SurelyDiffer(one, other); });
                     });
  if (apart) return false;
  const size_t root = std::min(first, second), leaf = std::max(first, second);
  parent_[leaf] = root;
  addresses_[root].merge(addresses_[leaf]);
  return true;
}

std::string RingHosts::AddressOf(size_t rank) const {
  const std::set<std::string>& addresses = addresses_[Root(rank)];
  return addresses.empty() ? "" : *addresses.begin();
}

}  // namespace mrs::check
