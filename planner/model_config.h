// What a model is, read from its folder's config.json (and what its other small files say about text), all checked.
//
//   ReadModelConfig("models/mini", {}, &warnings)  ->  {name "mini", architecture "LlamaForCausalLM", hidden 256,
//   layers 4, ...}
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

struct ModelOptions {
  std::string name = {};                // what clients call it; "": after the folder
  std::optional<int64_t> max_len = {};  // of the plan; absent: PlannedLength decides
  bool layout_alone = false;  // no plan is made: `folder` may be a config.json, and nothing beside it is read then; a
                              // tokenizer.json that is a git-lfs pointer is no fault
};

// Reads config.json, which must be there, tokenizer.json, and what ReadGenerationConfig and ReadModelText read. Absent
// keys take the defaults of transformers 5.24; sizes have none. Whatever would change the computation in a way that mrs
// does not plan is refused by name: other architectures, sliding windows in use, other RoPE rules, quantized,
// multimodal and mixture-of-experts models. An answer ends at the tokens that config.json, generation_config.json and
// the tokenizer's eos_token name, together. Facts that are not used are warned of, each by name.
Result<ModelSpec> ReadModelConfig(const std::string& folder, const ModelOptions& options,
                                  std::vector<std::string>* warnings);

// The part that config.json says; `where` names it in errors.
Result<ModelSpec> ParseModelConfig(const Json& config, std::string_view where, std::optional<int64_t> max_len,
                                   std::vector<std::string>* warnings);

// Tokens of a sequence that a plan is for: what was asked for, else the model's own length, at most 8192.
int64_t PlannedLength(std::optional<int64_t> asked, int64_t max_position);

}  // namespace mrs
