#include "planner/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs {
namespace {

using ::testing::ElementsAre;
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

FitQuestion Ask(const ModelSpec& spec, int64_t memory, int64_t max_len, LayoutFlags flags = {}) {
  return {.spec = &spec, .flags = flags, .max_len = max_len, .longest = spec.longest, .budget = {.each = memory}};
}

constexpr int64_t kGib = int64_t{1} << 30;

TEST(Fit, SaysByHowMuchAndWhatWouldFit) {
  const ModelSpec spec = Llama8b();
  const FitQuestion question = Ask(spec, 24 * kGib, 131072, {.max_seqs = 16});
  const auto verdict = Judge(question);
  ASSERT_TRUE(verdict.ok()) << verdict.message();
  EXPECT_FALSE(verdict->fits());
  // 8 030 261 248 parameters in bf16 but for norms, which are f32; KV: 32 layers x 2 x 8 x 128 x 2 bytes a token.
  EXPECT_EQ(verdict->needs[0].weights, 2 * 8030261248 + 2 * 65 * 4096);
  EXPECT_EQ(verdict->needs[0].sequence, int64_t{131072} * 131072);
  const int64_t lacks = verdict->needs[0].Least() - 24 * kGib;
  EXPECT_EQ(verdict->ShortBy(), lacks);
  const std::vector<std::string> changes = ChangesThatFit(question);
  const int64_t left = 24 * kGib - verdict->needs[0].Fixed();
  ASSERT_EQ(changes.size(), 3u);
  // A shorter context has a shorter block table, so a block or two more than `left` holds; each is judged below.
  EXPECT_THAT(changes[0], HasSubstr("--max-len "));
  EXPECT_GE(std::stoll(changes[0].substr(10)), left / 131072 / 32 * 32);
  EXPECT_EQ(changes[1], "--tp 2");
  EXPECT_EQ(changes[2], "--pp 2");
  FitQuestion shorter = question;
  shorter.max_len = std::stoll(changes[0].substr(10));
  EXPECT_TRUE(Judge(shorter)->fits());
  ++shorter.max_len;
  EXPECT_FALSE(Judge(shorter)->fits());
  EXPECT_THAT(DoesNotFit(question, *verdict).message, HasSubstr(fmt::format("tokens 17179869184: {} bytes (", lacks)));
}

TEST(Fit, SaysThatNothingSuffices) {
  const ModelSpec spec = Llama8b();
  const FitQuestion question = Ask(spec, 1 << 20, 1024);
  const auto verdict = Judge(question);
  ASSERT_TRUE(verdict.ok());
  EXPECT_THAT(ChangesThatFit(question), ElementsAre());
  EXPECT_THAT(
      DoesNotFit(question, *verdict).message,
      HasSubstr(fmt::format("too few; nothing listed suffices (fewer sequences, a shorter context, more ranks by "
                            "--tp and --pp); --memory {} would",
                            verdict->needs[0].Least())));
  FitQuestion enough = Ask(spec, verdict->needs[0].Least(), 1024);
  EXPECT_TRUE(Judge(enough)->fits());
  --*enough.budget.each;
  EXPECT_FALSE(Judge(enough)->fits());
}

TEST(Fit, FewerSequencesHelpWhereActivationsAreWhatIsTooMuch) {
  const ModelSpec spec = Llama8b();
  const int64_t one = Judge(Ask(spec, kGib, 1024, {.max_seqs = 1}))->needs[0].Least();
  const std::vector<std::string> changes = ChangesThatFit(Ask(spec, one, 1024, {.max_seqs = 4096}));
  ASSERT_FALSE(changes.empty());
  EXPECT_EQ(changes[0], "--max-seqs 1");
}

TEST(Fit, SharedMemoryIsLessForEachOfMoreRanks) {
  const ModelSpec spec = Llama8b();
  FitQuestion question = {.spec = &spec, .max_len = 1024, .longest = 1024, .budget = {.shared = 32 * kGib}};
  EXPECT_EQ(Judge(question)->memory, std::vector<int64_t>{30923764531});
  question.flags.tp = 4;
  EXPECT_EQ(Judge(question)->memory, std::vector<int64_t>{7730941132});
}

TEST(Fit, NoMoreRanksThanDevices) {
  const ModelSpec spec = Llama8b();
  FitQuestion question = {.spec = &spec, .flags = {.tp = 2, .pp = 2}, .max_len = 1024, .longest = 1024};
  question.budget.devices = [](int64_t) { return std::vector<int64_t>{24 * kGib, 24 * kGib, 8 * kGib}; };
  EXPECT_EQ(Judge(question).message(), "4 ranks (tp 2 x 2 stages) are more than the 3 devices there are");
  question.flags.pp = 1;
  EXPECT_EQ(Judge(question)->memory, std::vector<int64_t>{24 * kGib});
  question.flags = {.tp = 1, .pp = 3};
  EXPECT_EQ(Judge(question)->memory, (std::vector<int64_t>{24 * kGib, 24 * kGib, 8 * kGib}));
}

TEST(Fit, AWorldOfBothIsAPowerOfTwoUnlessToldOtherwise) {
  const ModelSpec spec = Llama8b();
  FitQuestion question = Ask(spec, 24 * kGib, 1024, {.tp = 2, .pp = 3});
  EXPECT_EQ(Judge(question).message(),
            "3 stages x tp 2 are 6 ranks, which is no power of two; take 2 or 4 stages, or say --allow-any-world");
  question.any_world = true;
  EXPECT_TRUE(Judge(question)->fits());
  EXPECT_TRUE(Judge(Ask(spec, 24 * kGib, 1024, {.pp = 3}))->fits());  // stages alone are any number
}

TEST(Fit, SolvesForTheLargest) {
  const ModelSpec spec = Llama8b();
  FitQuestion question = Ask(spec, 24 * kGib, 4096, {.max_seqs = 8});
  const auto tokens = SolveMaxLen(question);
  ASSERT_TRUE(tokens.ok()) << tokens.message();
  question.max_len = *tokens;
  EXPECT_TRUE(Judge(question)->fits());
  ++question.max_len;
  EXPECT_FALSE(Judge(question)->fits());
  EXPECT_EQ(*SolveMaxLen(Ask(spec, 200 * kGib, 4096)), 131072);  // all that the model was made for
  EXPECT_THAT(SolveMaxLen(Ask(spec, kGib, 4096)).message(), HasSubstr("of one sequence of 1 tokens"));

  question.max_len = 4096;
  const auto seqs = SolveMaxSeqs(question);
  ASSERT_TRUE(seqs.ok()) << seqs.message();
  for (const int64_t count : {*seqs, *seqs + 1}) {
    question.flags.max_seqs = count;
    const RankNeed need = Judge(question)->needs[0];
    EXPECT_EQ(need.Fixed() + count * need.sequence <= 24 * kGib, count == *seqs) << count;
  }
  EXPECT_EQ(*SolveMaxSeqs(Ask(spec, int64_t{1} << 48, 16)), 4096);
}

TEST(Fit, ContextsOfMillionsDoNotOverflow) {
  ModelSpec spec = Llama8b();
  spec.longest = int64_t{16} << 20;
  const auto verdict = Judge(Ask(spec, 24 * kGib, spec.longest, {.max_seqs = 4096}));
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(verdict->needs[0].sequence, (int64_t{16} << 20) * 131072);
  EXPECT_FALSE(verdict->fits());
  for (LayerSpec& layer : spec.layers) layer.kv_heads = layer.heads = int64_t{1} << 24;
  const auto absurd = Judge(Ask(spec, 24 * kGib, spec.longest, {.max_seqs = 4096}));
  ASSERT_TRUE(absurd.ok());
  EXPECT_FALSE(absurd->fits());
  EXPECT_GT(absurd->needs[0].Least(), int64_t{1} << 48);
  EXPECT_THAT(DoesNotFit(Ask(spec, 24 * kGib, spec.longest), *absurd).message, HasSubstr("too few; "));
}

}  // namespace
}  // namespace mrs
