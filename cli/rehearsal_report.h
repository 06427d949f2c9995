// What a rehearsal says: exactly what was rehearsed and what was not, and what was measured, beside the plan's own
// predictions where it has them.
//
//   rehearsed     every layer (0 to 3), 3 batch sizes, with and without all logits; weights of zeros, 6.52 MiB
//   links         2 of 2 carry what is sent; the slowest: rank 1 -> rank 0, 2.1 us; the narrowest: ..., 5.2 GB/s
//   step          16 tokens, candidates: 1.31 ms (1.20 at least, 5 runs)
//   exchange      all-reduce (doubling) of 16.0 KiB, 9 a step of 16 tokens: 4.10 us (3.20 at least)
//
// Pure functions of the plan and of what was measured.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"
#include "runtime/rank/executor.h"
#include "runtime/rank/measured.h"
#include "runtime/rank/rehearsal.h"
#include "runtime/world/wire.h"

namespace mrs::cli {

struct RehearsedForward {
  uint32_t bucket = 0;  // of the answering stage
  uint64_t tokens = 0, sequences = 0, logit_rows = 0;
  Variant variant = Variant::kCandidates;
  uint64_t runs = 0, min_ns = 0, median_ns = 0;  // from batch to result, as the supervisor saw it
};

struct Rehearsed {
  RehearsalScope scope = RehearsalScope::kNone;
  HostMemory host;
  std::string transport, isa;
  uint32_t threads = 1;
  std::vector<RehearsedForward> forwards;
  std::vector<wire::Measured> ranks;
  double seconds = 0;
};

// What a forward exchanges in one stage: how often in the whole plan's step, and what it took. The shortest of all
// ranks' times, which is of those that waited for nobody.
struct ExchangeLine {
  uint32_t stage = 0;
  Exchange exchange = {};
  uint64_t count = 0;    // in a step
  uint64_t samples = 0;  // 0: none was rehearsed
  uint64_t min_ns = 0, median_ns = 0;
};
std::vector<ExchangeLine> ExchangesOf(const plan::Plan& plan, const RehearsedForward& forward,
                                      const std::vector<wire::Measured>& ranks);

std::string RehearsalText(const plan::Plan& plan, std::string_view plan_sha256, const Rehearsed& rehearsed);
// "format": "mrs-rehearsal 1".
std::string RehearsalJson(const plan::Plan& plan, std::string_view plan_sha256, const Rehearsed& rehearsed);
std::string FailedRehearsalJson(std::string_view error, double seconds);

}  // namespace mrs::cli
