#include "planner/choose_numerics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "planner/cluster/short_form.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

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

ChosenNumerics On(const char* gpus, const Wish& wish, bool bf16 = true, const std::string& said = "auto") {
  const ModelSpec spec = Llama8b();
  const cluster::Cluster cluster = *cluster::ParseGpus(gpus);
  return ChooseNumerics(Decider({.spec = &spec, .bf16 = bf16, .cluster = &cluster}), wish, said);
}

TEST(ChooseNumerics, FastWhereTensorCoresCanMultiply) {
  const ChosenNumerics fast = On("H100-SXM", {});
  EXPECT_EQ(fast.chain, "fast");
  EXPECT_EQ(fast.max_batched_tokens, 8192);
  EXPECT_THAT(fast.because, ElementsAre(StartsWith("--numerics fast, as ranks are GPUs and matrices bf16; it gives up "
                                                   "the CPU's bits")));
  EXPECT_EQ(On("H100-SXM", {.dtype = "bf16"}, /*bf16=*/false).chain, "fast");
  for (const auto& [wish, bf16] : {std::pair{Wish{.dtype = "f32"}, true}, {Wish{}, false}}) {
    const ChosenNumerics exact = On("H100-SXM", wish, bf16);
    EXPECT_EQ(exact.chain, "pair2");
    EXPECT_EQ(exact.max_batched_tokens, std::nullopt);
    EXPECT_THAT(exact.because, ElementsAre(StartsWith("--numerics pair2, as matrices are f32")));
  }
}

TEST(ChooseNumerics, CpuRanksAreAsTheyWere) {
  const ModelSpec spec = Llama8b();
  const cluster::Cluster cluster = *cluster::ParseCpus("2x64GiB");
  for (const cluster::Cluster* of : {&cluster, static_cast<const cluster::Cluster*>(nullptr)}) {
    const Decider decider({.spec = &spec, .cluster = of, .host_memory = uint64_t{64} << 30});
    const ChosenNumerics chosen = ChooseNumerics(decider, {}, "auto");
    EXPECT_EQ(chosen.chain, "pair2");
    EXPECT_EQ(chosen.max_batched_tokens, std::nullopt);
    EXPECT_THAT(chosen.because, IsEmpty());
  }
}

TEST(ChooseNumerics, WhatIsSaidStays) {
  for (const char* said : {"pair2", "block32"}) {
    const ChosenNumerics exact = On("H100-SXM", {}, true, said);
    EXPECT_EQ(exact.chain, said);
    EXPECT_EQ(exact.max_batched_tokens, std::nullopt);
    EXPECT_THAT(exact.because, IsEmpty());
  }
  const ChosenNumerics fast = On("H100-SXM", {.max_batched_tokens = 100}, true, "fast");
  EXPECT_EQ(fast.max_batched_tokens, 100);
  EXPECT_THAT(fast.because, IsEmpty());
  EXPECT_EQ(On("H100-SXM", {.solve = "max-seqs"}).max_batched_tokens, std::nullopt);
}

// From where nothing fits to where all does: what pair2's small batches serve, the choice serves, too, and with half as
// many tokens again and again only where more do not fit.
TEST(ChooseNumerics, BatchesAreAsLargeAsFits) {
  const ModelSpec spec = Llama8b();
  std::set<int64_t> seen;
  for (int64_t mib = 17000; mib < 21000; mib += 10) {
    const cluster::Cluster cluster = *cluster::ParseGpus(fmt::format("{}MiB", mib));
    const Decider decider({.spec = &spec, .cluster = &cluster});
    Wish wish;
    const bool small = decider.Plans(wish);
    const ChosenNumerics chosen = ChooseNumerics(decider, wish, "auto");
    EXPECT_EQ(chosen.chain, "fast");
    wish.max_batched_tokens = chosen.max_batched_tokens;
    EXPECT_EQ(decider.Plans(wish), small) << mib;
    if (!small) {
      EXPECT_EQ(chosen.max_batched_tokens, std::nullopt) << mib;
      continue;
    }
    seen.insert(chosen.max_batched_tokens.value_or(512));
    if (chosen.max_batched_tokens == 8192) {
      EXPECT_EQ(chosen.because.size(), 1u);
      continue;
    }
    const int64_t tokens = chosen.max_batched_tokens.value_or(512);
    EXPECT_THAT(chosen.because.back(), HasSubstr(fmt::format("batches of {} tokens, as larger ones", tokens)));
    wish.max_batched_tokens = 2 * tokens;
    EXPECT_FALSE(decider.Plans(wish)) << mib;
  }
  EXPECT_THAT(seen, ElementsAre(512, 1024, 2048, 4096, 8192));
}

// A batch holds a token of every sequence.
TEST(ChooseNumerics, BatchesAreNoSmallerThanTheSequences) {
  EXPECT_EQ(On("H100-SXM", {.max_seqs = 4096}).max_batched_tokens, 8192);
  const ChosenNumerics none = On("1GiB", {.max_seqs = 700});
  EXPECT_EQ(none.max_batched_tokens, std::nullopt);
}

}  // namespace
}  // namespace mrs
