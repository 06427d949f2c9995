#include "runtime/engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/kernels.h"
#include "runtime/engine/draw.h"

namespace mrs {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One row as the ranks would return it: logits [tp][1][padded / tp], and the records of top_candidates.
struct Row {
  SamplerShape shape;
  std::vector<float> plain;  // [vocab]
  std::vector<float> logits;
  std::vector<std::byte> candidates;
};

Row MakeRow(std::vector<float> plain, uint32_t tp, uint32_t k) {
  const kernels::ScopedFlushToZero flush;
  Row row;
  const uint32_t vocab = static_cast<uint32_t>(plain.size());
  row.shape = {.tp = tp, .vocab = vocab, .vocab_padded = (vocab + 15) / 16 * 16, .k = k};
  row.plain = std::move(plain);
  row.logits = row.plain;
  row.logits.resize(row.shape.vocab_padded, 0.0f);  // padding is whatever the padded rows give
  const uint32_t shard = row.shape.vocab_padded / tp;
  for (uint32_t rank = 0; rank < tp; ++rank) {
    std::vector<int32_t> ids;
    for (uint32_t id = rank * shard; id < std::min((rank + 1) * shard, vocab); ++id) {
      ids.push_back(static_cast<int32_t>(id));
    }
    std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return row.plain[a] > row.plain[b]; });
    std::vector<int32_t> best(k, -1);
    std::vector<float> values(k, -kInfinity);
    for (uint32_t i = 0; i < std::min<size_t>(k, ids.size()); ++i) {
      best[i] = ids[i];
      values[i] = row.plain[ids[i]];
    }
    std::vector<kernels::LsePartial> partials;
    for (uint32_t chunk = 0; chunk < row.shape.chunks_per_rank(); ++chunk) {
      const uint32_t begin = std::min(rank * shard + chunk * row.shape.chunk_size(), vocab);
      const uint32_t end = std::min(begin + row.shape.chunk_size(), vocab);
      partials.push_back(kernels::ChunkLse(row.plain.data() + begin, end - begin));
    }
    const auto append = [&](const void* data, size_t bytes) {
      const auto* from = static_cast<const std::byte*>(data);
      row.candidates.insert(row.candidates.end(), from, from + bytes);
    };
    append(best.data(), k * 4);
    append(values.data(), k * 4);
    append(partials.data(), partials.size() * 8);
  }
  return row;
}

std::vector<float> RandomLogits(uint32_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

Result<Sampled> FromLogits(const Row& row, const SamplingParams& params, const SampleContext& context = {}) {
  std::vector<float> joined;
  EXPECT_TRUE(JoinLogits(row.shape, row.logits, 1, 0, &joined).ok());
  EXPECT_EQ(std::memcmp(joined.data(), row.plain.data(), row.plain.size() * sizeof(float)), 0);
  return SampleFromLogits(row.shape, joined, params, context);
}

TEST(Philox, GivesThePublishedVectors) {
  // Random123, kat_vectors: philox4x32 10.
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Draw, IsUniformAndDependsOnSeedAndPosition) {
  EXPECT_EQ(Uniform(7, 41), Uniform(7, 41));
  EXPECT_NE(Uniform(7, 41), Uniform(8, 41));
  EXPECT_NE(Uniform(7, 41), Uniform(7, 42));
  double sum = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    const double u = Uniform(3, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 20000, 0.5, 0.01);  // five standard deviations of the mean
}

TEST(Draw, ExponentialIsWithinTwoUlp) {
  for (double x = 0; x > -700; x -= 0.37) {
    const double exact = std::exp(x);
    EXPECT_NEAR(ExpNonPositive(x), exact, exact * 0x1p-51) << x;
  }
  EXPECT_EQ(ExpNonPositive(0), 1.0);
  EXPECT_EQ(ExpNonPositive(-kInfinity), 0.0);
  EXPECT_TRUE(std::isnan(ExpNonPositive(NAN)));
}

TEST(Sampler, CandidatesAndLogitsGiveTheSameBitsOnAnyNumberOfRanks) {
  for (const uint32_t vocab : {1u, 5u, 67u, 2003u}) {
    const std::vector<float> plain = RandomLogits(vocab, vocab);
    const SamplingParams params{.logprobs = 5};
    const Result<Sampled> expected = FromLogits(MakeRow(plain, 1, 8), params);
    ASSERT_TRUE(expected.ok());
    for (const uint32_t tp : {1u, 2u, 4u, 8u, 16u}) {
      const Row row = MakeRow(plain, tp, 8);
      for (const bool from_candidates : {true, false}) {
        const Result<Sampled> sampled =
            from_candidates ? SampleFromCandidates(row.shape, row.candidates, 1, 0, params) : FromLogits(row, params);
        ASSERT_TRUE(sampled.ok()) << sampled.message();
        EXPECT_EQ(sampled->token.id, expected->token.id);
        EXPECT_EQ(std::bit_cast<uint32_t>(sampled->token.logprob), std::bit_cast<uint32_t>(expected->token.logprob));
        ASSERT_EQ(sampled->top.size(), std::min(vocab, 5u));
        for (size_t i = 0; i < sampled->top.size(); ++i) {
          EXPECT_EQ(sampled->top[i].id, expected->top[i].id);
          EXPECT_EQ(std::bit_cast<uint32_t>(sampled->top[i].logprob),
                    std::bit_cast<uint32_t>(expected->top[i].logprob));
        }
      }
    }
  }
}

TEST(Sampler, LogprobsAgreeWithDoubleArithmetic) {
  const std::vector<float> plain = RandomLogits(2003, 5);
  double sum = 0;
  for (const float logit : plain) sum += std::exp(static_cast<double>(logit));
  const Result<Sampled> sampled = FromLogits(MakeRow(plain, 2, 8), {.logprobs = 20});
  ASSERT_TRUE(sampled.ok());
  for (const TokenLogprob& top : sampled->top) {
    // f32 sums of 2003 terms and one rounding of a value near 12.
    EXPECT_NEAR(top.logprob, plain[top.id] - std::log(sum), 1e-5);
  }
}

TEST(Sampler, GreedyTiesGoToTheLowestId) {
  std::vector<float> plain(67, -1.0f);
  plain[60] = plain[13] = plain[41] = 2.0f;
  const Row row = MakeRow(plain, 4, 8);
  EXPECT_EQ(SampleFromCandidates(row.shape, row.candidates, 1, 0, {.logprobs = 3})->top[2].id, 60);
  EXPECT_EQ(SampleFromCandidates(row.shape, row.candidates, 1, 0, {})->token.id, 13);
  EXPECT_EQ(FromLogits(row, {})->token.id, 13);
}

TEST(Sampler, NotANumberIsAnError) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
    std::vector<float> plain = RandomLogits(67, 1);
    plain[30] = bad;
    EXPECT_NE(FromLogits(MakeRow(plain, 2, 8), {}).ok(), true);
    Row row = MakeRow(plain, 2, 8);
    EXPECT_FALSE(SampleFromCandidates(row.shape, row.candidates, 1, 0, {}).ok()) << bad;
  }
  EXPECT_FALSE(FromLogits(MakeRow(std::vector<float>(67, -kInfinity), 2, 8), {}).ok());
}

TEST(Sampler, MaskedTokensAreNeverDrawn) {
  std::vector<float> plain(67, -kInfinity);
  plain[3] = plain[66] = 1.0f;
  const Row row = MakeRow(plain, 2, 8);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Result<Sampled> sampled = FromLogits(row, {.temperature = 2.0f, .seed = seed});
    ASSERT_TRUE(sampled.ok()) << sampled.message();
    EXPECT_TRUE(sampled->token.id == 3 || sampled->token.id == 66);
    EXPECT_FLOAT_EQ(sampled->token.logprob, -std::log(2.0f));
  }
}

TEST(Sampler, RefusesResultsOfAnotherSize) {
  const Row row = MakeRow(RandomLogits(67, 1), 2, 8);
  std::vector<float> joined;
  EXPECT_FALSE(JoinLogits(row.shape, row.logits, 2, 0, &joined).ok());
  EXPECT_FALSE(SampleFromCandidates(row.shape, row.candidates, 2, 0, {}).ok());
}

// Draws with many seeds, and compares the counts with probabilities computed plainly in double.
void ExpectDistribution(const std::vector<float>& plain, SamplingParams params, const std::vector<double>& expected) {
  const Row row = MakeRow(plain, 1, 4);
  constexpr int kDraws = 20000;
  std::vector<int> counts(plain.size());
  for (int i = 0; i < kDraws; ++i) {
    params.seed = static_cast<uint64_t>(i);
    const Result<Sampled> sampled = FromLogits(row, params);
    ASSERT_TRUE(sampled.ok());
    ++counts[static_cast<size_t>(sampled->token.id)];
  }
  for (size_t id = 0; id < plain.size(); ++id) {
    const double sigma = std::sqrt(kDraws * expected[id] * (1 - expected[id]));
    EXPECT_NEAR(counts[id], kDraws * expected[id], 5 * sigma) << id;  // never drawn where 0 is expected
  }
}

std::vector<double> Softmax(const std::vector<float>& logits, double temperature, const std::vector<bool>& kept) {
  std::vector<double> result(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) sum += result[i] = kept[i] ? std::exp(logits[i] / temperature) : 0;
  for (double& p : result) p /= sum;
  return result;
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<float> logits = {1.0f, 0.5f, -1.0f, 2.0f, 0.0f, 1.5f};  // softmax .15 .09 .02 .42 .06 .25
  const std::vector<bool> all(6, true);
  ExpectDistribution(logits, {.temperature = 1.0f}, Softmax(logits, 1.0, all));
  ExpectDistribution(logits, {.temperature = 0.5f}, Softmax(logits, 0.5, all));
  ExpectDistribution(logits, {.temperature = 1.0f, .top_k = 3},
                     Softmax(logits, 1.0, {true, false, false, true, false, true}));
  // .42 + .25 < .7 <= .42 + .25 + .15: three stay.
  ExpectDistribution(logits, {.temperature = 1.0f, .top_p = 0.7f},
                     Softmax(logits, 1.0, {true, false, false, true, false, true}));
  // min-p 0.5: at least half of the best's probability.
  ExpectDistribution(logits, {.temperature = 1.0f, .min_p = 0.5f},
                     Softmax(logits, 1.0, {false, false, false, true, false, true}));
  ExpectDistribution(logits, {.temperature = 1.0f, .top_k = 1},
                     Softmax(logits, 1.0, {false, false, false, true, false, false}));
  // top-p is of what top-k left: .62 of two.
  ExpectDistribution(logits, {.temperature = 1.0f, .top_k = 2, .top_p = 0.6f},
                     Softmax(logits, 1.0, {false, false, false, true, false, false}));
}

TEST(Sampler, MinPOfOneLeavesTheBestAlone) {
  EXPECT_TRUE(CheckSampling({.min_p = 1.0f}, 10).ok());
  const std::vector<float> logits = {1.0f, 2.0f, 1.9999f, -kInfinity, 2.0f};
  ExpectDistribution(logits, {.temperature = 1.0f, .min_p = 1.0f},
                     Softmax(logits, 1.0, {false, true, false, false, true}));
}

TEST(Sampler, TopPExactlyOnTheLineKeepsNoMore) {
  const std::vector<float> logits(4, 0.5f);  // a quarter each, exactly
  ExpectDistribution(logits, {.temperature = 1.0f, .top_p = 0.5f}, Softmax(logits, 1.0, {true, true, false, false}));
  ExpectDistribution(logits, {.temperature = 1.0f, .top_p = 0.75f}, Softmax(logits, 1.0, {true, true, true, false}));
  ExpectDistribution(logits, {.temperature = 1.0f, .top_p = 0.25f}, Softmax(logits, 1.0, {true, false, false, false}));
}

TEST(Sampler, ATinyTemperatureIsStillOne) {
  const SamplingParams tiny{.temperature = 1e-6f};
  EXPECT_TRUE(CheckSampling(tiny, 10).ok());
  EXPECT_TRUE(NeedsAllLogits(tiny, 8));
  // Logits a millionth apart: as far as 1 is at temperature 1.
  const std::vector<float> near = {0.0f, -1e-6f, -3e-6f};
  ExpectDistribution(near, tiny, Softmax(near, 1e-6, {true, true, true}));
  const std::vector<float> far = {-30.0f, 1.0f, 30.0f, 29.999f};
  ExpectDistribution(far, tiny, {0.0, 0.0, 1.0, 0.0});
}

TEST(Sampler, PenaltiesAndBiasFollowVllm) {
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f, 0.0f};
  const Row row = MakeRow(logits, 1, 4);
  const std::vector<int32_t> prompt = {0}, answer = {1, 1, 3};
  const SampleContext context{.prompt = prompt, .answer = answer};
  // 2.0 / 1.5 for the prompt's token, 1.9 / 1.5 for the answer's.
  EXPECT_EQ(FromLogits(row, {.repetition_penalty = 1.5f}, context)->token.id, 0);
  EXPECT_EQ(FromLogits(row, {.repetition_penalty = 1.5f, .logit_bias = {{1, 0.2f}}}, context)->token.id, 1);
  // Presence and frequency count the answer alone: 1.9 - 2 * 1.0.
  EXPECT_EQ(FromLogits(row, {.frequency_penalty = 1.0f, .logit_bias = {{0, -1.9f}}}, context)->token.id, 0);
  EXPECT_EQ(FromLogits(row, {.presence_penalty = 1.0f, .logit_bias = {{0, -1.9f}}}, context)->token.id, 1);
  // What is reported is the model's own probability.
  const Result<Sampled> sampled = FromLogits(row, {.logit_bias = {{2, 50.0f}}}, context);
  EXPECT_EQ(sampled->token.id, 2);
  EXPECT_LT(sampled->token.logprob, -3.0f);
}

TEST(Sampler, KnowsWhenCandidatesAreEnough) {
  EXPECT_FALSE(NeedsAllLogits({.logprobs = 8}, 8));
  EXPECT_TRUE(NeedsAllLogits({.logprobs = 9}, 8));
  EXPECT_TRUE(NeedsAllLogits({.temperature = 0.1f}, 8));
  EXPECT_TRUE(NeedsAllLogits({.repetition_penalty = 1.1f}, 8));
  EXPECT_TRUE(NeedsAllLogits({.logit_bias = {{0, 1.0f}}}, 8));
  EXPECT_TRUE(NeedsAllLogits({.logits_hash = true}, 8));
}

TEST(Sampler, RefusesParametersOutOfRange) {
  EXPECT_TRUE(CheckSampling({}, 10).ok());
  EXPECT_EQ(CheckSampling({.temperature = -1.0f}, 10).message(), "temperature is -1, expected a finite number >= 0");
  EXPECT_EQ(CheckSampling({.top_p = 0.0f}, 10).message(), "top_p is 0, expected 0 < top_p <= 1");
  EXPECT_FALSE(CheckSampling({.temperature = NAN}, 10).ok());
  EXPECT_FALSE(CheckSampling({.min_p = 1.5f}, 10).ok());
  EXPECT_FALSE(CheckSampling({.repetition_penalty = 0.0f}, 10).ok());
  EXPECT_FALSE(CheckSampling({.presence_penalty = 2.5f}, 10).ok());
  EXPECT_FALSE(CheckSampling({.logit_bias = {{10, 0.0f}}}, 10).ok());
  EXPECT_FALSE(CheckSampling({.max_tokens = 0}, 10).ok());
  EXPECT_FALSE(CheckSampling({.stop_token_ids = {-1}}, 10).ok());
  EXPECT_FALSE(CheckSampling({.logprobs = 21}, 10).ok());
}

}  // namespace
}  // namespace mrs
