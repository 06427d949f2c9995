// Which ranks of a ring share a host, as far as its files tell.
//
//   rank 0: right_ip 10.0.0.2; rank 1: right_ip absent; rank 2: ...   ->  rank 1 is at 10.0.0.2, and rank 2 with it
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace mrs::check {

// Sets of ranks and of addresses; a set is a host.
class RingHosts {
 public:
  explicit RingHosts(size_t rank_count);

  // Rank `rank` is at `address`, a name or number of a host that is not "this one".
  void Put(size_t rank, const std::string& address);

  // Joins the hosts of two ranks, unless their addresses are known to differ: then false, and nothing changes.
  bool Join(size_t a, size_t b);

  // The same number for all ranks of a host.
  size_t HostOf(size_t rank) const { return Root(rank); }

  // One of the host's addresses, "": none is known.
  std::string AddressOf(size_t rank) const;

 private:
  size_t Root(size_t rank) const;

  std::vector<size_t> parent_;
  std::vector<std::set<std::string>> addresses_;  // of a root
  std::map<std::string, size_t> first_with_;      // a rank of the host of an address
};

// Whether two addresses are surely of two hosts' interfaces: both numbers, or both names, and unlike. A number and a
// name may be the same host.
bool SurelyDiffer(const std::string& a, const std::string& b);

}  // namespace mrs::check
