// What mrs-exec's command line says, checked as far as it can be without the plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/engine/request.h"

namespace mrs::cli {

struct ExecOptions {
  std::string plan_path;
  std::string model_dir;  // "": beside the plan, or here
  std::string host = "127.0.0.1";
  uint16_t port = 1234;
  std::string transport = "auto";
  uint32_t threads = 0;  // per rank; 0: the host's cores over its ranks
  uint32_t chunk = 256;
  double timeout_s = 60;
  std::vector<std::string> prompts;              // texts
  std::vector<std::vector<int32_t>> prompt_ids;  // token ids
  SamplingParams sampling;
  std::string logits_out;  // "": nowhere
  bool json = false;
  bool quiet = false;

  bool answers_once() const { return !prompts.empty() || !prompt_ids.empty(); }
};

}  // namespace mrs::cli
