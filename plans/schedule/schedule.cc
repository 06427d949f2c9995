#include "plans/schedule/schedule.h"

#include "plans/status.h"

namespace mrs {
namespace {

// The half of `range` kept by a rank whose bit is `bit`. The lower half is the smaller one where count is odd.
ElementRange Half(ElementRange range, bool bit) {
  const size_t lower = range.count / 2;
  return bit ? ElementRange{range.begin + lower, range.count - lower} : ElementRange{range.begin, lower};
}

}  // namespace

int BitReversed(int rank, int size) {
  int reversed = 0;
  for (int bit = 1; bit < size; bit *= 2) {
    reversed = reversed * 2 + ((rank & bit) != 0 ? 1 : 0);
  }
  return reversed;
}

void DoublingSchedule(int rank, int size, size_t count, Schedule& schedule) {
  MRS_CHECK(IsPowerOfTwo(size));
  schedule.clear();
  for (int distance = 1; distance < size; distance *= 2) {
    const int peer = rank ^ distance;
    schedule.push_back(
        {.send_to = peer, .send = {0, count}, .recv_from = peer, .recv = {0, count}, .action = StepAction::kAdd});
  }
}

void HalvingSchedule(int rank, int size, size_t count, Schedule& schedule) {
  MRS_CHECK(IsPowerOfTwo(size));
  schedule.clear();
  ElementRange range{0, count};
  for (int distance = 1; distance < size; distance *= 2) {
    const bool bit = (rank & distance) != 0;
    const int peer = rank ^ distance;
    schedule.push_back({.send_to = peer,
                        .send = Half(range, !bit),
                        .recv_from = peer,
                        .recv = Half(range, bit),
                        .action = StepAction::kAdd});
    range = Half(range, bit);
  }
}

ElementRange HalvingSegment(int rank, int size, size_t count) {
  ElementRange range{0, count};
  for (int distance = 1; distance < size; distance *= 2) {
    range = Half(range, (rank & distance) != 0);
  }
  return range;
}

void HalvingDoublingSchedule(int rank, int size, size_t count, Schedule& schedule) {
  HalvingSchedule(rank, size, count, schedule);
  // What was given away comes back summed, and what was kept goes out: the same exchanges backwards, directions
  // swapped.
  for (size_t i = schedule.size(); i-- > 0;) {
    const ExchangeStep step = schedule[i];
    schedule.push_back({.send_to = step.send_to,
                        .send = step.recv,
                        .recv_from = step.recv_from,
                        .recv = step.send,
                        .action = StepAction::kCopy});
  }
}

void AllGatherSchedule(int rank, int size, size_t count, Schedule& schedule) {
  schedule.clear();
  if (IsPowerOfTwo(size)) {
    // Before the exchange at `distance`, a rank has the blocks of its aligned group of `distance` ranks.
    for (int distance = 1; distance < size; distance *= 2) {
      const int peer = rank ^ distance;
      const auto blocks = [&](int of_rank) {
        return ElementRange{static_cast<size_t>(of_rank & ~(distance - 1)) * count,
                            static_cast<size_t>(distance) * count};
      };
      schedule.push_back({.send_to = peer, .send = blocks(rank), .recv_from = peer, .recv = blocks(peer)});
    }
    return;
  }
  for (int shift = 1; shift < size; ++shift) {
    const int from = (rank + size - shift) % size;
    schedule.push_back({.send_to = (rank + shift) % size,
                        .send = {static_cast<size_t>(rank) * count, count},
                        .recv_from = from,
                        .recv = {static_cast<size_t>(from) * count, count}});
  }
}

void BroadcastSchedule(int rank, int size, int root, size_t count, Schedule& schedule) {
  schedule.clear();
  const auto absolute = [&](int64_t relative) { return static_cast<int>((relative + root) % size); };
  const int relative = (rank + size - root) % size;
  // Rank v hears from v without its highest bit, then tells v + bit for every bit above that one.
  int64_t bit = 1;
  while (bit <= relative) bit *= 2;
  if (relative > 0) {
    schedule.push_back({.recv_from = absolute(relative - bit / 2), .recv = {0, count}});
  }
  for (; relative + bit < size; bit *= 2) {
    schedule.push_back({.send_to = absolute(relative + bit), .send = {0, count}});
  }
}

void BarrierSchedule(int rank, int size, Schedule& schedule) {
  schedule.clear();
  for (int64_t distance = 1; distance < size; distance *= 2) {
    schedule.push_back({.send_to = static_cast<int>((rank + distance) % size),
                        .recv_from = static_cast<int>((rank + size - distance) % size)});
  }
}

}  // namespace mrs
