// A RegionTransport is one rank's view of a region: rings to write to its peers and to read from them.
//
//   RegionTransport transport(mapping, /*rank=*/1);
//   Result<size_t> written = transport.TryWrite(/*peer=*/0, header, payload);   // fewer bytes than asked where it is
//   full
//
// Layout: RegionHeader, one Doorbell per rank, then size * size rings, row = writer. Each rank sleeps at its own
// doorbell; whoever writes to it or makes room for it rings. The order that loses no wake-up: the sleeper says so,
// reads the doorbell's count, looks at its rings once more, and sleeps only if the count is still that; the ringer
// changes the ring, then the count, then looks whether somebody sleeps.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include "plans/status.h"

namespace mrs {

struct RegionHeader {
  uint64_t magic = 0;
  uint32_t version = 0;
  uint32_t size = 0;
  uint64_t ring_bytes = 0;
  std::atomic<uint32_t> gave_up = 0;  // 1 + the first rank that failed or aborted; 0: none
};

struct alignas(64) Doorbell {
  std::atomic<uint32_t> count = 0;     // futex
  std::atomic<uint32_t> sleeping = 0;  // 1 while its rank waits, or is about to
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
  RegionTransport(std::shared_ptr<RegionMapping> region, int rank);
  RegionTransport(RegionTransport&&) = default;
  ~RegionTransport();

  int rank() const { return rank_; }
  int size() const { return size_; }
  Result<size_t> TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body);
  void Wait(int write_peer, int read_peer, std::chrono::milliseconds limit);
  void Shut();

 private:
  Status CheckAlive(int peer) const;
  void RingDoorbell(int rank) const;
  bool Ready(int write_peer, int read_peer) const;

  std::shared_ptr<RegionMapping> region_;  // null after a move
  int rank_;
  int size_;
  uint64_t ring_bytes_;
};

}  // namespace mrs
