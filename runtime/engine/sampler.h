// Chooses the next token from what the ranks returned, and says how probable it was.
//
//   NeedsAllLogits(params, shape.k)   // false for a greedy request: the ranks' best candidates are enough
//   SampleFromCandidates(shape, output.candidates, row_count, row, params)  ->  {token 42, logprob -0.11}, top ...
//   SampleFromLogits(shape, logits, params, context)                        ->  the same bits for the same request
//
// Log-probabilities are of the model's own distribution: logit - log-sum-exp, both f32, the latter by 16 canonical
// chunks and their tree, whichever way they came. What changes the distribution follows the order of vLLM: logit bias,
// repetition penalty, frequency penalty, presence penalty; greedy ends here (ties: lowest id); else temperature, min-p,
// top-k, top-p, one draw. All of it runs on one thread with a fixed order of sums and no libm, so that a seed gives the
// same tokens on every host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "plans/contract.h"
#include "plans/status.h"
#include "runtime/engine/request.h"

namespace mrs {

// How results are laid out, from the plan.
struct SamplerShape {
  uint32_t tp = 1;
  uint32_t vocab = 0;         // real rows
  uint32_t vocab_padded = 0;  // contract::kVocabChunks equal chunks; tp equal shards
  uint32_t k = 0;             // candidates a rank returns for a row

  uint32_t chunk_size() const { return vocab_padded / contract::kVocabChunks; }
  uint32_t chunks_per_rank() const { return contract::kVocabChunks / tp; }
  size_t record_bytes() const { return contract::CandidateRecordBytes(k, chunks_per_rank()); }
};

struct Sampled {
  TokenLogprob token;
  std::vector<TokenLogprob> top;  // params.logprobs of them, best first
};

// What a draw and the penalties depend on beside the logits.
struct SampleContext {
  std::span<const int32_t> prompt;
  std::span<const int32_t> answer;                                     // tokens so far
  uint64_t position() const { return prompt.size() + answer.size(); }  // of the token to be chosen
};

// Refuses parameters out of their range, by name.
Status CheckSampling(const SamplingParams& params, uint32_t vocab);

bool NeedsAllLogits(const SamplingParams& params, uint32_t k);

// `candidates`: [tp, row_count] records of kernels::TopCandidatesArgs. Refuses NaN and infinite results.
Result<Sampled> SampleFromCandidates(const SamplerShape& shape, std::span<const std::byte> candidates,
                                     uint32_t row_count, uint32_t row, const SamplingParams& params);

// Row `row` of `logits` [tp, row_count, vocab_padded / tp] as one vector of `vocab` floats. Refuses another size.
Status JoinLogits(const SamplerShape& shape, std::span<const float> logits, uint32_t row_count, uint32_t row,
                  std::vector<float>* joined);

// `logits`: [vocab], as JoinLogits gives them.
Result<Sampled> SampleFromLogits(const SamplerShape& shape, std::span<const float> logits, const SamplingParams& params,
                                 const SampleContext& context);

}  // namespace mrs
