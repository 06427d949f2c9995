#include "planner/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/model_tensors.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;

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

FitQuestion Ask(const ModelSpec& spec, const Budget& budget, int64_t max_len, const LayoutFlags& flags = {}) {
  return {.spec = &spec,
          .layout = *DecideLayout(flags, ReadsOfAToken(spec)),
          .max_len = max_len,
          .max_seqs = flags.max_seqs,
          .budget = budget};
}

constexpr int64_t kGib = int64_t{1} << 30;

TEST(Fit, SaysByHowMuch) {
  const ModelSpec spec = Llama8b();
  const FitQuestion question = Ask(spec, {.each = 24 * kGib}, 131072, {.max_seqs = 16});
  const auto verdict = Judge(question);
  ASSERT_TRUE(verdict.ok()) << verdict.message();
  EXPECT_FALSE(verdict->fits());
  // 8 030 261 248 parameters in bf16 but for norms, which are f32; KV: 32 layers x 2 x 8 x 128 x 2 bytes a token.
  EXPECT_EQ(verdict->needs[0].weights, 2 * 8030261248 + 2 * 65 * 4096);
  EXPECT_EQ(verdict->needs[0].sequence, int64_t{131072} * 131072);
  const int64_t lacks = verdict->needs[0].Least() - 24 * kGib;
  EXPECT_EQ(verdict->ShortBy(), lacks);
  EXPECT_EQ(LeastOf(*verdict), verdict->needs[0].Least());
  EXPECT_THAT(TooFew(question, *verdict), HasSubstr(fmt::format("tokens 17179869184: {} bytes (", lacks)));
}

TEST(Fit, RanksOfOneHostShareIt) {
  const ModelSpec spec = Llama8b();
  // 9/10 of 32 GiB over 1 and 4 ranks.
  const Budget host = {.shared = uint64_t{32} << 30};
  EXPECT_EQ(Judge(Ask(spec, host, 1024))->memory, std::vector<int64_t>{30923764531});
  EXPECT_EQ(Judge(Ask(spec, host, 1024, {.tp = 4}))->memory, std::vector<int64_t>{7730941132});
}

TEST(Fit, NoMoreRanksThanDevices) {
  const ModelSpec spec = Llama8b();
  Budget budget;
  budget.devices = [](int64_t) { return std::vector<int64_t>{24 * kGib, 24 * kGib, 8 * kGib}; };
  EXPECT_EQ(Judge(Ask(spec, budget, 1024, {.tp = 2, .pp = 2})).message(),
            "4 ranks (tp 2 x 2 stages) are more than the 3 devices there are");
  EXPECT_EQ(Judge(Ask(spec, budget, 1024, {.tp = 2}))->memory, std::vector<int64_t>{24 * kGib});
  EXPECT_EQ(Judge(Ask(spec, budget, 1024, {.pp = 3}))->memory, (std::vector<int64_t>{24 * kGib, 24 * kGib, 8 * kGib}));
}

TEST(Fit, AWorldOfBothIsAPowerOfTwoUnlessToldOtherwise) {
  const ModelSpec spec = Llama8b();
  FitQuestion question = Ask(spec, {.each = 24 * kGib}, 1024, {.tp = 2, .pp = 3});
  EXPECT_EQ(Judge(question).message(), "3 stages x tp 2 are 6 ranks, which is no power of two");
  question.any_world = true;
  EXPECT_TRUE(Judge(question)->fits());
  EXPECT_TRUE(Judge(Ask(spec, {.each = 24 * kGib}, 1024, {.pp = 3}))->fits());  // stages alone are any number
}

TEST(Fit, ContextsOfMillionsDoNotOverflow) {
  ModelSpec spec = Llama8b();
  spec.longest = int64_t{16} << 20;
  const auto verdict = Judge(Ask(spec, {.each = 24 * kGib}, spec.longest, {.max_seqs = 4096}));
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(verdict->needs[0].sequence, (int64_t{16} << 20) * 131072);
  EXPECT_FALSE(verdict->fits());
  for (LayerSpec& layer : spec.layers) layer.kv_heads = layer.heads = int64_t{1} << 24;
  const FitQuestion absurd = Ask(spec, {.each = 24 * kGib}, spec.longest, {.max_seqs = 4096});
  const auto judged = Judge(absurd);
  ASSERT_TRUE(judged.ok());
  EXPECT_FALSE(judged->fits());
  EXPECT_GT(judged->needs[0].Least(), int64_t{1} << 48);
  EXPECT_THAT(TooFew(absurd, *judged), HasSubstr("too few"));
}

}  // namespace
}  // namespace mrs
