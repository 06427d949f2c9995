// What generation_config.json says: how a request that does not say is to be drawn, and more tokens that end an answer.
//
//   {"eos_token_id": [7, 3], "temperature": 0.6, "min_p": 0.1}  ->  eos {3, 7}, sampling {temperature 0.6, min_p 0.1}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

// Sets bos and pad from `bos_token_id` and `pad_token_id`, and adds `eos_token_id` (a number or a list) to eos. Null
// and -1 mean none, an absent key leaves the field. Ids at or past spec.vocab are left out, and warned of.
Status ReadTokenIds(const Json& config, std::string_view where, ModelSpec& spec, std::vector<std::string>* warnings);

// Adds ids to spec.eos, which stays sorted and without repetition. Refuses more than a plan takes.
Status AddEndTokens(const std::vector<int32_t>& ids, std::string_view where, ModelSpec& spec);

// Reads the file where there is one. What the sampler has not is warned of by name.
Status ReadGenerationConfig(const std::string& folder, ModelSpec& spec, std::vector<std::string>* warnings);

}  // namespace mrs
