// A Schedule is the list of exchanges that one rank makes in one collective: decided here, carried out elsewhere.
//
//   DoublingSchedule(/*rank=*/1, /*size=*/4, /*count=*/10, schedule);
//   // step 0: send [0,10) to 0, receive [0,10) from 0, add       r0 + r1
//   // step 1: send [0,10) to 3, receive [0,10) from 3, add       (r0 + r1) + (r2 + r3)
//
// Counts are in elements of the caller's choice. Every function clears and fills `schedule`, so that a reused one does
// not allocate. Reductions need a power-of-two size; addition of two floats commutes, so who adds whom does not matter
// as long as the subtrees are the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mrs {

struct ElementRange {
  size_t begin = 0;
  size_t count = 0;
  bool operator==(const ElementRange&) const = default;
};

enum class StepAction : uint8_t { kCopy, kAdd };

struct ExchangeStep {
  int send_to = -1;  // -1: nothing is sent
  ElementRange send = {};
  int recv_from = -1;  // -1: nothing is received
  ElementRange recv = {};
  StepAction action = StepAction::kCopy;  // what becomes of the received elements
  bool operator==(const ExchangeStep&) const = default;
};

using Schedule = std::vector<ExchangeStep>;

// Which groups have a canonical tree, and into how many canonical chunks a K may be cut.
constexpr bool IsPowerOfTwo(uint64_t count) { return count != 0 && (count & (count - 1)) == 0; }

// The lowest log2(size) bits of rank, mirrored: size 8, rank 1 (001) -> 4 (100). size is a power of two.
int BitReversed(int rank, int size);

// All-reduce, whole operand at distance 1, 2, 4, ...
void DoublingSchedule(int rank, int size, size_t count, Schedule& schedule);

// Reduce-scatter: at distance 1, 2, 4, ... a rank keeps one half of its range (the lower one where its bit is 0) and
// gives the other away. Rank r ends with HalvingSegment(r): segment BitReversed(r) of `count`, cut unevenly where
// `count` does not divide.
void HalvingSchedule(int rank, int size, size_t count, Schedule& schedule);
ElementRange HalvingSegment(int rank, int size, size_t count);

// All-reduce: HalvingSchedule, then the same cuts back, largest distance first.
void HalvingDoublingSchedule(int rank, int size, size_t count, Schedule& schedule);

// All-gather of blocks of `count` into [size, count]; the rank's own block is already in its place. Any size:
// log2(size) exchanges where it is a power of two, size - 1 otherwise.
void AllGatherSchedule(int rank, int size, size_t count, Schedule& schedule);

// A binomial tree from root. Any size.
void BroadcastSchedule(int rank, int size, int root, size_t count, Schedule& schedule);

// Empty messages to rank + 1, + 2, + 4, ...: after them, every rank has heard of every other. Any size.
void BarrierSchedule(int rank, int size, Schedule& schedule);

}  // namespace mrs
