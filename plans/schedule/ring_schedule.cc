#include "plans/schedule/ring_schedule.h"

#include <algorithm>

#include "plans/status.h"

namespace mrs {
namespace {

int Around(int rank, int size) { return (rank % size + size) % size; }

}  // namespace

void ArmBlocks(int first, int length, int direction, int size, std::vector<TreeBlock>& blocks) {
  MRS_CHECK(IsPowerOfTwo(static_cast<uint64_t>(size)) && length <= size / 2);
  blocks.clear();
  for (int i = 0; i < length; ++i) {
    blocks.push_back({Around(first + direction * i, size), 1});
    // Neighbours in a row: only the last two can be halves of one subtree.
    while (blocks.size() > 1 && AreSiblings(blocks[blocks.size() - 2], blocks.back())) {
      TreeBlock& whole = blocks[blocks.size() - 2];
      whole = {std::min(whole.first, blocks.back().first), whole.count * 2};
      blocks.pop_back();
    }
  }
}

ElementRange RingSegment(int rank, int size, size_t count) {
  const size_t each = count / static_cast<size_t>(size);
  const size_t more = count % static_cast<size_t>(size);
  const size_t index = static_cast<size_t>(rank);
  return {each * index + std::min(index, more), each + (index < more ? 1 : 0)};
}

void RingAllGatherSchedule(int rank, int size, size_t count, Schedule& schedule) {
  schedule.clear();
  const auto segment = [&](int of) { return RingSegment(Around(of, size), size, count); };
  const int above = Around(rank + 1, size);
  const int below = Around(rank - 1, size);
  for (int step = 1; step <= UpArmLength(size); ++step) {
    schedule.push_back(
        {.send_to = above, .send = segment(rank - step + 1), .recv_from = below, .recv = segment(rank - step)});
    if (step > DownArmLength(size)) continue;
    schedule.push_back(
        {.send_to = below, .send = segment(rank + step - 1), .recv_from = above, .recv = segment(rank + step)});
  }
}

void RingBroadcastSchedule(int rank, int size, int root, size_t count, size_t piece, Schedule& schedule) {
  MRS_CHECK(piece > 0);
  schedule.clear();
  const int above = Around(rank + 1, size);
  const int below = Around(rank - 1, size);
  const int up = Around(rank - root, size);  // steps from the root, upwards
  const size_t piece_count = std::max<size_t>(1, (count + piece - 1) / piece);
  const auto range = [&](size_t index) {
    const size_t begin = index * piece;
    return ElementRange{begin, std::min(piece, count - begin)};
  };
  if (up == 0) {
    for (size_t i = 0; i < piece_count; ++i) {
      if (UpArmLength(size) > 0) schedule.push_back({.send_to = above, .send = range(i)});
      if (DownArmLength(size) > 0) schedule.push_back({.send_to = below, .send = range(i)});
    }
    return;
  }
  const bool upwards = up <= UpArmLength(size);
  const int from = upwards ? below : above;
  const bool last = upwards ? up == UpArmLength(size) : size - up == DownArmLength(size);
  const int to = last ? -1 : upwards ? above : below;
  for (size_t i = 0; i <= piece_count; ++i) {
    ExchangeStep step;
    if (i > 0 && !last) {
      step.send_to = to;
      step.send = range(i - 1);
    }
    if (i < piece_count) {
      step.recv_from = from;
      step.recv = range(i);
    }
    if (step.send_to >= 0 || step.recv_from >= 0) schedule.push_back(step);
  }
}

void RingBarrierSchedule(int rank, int size, Schedule& schedule) { RingAllGatherSchedule(rank, size, 0, schedule); }

}  // namespace mrs
