// One test a rule of weights: arena, sources and coverage: each breaks exactly that rule of a valid plan.
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
  SourceOf(plan, "l0.q").mutable_rows().mutate_size(15);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': its sources fill 15 of 16 rows");
}

TEST(Verify, RejectsSliceOfNothing) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_size(0);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': tensor 'l0.q.tensor': a slice of 0 entries, expected 1 to 2147483648");
}

TEST(Verify, RejectsSliceEveryZero) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_every(0);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': tensor 'l0.q.tensor': a slice whose 'every' is 0");
}

TEST(Verify, RejectsSliceAlongDp) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_axis(Axis::dp);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': tensor 'l0.q.tensor': a slice along dp, expected none, tp or ep");
}

TEST(Verify, RejectsStepWithoutAxis) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_axis(Axis::none);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': tensor 'l0.q.tensor': a slice with step 16 along no axis");
}

TEST(Verify, RejectsRowsBeforeTheFirst) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_start(-1);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q': tensor 'l0.q.tensor': rows -1 + 16 * (0 / 1) do not exist");
}

TEST(Verify, RejectsRowsThatWrap) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_step(std::numeric_limits<int64_t>::max());
  SourceOf(plan, "l0.q").mutable_rows().mutate_start(1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q': tensor 'l0.q.tensor': rows 1 + 9223372036854775807 * (1 / 1) do not exist");
}

TEST(Verify, RejectsVectorReadPastItsEnd) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q_bias").mutable_rows().mutate_step(17);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.q_bias': tensor 'l0.q_bias.tensor': reads rows [17, 33) of 32; only a vocabulary is "
            "padded");
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
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.o': 4 chunks of 8 do not make the 16 columns of tensor 'l0.o.tensor'");
}

TEST(Verify, RejectsColumnsInOtherOrder) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.o").mutable_columns().mutate_start(16);
  SourceOf(plan, "l0.o").mutable_columns().mutate_step(-16);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.o': its ranks do not take the columns of tensor 'l0.o.tensor' in order, each once");
}

TEST(Verify, RejectsColumnsThatOverlap) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.o").mutable_columns().mutate_step(8);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.o': its ranks do not take the columns of tensor 'l0.o.tensor' in order, each once");
}

TEST(Verify, RejectsRowsThatNoRankReads) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.q").mutable_rows().mutate_step(0);
  EXPECT_EQ(Refusal(plan), "tensor 'l0.q.tensor': no rank reads row 16 of 32");
}

TEST(Verify, RejectsGapBetweenRanks) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.k").mutable_rows().mutate_step(9);
  SourceOf(plan, "l0.k").mutate_tensor_rows(17);
  EXPECT_EQ(Refusal(plan), "tensor 'l0.k.tensor': no rank reads row 8 of 17");
}

TEST(Verify, RejectsPaddingOfOtherThanTheVocabulary) {
  PlanT plan = TinyPlan();
  SourceOf(plan, "l0.k").mutate_tensor_rows(15);
  EXPECT_EQ(Refusal(plan),
            "stage 0 weight 'l0.k': tensor 'l0.k.tensor': reads rows [8, 16) of 15; only a vocabulary is padded");
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

TEST(Verify, AcceptsReplicatedRows) {
  PlanT plan = TinyPlan({.tp = 2});
  WeightSource& source = SourceOf(plan, "l0.k");  // each pair of ranks holds the same 8 rows of a tensor of 8
  source.mutable_rows().mutate_every(2);
  source.mutate_tensor_rows(8);
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, RejectsReplicatedRowsThatLeaveSomeOut) {
  PlanT plan = TinyPlan({.tp = 2});
  SourceOf(plan, "l0.k").mutable_rows().mutate_every(2);
  EXPECT_EQ(Refusal(plan), "tensor 'l0.k.tensor': no rank reads row 8 of 16");
}

TEST(Verify, AcceptsAWeightOfTwoTensors) {
  PlanT plan = TinyPlan();
  StageT& stage = *plan.stages[0];
  SourceOf(plan, "norm").mutable_rows().mutate_size(20);
  SourceOf(plan, "norm").mutate_tensor_rows(20);
  WeightSource second = SourceOf(plan, "norm");
  second.mutable_rows().mutate_size(12);
  second.mutate_tensor_rows(12);
  second.mutate_dest_row(20);
  second.mutate_file_offset(second.file_offset() + 40);
  second.mutate_name(0);
  WeightOf(plan, "norm").mutate_source_count(2);
  stage.sources.insert(stage.sources.begin() + WeightOf(plan, "norm").source_begin() + 1, second);
  WeightOf(plan, "lm_head").mutate_source_begin(WeightOf(plan, "lm_head").source_begin() + 1);
  EXPECT_EQ(Refusal(plan), "");
}

}  // namespace
}  // namespace mrs::testing
