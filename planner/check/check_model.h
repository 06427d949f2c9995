// Everything that `mrs-plan build` refuses in a model folder, or warns of, before it plans anything; not the first
// fault alone, but one from each file, each with its place.
//
//   m/config.json:4:3: error: 'hidden_size': expected a positive integer, got "x" [model.config]
//   m/model.safetensors: error: 12 bytes, but ...                                  [model.weights]
#pragma once

#include <string>
#include <vector>

#include "planner/check/diagnostic.h"

namespace mrs::check {

// `weights_due`: they are missed where there are none; else that is noted, and the rest is judged.
std::vector<Diagnostic> CheckModelFolder(const std::string& folder, bool weights_due);

// A config.json alone, whatever it is called.
std::vector<Diagnostic> CheckModelConfig(const std::string& path);

}  // namespace mrs::check
