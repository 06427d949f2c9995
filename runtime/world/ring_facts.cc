#include "runtime/world/ring_facts.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "plans/printable.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/world/node_facts.h"

namespace mrs {
namespace {

using wire::RingFacts;

bool IsNumeric(const std::string& address) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, address.c_str(), bytes) == 1 || inet_pton(AF_INET6, address.c_str(), bytes) == 1;
}

bool IsOfLoopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

bool SameNetwork(const RingFacts& a, const RingFacts& b) { return !a.network.empty() && a.network == b.network; }
bool OtherNetwork(const RingFacts& a, const RingFacts& b) {
  return !a.network.empty() && !b.network.empty() && a.network != b.network;
}

std::string Who(size_t rank, const RingFacts& facts) {
  return fmt::format("rank {} ({})", rank, Printable(facts.file));
}

std::string At(const wire::Endpoint& endpoint) { return Printable(AddressText(endpoint.address, endpoint.port)); }

std::string Takes(const std::vector<std::optional<RingFacts>>& ring, size_t rank) {
  const size_t next = (rank + 1) % ring.size();
  return fmt::format("the ring is not closed: {} takes its right neighbour, {},", Who(rank, *ring[rank]),
                     Who(next, *ring[next]));
}

// What a rank's own file says wrong of its neighbour.
Status CompareNeighbours(const std::vector<std::optional<RingFacts>>& ring, size_t rank) {
  const size_t next = (rank + 1) % ring.size();
  const RingFacts& left = *ring[rank];
  const RingFacts& right = *ring[next];
  if (left.right.port != right.listen.port) {
    std::string whose;
    for (size_t other = 0; other < ring.size() && whose.empty(); ++other) {
      const bool its = ring[other].has_value() && other != next && ring[other]->listen.port == left.right.port;
      if (its) whose = fmt::format(" ({} is rank {}'s)", left.right.port, other);
    }
    return Refuse(
        "{} to listen at port {}, but it listens at port {}{}; make 'right_port' of rank {} the 'port' of rank {}",
        Takes(ring, rank), left.right.port, right.listen.port, whose, rank, next);
  }
  if (left.right.address.empty() && OtherNetwork(left, right)) {
    return Refuse(
        "{} to be on its own host, as its 'right_ip' is left out or 0.0.0.0, but that is another: it listens at {}; "
        "write "
        "its address into 'right_ip' of rank {}",
        Takes(ring, rank), At(right.listen), rank);
  }
  return Status();
}

// Where that is right, but the neighbour listens elsewhere.
Status CompareAddresses(const std::vector<std::optional<RingFacts>>& ring, size_t rank) {
  const RingFacts& left = *ring[rank];
  const RingFacts& right = *ring[(rank + 1) % ring.size()];
  if (!left.right.address.empty() && IsOfLoopback(right.listen.address) && OtherNetwork(left, right)) {
    return Refuse(
        "{} to listen at {}, but it listens at {} alone, as its own 'right_ip' says no other host; write the address "
        "of "
        "its host there, or start it with --interface NAME",
        Takes(ring, rank), At(left.right), At(right.listen));
  }
  return Status();
}

}  // namespace

Status CompareRing(const std::vector<std::optional<RingFacts>>& ring) {
  for (size_t a = 0; a < ring.size(); ++a) {
    for (size_t b = a + 1; b < ring.size(); ++b) {
      if (!ring[a].has_value() || !ring[b].has_value() || ring[a]->listen != ring[b]->listen) continue;
      if (OtherNetwork(*ring[a], *ring[b])) continue;
      return Refuse(
          "port clash: {} and {} both listen at {}; give each a 'port' of its own, and its left neighbour the same as "
          "'right_port'",
          Who(a, *ring[a]), Who(b, *ring[b]), At(ring[a]->listen));
    }
  }
  for (const auto compare : {CompareNeighbours, CompareAddresses}) {
    for (size_t rank = 0; rank < ring.size(); ++rank) {
      if (!ring[rank].has_value() || !ring[(rank + 1) % ring.size()].has_value()) continue;
      MRS_RETURN_IF_ERROR(compare(ring, rank));
    }
  }
  return Status();
}

Status CompareRingMemory(const std::vector<std::optional<RingFacts>>& ring, const std::vector<uint64_t>& needs) {
  struct Machine {
    std::vector<uint32_t> ranks;
    uint64_t need = 0;
    uint64_t bytes = UINT64_MAX;  // the least that is told of it
  };
  std::map<std::string, Machine> machines;
  for (uint32_t rank = 0; rank < ring.size() && rank < needs.size(); ++rank) {
    if (!ring[rank].has_value() || ring[rank]->network.empty() || ring[rank]->machine_bytes == 0) continue;
    Machine& machine = machines[ring[rank]->network.substr(0, ring[rank]->network.find(':'))];
    machine.ranks.push_back(rank);
    machine.bytes = std::min(machine.bytes, ring[rank]->machine_bytes);
    if (__builtin_add_overflow(machine.need, needs[rank], &machine.need)) machine.need = UINT64_MAX;
  }
  for (const auto& [boot, machine] : machines) {
    if (machine.need <= machine.bytes) continue;
    return Refuse(
        "{} of the ring {} on one machine, whose memory is {} bytes, and {} {}; start some on others, or plan with "
        "--memory",
        RanksText(machine.ranks), machine.ranks.size() == 1 ? "is" : "are", machine.bytes,
        machine.ranks.size() == 1 ? "needs" : "together they need", machine.need);
  }
  return Status();
}

wire::Endpoint DialedBy(const RingFacts& left, const RingFacts& right) {
  if (left.right.address.empty() || SameNetwork(left, right)) return right.listen;
  return left.right;
}

std::string DoubtAbout(const std::vector<std::optional<RingFacts>>& ring) {
  for (size_t rank = 0; rank < ring.size(); ++rank) {
    const size_t next = (rank + 1) % ring.size();
    if (!ring[rank].has_value() || !ring[next].has_value()) continue;
    const wire::Endpoint dialed = DialedBy(*ring[rank], *ring[next]);
    if (dialed == ring[next]->listen || !IsNumeric(dialed.address)) continue;
    return fmt::format(
        "rank {} connects to {}, and rank {} listens at {} alone; if it is not reached, start rank {} with --interface "
        "NAME of the address that is connected to",
        rank, At(dialed), next, At(ring[next]->listen), next);
  }
  return "";
}

}  // namespace mrs
