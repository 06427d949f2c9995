// A Communicator moves host memory between the ranks of one group, and sums it in the canonical tree.
//
//   std::vector<std::unique_ptr<Communicator>> world = *MakeLocalCommunicators(4);      // one for each thread
//   Status status = world[rank]->AllReduce(part, sum, ReduceAlgorithm::kDoubling);      // (r0 + r1) + (r2 + r3)
//
// Every rank of the group calls the same operations with the same sizes in the same order; where one does not, the
// ranks it talks to say so by name and nobody waits for longer than `timeout`. After the first failure a communicator
// and all made from it stay failed. One thread at a time may use a communicator and those made from it; only Abort may
// come from another thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "plans/status.h"
#include "runtime/comm/pulse.h"

namespace mrs {

// How a sum travels. The first three give the same bits: the tree in which neighbours at distance 1 are added first,
// then at distance 2, 4, ... (NaN payloads aside). They need a power-of-two group. The plan chooses.
enum class ReduceAlgorithm : uint8_t {
  kDoubling = 1,         // all data at distance 1, 2, 4, ...: fewest messages, for small operands
  kHalvingDoubling = 2,  // reduce-scatter from distance 1, then all-gather: fewest bytes, for large operands
  kGatherAdd = 3,        // all-gather, then the tree locally
  kRankOrder = 4,        // ((r0 + r1) + r2) + ...: NOT canonical. A control that shows that the order matters
};

// For those whose waits somebody else ends: by Abort, or with their process.
inline constexpr std::chrono::milliseconds kNoTimeout = std::chrono::milliseconds::max();

inline std::chrono::steady_clock::time_point After(std::chrono::steady_clock::time_point now,
                                                   std::chrono::milliseconds limit) {
  return limit == kNoTimeout ? std::chrono::steady_clock::time_point::max() : now + limit;
}

struct CommOptions {
  std::chrono::milliseconds timeout{30000};  // of silence from a peer that is waited for
  int spin = 2000;                           // polls before blocking; 0: block at once (more ranks than cores)
  const std::atomic<bool>* abort = nullptr;  // borrowed; once true, waiting calls return within about 100 ms
  Pulse* pulse = nullptr;                    // borrowed; told what moves, and which rank is waited for
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  // within the group
  virtual int size() const = 0;

  // Errors of all operations: kUnavailable when a peer is lost, or on Abort; kTimedOut when it is silent; kRefused for arguments that do
  // not fit each other and for a peer that runs another operation or size.

  // out[i] = sum over ranks of in[i]. Same length everywhere, zero allowed; in and out are one buffer or disjoint.
  virtual Status AllReduce(std::span<const float> in, std::span<float> out, ReduceAlgorithm algorithm) = 0;
  // out = [size, in.size()] in rank order; `in` may be this rank's own place in `out`.
  virtual Status AllGather(std::span<const std::byte> in, std::span<std::byte> out) = 0;
  // out[i] = canonical sum over ranks of in[rank * out.size() + i]; in.size() = size * out.size(). May overlap.
  virtual Status ReduceScatter(std::span<const float> in, std::span<float> out) = 0;
  virtual Status Broadcast(std::span<std::byte> data, int root) = 0;
  virtual Status Send(int peer, std::span<const std::byte> data) = 0;
  virtual Status Recv(int peer, std::span<std::byte> data) = 0;
  virtual Status Barrier() = 0;

  // A communicator over some ranks of this one, in the order given, this rank among them. Shares this one's
  // connections, so all ranks issue the operations of both in one order.
  virtual Result<std::unique_ptr<Communicator>> Group(std::span<const int> members) = 0;

  // Gives up: every call in progress or to come returns kUnavailable, here and on the peers that wait for this rank.
  virtual void Abort() = 0;
};

}  // namespace mrs
