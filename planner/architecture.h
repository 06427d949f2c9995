// Which family a config.json is of, or precisely why it is none that mrs plans.
//
//   {"architectures": ["LlamaForCausalLM"], ...}   ->  the row of LlamaForCausalLM
//   {"model_type": "llama", ...}                   ->  the same, with a warning: transformers goes by the type alone
//   {"architectures": ["MixtralForCausalLM"], "num_local_experts": 8, ...}
//     ->  config.json: architecture "MixtralForCausalLM" is not supported yet (mixtures of experts:
//     'num_local_experts');
//         supported: Exaone4ForCausalLM, ...
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "planner/families.h"
#include "plans/status.h"

namespace mrs {

Result<const Family*> ReadFamily(const Json& config, std::string_view where, std::vector<std::string>* warnings);

// Keys of a supported architecture that change its computation in a way that is not planned yet.
Status RefuseUnplanned(const Json& config, std::string_view where);

// false and 0: with many keys the model says so that it does without.
bool MeansNothing(const Json& value);

}  // namespace mrs
