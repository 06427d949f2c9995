#include "runtime/engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "kernels/kernels.h"
#include "runtime/engine/draw.h"

namespace mrs {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Candidate {
  int32_t id;
  float logit;
};

bool Better(float logit_a, int64_t id_a, float logit_b, int64_t id_b) {
  return logit_a != logit_b ? logit_a > logit_b : id_a < id_b;
}

bool BetterCandidate(const Candidate& a, const Candidate& b) { return Better(a.logit, a.id, b.logit, b.id); }

Error NotFinite() {
  return Refuse(
      "the model's logits are not finite (NaN, or no real maximum): its weights are damaged or its numbers overflow; "
      "compare the checkpoint's files with their source");
}

// Whether log-probabilities can be formed at all.
Status CheckFinite(float best, float lse) {
  if (std::isfinite(best) && std::isfinite(lse)) return Status();
  return NotFinite();
}

Sampled Describe(const Candidate& chosen, std::span<const Candidate> best, uint32_t top_count, float lse) {
  Sampled sampled;
  sampled.token = {chosen.id, chosen.logit - lse};
  for (size_t i = 0; i < std::min<size_t>(top_count, best.size()); ++i) {
    sampled.top.push_back({best[i].id, best[i].logit - lse});
  }
  return sampled;
}

float LogSumExp(const SamplerShape& shape, std::span<const float> logits) {
  std::array<kernels::LsePartial, kernels::kVocabChunks> partials;
  for (size_t chunk = 0; chunk < partials.size(); ++chunk) {
    const size_t begin = std::min<size_t>(chunk * shape.chunk_size(), logits.size());
    const size_t end = std::min<size_t>(begin + shape.chunk_size(), logits.size());
    partials[chunk] = begin == end ? kernels::LsePartial{-kInfinity, 0.0f}
                                   : kernels::ChunkLse(logits.data() + begin, static_cast<int64_t>(end - begin));
  }
  return kernels::LseValue(kernels::CombineLseTree(partials.data(), kernels::kVocabChunks));
}

// Bias, then the three penalties.
void Adjust(const SamplingParams& params, const SampleContext& context, std::vector<float>* logits) {
  for (const auto& [id, bias] : params.logit_bias) (*logits)[static_cast<size_t>(id)] += bias;
  if (params.repetition_penalty != 1.0f) {
    std::unordered_set<int32_t> seen(context.prompt.begin(), context.prompt.end());
    seen.insert(context.answer.begin(), context.answer.end());
    for (const int32_t id : seen) {
      float& logit = (*logits)[static_cast<size_t>(id)];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
  }
  if (params.frequency_penalty != 0.0f || params.presence_penalty != 0.0f) {
    std::unordered_map<int32_t, uint32_t> counts;
    for (const int32_t id : context.answer) ++counts[id];
    for (const auto& [id, count] : counts) {
      float& logit = (*logits)[static_cast<size_t>(id)];
      logit -= params.frequency_penalty * static_cast<float>(count);
      logit -= params.presence_penalty;
    }
  }
}

// Ids that min-p, top-k and top-p leave, ascending. `weights`: exp((logit - max) / temperature), so the best has 1.
std::vector<uint32_t> Survivors(const SamplingParams& params, std::span<const float> logits,
                                std::span<const double> weights) {
  std::vector<uint32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0u);
  const auto better = [&](uint32_t a, uint32_t b) { return Better(logits[a], a, logits[b], b); };
  if (params.min_p > 0.0f) {
    std::erase_if(ids, [&](uint32_t id) { return weights[id] < static_cast<double>(params.min_p); });
  }
  if (params.top_k > 0 && params.top_k < ids.size()) {
    std::nth_element(ids.begin(), ids.begin() + params.top_k, ids.end(), better);
    ids.resize(params.top_k);
    std::sort(ids.begin(), ids.end());
  }
  if (params.top_p < 1.0f) {
    // The shortest run of best ids whose weight reaches top_p of what is left; the one that crosses the line stays.
    double total = 0;
    for (const uint32_t id : ids) total += weights[id];
    const auto worse = [&](uint32_t a, uint32_t b) { return better(b, a); };
    std::make_heap(ids.begin(), ids.end(), worse);
    double reached = 0;
    size_t kept = 0;
    while (kept < ids.size() && (kept == 0 || reached < static_cast<double>(params.top_p) * total)) {
      std::pop_heap(ids.begin(), ids.end() - static_cast<ptrdiff_t>(kept), worse);
      reached += weights[ids[ids.size() - 1 - kept]];
      ++kept;
    }
    ids.erase(ids.begin(), ids.end() - static_cast<ptrdiff_t>(kept));
    std::sort(ids.begin(), ids.end());
  }
  return ids;
}

uint32_t Draw(const SamplingParams& params, std::span<const float> logits, float best, uint64_t position) {
  std::vector<double> weights(logits.size());
  for (size_t id = 0; id < logits.size(); ++id) {
    weights[id] = ExpNonPositive((static_cast<double>(logits[id]) - static_cast<double>(best)) /
                                 static_cast<double>(params.temperature));
  }
  const std::vector<uint32_t> ids = Survivors(params, logits, weights);
  double total = 0;
  for (const uint32_t id : ids) total += weights[id];
  const double threshold = Uniform(params.seed, position) * total;
  double reached = 0;
  uint32_t last = ids.front();
  for (const uint32_t id : ids) {
    if (weights[id] == 0.0) continue;
    reached += weights[id];
    last = id;
    if (reached > threshold) break;
  }
  return last;
}

}  // namespace

Status CheckSampling(const SamplingParams& params, uint32_t vocab) {
  const auto out_of_range = [](const char* name, double value, const char* expected) {
    return Refuse("{} is {}, expected {}", name, value, expected);
  };
  if (!(params.temperature >= 0.0f) || !std::isfinite(params.temperature)) {
    return out_of_range("temperature", params.temperature, "a finite number >= 0");
  }
  if (!(params.top_p > 0.0f && params.top_p <= 1.0f)) return out_of_range("top_p", params.top_p, "0 < top_p <= 1");
  if (!(params.min_p >= 0.0f && params.min_p <= 1.0f)) return out_of_range("min_p", params.min_p, "0 <= min_p <= 1");
  if (!(params.repetition_penalty > 0.0f) || !std::isfinite(params.repetition_penalty)) {
    return out_of_range("repetition_penalty", params.repetition_penalty, "a finite number > 0");
  }
  if (!(std::abs(params.presence_penalty) <= 2.0f)) {
    return out_of_range("presence_penalty", params.presence_penalty, "-2 to 2");
  }
  if (!(std::abs(params.frequency_penalty) <= 2.0f)) {
    return out_of_range("frequency_penalty", params.frequency_penalty, "-2 to 2");
  }
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocab) {
      return Refuse("logit_bias names token {}, expected 0 to {}", id, vocab - 1);
    }
    if (!(std::abs(bias) <= 100.0f)) return out_of_range("logit_bias", bias, "-100 to 100");
  }
  for (const int32_t id : params.stop_token_ids) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocab) {
      return Refuse("stop_token_ids names token {}, expected 0 to {}", id, vocab - 1);
    }
  }
  if (params.logprobs.has_value() && *params.logprobs > 20) {
    return Refuse("logprobs asks for {} alternatives a token, expected 0 to 20", *params.logprobs);
  }
  if (params.max_tokens == 0) return Refuse("max_tokens is 0, expected at least 1");
  return Status();
}

bool NeedsAllLogits(const SamplingParams& params, uint32_t k) {
  return params.temperature > 0.0f || params.repetition_penalty != 1.0f || params.presence_penalty != 0.0f ||
         params.frequency_penalty != 0.0f || !params.logit_bias.empty() || params.logits_hash ||
         params.logprobs.value_or(0) > k;
}

Result<Sampled> SampleFromCandidates(const SamplerShape& shape, std::span<const std::byte> candidates,
                                     uint32_t row_count, uint32_t row, const SamplingParams& params) {
  const kernels::ScopedFlushToZero flush;
  MRS_CHECK(row < row_count);
  if (candidates.size() != shape.record_bytes() * row_count * shape.tp) {
    return Refuse("rank 0 returned {} bytes of candidates for {} rows, expected {} records of {} bytes",
                  candidates.size(), row_count, uint64_t{row_count} * shape.tp, shape.record_bytes());
  }
  std::vector<Candidate> best;
  best.reserve(size_t{shape.k} * shape.tp);
  std::array<kernels::LsePartial, kernels::kVocabChunks> partials;
  for (uint32_t rank = 0; rank < shape.tp; ++rank) {
    const std::byte* record = candidates.data() + (size_t{rank} * row_count + row) * shape.record_bytes();
    for (uint32_t i = 0; i < shape.k; ++i) {
      Candidate candidate;
      std::memcpy(&candidate.id, record + size_t{i} * 4, 4);
      std::memcpy(&candidate.logit, record + (size_t{shape.k} + i) * 4, 4);
      if (candidate.id < 0) continue;
      if (static_cast<uint32_t>(candidate.id) >= shape.vocab) {
        return Refuse("rank {} returned token {} of a vocabulary of {}", rank, candidate.id, shape.vocab);
      }
      if (std::isnan(candidate.logit)) return NotFinite();
      best.push_back(candidate);
    }
    std::memcpy(&partials[rank * shape.chunks_per_rank()], record + size_t{shape.k} * 8,
                shape.chunks_per_rank() * sizeof(kernels::LsePartial));
  }
  if (best.empty()) return NotFinite();
  const size_t top_count = params.logprobs.value_or(0);
  const size_t wanted = std::min(best.size(), std::max<size_t>(1, top_count));
  std::partial_sort(best.begin(), best.begin() + static_cast<ptrdiff_t>(wanted), best.end(), BetterCandidate);
  const float lse = kernels::LseValue(kernels::CombineLseTree(partials.data(), kernels::kVocabChunks));
  MRS_RETURN_IF_ERROR(CheckFinite(best[0].logit, lse));
  return Describe(best[0], best, static_cast<uint32_t>(top_count), lse);
}

Status JoinLogits(const SamplerShape& shape, std::span<const float> logits, uint32_t row_count, uint32_t row,
                  std::vector<float>* joined) {
  const size_t shard = shape.vocab_padded / shape.tp;
  MRS_CHECK(row < row_count);
  if (logits.size() != shard * shape.tp * row_count) {
    return Refuse("rank 0 returned {} logits for {} rows of {}", logits.size(), row_count, shape.vocab_padded);
  }
  joined->resize(shape.vocab);
  for (size_t rank = 0; rank < shape.tp; ++rank) {
    const size_t begin = std::min<size_t>(rank * shard, shape.vocab);
    const size_t end = std::min<size_t>(begin + shard, shape.vocab);
    std::copy_n(logits.data() + (rank * row_count + row) * shard, end - begin,
                joined->data() + static_cast<ptrdiff_t>(begin));
  }
  return Status();
}

Result<Sampled> SampleFromLogits(const SamplerShape& shape, std::span<const float> logits, const SamplingParams& params,
                                 const SampleContext& context) {
  const kernels::ScopedFlushToZero flush;
  MRS_CHECK(logits.size() == shape.vocab && shape.vocab > 0);
  for (const float logit : logits) {
    if (std::isnan(logit)) return NotFinite();
  }
  const float lse = LogSumExp(shape, logits);

  std::vector<uint32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  const size_t wanted = std::min<size_t>(logits.size(), std::max<uint32_t>(1, params.logprobs.value_or(0)));
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(wanted), order.end(),
                    [&](uint32_t a, uint32_t b) { return Better(logits[a], a, logits[b], b); });
  std::vector<Candidate> best;
  for (size_t i = 0; i < wanted; ++i) best.push_back({static_cast<int32_t>(order[i]), logits[order[i]]});
  MRS_RETURN_IF_ERROR(CheckFinite(best[0].logit, lse));

  std::vector<float> adjusted(logits.begin(), logits.end());
  Adjust(params, context, &adjusted);
  uint32_t chosen = 0;
  for (uint32_t id = 1; id < adjusted.size(); ++id) {
    if (adjusted[id] > adjusted[chosen]) chosen = id;
  }
  if (!std::isfinite(adjusted[chosen])) return NotFinite();
  if (params.temperature > 0.0f) chosen = Draw(params, adjusted, adjusted[chosen], context.position());
  return Describe({static_cast<int32_t>(chosen), logits[chosen]}, best, params.logprobs.value_or(0), lse);
}

}  // namespace mrs
