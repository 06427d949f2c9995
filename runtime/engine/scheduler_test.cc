#include "runtime/engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "plans/contract.h"

namespace mrs {
namespace {

SchedulerLimits Limits(uint32_t tokens, uint32_t chunk) {
  return {
      .max_seqs = 4, .tokens = tokens, .sequences = 4, .logit_rows = 4, .chunk = chunk, .kv = {{.block_count = 16}}};
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
  scheduler.Append(1);
  scheduler.Add(2, 20, 5);
  forward = scheduler.Next();
  EXPECT_EQ(forward.admitted, std::vector<RequestId>{2});
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 1, 1, true}, {2, 0, 6, false}}));
}

TEST(Scheduler, NobodyOvertakesWhoWaitsForBlocks) {
  Scheduler scheduler(
      {.max_seqs = 4, .tokens = 64, .sequences = 4, .logit_rows = 4, .chunk = 64, .kv = {{.block_count = 4}}});
  scheduler.Add(1, 64, 32);  // 3 blocks
  scheduler.Add(2, 32, 32);  // 2 blocks: must wait
  scheduler.Add(3, 8, 8);    // 1 block: would fit, but came later
  EXPECT_EQ(scheduler.Next().admitted, std::vector<RequestId>{1});
  EXPECT_TRUE(scheduler.Next().admitted.empty());
  scheduler.Remove(1);
  EXPECT_EQ(scheduler.Next().admitted, (std::vector<RequestId>{2, 3}));
  EXPECT_EQ(scheduler.free_block_count(0), 1u);
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
  EXPECT_EQ(scheduler.free_block_count(0), 16u);
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
  scheduler.Add(2, 20, 5);
  forward = scheduler.Next();  // one token each first, and the rest to whose turn it is
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 8, 7, false}, {2, 0, 1, false}}));
  forward = scheduler.Next();
  EXPECT_EQ(forward.pieces, (std::vector<Piece>{{1, 15, 5, true}, {2, 1, 3, false}}));
}

// Full attention, and a window whose rings have three blocks.
SchedulerLimits TwoSpaces(uint32_t full_blocks, uint32_t ring_blocks) {
  return {.max_seqs = 4,
          .tokens = 64,
          .sequences = 4,
          .logit_rows = 4,
          .chunk = 64,
          .kv = {{.block_count = full_blocks}, {.block_count = ring_blocks, .sequence_blocks = 3}}};
}

TEST(Scheduler, ALongSequenceHoldsNoMoreThanItsRing) {
  struct Case {
    uint32_t prompt, max_tokens;
    size_t full, ring;
  };
  for (const Case& c :
       {Case{1, 1, 1, 1}, Case{64, 1, 3, 3}, Case{96, 0, 3, 3}, Case{96, 1, 4, 3}, Case{400, 100, 16, 3}}) {
    Scheduler scheduler(TwoSpaces(16, 8));
    scheduler.Add(1, c.prompt, c.max_tokens);
    ASSERT_EQ(scheduler.Next().admitted.size(), 1u);
    EXPECT_EQ(scheduler.blocks(1, 0).size(), c.full) << c.prompt;
    EXPECT_EQ(scheduler.blocks(1, 1).size(), c.ring) << c.prompt;
    EXPECT_EQ(scheduler.free_block_count(0), 16 - c.full);
    EXPECT_EQ(scheduler.free_block_count(1), 8 - c.ring);
    scheduler.Remove(1);
    EXPECT_EQ(scheduler.free_block_count(0), 16u);
    EXPECT_EQ(scheduler.free_block_count(1), 8u);
  }
}

TEST(Scheduler, AdmissionNeedsBlocksOfEverySpace) {
  struct Case {
    uint32_t full, ring, admitted;
  };
  for (const auto [full, ring, admitted] : {Case{32, 6, 2}, Case{32, 5, 1}, Case{9, 6, 1}, Case{10, 6, 2}}) {
    Scheduler scheduler(TwoSpaces(full, ring));
    for (RequestId id = 1; id <= 3; ++id) scheduler.Add(id, 150, 10);  // five blocks, and a ring of three
    EXPECT_EQ(scheduler.Next().admitted.size(), admitted) << full << " and " << ring;
    EXPECT_EQ(scheduler.free_block_count(0), full - 5 * admitted);
    EXPECT_EQ(scheduler.free_block_count(1), ring - 3 * admitted) << "none is kept for who waits";
  }
  EXPECT_TRUE(Scheduler(TwoSpaces(5, 3)).Fits(150, 10));
  EXPECT_FALSE(Scheduler(TwoSpaces(4, 3)).Fits(150, 10));
  EXPECT_FALSE(Scheduler(TwoSpaces(5, 2)).Fits(150, 10));
}

TEST(Scheduler, SplitsTheRunningOverAsManyForwardsAsMayBeUnderWay) {
  struct Case {
    uint32_t under_way, running;
    std::vector<size_t> sizes;  // of the forwards until all wait for a token
  };
  const Case cases[] = {{1, 4, {4}}, {2, 4, {2, 2}}, {2, 3, {2, 1}}, {4, 4, {1, 1, 1, 1}}, {4, 2, {1, 1}}, {2, 1, {1}}};
  for (const Case& c : cases) {
    SchedulerLimits limits = Limits(8, 4);
    limits.under_way = c.under_way;
    Scheduler scheduler(limits);
    for (RequestId id = 1; id <= c.running; ++id) scheduler.Add(id, 1, 9);
    for (int round = 0; round < 3; ++round) {
      std::vector<size_t> sizes;
      std::set<RequestId> served;
      for (Forward forward = scheduler.Next(); !forward.pieces.empty(); forward = scheduler.Next()) {
        sizes.push_back(forward.pieces.size());
        for (const Piece& piece : forward.pieces) EXPECT_TRUE(served.insert(piece.id).second) << "twice: " << piece.id;
      }
      EXPECT_EQ(sizes, c.sizes) << c.under_way << " under way, " << c.running << " running";
      EXPECT_EQ(served.size(), c.running);
      for (const RequestId id : served) scheduler.Append(id);
    }
  }
}

TEST(Scheduler, ChunksOfOnePromptFollowEachOther) {
  SchedulerLimits limits = Limits(8, 4);
  limits.under_way = 3;
  Scheduler scheduler(limits);
  scheduler.Add(7, 10, 5);
  for (const Piece& piece : {Piece{7, 0, 4, false}, Piece{7, 4, 4, false}, Piece{7, 8, 2, true}}) {
    EXPECT_EQ(scheduler.Next().pieces, std::vector<Piece>{piece});
  }
  EXPECT_TRUE(scheduler.Next().pieces.empty()) << "its next token is not known yet";
}

// One token a forward, so who gets it is whose turn it is. Each is served once, in order, then `removed` leaves.
RequestId TurnAfter(const std::vector<RequestId>& served, RequestId removed) {
  Scheduler scheduler(Limits(1, 1));
  for (RequestId id = 1; id <= 3; ++id) scheduler.Add(id, 30, 5);
  for (const RequestId id : served) {
    const Forward forward = scheduler.Next();
    EXPECT_EQ(forward.pieces.at(0).id, id);
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

// Prompts need no logit row, and must not take the turn from those that wait for one.
TEST(Scheduler, NobodyWaitsForeverForALogitRow) {
  SchedulerLimits limits = Limits(16, 4);
  limits.logit_rows = 1;
  Scheduler scheduler(limits);
  scheduler.Add(1, 1, 30);
  scheduler.Add(2, 1, 30);
  scheduler.Add(3, 200, 1);
  std::map<RequestId, int> served;
  for (int i = 0; i < 10; ++i) {
    for (const Piece& piece : scheduler.Next().pieces) {
      ++served[piece.id];
      if (piece.wants_logits) scheduler.Append(piece.id);
    }
  }
  EXPECT_EQ(served, (std::map<RequestId, int>{{1, 5}, {2, 5}, {3, 10}}));
}

// Whatever comes, in any limits: bounds hold, tokens go in order, blocks are disjoint, and everyone ends.
TEST(Scheduler, KeepsItsPromisesOnRandomLoads) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](uint32_t low, uint32_t high) -> uint32_t {
      return low + static_cast<uint32_t>(random() % (high - low + 1));
    };
    const SchedulerLimits limits{
        .max_seqs = pick(1, 5),
        .tokens = pick(1, 20),
        .sequences = pick(1, 5),
        .logit_rows = pick(1, 5),
        .chunk = pick(1, 9),
        .kv = {{.block_count = pick(4, 12)}, {.block_count = pick(2, 9), .sequence_blocks = 2}},
        .under_way = pick(1, 3)};
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
      std::set<int32_t> blocks[2];
      size_t block_counts[2] = {};
      for (const Piece& piece : forward.pieces) {
        Open& of = open.at(piece.id);
        ASSERT_EQ(piece.begin, of.cached);
        ASSERT_LE(piece.count, std::max(1u, limits.chunk));
        ASSERT_LE(piece.begin + piece.count, of.known);
        ASSERT_EQ(piece.wants_logits, piece.begin + piece.count == of.known);
        ASSERT_GE(scheduler.blocks(piece.id, 0).size() * contract::kBlockTokens, of.known + of.left);
        ASSERT_LE(scheduler.blocks(piece.id, 1).size(), 2u);
        for (size_t space = 0; space < 2; ++space) {
          const std::vector<int32_t>& own = scheduler.blocks(piece.id, space);
          blocks[space].insert(own.begin(), own.end());
          block_counts[space] += own.size();
        }
        of.cached += piece.count;
        tokens += piece.count;
        rows += piece.wants_logits;
      }
      for (size_t space = 0; space < 2; ++space) ASSERT_EQ(blocks[space].size(), block_counts[space]);
      ASSERT_LE(tokens, limits.tokens);
      ASSERT_LE(rows, limits.logit_rows);
      ASSERT_LE(forward.pieces.size(), limits.sequences);
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
    for (size_t space = 0; space < 2; ++space) {
      EXPECT_EQ(scheduler.free_block_count(space), limits.kv[space].block_count);
    }
  }
}

}  // namespace
}  // namespace mrs
