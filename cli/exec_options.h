// What mrs-exec's command line says, checked as far as it can be without the plan.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cli/node_options.h"
#include "runtime/engine/request.h"

namespace mrs::cli {

struct ExecOptions {
  std::string plan_path;
  std::string model_dir;  // "": beside the plan, or here
  std::string host = "127.0.0.1";
  uint16_t port = 1234;
  std::string transport = "auto";
  NodeOptions node;      // which one this is
  uint32_t threads = 0;  // per rank; 0: the host's cores over its ranks
  uint32_t chunk = 256;
  std::string cuda_graphs = "on";
  std::string dependent_launch = "on";
  bool no_nccl = false;  // this host has none
  double hang_timeout_s = 30;
  std::vector<std::string> prompts;              // texts
  std::vector<std::vector<int32_t>> prompt_ids;  // token ids
  SamplingParams sampling;
  std::set<std::string> sampling_given;  // the options of `sampling` that were: "--temperature"
  std::vector<std::string> stops;        // of --stop
  bool interactive = false;
  std::string logits_out;  // "": nowhere
  uint32_t drain_s = 30;
  bool json = false;
  bool quiet = false;
  bool rehearse = false;
  std::string rehearse_layers = "auto";

  bool answers_once() const { return !prompts.empty() || !prompt_ids.empty(); }
};

}  // namespace mrs::cli
