// What a model folder says about chats: its special tokens by name, the one that ends a turn, and the chat template.
//
//   tokenizer_config.json {"eos_token": "<|im_end|>", "pad_token": "<pad>", "chat_template": "{{ messages }}"}
//     ->  spec.eos gains the token's id, spec.template_tokens {{"eos_token", "<|im_end|>"}, {"pad_token", "<pad>"}},
//     ...
#pragma once

#include <string>
#include <vector>

#include "formats/text/tokenizer.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

// Reads, where they exist, tokenizer_config.json, special_tokens_map.json (which names tokens that the former does not)
// and chat_template.jinja (which wins over the template in tokenizer_config.json). Every template must parse, also one
// that is not used. `tokenizer`: null where there is none.
Status ReadModelText(const std::string& folder, const text::Tokenizer* tokenizer, ModelSpec& spec,
                     std::vector<std::string>* warnings);

}  // namespace mrs
