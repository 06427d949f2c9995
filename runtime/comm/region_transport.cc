#include "runtime/comm/region_transport.h"

#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>

namespace mrs {
namespace {

// A reader starts on what is there while the writer copies on: a message moves in chunks of at most this, which stay in
// the L2 caches of both.
constexpr size_t kChunkBytes = 64 * 1024;

void FutexWait(std::atomic<uint32_t>& word, uint32_t expected, std::chrono::milliseconds limit) {
  const timespec time{.tv_sec = limit.count() / 1000, .tv_nsec = limit.count() % 1000 * 1000000};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, expected, &time, nullptr, 0);
}

void FutexWake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

constexpr uint64_t RingStride(uint64_t ring_bytes) { return sizeof(Ring) + ring_bytes; }

constexpr uint64_t RingsOffset(uint64_t size) { return 64 + size * sizeof(Doorbell); }

static_assert(sizeof(RegionHeader) <= 64);

}  // namespace

uint64_t RegionBytes(int size, uint64_t ring_bytes) {
  const uint64_t ranks = static_cast<uint64_t>(size);
  return RingsOffset(ranks) + ranks * ranks * RingStride(ring_bytes);
}

RegionMapping::~RegionMapping() { munmap(base_, bytes_); }

Doorbell& RegionMapping::doorbell(int rank) const {
  return *reinterpret_cast<Doorbell*>(base_ + 64 + sizeof(Doorbell) * rank);
}

Ring& RegionMapping::ring(int writer, int reader) const {
  const uint64_t index = uint64_t{size_} * writer + reader;
  return *reinterpret_cast<Ring*>(base_ + RingsOffset(size_) + index * RingStride(ring_bytes_));
}

RegionTransport::RegionTransport(std::shared_ptr<RegionMapping> region, int rank, std::vector<int> world_ranks,
                                 int bell_fd)
    : region_(std::move(region)),
      rank_(rank),
      size_(static_cast<int>(region_->size())),
      ring_bytes_(region_->ring_bytes()),
      world_ranks_(std::move(world_ranks)),
      bell_fd_(bell_fd) {}

RegionTransport::~RegionTransport() {
  if (!region_) return;
  region_->doorbell(rank_).closed.store(1);
  for (int peer = 0; peer < size_; ++peer) RingDoorbell(peer);
}

Status RegionTransport::CheckAlive(int peer) const {
  if (region_->doorbell(peer).closed.load() != 0) return Unavailable("rank {} closed the connection", WorldRank(peer));
  if (const uint32_t rank = region_->header().gave_up.load(); rank != 0) {
    return Unavailable("rank {} gave up; its own error says why", WorldRank(rank - 1));
  }
  return Status();
}

Result<size_t> RegionTransport::TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body) {
  Ring& ring = region_->ring(rank_, peer);
  std::byte* const data = region_->ring_data(rank_, peer);
  const uint64_t begin = ring.written.load(std::memory_order_relaxed);
  const uint64_t used = begin - ring.read.load(std::memory_order_acquire);
  if (used > ring_bytes_) return Refuse("the region of the ring to rank {} is damaged", WorldRank(peer));
  const size_t room = std::min<size_t>(ring_bytes_ - used, kChunkBytes);
  if (room == 0) {
    MRS_RETURN_IF_ERROR(CheckAlive(peer));
    return size_t{0};
  }
  uint64_t end = begin;
  for (std::span<const std::byte> part : {head, body}) {
    while (!part.empty() && end - begin < room) {
      const size_t offset = end % ring_bytes_;
      const size_t bytes = std::min({part.size(), room - (end - begin), ring_bytes_ - offset});
      std::memcpy(data + offset, part.data(), bytes);
      part = part.subspan(bytes);
      end += bytes;
    }
  }
  ring.written.store(end);
  RingDoorbell(peer);
  return static_cast<size_t>(end - begin);
}

Result<size_t> RegionTransport::TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body) {
  Ring& ring = region_->ring(peer, rank_);
  const std::byte* const data = region_->ring_data(peer, rank_);
  const uint64_t begin = ring.read.load(std::memory_order_relaxed);
  if (ring.written.load(std::memory_order_acquire) == begin) {
    // A peer that is gone may have written before it went: only an empty ring seen after its going is the end.
    const Status alive = CheckAlive(peer);
    if (ring.written.load(std::memory_order_acquire) == begin) {
      if (!alive) return alive;
      return size_t{0};
    }
  }
  const uint64_t there = ring.written.load(std::memory_order_acquire) - begin;
  if (there > ring_bytes_) return Refuse("the region of the ring from rank {} is damaged", WorldRank(peer));
  const size_t limit = std::min<size_t>(there, kChunkBytes);
  uint64_t end = begin;
  for (std::span<std::byte> part : {head, body}) {
    while (!part.empty() && end - begin < limit) {
      const size_t offset = end % ring_bytes_;
      const size_t bytes = std::min({part.size(), limit - (end - begin), ring_bytes_ - offset});
      std::memcpy(part.data(), data + offset, bytes);
      part = part.subspan(bytes);
      end += bytes;
    }
  }
  ring.read.store(end);
  RingDoorbell(peer);
  return static_cast<size_t>(end - begin);
}

void RegionTransport::RingDoorbell(int rank) const {
  Doorbell& doorbell = region_->doorbell(rank);
  const uint32_t sleeping = doorbell.sleeping.load();
  if (sleeping == kAwake) return;
  doorbell.count.fetch_add(1);
  if (sleeping == kAtDoorbell) FutexWake(doorbell.count);
  if (sleeping == kAtBell && bell_fd_ >= 0) eventfd_write(bell_fd_, 1);
}

bool RegionTransport::Ready(int write_peer, int read_peer) const {
  if (region_->header().gave_up.load() != 0) return true;
  if (write_peer >= 0) {
    const Ring& ring = region_->ring(rank_, write_peer);
    if (ring.written.load(std::memory_order_relaxed) - ring.read.load() < ring_bytes_) return true;
    if (region_->doorbell(write_peer).closed.load() != 0) return true;
  }
  if (read_peer >= 0) {
    const Ring& ring = region_->ring(read_peer, rank_);
    if (ring.written.load() != ring.read.load(std::memory_order_relaxed)) return true;
    if (region_->doorbell(read_peer).closed.load() != 0) return true;
  }
  return false;
}

void RegionTransport::Wait(int write_peer, int read_peer, std::chrono::milliseconds limit) {
  Doorbell& doorbell = region_->doorbell(rank_);
  doorbell.sleeping.store(kAtDoorbell);
  const uint32_t count = doorbell.count.load();
  if (!Ready(write_peer, read_peer)) FutexWait(doorbell.count, count, limit);
  doorbell.sleeping.store(kAwake);
}

bool RegionTransport::AnnouncePoll(int write_peer, int read_peer) {
  region_->doorbell(rank_).sleeping.store(kAtBell);
  return !Ready(write_peer, read_peer);
}

void RegionTransport::Shut() {
  uint32_t none = 0;
  region_->header().gave_up.compare_exchange_strong(none, static_cast<uint32_t>(rank_) + 1);
  for (int rank = 0; rank < size_; ++rank) RingDoorbell(rank);
}

}  // namespace mrs
