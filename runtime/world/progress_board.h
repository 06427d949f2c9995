// The board on which every rank says how far it is: memory that the supervisor and all rank processes of a host map.
//
//   Fd board = *CreateProgressBoard(4);                       // the supervisor; the descriptor travels beside Config
//   ProgressBoard seen = *ProgressBoard::Map(board.get(), 4);
//   Pulse pulse(&seen.line(1));                               // rank 1
//   Read(seen.line(1)).phase                                  // the supervisor: RankPhase::kLoading
//
// What a rank writes is not to be trusted: it is compared and printed, and no more.
#pragma once

#include <cstdint>
#include <optional>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/pulse.h"

namespace mrs {

// A line as it was at one look.
struct RankProgress {
  uint64_t beat = 0;
  uint64_t work = 0;
  uint64_t looks = 0;
  uint64_t wakes = 0;
  uint64_t step = 0;
  RankPhase phase = RankPhase::kUnseen;
  uint32_t operation = 0;
  uint32_t operations = 0;
  uint32_t plan_step = 0;
  std::optional<uint32_t> waits_for = std::nullopt;  // whatever the rank wrote

  bool operator==(const RankProgress&) const = default;
};

// A phase that is none is kUnseen.
RankProgress Read(const ProgressLine& line);

// A memfd whose size nobody can change any more.
Result<Fd> CreateProgressBoard(uint32_t world_size);

class ProgressBoard {
 public:
  // `fd` stays the caller's and may be closed after.
  static Result<ProgressBoard> Map(int fd, uint32_t world_size);
  ProgressBoard() = default;
  ~ProgressBoard();
  ProgressBoard(ProgressBoard&& other) noexcept;
  ProgressBoard& operator=(ProgressBoard&& other) noexcept;

  ProgressLine& line(uint32_t rank) const { return lines_[rank]; }

 private:
  ProgressBoard(ProgressLine* lines, uint32_t world_size) : lines_(lines), world_size_(world_size) {}
  ProgressLine* lines_ = nullptr;  // [world_size_], mapped
  uint32_t world_size_ = 0;
};

}  // namespace mrs
