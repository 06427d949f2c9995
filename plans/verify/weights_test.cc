// One test a rule of weights: arena, sources and coverage: each breaks exactly that rule of a valid plan.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <utility>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

TEST(Verify, RejectsWeightOfNoRows) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.q").mutate_n(0);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': n is 0, expected 1 to 2147483648");
}

TEST(Verify, RejectsWeightOfOtherType) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.q").mutate_dtype(DType::f32);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': is f32, but numerics.weight_dtype is bf16");
}

TEST(Verify, RejectsDenseVectorOfBf16) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "norm").mutate_dtype(DType::bf16);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': a dense vector is f32, not bf16");
}

TEST(Verify, RejectsDenseVectorWithChunks) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "norm").mutate_chunk_count(1);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': a dense vector has no chunks, here are 1 (of 0) by 0");
}

TEST(Verify, RejectsThreeChunks) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_chunk_count(3);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': has 3 chunks of 4, expected powers of two up to 16");
}

TEST(Verify, RejectsThirtyTwoChunks) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_chunk_count_global(32);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': has 2 chunks of 32, expected powers of two up to 16");
}

TEST(Verify, RejectsChunkOfNothing) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_chunk_k(0);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': has 4 chunks of 0 elements, expected 1 to 2147483648 in all");
}

TEST(Verify, RejectsHugeChunk) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_chunk_k(uint64_t{1} << 63);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.o': has 4 chunks of 9223372036854775808 elements, expected 1 to 2147483648 in all");
}

TEST(Verify, RejectsBytesUnlikeTheShape) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_bytes(4095);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': has 4095 bytes, its shape needs 4096");
}

TEST(Verify, RejectsUnalignedWeight) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_offset(51521);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': its offset 51521 is no multiple of 64");
}

TEST(Verify, RejectsWeightPastItsArena) {
  PlanT plan = TinyPlan();
  plan.stages[0]->weight_arena_bytes -= 64;
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'lm_head': lies at [137920, 170688), past the weight arena's 170624 bytes");
}

TEST(Verify, RejectsHugeWeightArena) {
  PlanT plan = TinyPlan();
  plan.stages[0]->weight_arena_bytes = uint64_t{1} << 50;
  EXPECT_EQ(Refusal(plan), "stage 0: a weight arena of 1125899906842624 bytes, at most 281474976710656 are accepted");
}

TEST(Verify, RejectsOverlappingWeights) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_offset(WeightOf(plan, "l0.v").offset() + 64);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': lies at 35072, inside 'l0.v' [35008, 51392)");
}

TEST(Verify, RejectsSourcesOutOfRange) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "lm_head").mutate_source_count(2);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'lm_head': its sources are entries 15 to 17 of 16, expected to start at 15");
}

TEST(Verify, RejectsSourcesOfAnotherWeight) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "lm_head").mutate_source_begin(0);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'lm_head': its sources are entries 0 to 1 of 16, expected to start at 15");
}

TEST(Verify, RejectsWeightWithoutSources) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "lm_head").mutate_source_count(0);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'lm_head': its sources fill 0 of 24 rows");
}

TEST(Verify, RejectsUnusedSources) {
  PlanT plan = TinyPlan();
  plan.stages[0]->sources.push_back(SourceOf(plan, "norm"));
  EXPECT_EQ(Refusal(plan), "stage 0: its weights use 16 of 17 sources, expected all");
}

TEST(Verify, RejectsRowsFilledTwice) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutate_dest_row(8);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': tensor 'l0.q.tensor' fills it from row 8, expected 0");
}

TEST(Verify, RejectsRowsLeftEmpty) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "norm").mutate_n(33);
  WeightOf(plan, "norm").mutate_bytes(132);
  WeightOf(plan, "lm_head").mutate_offset(WeightOf(plan, "lm_head").offset() + 64);
  plan.stages[0]->weight_arena_bytes += 64;
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': its sources fill 32 of 33 rows");
}

TEST(Verify, RejectsSliceOfNothing) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_size(0);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': rows of tensor 'l0.q.tensor': a slice of 0 entries, expected 1 to 2147483648");
}

TEST(Verify, RejectsSliceEveryZero) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_every(0);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'l0.q': rows of tensor 'l0.q.tensor': a slice that every 0 ranks share, expected a divisor of 2");
}

TEST(Verify, RejectsSliceAlongDp) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_axis(Axis::dp);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': rows of tensor 'l0.q.tensor': a slice along dp, expected none, tp or ep");
}

TEST(Verify, RejectsStepWithoutAxis) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_axis(Axis::none);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': rows of tensor 'l0.q.tensor': a slice with step 16 along no axis");
}

// Rank 0 would hold the last rows, and rank 1 the first: each head's numbers under another head's name.
TEST(Verify, RejectsRowsReversedOverRanks) {
  for (const char* name : {"q", "k", "v", "gate", "up"}) {
    PlanT plan = TinyPlan();
    Slice& rows = SourceOf(plan, fmt::format("l0.{}", name)).mutable_rows();
    rows.mutate_start(rows.step());
    rows.mutate_step(-rows.step());
    EXPECT_EQ(Refusal(plan), fmt::format("stage 0 weight 'l0.{0}': rows of tensor 'l0.{0}.tensor': a slice that starts "
                                         "at {1}, expected 0",
                                         name, rows.start()));
  }
}

TEST(Verify, RejectsRowsThatStepBackwards) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_step(-16);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'l0.q': rows of tensor 'l0.q.tensor': a slice of 16 entries with step -16, expected steps of "
      "its size");
}

// One rank alone has no rows to skip either.
TEST(Verify, RejectsASliceThatStartsLate) {
  PlanT plan = TinyPlan({.tp = 1});
  SourceOf(plan, "norm").mutable_rows().mutate_start(1);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': rows of tensor 'norm.tensor': a slice that starts at 1, expected 0");
}

TEST(Verify, RejectsRowsThatWrap) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_step(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': rows of tensor 'l0.q.tensor': a slice of 16 entries with step 9223372036854775807, "
            "expected steps of its size");
}

TEST(Verify, RejectsPartsThatUnequallyManyRanksShare) {
  PlanT plan = TinyPlan({.tp = 4});
  SourceOf(plan, "l0.k").mutable_rows().mutate_every(3);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'l0.k': rows of tensor 'l0.k.tensor': a slice that every 3 ranks share, expected a divisor of "
      "4");
}

TEST(Verify, RejectsVectorReadPastItsEnd) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q_bias").mutate_tensor_rows(31);
  SourceOf(plan, "l0.q_bias").mutate_row_count(31);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q_bias': tensor 'l0.q_bias.tensor': the ranks read 32 rows of 31; only a vocabulary is "
            "padded, to 48");
}

TEST(Verify, RejectsVectorWithColumns) {
  PlanT plan = TinyPlan();
  plan.files[0]->size_bytes += 1000;
  SourceOf(plan, "norm").mutate_tensor_columns(2);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': tensor 'norm.tensor' has 2 columns, a vector has one");
}

TEST(Verify, RejectsFileOutOfRange) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "norm").mutate_file(1);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': tensor 'norm.tensor' is in file 1 of 1");
}

TEST(Verify, RejectsTensorOfIntegers) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "norm").mutate_dtype(DType::i32);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': tensor 'norm.tensor' is i32, expected f32, bf16 or f16");
}

TEST(Verify, RejectsEmptyTensor) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "norm").mutate_tensor_rows(0);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'norm': tensor 'norm.tensor' is [0, 1], expected 1 to 2147483648 each");
}

TEST(Verify, RejectsTensorPastItsFile) {
  PlanT plan = TinyPlan();
  plan.files[0]->size_bytes -= 1;
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'norm': tensor 'norm.tensor' is [22280, 22344) of 'model.safetensors', expected inside "
            "[1000, 22343)");
}

TEST(Verify, RejectsTensorInsideTheHeader) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "norm").mutate_file_offset(999);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'norm': tensor 'norm.tensor' is [999, 1063) of 'model.safetensors', expected inside [1000, "
            "22344)");
}

TEST(Verify, RejectsTensorThatWraps) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "norm").mutate_file_offset(~uint64_t{0});
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'norm': tensor 'norm.tensor' is [18446744073709551615, 18446744073709551615) of "
            "'model.safetensors', expected inside [1000, 22344)");
}

TEST(Verify, RejectsChunksThatDoNotAddUp) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.o").mutate_chunk_count_global(8);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': 2 chunks on each of 2 ranks along K make 4, but the matrix has 8");
}

TEST(Verify, RejectsChunksUnlikeTheColumns) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.o").mutate_tensor_columns(16);
  SourceOf(plan, "l0.o").mutate_tensor_rows(64);
  SourceOf(plan, "l0.o").mutate_row_count(64);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': 4 chunks of 8 do not make the 16 columns of tensor 'l0.o.tensor'");
}

TEST(Verify, RejectsColumnsInOtherOrder) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.o").mutable_columns().mutate_start(16);
  SourceOf(plan, "l0.o").mutable_columns().mutate_step(-16);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.o': columns of tensor 'l0.o.tensor': a slice that starts at 16, expected 0");
}

TEST(Verify, RejectsColumnsThatOverlap) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.o").mutable_columns().mutate_step(8);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'l0.o': columns of tensor 'l0.o.tensor': a slice of 16 entries with step 8, expected steps of "
      "its size");
}

// Both ranks would bring the same chunks to the sum.
TEST(Verify, RejectsColumnsThatRanksShare) {
  PlanT plan = TinyPlan();
  Slice& columns = SourceOf(plan, "l0.o").mutable_columns();
  columns.mutate_every(2);
  const char* expected =
      "stage 0 weight 'l0.o': its ranks do not take the columns of tensor 'l0.o.tensor' in order, each once";
  EXPECT_EQ(Refusal(plan), expected);
  columns.mutate_size(32);  // all of K on both
  columns.mutate_step(32);
  EXPECT_EQ(Refusal(plan), expected);
}

TEST(Verify, RejectsColumnsOfAnotherSizeThanTheChunks) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.o").mutable_columns().mutate_size(8);
  SourceOf(plan, "l0.o").mutable_columns().mutate_step(8);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.o': its ranks do not take the columns of tensor 'l0.o.tensor' in order, each once");
}

TEST(Verify, RejectsRanksThatReadTheSameRows) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_step(0);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': rows of tensor 'l0.q.tensor': a slice of 16 entries with step 0, expected steps of "
            "its size");
}

TEST(Verify, RejectsGapBetweenRanks) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.k").mutable_rows().mutate_step(9);
  SourceOf(plan, "l0.k").mutate_tensor_rows(17);
  SourceOf(plan, "l0.k").mutate_row_count(17);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'l0.k': rows of tensor 'l0.k.tensor': a slice of 8 entries with step 9, expected steps of its "
      "size");
}

TEST(Verify, RejectsPaddingOfOtherThanTheVocabulary) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.k").mutate_tensor_rows(15);
  SourceOf(plan, "l0.k").mutate_row_count(15);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'l0.k': tensor 'l0.k.tensor': the ranks read 16 rows of 15; only a vocabulary is padded, to "
      "48");
}

// As many rows as a padded vocabulary, and none.
TEST(Verify, RejectsPaddingThatHappensToBeAVocabularys) {
  PlanT plan = TinyPlan({.tp = 1, .head_scale = 3});
  Weight& o = WeightOf(plan, "l0.o");  // 12 heads in four chunks
  o.mutate_chunk_count(4);
  o.mutate_chunk_count_global(4);
  o.mutate_chunk_k(24);
  o.mutate_bytes(32 * 4 * 32 * 2);
  EXPECT_EQ(Refusal(plan), "");
  SourceOf(plan, "l0.k").mutate_tensor_rows(47);
  SourceOf(plan, "l0.k").mutate_row_count(47);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'l0.k': tensor 'l0.k.tensor': the ranks read 48 rows of 47; only a vocabulary is padded, to "
      "48");
}

TEST(Verify, RejectsAVocabularyPaddedToOtherThanItsSize) {
  PlanT plan = TinyPlan();
  plan.model->vocab_padded = 64;
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 weight 'embed': tensor 'embed.tensor': the ranks read 48 rows of 40; only a vocabulary is padded, to "
      "64");
}

TEST(Verify, RejectsTensorsThatShareBytes) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.k").mutate_file_offset(SourceOf(plan, "l0.q").file_offset() + 2);
  EXPECT_THAT(Refusal(plan), ::testing::MatchesRegex("tensor 'l0.k.tensor' starts at [0-9]+ of its file, inside "
                                                     "'l0.q.tensor' \\[[0-9]+, [0-9]+\\)"));
}

TEST(Verify, RejectsTensorWithMoreRowsThanAreRead) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q_norm").mutate_tensor_rows(9);
  EXPECT_EQ(Refusal(plan), "tensor 'l0.q_norm.tensor': no rank reads row 8 of 9");
}

TEST(Verify, RejectsTensorInTwoPlaces) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "lm_head").mutate_file_offset(1002);
  EXPECT_EQ(Refusal(plan), "tensor 'embed.tensor': its sources disagree about its place, shape or type");
}

// The tied head reads its rows as another type than the embedding does.
TEST(Verify, RejectsTensorOfTwoTypes) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "lm_head").mutate_dtype(DType::f16);
  EXPECT_EQ(Refusal(plan), "tensor 'embed.tensor': its sources disagree about its place, shape or type");
}

// Each KV head is on two of four ranks.
TEST(Verify, AcceptsReplicatedRows) { EXPECT_EQ(Refusal(TinyPlan({.tp = 4})), ""); }

TEST(Verify, RejectsReplicatedRowsThatLeaveSomeOut) {
  PlanT plan = TinyPlan({.tp = 2});
  SourceOf(plan, "l0.k").mutable_rows().mutate_every(2);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.k': tensor 'l0.k.tensor': no rank reads row 8 of 16");
}

TEST(Verify, RejectsCutRowsOfTwoTensors) {
  PlanT plan = TinyPlan();
  StageT& stage = *plan.stages[0];
  WeightSource& whole = SourceOf(plan, "l0.q");
  WeightSource second = whole;
  for (WeightSource* half : {&whole, &second}) {
    half->mutable_rows().mutate_size(8);
    half->mutable_rows().mutate_step(8);
    half->mutate_tensor_rows(16);
    half->mutate_row_count(16);
  }
  second.mutate_dest_row(8);
  second.mutate_name(0);
  second.mutate_file_offset(second.file_offset() + 16 * 32 * 2);
  const uint32_t at = WeightOf(plan, "l0.q").source_begin() + 1;
  stage.sources.insert(stage.sources.begin() + at, second);
  WeightOf(plan, "l0.q").mutate_source_count(2);
  for (Weight& weight : stage.weights) {
    if (weight.source_begin() >= at) weight.mutate_source_begin(weight.source_begin() + 1);
  }
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': its 2 tensors are cut over the ranks, which only a weight of one tensor may be");
}

TEST(Verify, AcceptsAWeightOfTwoTensors) {
  PlanT plan = TinyPlan();
  StageT& stage = *plan.stages[0];
  SourceOf(plan, "norm").mutable_rows().mutate_size(20);
  SourceOf(plan, "norm").mutate_tensor_rows(20);
  SourceOf(plan, "norm").mutate_row_count(20);
  WeightSource second = SourceOf(plan, "norm");
  second.mutable_rows().mutate_size(12);
  second.mutate_tensor_rows(12);
  second.mutate_row_count(12);
  second.mutate_dest_row(20);
  second.mutate_file_offset(second.file_offset() + 40);
  second.mutate_name(0);
  WeightOf(plan, "norm").mutate_source_count(2);
  stage.sources.insert(stage.sources.begin() + WeightOf(plan, "norm").source_begin() + 1, second);
  WeightOf(plan, "lm_head").mutate_source_begin(WeightOf(plan, "lm_head").source_begin() + 1);
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, RejectsEncodingOutOfRange) {
  PlanT plan = TinyPlan();
  WeightOf(plan, "l0.q").mutate_encoding(2);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': its encoding is entry 2 of 2");
}

// Each number of an encoding alone.
TEST(Verify, RejectsEncodingsThatNoKernelReads) {
  const auto refusal = [](void (*edit)(EncodingT&)) {
    PlanT plan = TinyPlan();
    edit(*plan.encodings[1]);
    return Refusal(plan);
  };
  const auto none = [](const char* said) {
    return fmt::format("stage 0 weight 'embed': encoding 1 ({}) is none that this version has for bf16", said);
  };
  EXPECT_EQ(refusal([](EncodingT& e) { e.row_multiple = 8; }),
            none("packed, rows by 8, K by 32, 2 bytes for 1 elements"));
  EXPECT_EQ(refusal([](EncodingT& e) { e.k_multiple = 0; }),
            none("packed, rows by 16, K by 0, 2 bytes for 1 elements"));
  EXPECT_EQ(refusal([](EncodingT& e) { e.block_bytes = 4; }),
            none("packed, rows by 16, K by 32, 4 bytes for 1 elements"));
  EXPECT_EQ(refusal([](EncodingT& e) { e.block_elements = 0; }),
            none("packed, rows by 16, K by 32, 2 bytes for 0 elements"));
  EXPECT_EQ(refusal([](EncodingT& e) { e.kind = EncodingKind::dense; }),
            "stage 0 weight 'embed': a dense vector is f32, not bf16");
}

// A fused tensor: 'gate' and 'up' are its two halves.
PlanT Fused() {
  PlanT plan = TinyPlan();
  WeightSource &gate = SourceOf(plan, "l0.gate"), &up = SourceOf(plan, "l0.up");
  gate.mutate_tensor_rows(128);
  up.mutate_tensor_rows(128);
  up.mutate_row_begin(64);
  up.mutate_file_offset(gate.file_offset());  // 'up' was the tensor after it
  up.mutate_name(gate.name());
  return plan;
}

TEST(Verify, AcceptsAFusedTensor) { EXPECT_EQ(Refusal(Fused()), ""); }

TEST(Verify, RejectsRowsOfAFusedTensorReadTwice) {
  PlanT plan = Fused();
  SourceOf(plan, "l0.up").mutate_row_begin(63);
  EXPECT_EQ(Refusal(plan), "tensor 'l0.gate.tensor': rows 63 to 64 are read as parts of two");
}

TEST(Verify, RejectsRowsOfAFusedTensorThatNobodyReads) {
  PlanT plan = Fused();
  SourceOf(plan, "l0.up").mutate_row_begin(0);
  EXPECT_EQ(Refusal(plan), "tensor 'l0.gate.tensor': no rank reads row 64 of 128");
}

TEST(Verify, RejectsRowsPastAFusedTensor) {
  for (const uint64_t begin : {uint64_t{65}, uint64_t{128}, ~uint64_t{0} - 63}) {
    PlanT plan = Fused();
    SourceOf(plan, "l0.up").mutate_row_begin(begin);
    EXPECT_EQ(Refusal(plan),
              fmt::format("stage 0 weight 'l0.up': rows {} to {} of tensor 'l0.gate.tensor' are read, it has 128",
                          begin, begin > 128 ? ~uint64_t{0} : begin + 64));
  }
  PlanT plan = Fused();
  SourceOf(plan, "l0.up").mutate_row_count(0);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.up': rows 64 to 64 of tensor 'l0.gate.tensor' are read, it has 128");
}

// Each rank's rows are the source's, not the tensor's.
TEST(Verify, RejectsRowsPastAPartOfATensor) {
  PlanT plan = Fused();
  SourceOf(plan, "l0.gate").mutate_row_count(63);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.gate': tensor 'l0.gate.tensor': the ranks read 64 rows of 63; only a "
            "vocabulary is padded, to 48");
}

TEST(Verify, AcceptsAVectorWithOneAdded) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "norm").mutate_transform(Transform::add_one);
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, RejectsAMatrixWithOneAdded) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutate_transform(Transform::add_one);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': tensor 'l0.q.tensor' is read with 1 added, which only a vector may be");
}

}  // namespace
}  // namespace mrs::testing
