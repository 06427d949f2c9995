// A RegionTransport is one rank's view of a region: rings to write to its peers and to read from them.
//
//   RegionTransport transport(mapping, /*rank=*/1);
//   Result<size_t> written = transport.TryWrite(/*peer=*/0, header, payload);   // fewer bytes than asked where it is
//   full
//
// Layout: RegionHeader, one Doorbell per rank, then size * size rings, row = writer. Each rank sleeps at its own
// doorbell; whoever writes to it or makes room for it looks whether it does, and rings. The order that loses no wake-up:
// the sleeper says so, reads the doorbell's count, looks at its rings once more, and sleeps only if the count is still
// that; the ringer changes the ring, then looks whether somebody sleeps, and only then changes the count and wakes. All of
// it is sequentially consistent: of the two that say something and then look, one sees the other.
//
// Where a world has sockets, too, a rank that waits for both sleeps in poll, and its peers wake it by an eventfd that
// the ranks of the host share (mixed_transport.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "plans/status.h"

namespace mrs {

struct RegionHeader {
  uint64_t magic = 0;
  uint32_t version = 0;
  uint32_t size = 0;
  uint64_t ring_bytes = 0;
  std::atomic<uint32_t> gave_up = 0;  // 1 + the first rank that failed or aborted; 0: none
};

// How a rank waits, or is about to.
enum Sleep : uint32_t { kAwake = 0, kAtDoorbell = 1, kAtBell = 2 };

struct alignas(64) Doorbell {
  std::atomic<uint32_t> count = 0;     // futex
  std::atomic<uint32_t> sleeping = 0;  // a Sleep
  std::atomic<uint32_t> closed = 0;    // 1 once its rank is gone in good order
};

// Followed by ring_bytes of data. Positions only grow; a byte lies at position % ring_bytes.
struct Ring {
  alignas(64) std::atomic<uint64_t> written = 0;
  alignas(64) std::atomic<uint64_t> read = 0;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

// Bytes of a region; all products fit for sizes and rings within the limits of region.h.
uint64_t RegionBytes(int size, uint64_t ring_bytes);

// A mapped region; unmapped with the last transport that uses it.
class RegionMapping {
 public:
  // base: `bytes` of memory mapped from a region, at least a RegionHeader.
  RegionMapping(void* base, uint64_t bytes)
      : base_(static_cast<std::byte*>(base)), bytes_(bytes), size_(header().size), ring_bytes_(header().ring_bytes) {}
  ~RegionMapping();
  RegionMapping(const RegionMapping&) = delete;
  RegionMapping& operator=(const RegionMapping&) = delete;

  // As the header said when it was mapped; what the shared header says later does not matter.
  uint32_t size() const { return size_; }
  uint64_t ring_bytes() const { return ring_bytes_; }
  RegionHeader& header() const { return *reinterpret_cast<RegionHeader*>(base_); }
  Doorbell& doorbell(int rank) const;
  Ring& ring(int writer, int reader) const;
  std::byte* ring_data(int writer, int reader) const { return reinterpret_cast<std::byte*>(&ring(writer, reader) + 1); }

 private:
  std::byte* const base_;
  const uint64_t bytes_;
  const uint32_t size_;
  const uint64_t ring_bytes_;
};

// See scheduled_communicator.h for what the functions promise.
class RegionTransport {
 public:
  // world_ranks: what errors call the ranks of the region; empty: by their own numbers.
  // bell_fd: an eventfd of all ranks of the region, borrowed; -1: nobody waits with AnnouncePoll.
  RegionTransport(std::shared_ptr<RegionMapping> region, int rank, std::vector<int> world_ranks = {}, int bell_fd = -1);
  RegionTransport(RegionTransport&&) = default;
  ~RegionTransport();

  int rank() const { return rank_; }
  int size() const { return size_; }
  Result<size_t> TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body);
  void Wait(int write_peer, int read_peer, std::chrono::milliseconds limit);
  void Shut();

  // For one who waits for a socket, too: after the announcement, whoever changes something rings the bell. False: there
  // is no need to wait. Ends with EndPoll either way.
  bool AnnouncePoll(int write_peer, int read_peer);
  void EndPoll() { region_->doorbell(rank_).sleeping.store(kAwake); }

 private:
  Status CheckAlive(int peer) const;
  void RingDoorbell(int rank) const;
  bool Ready(int write_peer, int read_peer) const;
  int WorldRank(uint32_t rank) const {
    return rank < world_ranks_.size() ? world_ranks_[rank] : static_cast<int>(rank);
  }

  std::shared_ptr<RegionMapping> region_;  // null after a move
  int rank_;
  int size_;
  uint64_t ring_bytes_;
  std::vector<int> world_ranks_;
  int bell_fd_;
};

}  // namespace mrs
