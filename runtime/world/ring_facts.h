// Whether the RING_CONFIG files of all ranks agree, each being read by its own process: is the ring closed?
//
//   CompareRing({of rank 0, of rank 1})
//   ->  "the ring is not closed: rank 0 (r0.json) takes its right neighbour, rank 1 (r1.json), to listen at port 9003,
//        but it listens at port 9002; make 'right_port' of rank 0 the 'port' of rank 1"
//
// Pure functions; the head asks them at the rendezvous, as ranks come.
#pragma once

#include <optional>
#include <vector>

#include "plans/status.h"
#include "runtime/world/node_wire.h"

namespace mrs {

// By rank; what has not come yet is not compared.
Status CompareRing(const std::vector<std::optional<wire::RingFacts>>& ring);

// Whether the machines of the ring have the memory that all its ranks there need together, each being a process that
// only knows of itself. `needs`: bytes, by rank. Ranks of one machine are told by the boot id of their network.
Status CompareRingMemory(const std::vector<std::optional<wire::RingFacts>>& ring, const std::vector<uint64_t>& needs);

// Where a rank's left neighbour connects to: as that has it, but for ranks of one host the address at which it listens.
wire::Endpoint DialedBy(const wire::RingFacts& left, const wire::RingFacts& right);

// Where a connection may fail although the files agree: the address that a rank connects to is not the one at which its
// right neighbour listens, which is so where packets are translated on the way, or where the neighbour took another of
// its networks. "": nowhere.
std::string DoubtAbout(const std::vector<std::optional<wire::RingFacts>>& ring);

}  // namespace mrs
