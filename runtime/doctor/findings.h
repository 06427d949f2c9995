// What the facts of a host mean for mrs: one line each, with a verdict and what to do.
//
//   {"limits.open_files", Verdict::kWarn, "256 open files: each client takes one", "ulimit -n 65536"}
//
// Pure functions of the facts, so that every verdict has its row in a table of a test.
#pragma once

#include <string>
#include <vector>

#include "runtime/doctor/facts.h"

namespace mrs::doctor {

enum class Verdict : uint8_t { kOk, kWarn, kBad };
const char* VerdictName(Verdict verdict);  // "ok", "warn", "bad"

struct Finding {
  std::string id;  // stable: scripts may match it
  Verdict verdict = Verdict::kOk;
  std::string says;
  std::string fix;  // "": nothing to do
};

// In the order of the report: cores, memory, limits, network, GPUs.
std::vector<Finding> Judge(const Facts& facts);

// Its two halves.
void JudgeHost(const Facts& facts, std::vector<Finding>* findings);
void JudgeGpus(const Facts& facts, std::vector<Finding>* findings);

Verdict Worst(const std::vector<Finding>& findings);

// "79.6 GiB".
std::string SizeText(uint64_t bytes);

}  // namespace mrs::doctor
