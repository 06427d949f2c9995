// What a model folder says about text: special tokens, sampling defaults and the chat template.
//
//   generation_config.json {"eos_token_id": [7, 3], "temperature": 0.6}  ->  spec.eos {3, 7}, sampling.temperature 0.6
#pragma once

#include <string>
#include <string_view>

#include "formats/json.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

// Sets bos, eos and pad from `bos_token_id`, `eos_token_id` (a number or a list) and `pad_token_id`. Null and -1 mean
// none, an absent key leaves the field. Ids at or past spec.vocab are refused.
Status ReadTokenIds(const Json& config, std::string_view where, ModelSpec& spec);

// Reads, where they exist, generation_config.json (its token ids win over config.json's), tokenizer_config.json and
// chat_template.jinja (which wins over the template in tokenizer_config.json).
Status ReadModelText(const std::string& folder, ModelSpec& spec);

}  // namespace mrs
