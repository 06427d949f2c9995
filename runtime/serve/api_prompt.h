// What the model is to continue: a conversation put through the chat template, or prompts as text or token ids.
//
//   ReadMessages(model, body, &ids);   // {"messages":[{"role":"user","content":"Hi"}]} -> the tokens of one prompt
//   ReadPrompts(model, body, &lists);  // {"prompt":["a","b"]} -> two
#pragma once

#include <cstdint>
#include <vector>

#include "formats/json.h"
#include "runtime/serve/api_error.h"
#include "runtime/serve/api_model.h"

namespace mrs::serve {

Fault ReadMessages(const ApiModel& model, const Json& body, std::vector<int32_t>* ids);
Fault ReadPrompts(const ApiModel& model, const Json& body, std::vector<std::vector<int32_t>>* prompts);

}  // namespace mrs::serve
