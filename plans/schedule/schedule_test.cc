// The schedules are data: tables check some by eye, and all are carried out on symbols to see what sums they form.
#include "plans/schedule/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>

#include "plans/schedule/ring_schedule.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

ExchangeStep Both(int peer, ElementRange send, ElementRange recv, StepAction action) {
  return {.send_to = peer, .send = send, .recv_from = peer, .recv = recv, .action = action};
}

TEST(Schedule, BitReversed_MirrorsTheBits) {
  EXPECT_EQ(BitReversed(0, 1), 0);
  EXPECT_EQ(BitReversed(1, 2), 1);
  EXPECT_EQ(BitReversed(1, 4), 2);
  EXPECT_EQ(BitReversed(1, 8), 4);
  EXPECT_EQ(BitReversed(6, 8), 3);
}

TEST(Schedule, Doubling_GoesFromDistanceOneUp) {
  Schedule schedule;
  DoublingSchedule(1, 4, 10, schedule);
  EXPECT_THAT(schedule, ElementsAre(Both(0, {0, 10}, {0, 10}, StepAction::kAdd),  //
                                    Both(3, {0, 10}, {0, 10}, StepAction::kAdd)));
}

TEST(Schedule, HalvingDoubling_HalvesAtDistanceOneFirstAndComesBack) {
  Schedule schedule;
  HalvingDoublingSchedule(1, 4, 10, schedule);
  EXPECT_THAT(schedule,
              ElementsAre(Both(0, {0, 5}, {5, 5}, StepAction::kAdd),  //
                          Both(3, {7, 3}, {5, 2}, StepAction::kAdd),  //
                          Both(3, {5, 2}, {7, 3}, StepAction::kCopy), Both(0, {5, 5}, {0, 5}, StepAction::kCopy)));
  EXPECT_EQ(HalvingSegment(1, 4, 10), (ElementRange{5, 2}));
}

TEST(Schedule, HalvingSegment_IsTheBitReversedOne) {
  for (int rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(HalvingSegment(rank, 8, 40), (ElementRange{static_cast<size_t>(BitReversed(rank, 8)) * 5, 5}));
  }
}

TEST(Schedule, OneRank_ExchangesNothing) {
  Schedule schedule{{}};
  DoublingSchedule(0, 1, 10, schedule);
  EXPECT_TRUE(schedule.empty());
  HalvingDoublingSchedule(0, 1, 10, schedule);
  EXPECT_TRUE(schedule.empty());
  AllGatherSchedule(0, 1, 10, schedule);
  EXPECT_TRUE(schedule.empty());
  BroadcastSchedule(0, 1, 0, 10, schedule);
  EXPECT_TRUE(schedule.empty());
  BarrierSchedule(0, 1, schedule);
  EXPECT_TRUE(schedule.empty());
}

TEST(Schedule, Broadcast_IsABinomialTreeFromItsRoot) {
  Schedule schedule;
  BroadcastSchedule(/*rank=*/2, /*size=*/4, /*root=*/2, 6, schedule);
  EXPECT_THAT(schedule,
              ElementsAre(ExchangeStep{.send_to = 3, .send = {0, 6}}, ExchangeStep{.send_to = 0, .send = {0, 6}}));
  BroadcastSchedule(/*rank=*/1, /*size=*/4, /*root=*/2, 6, schedule);
  EXPECT_THAT(schedule, ElementsAre(ExchangeStep{.recv_from = 3, .recv = {0, 6}}));
}

// Every rank's elements as texts; a sum is "(a+b)", smaller text first, so equal trees are equal texts.
using Symbols = std::vector<std::string>;

std::string Sum(const std::string& a, const std::string& b) {
  return "(" + std::min(a, b) + "+" + std::max(a, b) + ")";
}

// Carries schedules out with messages in flight, in any order the schedules allow. Fails if they wait for each other.
void CarryOut(const std::vector<Schedule>& schedules, std::vector<Symbols>& data) {
  const int size = static_cast<int>(schedules.size());
  std::map<std::pair<int, int>, std::deque<Symbols>> wire;
  std::vector<size_t> next(size);
  std::vector<bool> has_sent(size);
  for (bool moved = true; moved;) {
    moved = false;
    for (int rank = 0; rank < size; ++rank) {
      if (next[rank] == schedules[rank].size()) continue;
      const ExchangeStep& step = schedules[rank][next[rank]];
      if (!has_sent[rank]) {
        if (step.send_to >= 0) {
          const auto begin = data[rank].begin() + step.send.begin;
          wire[{rank, step.send_to}].emplace_back(begin, begin + step.send.count);
        }
        has_sent[rank] = moved = true;
      }
      if (step.recv_from >= 0) {
        std::deque<Symbols>& inbox = wire[{step.recv_from, rank}];
        if (inbox.empty()) continue;
        const Symbols message = inbox.front();
        inbox.pop_front();
        ASSERT_EQ(message.size(), step.recv.count);
        for (size_t i = 0; i < message.size(); ++i) {
          std::string& element = data[rank].at(step.recv.begin + i);
          element = step.action == StepAction::kAdd ? Sum(element, message[i]) : message[i];
        }
      }
      ++next[rank];
      has_sent[rank] = false;
      moved = true;
    }
  }
  for (int rank = 0; rank < size; ++rank) ASSERT_EQ(next[rank], schedules[rank].size()) << "rank " << rank << " waits";
  for (const auto& [pair, messages] : wire) ASSERT_TRUE(messages.empty()) << pair.first << " to " << pair.second;
}

// Element i of rank r is "r.i".
std::string Element(int rank, size_t i) { return std::to_string(rank) + "." + std::to_string(i); }

std::vector<Symbols> Operands(int size, size_t count) {
  std::vector<Symbols> data(size, Symbols(count));
  for (int rank = 0; rank < size; ++rank) {
    for (size_t i = 0; i < count; ++i) data[rank][i] = Element(rank, i);
  }
  return data;
}

// The canonical tree over ranks [first, first + count) of element i.
std::string Tree(int first, int count, size_t i) {
  return count == 1 ? Element(first, i) : Sum(Tree(first, count / 2, i), Tree(first + count / 2, count / 2, i));
}

template <typename Make>
std::vector<Schedule> ForAllRanks(int size, Make make) {
  std::vector<Schedule> schedules(size);
  for (int rank = 0; rank < size; ++rank) make(rank, schedules[rank]);
  return schedules;
}

TEST(Schedule, AllReduces_FormTheCanonicalTree) {
  for (const int size : {1, 2, 4, 8, 16}) {
    for (const size_t count : {0, 1, 7, 16, 37}) {
      for (const bool halving : {false, true}) {
        std::vector<Symbols> data = Operands(size, count);
        CarryOut(ForAllRanks(size,
                             [&](int rank, Schedule& schedule) {
                               (halving ? HalvingDoublingSchedule : DoublingSchedule)(rank, size, count, schedule);
                             }),
                 data);
        for (int rank = 0; rank < size; ++rank) {
          for (size_t i = 0; i < count; ++i) ASSERT_EQ(data[rank][i], Tree(0, size, i));
        }
      }
    }
  }
}

TEST(Schedule, Halving_LeavesEachSegmentSummedAtItsOwner) {
  for (const int size : {1, 2, 4, 8}) {
    const size_t count = 29;
    std::vector<Symbols> data = Operands(size, count);
    CarryOut(ForAllRanks(size, [&](int rank, Schedule& schedule) { HalvingSchedule(rank, size, count, schedule); }),
             data);
    size_t covered = 0;
    for (int rank = 0; rank < size; ++rank) {
      const ElementRange segment = HalvingSegment(rank, size, count);
      covered += segment.count;
      for (size_t i = 0; i < segment.count; ++i) {
        ASSERT_EQ(data[rank][segment.begin + i], Tree(0, size, segment.begin + i));
      }
    }
    EXPECT_EQ(covered, count);
  }
}

TEST(Schedule, AllGather_BringsEveryBlockToEveryRank) {
  for (const int size : {1, 2, 3, 4, 5, 7, 8, 12}) {
    const size_t count = 3;
    std::vector<Symbols> data(size, Symbols(size * count, "?"));
    for (int rank = 0; rank < size; ++rank) {
      for (size_t i = 0; i < count; ++i) data[rank][rank * count + i] = Element(rank, i);
    }
    CarryOut(ForAllRanks(size, [&](int rank, Schedule& schedule) { AllGatherSchedule(rank, size, count, schedule); }),
             data);
    for (int rank = 0; rank < size; ++rank) {
      for (size_t i = 0; i < size * count; ++i) {
        ASSERT_EQ(data[rank][i], Element(static_cast<int>(i / count), i % count));
      }
    }
  }
}

TEST(Schedule, Broadcast_ReachesEveryRankFromEveryRoot) {
  for (int size = 1; size <= 9; ++size) {
    for (int root = 0; root < size; ++root) {
      std::vector<Symbols> data(size, Symbols(2, "?"));
      data[root] = {"a", "b"};
      CarryOut(ForAllRanks(size, [&](int rank, Schedule& s) { BroadcastSchedule(rank, size, root, 2, s); }), data);
      for (int rank = 0; rank < size; ++rank) ASSERT_THAT(data[rank], ElementsAre("a", "b"));
    }
  }
}

// A rank of a ring talks to its neighbours alone.
void ExpectNeighboursOnly(const std::vector<Schedule>& schedules) {
  const int size = static_cast<int>(schedules.size());
  for (int rank = 0; rank < size; ++rank) {
    for (const ExchangeStep& step : schedules[rank]) {
      for (const int peer : {step.send_to, step.recv_from}) {
        if (peer < 0) continue;
        const int distance = (peer - rank + size) % size;
        ASSERT_TRUE(distance == 1 || distance == size - 1) << rank << " of " << size << " and " << peer;
      }
    }
  }
}

TEST(RingSchedule, AllGather_BringsEverySegmentToEveryRankByNeighbours) {
  for (const int size : {1, 2, 3, 4, 5, 8, 16}) {
    for (const size_t count : {0, 1, 7, 48}) {
      std::vector<Symbols> data(size, Symbols(count, "?"));
      for (int rank = 0; rank < size; ++rank) {
        const ElementRange own = RingSegment(rank, size, count);
        for (size_t i = own.begin; i < own.begin + own.count; ++i) data[rank][i] = std::to_string(i);
      }
      const auto schedules =
          ForAllRanks(size, [&](int rank, Schedule& s) { RingAllGatherSchedule(rank, size, count, s); });
      ExpectNeighboursOnly(schedules);
      CarryOut(schedules, data);
      for (int rank = 0; rank < size; ++rank) {
        for (size_t i = 0; i < count; ++i) ASSERT_EQ(data[rank][i], std::to_string(i));
      }
    }
  }
}

TEST(RingSchedule, Broadcast_ReachesEveryRankFromEveryRootByNeighbours) {
  for (int size = 1; size <= 9; ++size) {
    for (int root = 0; root < size; ++root) {
      for (const size_t count : {0, 1, 2, 5}) {
        std::vector<Symbols> data(size, Symbols(count, "?"));
        for (size_t i = 0; i < count; ++i) data[root][i] = std::to_string(i);
        const auto schedules =
            ForAllRanks(size, [&](int rank, Schedule& s) { RingBroadcastSchedule(rank, size, root, count, 2, s); });
        ExpectNeighboursOnly(schedules);
        CarryOut(schedules, data);
        for (int rank = 0; rank < size; ++rank) {
          for (size_t i = 0; i < count; ++i) ASSERT_EQ(data[rank][i], std::to_string(i));
        }
      }
    }
  }
}

TEST(RingSchedule, Segments_CoverAllOnceAndDifferByOneAtMost) {
  for (const int size : {1, 2, 4, 16}) {
    for (const size_t count : {0, 1, 15, 16, 1009}) {
      size_t end = 0;
      for (int rank = 0; rank < size; ++rank) {
        const ElementRange segment = RingSegment(rank, size, count);
        EXPECT_EQ(segment.begin, end);
        EXPECT_LE(segment.count - count / size, 1u);
        end += segment.count;
      }
      EXPECT_EQ(end, count);
    }
  }
}

TEST(RingSchedule, ArmBlocks_AreWholeSubtreesAsSoonAsTheyCanBe) {
  struct Case {
    int first, length, direction, size;
    std::vector<TreeBlock> blocks;
  };
  const Case cases[] = {
      {3, 4, 1, 8, {{3, 1}, {4, 2}, {6, 1}}}, {0, 4, 1, 8, {{0, 4}}},          {6, 4, 1, 8, {{6, 2}, {0, 2}}},
      {7, 3, 1, 8, {{7, 1}, {0, 2}}},         {2, 3, -1, 8, {{2, 1}, {0, 2}}}, {0, 3, -1, 8, {{0, 1}, {6, 2}}},
      {3, 2, 1, 4, {{3, 1}, {0, 1}}},         {1, 1, 1, 2, {{1, 1}}},          {5, 0, -1, 16, {}},
  };
  std::vector<TreeBlock> blocks;
  for (const Case& of : cases) {
    ArmBlocks(of.first, of.length, of.direction, of.size, blocks);
    EXPECT_EQ(blocks, of.blocks) << of.first << " " << of.length << " " << of.direction << " " << of.size;
  }
}

// No more partial sums travel at a time than the tree has levels.
TEST(RingSchedule, ArmBlocks_AreAtMostTheLevelsOfTheTree) {
  for (int size = 2, levels = 1; size <= 16; size *= 2, ++levels) {
    std::vector<TreeBlock> blocks;
    for (int first = 0; first < size; ++first) {
      for (int length = 1; length <= size / 2; ++length) {
        for (const int direction : {1, -1}) {
          ArmBlocks(first, length, direction, size, blocks);
          EXPECT_LE(blocks.size(), static_cast<size_t>(levels));
        }
      }
    }
  }
}

// With a set of heard-of ranks as the one element, a barrier's messages must spread all of them.
TEST(Schedule, Barrier_EveryRankHearsOfEveryOther) {
  for (int size = 1; size <= 9; ++size) {
    std::vector<Schedule> schedules = ForAllRanks(size, [&](int rank, Schedule& s) { BarrierSchedule(rank, size, s); });
    std::vector<std::vector<bool>> heard(size, std::vector<bool>(size));
    for (int rank = 0; rank < size; ++rank) heard[rank][rank] = true;
    for (size_t step = 0; step < schedules[0].size(); ++step) {
      const auto before = heard;
      for (int rank = 0; rank < size; ++rank) {
        const int from = schedules[rank][step].recv_from;
        ASSERT_EQ(schedules[from][step].send_to, rank);
        for (int other = 0; other < size; ++other) heard[rank][other] = heard[rank][other] || before[from][other];
      }
    }
    for (int rank = 0; rank < size; ++rank) ASSERT_THAT(heard[rank], ::testing::Each(true)) << rank << " of " << size;
  }
}

}  // namespace
}  // namespace mrs
