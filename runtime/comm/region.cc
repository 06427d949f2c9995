#include "runtime/comm/region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "runtime/comm/region_transport.h"
#include "runtime/comm/scheduled_communicator.h"

namespace mrs {
namespace {

constexpr uint64_t kRegionMagic = 0x6e6f696765725fULL;
constexpr uint32_t kRegionVersion = 1;
constexpr size_t kMinRingBytes = size_t{4} << 10;
constexpr size_t kMaxRingBytes = size_t{64} << 20;

Status CheckShape(uint64_t size, uint64_t ring_bytes) {
  if (size < 1 || size > kMaxRegionRanks) {
    return Refuse("shared region: {} ranks; 1 to {} fit one host", size, kMaxRegionRanks);
  }
  if (ring_bytes < kMinRingBytes || ring_bytes > kMaxRingBytes || (ring_bytes & (ring_bytes - 1)) != 0) {
    return Refuse("shared region: rings of {} bytes; must be a power of two in [{}, {}]", ring_bytes, kMinRingBytes,
                  kMaxRingBytes);
  }
  return Status();
}

std::unique_ptr<Communicator> MakeCommunicator(std::shared_ptr<RegionMapping> mapping, int rank,
                                               const CommOptions& options) {
  RegionTransport transport(std::move(mapping), rank);
  const int size = transport.size();
  auto link = std::make_shared<Link<RegionTransport>>(std::move(transport), options);
  return std::make_unique<ScheduledCommunicator<RegionTransport>>(std::move(link), AllRanks(size));
}

}  // namespace

Result<Fd> CreateShmRegion(int size, size_t ring_bytes) {
  MRS_RETURN_IF_ERROR(CheckShape(size < 0 ? 0 : static_cast<uint64_t>(size), ring_bytes));
  const uint64_t bytes = RegionBytes(size, ring_bytes);
  Fd fd(memfd_create("mrs-ranks", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return Unavailable("shared region: memfd_create: {}", std::strerror(errno));
  // Sealed, so that no process can shrink it under another one.
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Unavailable("shared region: {} bytes: {}", bytes, std::strerror(errno));
  }
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return Unavailable("shared region: mmap of {} bytes: {}", bytes, std::strerror(errno));
  // Fresh pages are zero, which is where every doorbell and ring starts.
  RegionHeader* const header = new (base) RegionHeader;
  header->magic = kRegionMagic;
  header->version = kRegionVersion;
  header->size = static_cast<uint32_t>(size);
  header->ring_bytes = ring_bytes;
  munmap(base, bytes);
  return fd;
}

Result<std::shared_ptr<RegionMapping>> MapRegion(int size, int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return Refuse("shared region: fd {}: {}", fd, std::strerror(errno));
  const uint64_t bytes = static_cast<uint64_t>(info.st_size);
  if (bytes < sizeof(RegionHeader)) {
    return Refuse("shared region: fd {} holds {} bytes; a region holds more: pass the fd of CreateShmRegion", fd,
                  bytes);
  }
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return Unavailable("shared region: mmap of {} bytes: {}", bytes, std::strerror(errno));
  auto mapping = std::make_shared<RegionMapping>(base, bytes);
  const RegionHeader& header = mapping->header();
  if (header.magic != kRegionMagic || header.version != kRegionVersion) {
    return Refuse("shared region: fd {} is no region of this version", fd);
  }
  MRS_RETURN_IF_ERROR(CheckShape(mapping->size(), mapping->ring_bytes()));
  if (mapping->size() != static_cast<uint32_t>(size)) {
    return Refuse("shared region: made for {} ranks, opened for {}", mapping->size(), size);
  }
  if (bytes != RegionBytes(size, mapping->ring_bytes())) {
    return Refuse("shared region: {} bytes, expected {}", bytes, RegionBytes(size, mapping->ring_bytes()));
  }
  return mapping;
}

Result<std::unique_ptr<Communicator>> OpenShmCommunicator(int rank, int size, int fd, const CommOptions& options) {
  MRS_ASSIGN_OR_RETURN(std::shared_ptr<RegionMapping> mapping, MapRegion(size, fd));
  if (rank < 0 || rank >= size) return Refuse("shared region: rank {} of {} does not exist", rank, size);
  return MakeCommunicator(std::move(mapping), rank, options);
}

Result<std::vector<std::unique_ptr<Communicator>>> MakeLocalCommunicators(int size, const CommOptions& options,
                                                                          size_t ring_bytes,
                                                                          std::span<Pulse* const> pulses) {
  MRS_CHECK(pulses.empty() || pulses.size() == static_cast<size_t>(size));
  MRS_ASSIGN_OR_RETURN(const Fd fd, CreateShmRegion(size, ring_bytes));
  MRS_ASSIGN_OR_RETURN(const std::shared_ptr<RegionMapping> mapping, MapRegion(size, fd.get()));
  std::vector<std::unique_ptr<Communicator>> world;
  for (int rank = 0; rank < size; ++rank) {
    CommOptions of_rank = options;
    if (!pulses.empty()) of_rank.pulse = pulses[static_cast<size_t>(rank)];
    world.push_back(MakeCommunicator(mapping, rank, of_rank));
  }
  return world;
}

}  // namespace mrs
