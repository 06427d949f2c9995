// What a model is, read from its folder's config.json (and what its other small files say about text), all checked.
//
//   ReadModelConfig("models/mini")  ->  ModelSpec{architecture "LlamaForCausalLM", hidden 256, layers 6, ...}
#pragma once

#include <string>

#include "formats/json.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

struct ModelOptions {
  std::string name = "model";  // what clients call it; never taken from the folder's path
};

// Reads config.json, which must be there, and what ReadModelText reads. Absent keys take the defaults of transformers
// 5.23; sizes have none. Whatever would change the computation in a way that mrs does not plan is refused by name:
// other architectures, sliding windows in use, other RoPE rules, quantized, multimodal and mixture-of-experts models.
Result<ModelSpec> ReadModelConfig(const std::string& folder, const ModelOptions& options = {});

// The part that config.json says; `where` names it in errors.
Result<ModelSpec> ParseModelConfig(const Json& config, std::string_view where);

}  // namespace mrs
