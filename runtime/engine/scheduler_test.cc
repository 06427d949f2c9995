#include "runtime/engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace mrs {
namespace {

SchedulerLimits Limits(uint32_t tokens, uint32_t chunk) {
  return {.max_seqs = 4, .tokens = tokens, .sequences = 4, .logit_rows = 4, .chunk = chunk, .block_count = 16};
}

TEST(BlockAllocator, GivesLowestFirstAndTakesBack) {
  BlockAllocator blocks(3);
  EXPECT_EQ(blocks.Take(2), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(blocks.Take(2), std::nullopt);
  EXPECT_EQ(blocks.free_count(), 1u);
  EXPECT_EQ(blocks.Take(0), std::vector<int32_t>{});
  blocks.GiveBack({0, 1});
  EXPECT_EQ(blocks.Take(3), (std::vector<int32_t>{0, 1, 2}));
}

TEST(BlockAllocator, CountsBlocksForTokens) {
  EXPECT_EQ(KvBlocksFor(0), 0u);
  EXPECT_EQ(KvBlocksFor(1), 1u);
  EXPECT_EQ(KvBlocksFor(32), 1u);
  EXPECT_EQ(KvBlocksFor(33), 2u);
}

TEST(BlockAllocatorDeathTest, RefusesABlockThatIsNotOut) {
  BlockAllocator blocks(2);
  EXPECT_DEATH(blocks.GiveBack({1}), "internal error");
}

TEST(Scheduler, CutsAPromptIntoChunksThenDecodes) {
  Scheduler scheduler(Limits(8, 4));
  scheduler.Add(7, 10, 5);
  const Piece expected[] = {{7, 0, 4, false}, {7, 4, 4, false}, {7, 8, 2, true}};
  for (const Piece& piece : expected) {
    const Forward forward = scheduler.Next();
    ASSERT_EQ(forward.pieces, std::vector<Piece>{piece});
    scheduler.Done(forward);
  }
  EXPECT_TRUE(scheduler.Next().pieces.empty()) << "nothing to do before a token is sampled";
  scheduler.Append(7);
  EXPECT_EQ(scheduler.Next().pieces, (std::vector<Piece>{{7, 10, 1, true}}));
}

TEST(Scheduler, MixesDecodesAndPromptChunks) {
  Scheduler scheduler(Limits(8, 6));
  scheduler.Add(1, 1, 5);
  Forward forward = scheduler.Next();
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 0, 1, true}}));
  scheduler.Done(forward);
  scheduler.Append(1);
  scheduler.Add(2, 20, 5);
  forward = scheduler.Next();
  EXPECT_EQ(forward.admitted, std::vector<RequestId>{2});
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 1, 1, true}, {2, 0, 6, false}}));
}

TEST(Scheduler, NobodyOvertakesWhoWaitsForBlocks) {
  Scheduler scheduler({.max_seqs = 4, .tokens = 64, .sequences = 4, .logit_rows = 4, .chunk = 64, .block_count = 4});
  scheduler.Add(1, 64, 32);  // 3 blocks
  scheduler.Add(2, 32, 32);  // 2 blocks: must wait
  scheduler.Add(3, 8, 8);    // 1 block: would fit, but came later
  EXPECT_EQ(scheduler.Next().admitted, std::vector<RequestId>{1});
  EXPECT_TRUE(scheduler.Next().admitted.empty());
  scheduler.Remove(1);
  EXPECT_EQ(scheduler.Next().admitted, (std::vector<RequestId>{2, 3}));
  EXPECT_EQ(scheduler.free_block_count(), 1u);
}

TEST(Scheduler, RemovingFreesBlocksWaitingOrRunning) {
  Scheduler scheduler(Limits(8, 4));
  for (RequestId id = 1; id <= 6; ++id) scheduler.Add(id, 4, 4);
  EXPECT_EQ(scheduler.Next().admitted.size(), 4u);
  EXPECT_EQ(scheduler.waiting_count(), 2u);
  scheduler.Remove(5);
  scheduler.Remove(1);
  scheduler.Remove(99);
  EXPECT_EQ(scheduler.Next().admitted, std::vector<RequestId>{6});
  for (RequestId id = 2; id <= 6; ++id) scheduler.Remove(id);
  EXPECT_EQ(scheduler.free_block_count(), 16u);
}

TEST(Scheduler, KnowsWhatCanNeverRun) {
  const Scheduler scheduler(Limits(8, 4));
  EXPECT_TRUE(scheduler.Fits(16 * 32 - 1, 1));
  EXPECT_FALSE(scheduler.Fits(16 * 32, 1));
  EXPECT_FALSE(scheduler.Fits(UINT32_MAX, UINT32_MAX));
}

TEST(Scheduler, EveryoneAdvancesWhereABucketIsSmallerThanTheSeats) {
  Scheduler scheduler(Limits(3, 4));
  for (RequestId id = 1; id <= 4; ++id) scheduler.Add(id, 3, 8);
  std::map<RequestId, int> served;
  for (int i = 0; i < 4; ++i) {
    const Forward forward = scheduler.Next();
    for (const Piece& piece : forward.pieces) ++served[piece.id];
    scheduler.Done(forward);
    for (const Piece& piece : forward.pieces) {
      if (piece.wants_logits) scheduler.Append(piece.id);
    }
  }
  for (RequestId id = 1; id <= 4; ++id) EXPECT_EQ(served[id], 3) << id;
}

TEST(Scheduler, FillsABucketToTheLastToken) {
  Scheduler scheduler(Limits(8, 64));
  scheduler.Add(1, 20, 5);
  Forward forward = scheduler.Next();
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 0, 8, false}}));
  scheduler.Done(forward);
  scheduler.Add(2, 20, 5);
  forward = scheduler.Next();  // one token each first, and the rest to whose turn it is
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 8, 7, false}, {2, 0, 1, false}}));
  scheduler.Done(forward);
  forward = scheduler.Next();
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 15, 5, true}, {2, 1, 3, false}}));
}

// One token a forward, so who gets it is whose turn it is. Each is served once, in order, then `removed` leaves.
RequestId TurnAfter(const std::vector<RequestId>& served, RequestId removed) {
  Scheduler scheduler(Limits(1, 1));
  for (RequestId id = 1; id <= 3; ++id) scheduler.Add(id, 30, 5);
  for (const RequestId id : served) {
    const Forward forward = scheduler.Next();
    EXPECT_EQ(forward.pieces.at(0).id, id);
    scheduler.Done(forward);
  }
  scheduler.Remove(removed);
  return scheduler.Next().pieces.at(0).id;
}

TEST(Scheduler, TheTurnIsTheSameAfterARemoval) {
  EXPECT_EQ(TurnAfter({1}, 1), 2u);  // one before whose turn it is leaves
  EXPECT_EQ(TurnAfter({1, 2}, 1), 3u);
  EXPECT_EQ(TurnAfter({1}, 2), 3u);     // whose turn it is leaves
  EXPECT_EQ(TurnAfter({1, 2}, 3), 1u);  // the last, and the first is next
  EXPECT_EQ(TurnAfter({1}, 3), 2u);     // one after it leaves
  EXPECT_EQ(TurnAfter({1, 2, 3}, 2), 1u);
}

// Whatever comes, in any limits: bounds hold, tokens go in order, blocks are disjoint, and everyone ends.
TEST(Scheduler, KeepsItsPromisesOnRandomLoads) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](uint32_t low, uint32_t high) -> uint32_t {
      return low + static_cast<uint32_t>(random() % (high - low + 1));
    };
    const SchedulerLimits limits{.max_seqs = pick(1, 5),
                                 .tokens = pick(1, 20),
                                 .sequences = pick(1, 5),
                                 .logit_rows = pick(1, 5),
                                 .chunk = pick(1, 9),
                                 .block_count = pick(4, 12)};
    Scheduler scheduler(limits);
    struct Open {
      uint32_t prompt, left, known, cached;
    };
    std::map<RequestId, Open> open;
    RequestId next = 1;
    int finished = 0, guard = 0;
    const int total = 30;
    while (finished < total) {
      ASSERT_LT(++guard, 20000) << "no progress, seed " << seed;
      if (next <= total && random() % 3 == 0) {
        const Open request{pick(1, 70), pick(1, 40), 0, 0};
        scheduler.Add(next, request.prompt, request.left);
        open[next] = request;
        open[next].known = request.prompt;
        ++next;
      }
      const Forward forward = scheduler.Next();
      uint32_t tokens = 0, rows = 0;
      std::set<int32_t> blocks;
      size_t block_count = 0;
      for (const Piece& piece : forward.pieces) {
        Open& of = open.at(piece.id);
        ASSERT_EQ(piece.begin, of.cached);
        ASSERT_LE(piece.count, std::max(1u, limits.chunk));
        ASSERT_LE(piece.begin + piece.count, of.known);
        ASSERT_EQ(piece.wants_logits, piece.begin + piece.count == of.known);
        ASSERT_GE(scheduler.blocks(piece.id).size() * kKvBlockTokens, of.known + of.left);
        blocks.insert(scheduler.blocks(piece.id).begin(), scheduler.blocks(piece.id).end());
        block_count += scheduler.blocks(piece.id).size();
        of.cached += piece.count;
        tokens += piece.count;
        rows += piece.wants_logits;
      }
      ASSERT_EQ(blocks.size(), block_count);
      ASSERT_LE(tokens, limits.tokens);
      ASSERT_LE(rows, limits.logit_rows);
      ASSERT_LE(forward.pieces.size(), limits.sequences);
      scheduler.Done(forward);
      for (const Piece& piece : forward.pieces) {
        if (!piece.wants_logits) continue;
        Open& of = open.at(piece.id);
        if (--of.left == 0 || random() % 40 == 0) {
          scheduler.Remove(piece.id);
          ++finished;
        } else {
          scheduler.Append(piece.id);
          ++of.known;
        }
      }
    }
    EXPECT_EQ(scheduler.free_block_count(), limits.block_count);
  }
}

}  // namespace
}  // namespace mrs
