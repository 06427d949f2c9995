#include "runtime/rank/cuda/nccl_sum.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "plans/nccl_memory.h"

namespace mrs {
namespace {

constexpr int64_t kWorkspace = int64_t{8} << 20;  // floats, as a plan has

TEST(NcclSum, IsInSharesWhereThatSavesEnough) {
  struct Row {
    int64_t ranks, left;
    SumPiece piece;
  };
  const Row rows[] = {
      {1, 1 << 20, {1 << 20, false}}, {2, 1 << 20, {1 << 20, false}},  // as much either way
      {2, 1 << 24, {1 << 22, false}}, {3, 393215, {393215, false}},
      {3, 393216, {393216, true}},                                  // 1.5 MiB, of which 1 MiB is saved
      {4, 174752, {174752, false}},   {4, 174768, {174768, true}},  // 683 KiB
      {4, 174783, {174768, true}},    {8, 49920, {49920, false}},
      {8, 49952, {49952, true}},  // 195 KiB
      {8, 8192, {8192, false}},   // a row of a decode
      {8, 1 << 24, {1 << 23, true}},  {16, 1 << 23, {1 << 23, true}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(::testing::Message() << row.ranks << " ranks, " << row.left);
    const SumPiece piece =
        NextPiece({.ranks = row.ranks, .workspace_floats = kWorkspace, .has_shares = true}, row.left);
    EXPECT_EQ(piece.count, row.piece.count);
    EXPECT_EQ(piece.in_shares, row.piece.in_shares);
    EXPECT_FALSE(NextPiece({.ranks = row.ranks, .workspace_floats = kWorkspace}, row.left).in_shares);
  }
}

// Of any size, and where all that can be is in shares: the pieces are the sum, and fit.
TEST(NcclSum, PiecesAreTheSum) {
  for (const int64_t ranks : {1, 2, 3, 4, 7, 8, 16, 64}) {
    for (const int64_t workspace : {64, 1000, 1024, 5000}) {
      for (const int64_t least : {int64_t{0}, int64_t{3000}, kLeastSavedBytes}) {
        const NcclSums of = {.ranks = ranks, .workspace_floats = workspace, .has_shares = true, .least_saved = least};
        for (const int64_t count : {1, 3, 4, 15, 16, 17, 63, 64, 127, 128, 257, 1021, 9973}) {
          SCOPED_TRACE(::testing::Message() << ranks << " ranks, " << workspace << ", " << least << ", " << count);
          int64_t done = 0;
          bool was_whole = false;
          while (done < count) {
            const SumPiece piece = NextPiece(of, count - done);
            if (piece.count == 0) break;
            ASSERT_LE(piece.count, count - done);
            if (piece.in_shares) {
              EXPECT_GT(ranks, 2);
              EXPECT_FALSE(was_whole);
              EXPECT_EQ(piece.count % (4 * ranks), 0);  // 16 bytes a share
              EXPECT_LE(piece.count, workspace);
              EXPECT_GE(SavedBytes(piece.count, ranks), least);
            } else {
              EXPECT_LE(piece.count * ranks, workspace);
            }
            was_whole = !piece.in_shares;
            if (done + piece.count < count) {
              EXPECT_TRUE(piece.count % 64 == 0 || piece.in_shares);
            }
            done += piece.count;
          }
          EXPECT_EQ(done, workspace >= 64 * ranks ? count : 0);
        }
      }
    }
  }
}

TEST(NcclSum, WhatIsSavedIsWhatComesFewer) {
  for (const int64_t ranks : {1, 2, 3, 4, 8}) {
    const int64_t count = 840, bytes = count * 4;
    EXPECT_EQ(SavedBytes(count, ranks), (ranks - 1) * bytes - 2 * (ranks - 1) * bytes / ranks) << ranks;
  }
}

TEST(NcclSum, IsToldHowMuch) {
  EXPECT_EQ(*LeastSavedBytes(), kLeastSavedBytes);
  setenv("MRS_NCCL_LEAST_SAVED", "0", 1);
  EXPECT_EQ(*LeastSavedBytes(), 0);
  setenv("MRS_NCCL_LEAST_SAVED", "4096", 1);
  EXPECT_EQ(*LeastSavedBytes(), 4096);
  for (const char* const text : {"1MiB", "-1", "x", "99999999999999999999"}) {
    setenv("MRS_NCCL_LEAST_SAVED", text, 1);
    const Result<int64_t> told = LeastSavedBytes();
    ASSERT_FALSE(told.ok());
    EXPECT_EQ(told.message(), std::string("MRS_NCCL_LEAST_SAVED is '") + text +
                                  "', expected bytes: a sum goes in two steps where that saves a rank as many");
  }
  unsetenv("MRS_NCCL_LEAST_SAVED");
}

// A plan of before counted rings alone: its sums stay whole.
TEST(NcclMemory, IsCountedForSharesOrNot) {
  constexpr int64_t kChannel = 4194304 + 524288 + 4915200;
  EXPECT_EQ(NcclBytes({.tp = 1}), 0);
  EXPECT_EQ(NcclBytes({.tp = 2}), 32 * kChannel);
  EXPECT_EQ(NcclBytes({.tp = 4}), 32 * kChannel + 3 * 4 * kChannel);
  EXPECT_EQ(NcclBytes({.tp = 4, .first = false, .last = false}), NcclBytes({.tp = 4}) + 2 * 32 * 4194304);
  EXPECT_EQ(NcclBytes({.tp = 1, .last = false}), 32 * 4194304);
  for (const bool first : {true, false}) {
    const NcclRank rank = {.tp = 4, .first = first};
    EXPECT_TRUE(CountsNcclShares(NcclBytes(rank), rank));
    EXPECT_FALSE(CountsNcclShares(NcclBytes(rank) - 1, rank));
    EXPECT_FALSE(CountsNcclShares(NcclBytes(rank) - NcclSharesBytes(4), rank));
  }
  for (const int64_t tp : {1, 2}) EXPECT_FALSE(CountsNcclShares(int64_t{1} << 40, {.tp = tp}));
}

}  // namespace
}  // namespace mrs
