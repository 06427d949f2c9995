// One test a rule of the program: references, shapes and buffers: each breaks exactly that rule of a valid plan.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <utility>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

TEST(Verify, RejectsNameOutOfRange) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_name(9999);
  EXPECT_EQ(Refusal(plan), "stage 0 step 10: its name is entry 9999 of 83 names");
}

TEST(Verify, RejectsControlCharactersInNames) {
  PlanT plan = TinyPlan();
  plan.names[0] = "a\x1B[2J";
  EXPECT_EQ(Refusal(plan), "name \"a\\x1b[2J\" holds control characters");
}

TEST(Verify, RejectsOperandsOutOfRange) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_operand_count(60000);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 10 'l0.attn': its operands and results are entries 35 to 60036 of 90, expected to start at 35");
}

TEST(Verify, RejectsOperandsThatOverlapAnotherStep) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_operand_begin(0);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.attn': its operands and results are entries 0 to 5 of 90, expected to start at 35");
}

TEST(Verify, RejectsOperandsThatNoStepUses) {
  PlanT plan = TinyPlan();
  plan.stages[0]->refs.emplace_back(0, RefSpace::buffer);
  EXPECT_EQ(Refusal(plan), "stage 0: its steps use 90 of 91 operands and results, 26 of 26 dependencies; expected all");
}

TEST(Verify, RejectsDependencyRangeOutOfBounds) {
  PlanT plan = TinyPlan();
  StepOf(plan, "gather_logits").mutate_dep_count(9);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 26 'gather_logits': its dependencies are entries 25 to 34 of 26, expected to start at 25");
}

TEST(Verify, RejectsDependencyOnALaterStep) {
  PlanT plan = TinyPlan();
  DepOf(plan, "l0.attn") = StepNamed(plan, "l0.o");
  EXPECT_EQ(Refusal(plan), "stage 0 step 10 'l0.attn': depends on step 11, expected an earlier one");
}

TEST(Verify, RejectsDependencyOnAnotherVariant) {
  PlanT plan = TinyPlan();
  DepOf(plan, "gather_logits") = StepNamed(plan, "candidates");
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 26 'gather_logits': depends on step 24 'candidates', which does not run whenever it does");
}

TEST(Verify, RejectsAttributeOutOfRange) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_attr(7);
  EXPECT_EQ(Refusal(plan), "stage 0 step 10 'l0.attn': its attribute is entry 7 of 1");
}

TEST(Verify, RejectsOperationOfALaterVersion) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_op(OpKind::broadcast);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.attn': operation broadcast has its place in the format, but this version does not run it");
}

TEST(Verify, RejectsLayerOutOfRange) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_layer(1);
  EXPECT_EQ(Refusal(plan), "stage 0 step 10 'l0.attn': is of layer 1, expected -1 to 0");
}

TEST(Verify, RejectsBufferOutOfRange) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.attn", 0).mutate_index(35);
  EXPECT_EQ(Refusal(plan), "stage 0 step 10 'l0.attn': reads buffer 35 of 35");
}

TEST(Verify, RejectsWeightOutOfRange) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.o", 1).mutate_index(16);
  EXPECT_EQ(Refusal(plan), "stage 0 step 11 'l0.o': reads weight 16 of 16");
}

TEST(Verify, RejectsResultThatIsNoBuffer) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.o", 3).mutate_space(RefSpace::weight);
  EXPECT_EQ(Refusal(plan), "stage 0 step 11 'l0.o': a result is no buffer");
}

TEST(Verify, RejectsWeightThatNoStepReads) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.qkv", 2).mutate_space(RefSpace::none);
  EXPECT_EQ(Refusal(plan), "stage 0 weight 'l0.q_bias': no step reads it");
}

TEST(Verify, RejectsWidthOfZero) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "logits").mutate_width(0);
  EXPECT_EQ(Refusal(plan), "stage 0 buffer 'logits': its width is 0, expected 1 to 2147483648");
}

TEST(Verify, RejectsUnknownInput) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "logits").mutate_input(true);
  EXPECT_EQ(Refusal(plan), "stage 0 buffer 'logits': is no known input");
}

TEST(Verify, RejectsMissingInput) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "slots").mutate_input(false);
  EXPECT_EQ(Refusal(plan), "stage 0: input 'slots' is missing");
}

TEST(Verify, RejectsInputOfOtherShape) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "block_table").mutate_width(5);
  EXPECT_EQ(Refusal(plan), "stage 0 buffer 'block_table': is i32 [sequences, 5], expected i32 [sequences, 4]");
}

TEST(Verify, RejectsInputTwice) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "slots").mutate_name(BufferOf(plan, "tokens").name());
  EXPECT_EQ(Refusal(plan), "stage 0 buffer 'tokens': is there twice");
}

TEST(Verify, RejectsEmptyBucket) {
  PlanT plan = TinyPlan();
  plan.stages[0]->buckets[0].mutate_tokens(0);
  EXPECT_EQ(Refusal(plan), "stage 0 bucket 0: has 0 tokens, expected 1 to 1048576");
}

TEST(Verify, RejectsMoreSequencesThanPlanned) {
  PlanT plan = TinyPlan();
  plan.stages[0]->buckets[1].mutate_sequences(5);
  EXPECT_EQ(Refusal(plan), "stage 0 bucket 1: has 5 sequences, expected 1 to max_seqs 4");
}

TEST(Verify, RejectsMoreLogitRowsThanTokens) {
  PlanT plan = TinyPlan();
  plan.stages[0]->buckets[0].mutate_logit_rows(2);
  EXPECT_EQ(Refusal(plan), "stage 0 bucket 0: has 2 logit rows, expected 1 to its 1 tokens");
}

TEST(Verify, RejectsDescendingBuckets) {
  PlanT plan = TinyPlan();
  std::swap(plan.stages[0]->buckets[0], plan.stages[0]->buckets[1]);
  EXPECT_EQ(Refusal(plan),
            "stage 0 bucket 1: (1 tokens, 1 sequences, 1 logit rows) does not follow (32, 4, 4) ascending");
}

TEST(Verify, RejectsBucketPastTheArena) {
  PlanT plan = TinyPlan();
  plan.stages[0]->activation_arena_bytes = 38015;
  EXPECT_EQ(Refusal(plan), "stage 0 bucket 1: needs 38016 bytes, the activation arena has 38015");
}

TEST(Verify, RejectsHugeArena) {
  PlanT plan = TinyPlan();
  plan.stages[0]->activation_arena_bytes = uint64_t{1} << 60;
  EXPECT_EQ(Refusal(plan),
            "stage 0: an activation arena of 1152921504606846976 bytes, at most 281474976710656 are accepted");
}

TEST(Verify, RejectsMissingPlacement) {
  PlanT plan = TinyPlan();
  plan.stages[0]->placements.pop_back();
  EXPECT_EQ(Refusal(plan), "stage 0: has 69 placements, expected 2 buckets x 35 buffers");
}

TEST(Verify, RejectsUnalignedBuffer) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "logits", 1) += 4;
  EXPECT_EQ(Refusal(plan), "stage 0 buffer 'logits': bucket 32: its offset 6532 is no multiple of 64");
}

TEST(Verify, RejectsBufferPastItsArena) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.q.out", 1) = 36032;
  EXPECT_EQ(Refusal(plan),
            "stage 0 buffer 'l0.q.out': bucket 32: lies at [36032, 38080), past the arena's 38016 bytes");
}

TEST(Verify, RejectsOffsetThatWraps) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.q.out", 1) = ~uint64_t{63};
  EXPECT_EQ(Refusal(plan),
            "stage 0 buffer 'l0.q.out': bucket 32: lies at [18446744073709551552, 18446744073709551615), past the "
            "arena's 38016 bytes");
}

TEST(Verify, RejectsEmbedOfOtherIds) {
  PlanT plan = TinyPlan();
  RefOf(plan, "embed", 0).mutate_index(BufferNamed(plan, "positions"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 1 'embed': operand 0 is 'positions', expected the input 'tokens'");
}

TEST(Verify, RejectsEmbedWithAVector) {
  PlanT plan = TinyPlan();
  RefOf(plan, "embed", 1).mutate_index(WeightNamed(plan, "norm"));
  RefOf(plan, "norm", 1).mutate_index(WeightNamed(plan, "embed"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 1 'embed': weight 'norm' is a vector, expected a packed matrix");
}

TEST(Verify, RejectsEmbedSliceUnlikeItsTable) {
  PlanT plan = TinyPlan();
  plan.stages[0]->embeds[0].mutable_vocab().mutate_start(1);
  EXPECT_EQ(Refusal(plan), "stage 0 step 1 'embed': its vocabulary slice is not the one that table 'embed' holds");
}

TEST(Verify, RejectsEmbedOfOtherVocabulary) {
  PlanT plan = TinyPlan();
  plan.stages[0]->embeds[0].mutate_vocab_valid(41);
  EXPECT_EQ(Refusal(plan), "stage 0 step 1 'embed': 41 valid ids, the model has 40");
}

TEST(Verify, RejectsVocabularySliceThatSkipsIds) {
  PlanT plan = TinyPlan();
  plan.model->vocab = 20;
  plan.model->vocab_padded = 32;
  plan.stages[0]->embeds[0].mutate_vocab_valid(20);
  for (const char* name : {"embed", "lm_head"}) {
    WeightSource& source = SourceOf(plan, name);  // both ranks hold all 24 rows of 24, a padded vocabulary of 32
    source.mutable_rows().mutate_every(2);
    source.mutate_tensor_rows(24);
    source.mutate_row_count(24);
  }
  plan.stages[0]->embeds[0].mutable_vocab().mutate_every(2);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 1 'embed': the vocabulary slices of the ranks (0 + 24 * rank, 24 ids) do not cut [0, 32) in order");
}

TEST(Verify, RejectsRopeAnglesOfOtherWidth) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "cos_sin").mutate_width(10);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 0 'rope_angles': result 'cos_sin' is f32 [tokens, 10], expected f32 [tokens, 8]");
}

TEST(Verify, RejectsNormOfOtherWidth) {
  PlanT plan = TinyPlan();
  plan.stages[0]->norms[0]->width = 16;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 3 'l0.attn_norm': operand 'embed_sum.out' is f32 [tokens, 32], expected f32 [tokens, 16]");
}

TEST(Verify, RejectsNormWithoutEpsilon) {
  PlanT plan = TinyPlan();
  plan.stages[0]->norms[0]->eps = 0;
  EXPECT_EQ(Refusal(plan), "stage 0 step 3 'l0.attn_norm': eps is 0, expected more than 0");
}

TEST(Verify, RejectsNormWithOtherWeight) {
  PlanT plan = TinyPlan();
  plan.stages[0]->norms[1]->heads = 4;
  plan.stages[0]->norms[1]->width = 4;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 5 'l0.q_norm': weight 'l0.q_norm' is a vector of 8 rows, expected a vector of 4");
}

TEST(Verify, RejectsNormIntoIntegers) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "l0.ffn_norm.out").mutate_dtype(DType::i32);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 15 'l0.ffn_norm': result 'l0.ffn_norm.out' is i32 [tokens, 32], expected f32 [tokens, 32]");
}

TEST(Verify, RejectsMatmulOfOtherType) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.o", 0).mutate_index(BufferNamed(plan, "l0.q.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.o': operand 'l0.q.out' is f32 [tokens, 16], expected bf16 [tokens, 16]");
}

TEST(Verify, RejectsMatmulOfOtherWidth) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.o", 0).mutate_index(BufferNamed(plan, "l0.attn_norm.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.o': operand 'l0.attn_norm.out' is bf16 [tokens, 32], expected bf16 [tokens, 16]");
}

TEST(Verify, RejectsMatmulResultOfOtherWidth) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.qkv", 7).mutate_index(BufferNamed(plan, "l0.k.out"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 4 'l0.qkv': result 'l0.k.out' is f32 [tokens, 8], expected f32 [tokens, 16]");
}

TEST(Verify, RejectsMatmulWithoutResults) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.o").mutate_operand_count(4);
  StepOf(plan, "l0.o").mutate_result_count(0);
  EXPECT_EQ(Refusal(plan), "stage 0 step 11 'l0.o': matmul takes 3 operands and yields 1 results, here are 4 and 0");
}

TEST(Verify, RejectsMatmulOfARankRows) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "l0.down.out").mutate_rows(Rows::logit_rows);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 18 'l0.down': result 'l0.down.out' is f32 [logit_rows, 32], expected f32 [tokens, 32]");
}

TEST(Verify, RejectsBiasOfOtherWidth) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.qkv", 4).mutate_space(RefSpace::weight);
  RefOf(plan, "l0.qkv", 4).mutate_index(WeightNamed(plan, "l0.q_bias"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 4 'l0.qkv': weight 'l0.q_bias' is a vector of 16 rows, expected a vector of 8");
}

TEST(Verify, RejectsBiasOnAPartialSum) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.o", 2) = Ref(WeightNamed(plan, "l0.o_bias"), RefSpace::weight);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.o': bias 'l0.o_bias' would be added once on each rank that holds chunks of 'l0.o'");
}

TEST(Verify, RejectsRopeOutOfRange) {
  PlanT plan = TinyPlan();
  plan.stages[0]->heads[0]->rope = 1;
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.q_rope': uses rope 1 of 1");
}

TEST(Verify, RejectsRopeWiderThanAHead) {
  PlanT plan = TinyPlan();
  plan.stages[0]->heads[0]->head_dim = 4;
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.q_rope': rotates 8 of 4 elements of a head");
}

TEST(Verify, RejectsRopeOfOtherWidth) {
  PlanT plan = TinyPlan();
  plan.stages[0]->heads[0]->heads = 3;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 7 'l0.q_rope': operand 'l0.q_norm.out' is f32 [tokens, 16], expected f32 [tokens, 24]");
}

TEST(Verify, RejectsRopeWithOtherAngles) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.q_rope", 1).mutate_index(BufferNamed(plan, "l0.q_norm.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 7 'l0.q_rope': operand 'l0.q_norm.out' is f32 [tokens, 16], expected f32 [tokens, 8]");
}

TEST(Verify, RejectsCacheClassOutOfRange) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->kv_class = 1;
  EXPECT_EQ(Refusal(plan), "stage 0 step 9 'l0.kv_append': uses KV class 1 of 1");
}

TEST(Verify, RejectsCacheLayerOutOfRange) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->kv_layer = 1;
  EXPECT_EQ(Refusal(plan), "stage 0 step 9 'l0.kv_append': uses layer 1 of 1 in KV class 0");
}

TEST(Verify, RejectsAttentionUnlikeItsCache) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->kv_heads = 2;
  EXPECT_EQ(Refusal(plan), "stage 0 step 9 'l0.kv_append': has 2 KV heads of 8, KV class 0 has 1 of 8 and 8");
}

TEST(Verify, RejectsHeadsThatDoNotShareKvHeads) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->heads = 0;
  EXPECT_EQ(Refusal(plan), "stage 0 step 9 'l0.kv_append': 0 query heads do not share 1 KV heads evenly");
}

TEST(Verify, RejectsScaleOfZero) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->scale = 0;
  EXPECT_EQ(Refusal(plan), "stage 0 step 10 'l0.attn': its scale is 0, expected more than 0");
}

TEST(Verify, RejectsAppendOfUnroundedKeys) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.kv_append", 0).mutate_index(BufferNamed(plan, "l0.k_norm.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 9 'l0.kv_append': operand 'l0.k_norm.out' is f32 [tokens, 8], expected bf16 [tokens, 8]");
}

TEST(Verify, RejectsSlotsThatAreNotTheInput) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.kv_append", 2).mutate_index(BufferNamed(plan, "positions"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 9 'l0.kv_append': operand 2 is 'positions', expected the input 'slots'");
}

TEST(Verify, RejectsBlockTableThatIsNotTheInput) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.attn", 3).mutate_index(BufferNamed(plan, "slots"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 10 'l0.attn': operand 3 is 'slots', expected the input 'block_table'");
}

// The model's heads fit; those that a rank is said to have do not.
TEST(Verify, RejectsThreeQueryHeadsOfARankOnTwoKvHeads) {
  PlanT plan = TinyPlan({.tp = 1});
  plan.stages[0]->attentions[0]->heads = 3;
  EXPECT_EQ(Refusal(plan), "stage 0 step 8 'l0.kv_append': 3 query heads do not share 2 KV heads evenly");
}

TEST(Verify, RejectsAttentionOfOtherWidth) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.attn", 0).mutate_index(BufferNamed(plan, "l0.k_rope.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.attn': operand 'l0.k_rope.out' is bf16 [tokens, 8], expected bf16 [tokens, 16]");
}

TEST(Verify, RejectsSiluOfDifferentWidths) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.silu", 1).mutate_index(BufferNamed(plan, "l0.q.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 17 'l0.silu': operand 'l0.q.out' is f32 [tokens, 16], expected f32 [tokens, 32]");
}

TEST(Verify, RejectsAddOfDifferentWidths) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.ffn_add", 1).mutate_index(BufferNamed(plan, "l0.q.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 20 'l0.ffn_add': operand 'l0.q.out' is f32 [tokens, 16], expected f32 [tokens, 32]");
}

TEST(Verify, RejectsAddBiasOfOtherWidth) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.o_bias", 0).mutate_index(BufferNamed(plan, "l0.q.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.o_bias': weight 'l0.o_bias' is a vector of 32 rows, expected a vector of 16");
}

TEST(Verify, RejectsSelectionByOtherRows) {
  PlanT plan = TinyPlan();
  RefOf(plan, "select", 1).mutate_index(BufferNamed(plan, "tokens"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 21 'select': operand 1 is 'tokens', expected the input 'logit_rows'");
}

TEST(Verify, RejectsCandidatesOfOtherChunks) {
  PlanT plan = TinyPlan();
  plan.stages[0]->candidates[0].mutate_chunk_count(7);
  EXPECT_EQ(Refusal(plan), "stage 0 step 24 'candidates': 7 chunks of 3 ids, expected 24 ids in chunks of 3");
}

TEST(Verify, RejectsTooManyCandidates) {
  PlanT plan = TinyPlan();
  plan.stages[0]->candidates[0].mutate_k(65);
  EXPECT_EQ(Refusal(plan), "stage 0 step 24 'candidates': keeps 65 candidates, expected 1 to 64");
}

TEST(Verify, RejectsRecordsOfOtherWidth) {
  PlanT plan = TinyPlan();
  BufferOf(plan, "records").mutate_width(120);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 24 'candidates': result 'records' is u8 [logit_rows, 120], expected u8 [logit_rows, 128]");
}

TEST(Verify, RejectsBufferAsWeight) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.ffn_norm", 0).mutate_space(RefSpace::none);
  EXPECT_EQ(Refusal(plan), "stage 0 step 15 'l0.ffn_norm': operand 0 is no buffer");
}

TEST(Verify, RejectsOutputThatIsNotGathered) {
  PlanT plan = TinyPlan();
  StepOf(plan, "gather_logits").mutate_variant(Variant::candidates);
  CollectiveOf(plan, "gather_logits").mutate_order(4);
  DepOf(plan, "gather_logits") = StepNamed(plan, "gather_records");
  plan.stages[0]->candidates_buffer = plan.stages[0]->logits_buffer;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 26 'gather_logits': is the last of candidates and yields f32 [logit_rows, 48], expected u8 "
            "[logit_rows, 256]");
}

TEST(Verify, RejectsResultThatIsAnotherBuffer) {
  for (const uint32_t other : {0U, 1000000U}) {
    PlanT plan = TinyPlan();
    const uint32_t right = plan.stages[0]->logits_buffer;
    plan.stages[0]->logits_buffer = other;
    EXPECT_EQ(Refusal(plan), "stage 0: its result of all_logits is buffer " + std::to_string(other) +
                                 ", but the last step of that variant yields buffer " + std::to_string(right));
  }
}

TEST(Verify, RejectsAttentionWithAnotherWindowThanItsCache) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->window = 40;
  EXPECT_EQ(Refusal(plan), "stage 0 step 9 'l0.kv_append': has a window of 40, KV class 0 one of 0");
}

TEST(Verify, RejectsNegativeSoftCap) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->soft_cap = -1;
  EXPECT_EQ(Refusal(plan), "stage 0 step 10 'l0.attn': its soft cap is -1, expected 0 or more");
}

}  // namespace
}  // namespace mrs::testing
