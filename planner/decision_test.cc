#include "planner/decision.h"

#include <gtest/gtest.h>

#include "planner/cluster/short_form.h"

namespace mrs {
namespace {

ModelSpec Llama8b() {
  LayerSpec layer;
  layer.heads = 32;
  layer.kv_heads = 8;
  layer.head_dim = 128;
  layer.ffn = 14336;
  layer.rope = 0;
  ModelSpec spec;
  spec.architecture = "LlamaForCausalLM";
  spec.hidden = 4096;
  spec.vocab = 128256;
  spec.max_position = spec.longest = 131072;
  spec.layers.assign(32, layer);
  spec.ropes.resize(1);
  spec.ropes[0].inv_freq.resize(64);
  return spec;
}

constexpr uint64_t kGib = uint64_t{1} << 30;

TEST(Decision, TheLargestFitsAndOneMoreDoesNot) {
  const ModelSpec spec = Llama8b();
  const Decider decider({.spec = &spec});
  Wish wish = {.max_seqs = 8, .memory = 24 * kGib};
  const auto tokens = SolveMaxLen(decider, wish);
  ASSERT_TRUE(tokens.has_value());
  wish.max_len = *tokens;
  EXPECT_TRUE(decider.Plans(wish));
  ++*wish.max_len;
  EXPECT_FALSE(decider.Plans(wish));
  EXPECT_EQ(SolveMaxLen(decider, {.memory = 200 * kGib}), 131072);  // all that the model was made for
  EXPECT_EQ(SolveMaxLen(decider, {.memory = kGib}), std::nullopt);

  wish.max_len = 4096;
  const auto seqs = SolveMaxSeqs(decider, wish);
  ASSERT_TRUE(seqs.has_value());
  for (const int64_t count : {*seqs, *seqs + 1}) {
    wish.max_seqs = count;
    const auto decision = decider.Decide(wish);
    ASSERT_TRUE(decision.ok()) << decision.message();
    const RankNeed& need = decision->verdict.needs[0];
    EXPECT_EQ(need.Fixed() + count * need.sequence <= static_cast<int64_t>(24 * kGib), count == *seqs) << count;
  }
  EXPECT_EQ(SolveMaxSeqs(decider, {.max_len = 16, .memory = uint64_t{1} << 48}), 4096);
  EXPECT_EQ(SolveMaxSeqs(decider, {.memory = kGib}), std::nullopt);
}

TEST(Decision, NoMoreSequencesAreFoundThanABatchHasTokens) {
  const ModelSpec spec = Llama8b();
  const Decider decider({.spec = &spec});
  for (const int64_t tokens : {1, 8}) {
    const Wish wish = {.max_len = 64, .max_batched_tokens = tokens, .memory = uint64_t{1} << 40, .solve = "max-seqs"};
    EXPECT_TRUE(decider.Plans(wish));
    EXPECT_EQ(SolveMaxSeqs(decider, wish), tokens);
  }
}

// No more than all sequences' tokens, unless it is little.
TEST(Decision, BatchesAreNoLargerThanAllSequences) {
  const ModelSpec spec = Llama8b();
  const Decider decider({.spec = &spec, .unbounded = true});
  const auto largest = [&](std::optional<int64_t> most, int64_t max_len, int64_t max_seqs) {
    return decider.Decide({.max_len = max_len, .max_seqs = max_seqs, .max_batched_tokens = most})
        ->layout.buckets.back()
        .tokens;
  };
  EXPECT_EQ(largest(std::nullopt, 4096, 16), 512);
  EXPECT_EQ(largest(8192, 4096, 16), 8192);
  EXPECT_EQ(largest(8192, 1000, 5), 5000);
  EXPECT_EQ(largest(8192, 16, 5), 512);
  EXPECT_EQ(largest(100, 4096, 16), 100);
}

TEST(Decision, AWishToSolveIsPlannedWhereOneTokenOrSequenceIs) {
  const ModelSpec spec = Llama8b();
  const Decider decider({.spec = &spec});
  const Wish tight = {.max_len = 131072, .memory = 24 * kGib};
  EXPECT_FALSE(decider.Plans(tight));
  EXPECT_TRUE(decider.Plans({.memory = 24 * kGib, .solve = "max-len"}));
  EXPECT_FALSE(decider.Plans({.memory = kGib, .solve = "max-len"}));
  EXPECT_FALSE(decider.Plans({.max_len = 131072, .memory = 24 * kGib, .solve = "max-seqs"}));
}

TEST(Decision, WhatGpusTalkByIsChosenWhereNothingSaysIt) {
  const ModelSpec spec = Llama8b();
  const auto talk = [&](const char* gpus, const Wish& wish) {
    const cluster::Cluster cluster = *cluster::ParseGpus(gpus);
    const auto decision = Decider({.spec = &spec, .cluster = &cluster}).Decide(wish);
    if (!decision) return decision.message();
    return fmt::format("tp {} {} {}", decision->layout.mesh.tp, CollectivesName(decision->budget.collectives),
                       decision->talk_chosen.substr(0, decision->talk_chosen.find(',')));
  };
  EXPECT_EQ(talk("8xH100-SXM", {}), "tp 8 ipc --collectives ipc");
  EXPECT_EQ(talk("8xH100-SXM", {.tp = 2, .pp = 4}), "tp 2 ipc --collectives ipc");
  EXPECT_EQ(talk("2xL4", {}), "tp 2 nccl --collectives nccl");
  EXPECT_EQ(talk("2xL4", {.no_nccl = "--no-nccl"}), "tp 1 staged --collectives staged");
  EXPECT_EQ(talk("2xL4", {.tp = 2, .no_nccl = "--no-nccl"}), "tp 2 needs NCCL, and --no-nccl says there is none");
  // Nothing is chosen of what is said, and nothing where one GPU has all.
  EXPECT_EQ(talk("8xH100-SXM", {.collectives = "staged"}), "tp 8 staged ");
  EXPECT_EQ(talk("8xH100-SXM", {.tp = 1}), "tp 1 staged ");
  // What is chosen counts: NCCL's buffers, or what the others read.
  const auto communicators = [&](const std::string& collectives) {
    const cluster::Cluster cluster = *cluster::ParseGpus("8xH100-SXM");
    const auto decision = Decider({.spec = &spec, .cluster = &cluster}).Decide({.collectives = collectives});
    return decision.ok() ? decision->verdict.needs[0].beside.communicators : -1;
  };
  EXPECT_EQ(communicators(""), kPeerExchangeBytes);
  EXPECT_EQ(communicators("staged"), 0);
  EXPECT_GT(communicators("nccl"), kPeerExchangeBytes);
}

TEST(Decision, VariablesCountWhereTheCommandLineLetsThem) {
  const ModelSpec spec = Llama8b();
  const cluster::Cluster gpus = *cluster::ParseGpus("8xH100-SXM");
  const auto count = [&](const Subject& subject, const Wish& wish) -> int64_t {
    const auto devices = Decider(subject).Devices(wish);
    if (!devices) return -1;
    return *devices ? static_cast<int64_t>((*devices)->size()) : 0;
  };
  const Subject short_form = {.spec = &spec, .cluster = &gpus};
  const Subject of_file = {.spec = &spec, .cluster = &gpus, .of_file = true};
  EXPECT_EQ(count(short_form, {.cuda_visible = "1,3"}), 8);  // --gpus says all that there is
  EXPECT_EQ(count(of_file, {.cuda_visible = "1,3"}), 2);
  EXPECT_EQ(count(short_form, {.devices = "cuda:1", .cuda_visible = "1,3"}), 1);
  EXPECT_EQ(count(short_form, {.devices = "cuda:2", .cuda_visible = "1,3"}), -1);
  EXPECT_EQ(count(of_file, {.local_world = "2"}), 2);
  EXPECT_EQ(count(of_file, {.devices = "cuda:0,1,2", .local_world = "2"}), 3);
  EXPECT_EQ(count(short_form, {.local_world = "2"}), 8);
  const Subject host = {.spec = &spec, .host_memory = 64 * kGib};
  EXPECT_EQ(count(host, {}), 0);
  EXPECT_EQ(count(host, {.local_world = "2"}), 2);
  EXPECT_EQ(count(host, {.tp = 1, .local_world = "2"}), 0);
  EXPECT_EQ(Decider(host).Decide({.local_world = "x"}).message(),
            "MISTRALRS_MN_LOCAL_WORLD_SIZE=x: expected a whole number from 1 to 16");
  EXPECT_EQ(Decider(host).Decide({.local_world = "x"}).error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace mrs
