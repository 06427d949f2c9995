#include "runtime/rank/batch_bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace mrs {
namespace {

const BatchBounds kBounds{.tokens = 4,
                          .sequences = 2,
                          .logit_rows = 2,
                          .vocab = 67,
                          .max_len = 64,
                          .block_counts = {6, 3},
                          .table_stride = 2};

Batch GoodBatch() {
  return {
      .variant = Variant::kCandidates,
      .tokens = {0, 66, 5},
      .positions = {0, 63, 1},
      .sequence = {0, 1, 0},
      .logit_rows = {2, 0},
      .kv = {{.slots = {0, 191, 1}, .block_table = {0, 1, 5, 0}}, {.slots = {0, 95, 1}, .block_table = {0, 2, 1, 1}}},
      .table_stride = 2};
}

TEST(CheckBatch, AcceptsTheBounds) {
  EXPECT_TRUE(CheckBatch(kBounds, GoodBatch()).ok());
  Batch no_logits = GoodBatch();
  no_logits.logit_rows.clear();
  EXPECT_TRUE(CheckBatch(kBounds, no_logits).ok());
}

TEST(CheckBatch, RefusesWhatLeavesThePlan) {
  struct Case {
    std::function<void(Batch&)> spoil;
    const char* message;
  };
  const Case cases[] = {
      {[](Batch& b) { b.variant = static_cast<Variant>(7); },
       "batch: its variant is 7, it must be candidates or all_logits"},
      {[](Batch& b) { b.tokens.clear(); }, "batch: has no tokens; send at least one"},
      {[](Batch& b) { b.tokens.resize(5); },
       "batch: has 5 tokens, the plan runs at most 4; split it, or rebuild the plan for more"},
      {[](Batch& b) { b.kv.pop_back(); }, "batch: has slots and block tables of 1 spaces of KV blocks, the plan has 2"},
      {[](Batch& b) { b.kv[0].block_table.resize(6), b.kv[1].block_table.resize(6); },
       "batch: has 3 sequences, the plan runs at most 2; split it, or rebuild the plan for more"},
      {[](Batch& b) { b.logit_rows.resize(3); },
       "batch: has 3 logit rows, the plan runs at most 2; split it, or rebuild the plan for more"},
      {[](Batch& b) { b.table_stride = 0; }, "batch: its block table has 0 blocks a sequence, the plan 2"},
      {[](Batch& b) { b.kv[1].block_table.resize(3); }, "batch: its block table has 3 entries, no multiple of 2"},
      {[](Batch& b) { b.kv[1].block_table.resize(2); },
       "batch: one of its block tables is of 1 sequences, another of 2"},
      {[](Batch& b) { b.positions.pop_back(); }, "batch: has 2 positions for 3 tokens; send one a token"},
      {[](Batch& b) { b.sequence.pop_back(); }, "batch: has 2 sequence rows for 3 tokens; send one a token"},
      {[](Batch& b) { b.kv[1].slots.push_back(0); }, "batch: has 4 slots for 3 tokens; send one a token"},
      {[](Batch& b) { b.tokens[1] = 67; }, "batch: token 1 is 67, it must be in [0, 67)"},
      {[](Batch& b) { b.tokens[2] = -1; }, "batch: token 2 is -1, it must be in [0, 67)"},
      {[](Batch& b) { b.positions[0] = 64; }, "batch: position 0 is 64, it must be in [0, 64)"},
      {[](Batch& b) { b.sequence[0] = 2; }, "batch: sequence row 0 is 2, it must be in [0, 2)"},
      {[](Batch& b) { b.kv[0].slots[0] = 192; }, "batch: slot 0 is 192, it must be in [0, 192)"},
      {[](Batch& b) { b.kv[0].block_table[3] = 6; }, "batch: block table entry 3 is 6, it must be in [0, 6)"},
      {[](Batch& b) { b.kv[1].slots[1] = 96; }, "batch: slot 1 is 96, it must be in [0, 96)"},
      {[](Batch& b) { b.kv[1].block_table[1] = 3; }, "batch: block table entry 1 is 3, it must be in [0, 3)"},
      {[](Batch& b) { b.logit_rows[1] = 3; }, "batch: logit row 1 is 3, it must be in [0, 3)"},
  };
  for (const Case& c : cases) {
    Batch batch = GoodBatch();
    c.spoil(batch);
    const Status status = CheckBatch(kBounds, batch);
    ASSERT_FALSE(status.ok()) << c.message;
    EXPECT_EQ(status.message(), c.message);
    EXPECT_EQ(status.error().kind, ErrorKind::kRefused);
  }
}

}  // namespace
}  // namespace mrs
