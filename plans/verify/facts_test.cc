// One test a rule of the facts of the whole plan, ranks, groups and the cache: each breaks exactly that rule of a valid
// plan.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <utility>

#include "plans/collectives.h"
#include "plans/contract.h"
#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

TEST(Verify, RejectsUnknownEnum) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_op(static_cast<OpKind>(77));
  EXPECT_EQ(Refusal(plan), "stages[0].steps[10].op: 77 is unknown, known are 0 to 30");
}

TEST(Verify, RejectsUnknownEnumInATable) {
  PlanT plan = TinyPlan();
  plan.numerics->chain = static_cast<Chain>(9);
  EXPECT_EQ(Refusal(plan), "numerics.chain: 9 is unknown, known are 0 to 3");
}

TEST(Verify, RejectsNonFiniteFloat) {
  PlanT plan = TinyPlan();
  plan.ropes[0]->inv_freq[2] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Refusal(plan), "ropes[0].inv_freq[2]: is not finite");
}

TEST(Verify, RejectsNaNScale) {
  PlanT plan = TinyPlan();
  plan.stages[0]->attentions[0]->scale = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Refusal(plan), "stages[0].attentions[0].scale: is not finite");
}

TEST(Verify, RejectsInvalidUtf8) {
  PlanT plan = TinyPlan();
  plan.names[3] = "\xC3(";
  EXPECT_EQ(Refusal(plan), "names[3]: is not valid UTF-8, or holds a NUL");
}

TEST(Verify, RejectsOverlongUtf8) {
  PlanT plan = TinyPlan();
  plan.model->chat_template = "\xE0\x80\x80";
  EXPECT_EQ(Refusal(plan), "model.chat_template: is not valid UTF-8, or holds a NUL");
}

TEST(Verify, RejectsNulInAString) {
  PlanT plan = TinyPlan();
  plan.model->name = std::string("a\0b", 3);
  EXPECT_EQ(Refusal(plan), "model.name: is not valid UTF-8, or holds a NUL");
}

TEST(Verify, RejectsZeroMaxLen) {
  PlanT plan = TinyPlan();
  plan.max_len = 0;
  EXPECT_EQ(Refusal(plan), "max_len is 0, expected 1 to 16777216");
}

TEST(Verify, RejectsTooManySequences) {
  PlanT plan = TinyPlan();
  plan.max_seqs = 65537;
  EXPECT_EQ(Refusal(plan), "max_seqs is 65537, expected 1 to 65536");
}

TEST(Verify, RejectsNoFiles) {
  PlanT plan = TinyPlan();
  plan.files.clear();
  EXPECT_EQ(Refusal(plan), "the number of files is 0, expected 1 to 65536");
}

TEST(Verify, RejectsExperts) {
  PlanT plan = TinyPlan();
  plan.ep = 2;
  EXPECT_EQ(Refusal(plan), "ep is 2, expected 1");
}

TEST(Verify, RejectsPlanWithoutEncodings) {
  PlanT plan = TinyPlan();
  plan.encodings.clear();
  EXPECT_EQ(Refusal(plan), "the number of encodings is 0, expected 1 to 256");
}

TEST(Verify, RejectsTooManyLayers) {
  PlanT plan = TinyPlan();
  plan.model->layer_count = 5000;
  EXPECT_EQ(Refusal(plan), "model.layer_count is 5000, expected 1 to 4096");
}

TEST(Verify, RejectsUnpaddedVocabulary) {
  PlanT plan = TinyPlan();
  plan.model->vocab_padded = 47;
  EXPECT_EQ(Refusal(plan), "model.vocab_padded is 47, expected a multiple of 16");
}

TEST(Verify, RejectsVocabularyAboveItsPadding) {
  PlanT plan = TinyPlan();
  plan.model->vocab_padded = 32;
  EXPECT_EQ(Refusal(plan), "model.vocab_padded is 32, expected 40 to 16777216");
}

TEST(Verify, RejectsShortFingerprint) {
  PlanT plan = TinyPlan();
  plan.model->fingerprint.resize(31);
  EXPECT_EQ(Refusal(plan), "the size of model.fingerprint is 31, expected 32");
}

TEST(Verify, RejectsNegativeEos) {
  PlanT plan = TinyPlan();
  plan.model->eos = {-2};
  EXPECT_EQ(Refusal(plan), "model.eos holds -2, expected token ids from 0 to 39");
}

TEST(Verify, RejectsEndTokensPastTheVocabulary) {
  PlanT plan = TinyPlan();
  plan.model->eos = {2, 39};
  EXPECT_EQ(Refusal(plan), "");
  plan.model->eos = {2, 40};  // a row of the padding
  EXPECT_EQ(Refusal(plan), "model.eos holds 40, expected token ids from 0 to 39");
  plan = TinyPlan();
  plan.model->bos = 40;
  EXPECT_EQ(Refusal(plan), "model.bos is 40, expected a token id from 0 to 39, or -1");
  plan = TinyPlan();
  plan.model->pad = 40;
  EXPECT_EQ(Refusal(plan), "model.pad is 40, expected a token id from 0 to 39, or -1");
}

TEST(Verify, RejectsUnsortedOrTooManyEndTokens) {
  PlanT plan = TinyPlan();
  plan.model->eos = {5, 2};
  EXPECT_EQ(Refusal(plan), "model.eos holds 2 after 5, expected ascending ids");
  plan.model->eos = {5, 5};
  EXPECT_EQ(Refusal(plan), "model.eos holds 5 after 5, expected ascending ids");
  plan.model->eos = std::vector<int32_t>(257, 1);
  EXPECT_EQ(Refusal(plan), "the number of model.eos ids is 257, expected 0 to 256");
}

TEST(Verify, RejectsSamplingDefaultsOutOfRange) {
  const auto with = [](void (*edit)(SamplingDefaultsT&)) {
    PlanT plan = TinyPlan();
    edit(*plan.model->sampling);
    return Refusal(plan);
  };
  EXPECT_EQ(with([](SamplingDefaultsT& s) { s.min_p = 1; }), "");
  EXPECT_EQ(with([](SamplingDefaultsT& s) { s.min_p = 1.5f; }), "sampling.min_p is 1.5, expected 0 to 1");
  EXPECT_EQ(with([](SamplingDefaultsT& s) { s.presence_penalty = -2.5f; }),
            "sampling.presence_penalty is -2.5, expected -2 to 2");
  EXPECT_EQ(with([](SamplingDefaultsT& s) { s.frequency_penalty = 2.5f; }),
            "sampling.frequency_penalty is 2.5, expected -2 to 2");
  EXPECT_EQ(with([](SamplingDefaultsT& s) { s.max_tokens = uint32_t{1} << 31; }),
            "sampling.max_tokens is 2147483648, expected 0 to 2147483647");
  EXPECT_EQ(with([](SamplingDefaultsT& s) {
              s.stop = {"a", ""};
            }),
            "the size of a sampling.stop text is 0, expected 1 to 1024");
  EXPECT_EQ(with([](SamplingDefaultsT& s) { s.stop.assign(65, "a"); }),
            "the number of sampling.stop texts is 65, expected 0 to 64");
  EXPECT_EQ(with([](SamplingDefaultsT& s) { s.stop.assign(5, std::string(1024, 'a')); }),
            "the size of all sampling.stop texts is 5120, expected 0 to 4096");
}

TEST(Verify, RejectsTemplateTokensUnsortedOrTooLong) {
  const auto with = [](const std::vector<std::pair<std::string, std::string>>& tokens) {
    PlanT plan = TinyPlan();
    plan.model->template_tokens.clear();
    for (const auto& [name, text] : tokens) {
      plan.model->template_tokens.push_back(std::make_unique<TemplateTokenT>());
      plan.model->template_tokens.back()->name = name;
      plan.model->template_tokens.back()->text = text;
    }
    return Refusal(plan);
  };
  EXPECT_EQ(with({{"bos_token", ""}, {"eos_token", "</s>"}}), "");
  EXPECT_EQ(with({{"eos_token", "</s>"}, {"bos_token", "<s>"}}),
            "template token 'bos_token' follows 'eos_token', expected each once, sorted by name");
  EXPECT_EQ(with({{"eos_token", "a"}, {"eos_token", "b"}}),
            "template token 'eos_token' follows 'eos_token', expected each once, sorted by name");
  EXPECT_EQ(with({{"", "a"}}), "the size of a template token's name is 0, expected 1 to 1024");
  EXPECT_EQ(with({{"pad_token", std::string(1025, 'a')}}),
            "the size of template token 'pad_token' is 1025, expected 0 to 1024");
}

TEST(Verify, RejectsTokenizerFlagWithoutFile) {
  PlanT plan = TinyPlan();
  plan.model->tokenizer.reset();
  EXPECT_EQ(Refusal(plan), "model.has_tokenizer is true, but a tokenizer file is not named");
}

TEST(Verify, RejectsTopPOfZero) {
  PlanT plan = TinyPlan();
  plan.model->sampling->top_p = 0;
  EXPECT_EQ(Refusal(plan), "sampling.top_p is 0, expected more than 0, at most 1");
}

TEST(Verify, RejectsNegativeTemperature) {
  PlanT plan = TinyPlan();
  plan.model->sampling->temperature = -1;
  EXPECT_EQ(Refusal(plan), "sampling.temperature is -1, expected 0 or more");
}

TEST(Verify, RejectsNoRepetitionPenalty) {
  PlanT plan = TinyPlan();
  plan.model->sampling->repetition_penalty = 0;
  EXPECT_EQ(Refusal(plan), "sampling.repetition_penalty is 0, expected more than 0");
}

TEST(Verify, RejectsNoChain) {
  PlanT plan = TinyPlan();
  plan.numerics->chain = Chain::none;
  EXPECT_EQ(Refusal(plan), "numerics.chain is none, expected pair2, block32 or fast");
}

TEST(Verify, RejectsFastNumericsWhereTheyCannotBe) {
  PlanT plan = TinyPlan();
  plan.numerics->chain = Chain::fast;
  EXPECT_EQ(Refusal(plan), "numerics.chain is fast, which CUDA ranks alone can be, but rank 0 is cpu");
  plan.numerics->weight_dtype = DType::f32;
  EXPECT_EQ(Refusal(plan), "numerics.weight_dtype is f32, but numerics.chain is fast, whose matrices are bf16");
}

TEST(Verify, RejectsCollectivesUnlikeTheMemoryThatCounts) {
  PlanT plan = TinyPlan();
  const auto with = [&](const char* value, uint64_t bytes) {
    auto option = std::make_unique<plan::OptionT>();
    option->name = "collectives";
    option->value = value;
    plan.options.clear();
    plan.options.push_back(std::move(option));
    plan.stages.front()->communicators_bytes = bytes;
    return Refusal(plan);
  };
  EXPECT_EQ(with("rdma", 0), "option 'collectives' is 'rdma', expected staged, nccl, ipc or ipc-in-stages");
  EXPECT_EQ(with("nccl", 0), "option 'collectives' is nccl, but stage 0 counts 0 bytes of communicators");
  EXPECT_EQ(with("staged", 1), "option 'collectives' is staged, but stage 0 counts 1 bytes of communicators");
  plan.tp = 32;
  EXPECT_EQ(with("ipc", 6291456), "option 'collectives' is ipc, which 2 to 16 ranks of a group can be, and tp is 32");
  EXPECT_EQ(with("ipc-in-stages", 6291456),
            "option 'collectives' is ipc-in-stages, which 2 to 16 ranks of a group can be, and tp is 32");
  plan.tp = 2;
  EXPECT_EQ(with("ipc", 8388608),
            "option 'collectives' is ipc, but stage 0 counts 8388608 bytes of communicators, expected 6291456: rebuild "
            "the plan with mrs-plan");
  // Of two stages those that hand on by it, which may be of one rank each: of one node.
  plan.tp = 1;
  plan.stages.push_back(std::make_unique<plan::StageT>(*plan.stages[0]));
  plan.stages[1]->communicators_bytes = 0;
  EXPECT_EQ(with("ipc", 2097152),
            "option 'collectives' is ipc, but stage 1 counts 0 bytes of communicators, expected 6291456: rebuild the "
            "plan with mrs-plan");
  EXPECT_EQ(with("ipc-in-stages", 2097152),
            "option 'collectives' is ipc-in-stages, which 2 to 16 ranks of a group can be, and tp is 1");
  plan.stages[1]->communicators_bytes = 6291456;
  plan.ranks[1].mutate_node(1);
  EXPECT_EQ(with("ipc", 2097152),
            "option 'collectives' is ipc, by which stages hand on by each other's memory, and ranks 0 and 1 are on "
            "nodes 0 and 1");
}

TEST(Verify, RejectsOtherNumericsRevision) {
  PlanT plan = TinyPlan();
  plan.numerics->revision = 2;
  EXPECT_EQ(Refusal(plan), "numerics.revision is 2, this version computes revision 1");
}

TEST(Verify, RejectsIntegerWeights) {
  PlanT plan = TinyPlan();
  plan.numerics->weight_dtype = DType::i32;
  EXPECT_EQ(Refusal(plan), "numerics.weight_dtype is i32, expected f32 or bf16");
}

TEST(Verify, RejectsFileOutsideTheFolder) {
  PlanT plan = TinyPlan();
  plan.files[0]->name = "../secret";
  EXPECT_EQ(Refusal(plan),
            "file '../secret': expected a path inside the model's folder, without '.', '..' or control characters");
}

TEST(Verify, RejectsAbsoluteFile) {
  PlanT plan = TinyPlan();
  plan.model->tokenizer->name = "/etc/passwd";
  EXPECT_EQ(Refusal(plan),
            "file '/etc/passwd': expected a path inside the model's folder, without '.', '..' or control characters");
}

TEST(Verify, RejectsFileWithControlCharacter) {
  PlanT plan = TinyPlan();
  plan.files[0]->name = "a\nb";
  EXPECT_EQ(Refusal(plan),
            "file 'a\\x0ab': expected a path inside the model's folder, without '.', '..' or control characters");
}

TEST(Verify, RejectsFileWithDotInside) {
  PlanT plan = TinyPlan();
  plan.files[0]->name = "a/./b";
  EXPECT_EQ(Refusal(plan),
            "file 'a/./b': expected a path inside the model's folder, without '.', '..' or control characters");
}

TEST(Verify, RejectsShortHeaderHash) {
  PlanT plan = TinyPlan();
  plan.files[0]->header_sha256.pop_back();
  EXPECT_EQ(Refusal(plan), "file 'model.safetensors': its header hash has 31 bytes, expected 32");
}

TEST(Verify, RejectsHeaderLongerThanFile) {
  PlanT plan = TinyPlan();
  plan.model->tokenizer->header_bytes = 5001;
  EXPECT_EQ(Refusal(plan), "file 'tokenizer.json': a header of 5001 bytes in a file of 5000");
}

TEST(Verify, RejectsRopeWithoutFrequencies) {
  PlanT plan = TinyPlan();
  plan.ropes[0]->inv_freq.clear();
  EXPECT_EQ(Refusal(plan), "the number of frequencies of rope 0 is 0, expected 1 to 4096");
}

TEST(Verify, RejectsAttentionFactorOfZero) {
  PlanT plan = TinyPlan();
  plan.ropes[0]->attention_factor = 0;
  EXPECT_EQ(Refusal(plan), "rope 0: its attention factor is 0, expected more than 0");
}

TEST(Verify, RejectsUnsortedOptions) {
  PlanT plan = TinyPlan();
  plan.options.push_back(std::make_unique<OptionT>());
  plan.options[1]->name = "max-len";
  EXPECT_EQ(Refusal(plan), "option 'max-len' follows 'tp', expected each once and sorted by name");
}

TEST(Verify, RejectsPredictionOutsideItsInterval) {
  PlanT plan = TinyPlan();
  plan.predictions[0]->high = -1;
  EXPECT_EQ(Refusal(plan), "prediction 'weights': expected low <= expected <= high, got 170688, 170688, -1");
}

TEST(Verify, RejectsTpThatIsNoPowerOfTwo) {
  PlanT plan = TinyPlan();
  plan.tp = 3;
  EXPECT_EQ(Refusal(plan), "tp is 3, expected a power of two up to 1024");
}

TEST(Verify, RejectsRankCountUnlikeTheLayout) {
  PlanT plan = TinyPlan();
  plan.dp = 2;
  EXPECT_EQ(Refusal(plan), "tp 2 x ep 1 x stages 1 x dp 2 make 4 ranks, but 2 are listed");
}

TEST(Verify, RejectsCoordinateOutOfRange) {
  PlanT plan = TinyPlan();
  plan.ranks[1].mutate_tp(2);
  EXPECT_EQ(Refusal(plan), "rank 1: its tp coordinate is 2, expected less than 2");
}

TEST(Verify, RejectsRanksWithTheSameCoordinates) {
  PlanT plan = TinyPlan();
  plan.ranks[1].mutate_tp(0);
  EXPECT_EQ(Refusal(plan), "ranks 0 and 1 have the same coordinates");
}

TEST(Verify, RejectsGroupPastTheLastRank) {
  PlanT plan = TinyPlan();
  plan.groups[0].mutate_first(1);
  EXPECT_EQ(Refusal(plan), "group 0: ranks 1 to 2 by 1 do not exist, there are 2");
}

TEST(Verify, RejectsGroupWithStrideZero) {
  PlanT plan = TinyPlan();
  plan.groups[0].mutate_stride(0);
  EXPECT_EQ(Refusal(plan), "group 0: ranks 0 to 0 by 0 do not exist, there are 2");
}

TEST(Verify, RejectsGroupOfPartOfItsAxis) {
  PlanT plan = TinyPlan();
  plan.groups[0].mutate_count(1);
  EXPECT_EQ(Refusal(plan), "group 0: has 1 ranks, expected all 2 of axis tp");
}

TEST(Verify, RejectsGroupOfNoAxis) {
  PlanT plan = TinyPlan();
  plan.groups[0].mutate_axis(Axis::none);
  EXPECT_EQ(Refusal(plan), "group 0: is of no axis");
}

TEST(Verify, RejectsOverlappingGroups) {
  PlanT plan = TinyPlan();
  plan.groups.push_back(plan.groups[0]);
  EXPECT_EQ(Refusal(plan), "group 1: rank 0 is in another group of its axis");
}

TEST(Verify, RejectsGroupInOtherOrder) {
  PlanT plan = TinyPlan();
  std::swap(plan.ranks[0], plan.ranks[1]);
  EXPECT_EQ(Refusal(plan), "group 0: its member 0 is rank 0, which has other coordinates");
}

TEST(Verify, RejectsRankWithoutGroup) {
  PlanT plan = TinyPlan();
  plan.groups.clear();
  EXPECT_EQ(Refusal(plan), "rank 0 is in no tensor-parallel group");
}

TEST(Verify, RejectsTooManyRopes) {
  PlanT plan = TinyPlan();
  for (uint32_t i = 0; i < 300; ++i) plan.ropes.push_back(std::make_unique<RopeT>(*plan.ropes[0]));
  EXPECT_EQ(Refusal(plan), "the number of ropes is 301, expected 0 to 256");
}

TEST(Verify, RejectsThreeQueryHeadsOnTwoKvHeads) {
  PlanT plan = TinyPlan();
  plan.model->heads = 3;
  EXPECT_EQ(Refusal(plan), "model: 3 query heads do not share 2 KV heads evenly");
}

TEST(Verify, RejectsAModelWithoutKvHeads) {
  PlanT plan = TinyPlan();
  plan.model->kv_heads = 0;
  EXPECT_EQ(Refusal(plan), "model.kv_heads is 0, expected 1 to 2147483648");
  plan.model->kv_heads = 5;
  EXPECT_EQ(Refusal(plan), "model.heads is 4, expected 5 to 2147483648");
}

TEST(Verify, RejectsStageLayersUnlikeTheModel) {
  PlanT plan = TinyPlan();
  plan.stages[0]->layer_end = 2;
  EXPECT_EQ(Refusal(plan), "the stages end at layer 2, the model has 1");
}

TEST(Verify, RejectsStageOfUnknownGroup) {
  PlanT plan = TinyPlan();
  plan.stages[0]->tp_group = 1;
  EXPECT_EQ(Refusal(plan), "stage 0: group 1 is no tensor-parallel group");
}

TEST(Verify, RejectsMemoryForOtherRanks) {
  PlanT plan = TinyPlan();
  plan.cluster->memory_bytes.push_back(1);
  EXPECT_EQ(Refusal(plan), "cluster.memory_bytes has 3 entries, expected one for each of 2 ranks, or none");
}

TEST(Verify, RejectsMoreMemoryThanARankHas) {
  PlanT plan = TinyPlan();
  plan.cluster->memory_bytes[1] = 1000;
  EXPECT_EQ(Refusal(plan),
            "rank 1: needs 225088 bytes (weights 170688, KV 16384, activations 38016), but may use 1000; plan with "
            "more ranks, a smaller --max-len or --max-seqs, or more --memory");
}

TEST(Verify, CountsWhatCudaTakes) {
  PlanT plan = TinyPlan();
  plan.stages[0]->workspace_bytes = 100;
  EXPECT_EQ(Refusal(plan),
            "rank 0: is of cpu, yet its stage has workspace 100, graphs 0 and communicators 0, expected 0 each");
  for (plan::Rank& rank : plan.ranks) rank.mutate_kind(DeviceKind::cuda);
  EXPECT_EQ(Refusal(plan),
            "rank 0: is of cuda, yet its stage has workspace 100 and graphs 0, expected more than 0 each");
  plan.stages[0]->graphs_bytes = 20;
  plan.stages[0]->communicators_bytes = 3;
  EXPECT_EQ(Refusal(plan), "");
  plan.cluster->memory_bytes[1] = 225211;
  EXPECT_EQ(Refusal(plan), "");
  plan.cluster->memory_bytes[1] = 225210;
  EXPECT_EQ(Refusal(plan),
            "rank 1: needs 225211 bytes (weights 170688, KV 16384, activations 38016, CUDA 123 (workspace 100, graphs "
            "20, communicators 3)), but may use 225210; plan with more ranks, a smaller --max-len or --max-seqs, or "
            "more --memory");
  plan.stages[0]->graphs_bytes = UINT64_MAX;
  EXPECT_EQ(Refusal(plan).substr(0, 41), "rank 0: needs 18446744073709551615 bytes ");
}

TEST(Verify, RejectsRanksOfTwoKindsAndTwoOnOneGpu) {
  PlanT plan = TinyPlan();
  plan.ranks[1].mutate_kind(DeviceKind::cuda);
  EXPECT_EQ(Refusal(plan), "rank 1 is of cuda, rank 0 of cpu, expected one kind for all");
  plan.ranks[0].mutate_kind(DeviceKind::cuda);
  plan.stages[0]->workspace_bytes = plan.stages[0]->graphs_bytes = 1;
  EXPECT_EQ(Refusal(plan), "");
  plan.ranks[0].mutate_device(plan.ranks[1].device());
  EXPECT_EQ(Refusal(plan), "ranks 0 and 1 are both on cuda:1 of node 0");
  plan.stages[0]->communicators_bytes = 1;
  EXPECT_EQ(Refusal(plan), "ranks 0 and 1 are both on cuda:1 of node 0");
  // Those that sum by each other's memory may.
  plan.options.insert(plan.options.begin(), std::make_unique<plan::OptionT>());
  plan.options[0]->name = "collectives";
  plan.options[0]->value = "ipc";
  plan.stages[0]->communicators_bytes = static_cast<uint64_t>(kPeerExchangeBytes);
  for (uint64_t& bytes : plan.cluster->memory_bytes) bytes = uint64_t{1} << 30;
  EXPECT_EQ(Refusal(plan), "");
  plan.options[0]->value = "nccl";
  EXPECT_EQ(Refusal(plan), "ranks 0 and 1 are both on cuda:1 of node 0");
  plan.ranks[0].mutate_node(7);
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, RejectsOtherCacheKinds) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_kind(KvKind::window);
  EXPECT_EQ(Refusal(plan), "stage 0 KV class 0: is of kind window and has a window of 0");
  plan.stages[0]->kv_classes[0].mutate_kind(KvKind::latent);
  EXPECT_EQ(Refusal(plan),
            "stage 0 KV class 0: kind latent has its place in the format, but this version runs full attention and "
            "windows");
}

TEST(Verify, RejectsOtherBlockTokens) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_block_tokens(16);
  EXPECT_EQ(Refusal(plan), "stage 0 KV class 0: blocks of 16 tokens, expected 32");
}

TEST(Verify, RejectsCacheOfOtherType) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_dtype(DType::f32);
  EXPECT_EQ(Refusal(plan), "stage 0 KV class 0: is f32, but numerics.weight_dtype is bf16");
}

TEST(Verify, RejectsCacheWithoutHeads) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_kv_heads(0);
  EXPECT_EQ(Refusal(plan), "stage 0 KV class 0: 1 layers of 0 heads in a model of 1 layers");
}

TEST(Verify, RejectsOddHeadDim) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_k_dim(7);
  EXPECT_EQ(Refusal(plan), "stage 0 KV class 0: K of 7 and V of 8 elements a head, expected K even and neither 0");
}

TEST(Verify, RejectsWrongBlockBytes) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_block_bytes(1000);
  EXPECT_EQ(Refusal(plan), "stage 0 KV class 0: blocks of 1000 bytes, its shape needs 1024");
}

TEST(Verify, RejectsCacheTooSmallForOneSequence) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_block_count(3);
  EXPECT_EQ(Refusal(plan), "stage 0 KV class 0: 3 blocks, expected 4 (one sequence of max_len 100) to 67108863");
}

TEST(Verify, RejectsOtherBlocksOfASequence) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_sequence_blocks(3);
  EXPECT_EQ(Refusal(plan),
            "stage 0 KV class 0: 3 blocks a sequence, expected 4 (max_len 100, window 0, batches of 32 tokens)");
}

// All of it; of a window what a batch and the tokens it sees may lie on.
TEST(Contract, CountsBlocksOfASequence) {
  EXPECT_EQ(contract::SequenceBlocks(100, 0, 32), 4u);
  EXPECT_EQ(contract::SequenceBlocks(100, 1, 1), 1u);    // itself alone
  EXPECT_EQ(contract::SequenceBlocks(1000, 2, 1), 2u);   // the last of one block, the first of the next
  EXPECT_EQ(contract::SequenceBlocks(1000, 33, 1), 2u);  // 33 tokens on 2 blocks
  EXPECT_EQ(contract::SequenceBlocks(1000, 34, 1), 3u);  // 34 may lie on 3
  EXPECT_EQ(contract::SequenceBlocks(1000, 64, 128), 7u);
  EXPECT_EQ(contract::SequenceBlocks(100, 4096, 32), 4u);
  EXPECT_EQ(contract::SequenceBlocks(100, ~uint64_t{0}, ~uint64_t{0}), 4u);
}

TEST(Verify, RejectsSlotsPastInt32) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_classes[0].mutate_block_count(uint64_t{1} << 27);
  EXPECT_EQ(Refusal(plan),
            "stage 0 KV class 0: 134217728 blocks, expected 4 (one sequence of max_len 100) to 67108863");
}

TEST(Verify, RejectsWrongKvArena) {
  PlanT plan = TinyPlan();
  plan.stages[0]->kv_arena_bytes += 1;
  EXPECT_EQ(Refusal(plan), "stage 0: a KV arena of 16385 bytes, its blocks need 16384");
}

TEST(Verify, RejectsUnusedCacheLayer) {
  PlanT plan = TinyPlan();
  plan.model->layer_count = 2;
  plan.stages[0]->layer_end = 2;
  plan.stages[0]->kv_classes[0].mutate_layer_count(2);
  plan.stages[0]->kv_classes[0].mutate_block_bytes(2048);
  EXPECT_EQ(Refusal(plan), "stage 0: no step appends to layer 1 of KV class 0");
}

TEST(Verify, RejectsFileListedTwice) {
  PlanT plan = TinyPlan();
  plan.files.push_back(std::make_unique<FileT>(*plan.files[0]));
  EXPECT_EQ(Refusal(plan), "file 'model.safetensors' is listed twice");
}

TEST(Verify, RejectsStageWithoutRanks) {
  PlanT plan = TinyPlan();
  plan.stages.push_back(std::make_unique<StageT>(*plan.stages[0]));
  EXPECT_EQ(Refusal(plan), "tp 2 x ep 1 x stages 2 x dp 1 make 4 ranks, but 2 are listed");
}

TEST(Verify, AcceptsMemoryNotGiven) {
  PlanT plan = TinyPlan();
  plan.cluster->memory_bytes.clear();
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, AcceptsEveryLegalTpAndReplica) {
  for (const uint32_t tp : {1u, 2u, 4u, 8u, 16u}) {
    for (const uint32_t dp : {1u, 3u}) EXPECT_EQ(Refusal(TinyPlan({.tp = tp, .dp = dp, .scale = 8})), "") << tp;
  }
}

}  // namespace
}  // namespace mrs::testing
