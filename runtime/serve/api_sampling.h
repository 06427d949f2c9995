// The parameters of a request that say how tokens are chosen and when the answer ends.
//
//   SamplingParams sampling;
//   if (Fault fault = ReadSampling(model, body, seed, &sampling)) return fault;
#pragma once

#include <cstdint>

#include "runtime/engine/request.h"
#include "runtime/serve/api_error.h"
#include "runtime/serve/api_fields.h"
#include "runtime/serve/api_model.h"

namespace mrs::serve {

// All but max_tokens and logprobs, which differ between chat and completions. Defaults are the plan's.
Fault ReadSampling(const ApiModel& model, const Fields& body, uint64_t seed, SamplingParams* sampling);

// Refuses by name what would change the answer and is not there: tools, n > 1, response_format, ...
Fault CheckUnsupported(const Fields& body);

// min_tokens, which benchmarks send: accepted where the answer has max_tokens whatever happens.
Fault CheckMinTokens(const Fields& body, const SamplingParams& sampling);

}  // namespace mrs::serve
