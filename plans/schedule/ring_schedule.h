// A ring's schedules: every exchange is with a neighbour, and sums are still those of the canonical tree.
//
//   RingAllGatherSchedule(/*rank=*/1, /*size=*/4, /*count=*/8, schedule);
//   // step 0: send [2,4) up to 2, receive [0,2) from 0        up: the own segment, then what came from below
//   // step 1: send [2,4) down to 0, receive [4,6) from 2      down: the same the other way
//   // step 2: send [0,2) up to 2, receive [6,8) from 0
//
// What is for one rank (its owner) comes to it along two arms: up through the size / 2 ranks below it, and down through
// the (size - 1) / 2 above it. To add along an arm in the order of ranks would be another sum than the tree's; so what
// travels is the partial sums of whole subtrees, at most log2(size) of them at a time, two of which become one as soon
// as they are the halves of a subtree:
//
//   size 8, owner 7, up from 3:   {3}   {3} {4}   {3} {4,5}   {3} {4,5} {6}   at 7: with {7}, and down from 0
//   {0}..{0,1,2}
//
// Reductions need a power-of-two size, the others take any.
#pragma once

#include <cstddef>
#include <vector>

#include "plans/schedule/schedule.h"

namespace mrs {

// The sum over ranks [first, first + count), an aligned subtree: count is a power of two that divides first.
struct TreeBlock {
  int first = 0;
  int count = 0;
  bool operator==(const TreeBlock&) const = default;
};

constexpr bool AreSiblings(const TreeBlock& a, const TreeBlock& b) {
  return a.count == b.count && (a.first ^ b.first) == a.count;
}

// How far an arm reaches below its owner, and above it.
constexpr int UpArmLength(int size) { return size / 2; }
constexpr int DownArmLength(int size) { return (size - 1) / 2; }

// What `length` ranks from `first` on, upwards (direction 1) or downwards (-1), hold together, in order of travel.
// length <= size / 2.
void ArmBlocks(int first, int length, int direction, int size, std::vector<TreeBlock>& blocks);

// The part of `count` elements that a rank owns: the first ones have one element more where count does not divide.
ElementRange RingSegment(int rank, int size, size_t count);

// All ranks' segments to all ranks; the own one is already in its place.
void RingAllGatherSchedule(int rank, int size, size_t count, Schedule& schedule);

// Along both arms, in pieces of at most `piece` elements, so that ranks pass on one while the next one comes.
void RingBroadcastSchedule(int rank, int size, int root, size_t count, size_t piece, Schedule& schedule);

// Empty messages along both arms: after them, every rank has heard of every other.
void RingBarrierSchedule(int rank, int size, Schedule& schedule);

}  // namespace mrs
