#include "runtime/world/progress_board.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace mrs {
namespace {

constexpr uint32_t kMaxRanks = 4096;

uint64_t BoardBytes(uint32_t world_size) { return uint64_t{world_size} * sizeof(ProgressLine); }

}  // namespace

RankProgress Read(const ProgressLine& line) {
  const auto get = [](const auto& field) { return field.load(std::memory_order_relaxed); };
  const uint32_t phase = get(line.phase), waits_for = get(line.waits_for);
  RankProgress progress{.beat = get(line.beat),
                        .work = get(line.work),
                        .looks = get(line.looks),
                        .wakes = get(line.wakes),
                        .step = get(line.step),
                        .operation = get(line.operation),
                        .operations = get(line.operations),
                        .plan_step = get(line.plan_step)};
  if (phase <= static_cast<uint32_t>(RankPhase::kSending)) progress.phase = static_cast<RankPhase>(phase);
  if (waits_for != 0) progress.waits_for = waits_for - 1;
  return progress;
}

Result<Fd> CreateProgressBoard(uint32_t world_size) {
  if (world_size < 1 || world_size > kMaxRanks) {
    return Refuse("progress board: {} ranks; it has room for 1 to {}", world_size, kMaxRanks);
  }
  Fd fd(memfd_create("mrs-progress", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return Unavailable("progress board: memfd_create: {}", std::strerror(errno));
  if (ftruncate(fd.get(), static_cast<off_t>(BoardBytes(world_size))) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Unavailable("progress board: {} bytes: {}", BoardBytes(world_size), std::strerror(errno));
  }
  return fd;
}

Result<ProgressBoard> ProgressBoard::Map(int fd, uint32_t world_size) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return Refuse("progress board: fd {}: {}", fd, std::strerror(errno));
  const uint64_t bytes = BoardBytes(world_size);
  if (world_size == 0 || static_cast<uint64_t>(info.st_size) != bytes) {
    return Refuse("progress board: {} bytes, that of {} ranks has {}", info.st_size, world_size, bytes);
  }
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return Unavailable("progress board: mmap of {} bytes: {}", bytes, std::strerror(errno));
  return ProgressBoard(static_cast<ProgressLine*>(base), world_size);
}

ProgressBoard::~ProgressBoard() {
  if (lines_ != nullptr) munmap(lines_, BoardBytes(world_size_));
}

ProgressBoard::ProgressBoard(ProgressBoard&& other) noexcept
    : lines_(std::exchange(other.lines_, nullptr)), world_size_(other.world_size_) {}

ProgressBoard& ProgressBoard::operator=(ProgressBoard&& other) noexcept {
  std::swap(lines_, other.lines_);
  std::swap(world_size_, other.world_size_);
  return *this;
}

}  // namespace mrs
