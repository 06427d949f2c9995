// What a plan of a model would be, from its config.json alone: layout, legal sizes, memory of each rank, parameters.
// The tensors are those that the family's rows say, so no checkpoint is needed; only a plan file needs headers. An
// index beside config.json must name them.
//
//   DryRun({.model_dir = "configs/llama-70b", .tp = 8})->text
//     ->  model        llama-70b (LlamaForCausalLM), 80 layers, 64 heads over 8 x 128, hidden 8192, ...
//         parameters   70553706496, 141107412992 bytes as BF16
//         stage 0      layers 0 to 79 on device 0, of 8 ranks; each: weights 17.7 GB ...
#pragma once

#include <string>
#include <vector>

#include "planner/build.h"

namespace mrs::planner {

struct DryRunReport {
  std::string text;
  std::vector<std::string> warnings;
};

// `options.model_dir`: a folder with a config.json, or such a file. Without --memory a rank may use what it needs.
// Refuses what a build would refuse, the files of the folder's weights and what their headers say apart.
Result<DryRunReport> DryRun(const BuildOptions& options);

}  // namespace mrs::planner
