// What the model is to continue: a conversation put through the chat template, or prompts as text or token ids.
//
//   ReadMessages(model, body, &ids);   // {"messages":[{"role":"user","content":"Hi"}]} -> the tokens of one prompt
//   ReadPrompts(model, body, &lists);  // {"prompt":["a","b"]} -> two
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "runtime/serve/api_error.h"
#include "runtime/serve/api_fields.h"
#include "runtime/serve/api_model.h"

namespace mrs::serve {

// `stop`: null, or set when nobody waits for them any more.
Fault ReadMessages(const ApiModel& model, const Fields& body, const std::atomic<bool>* stop, std::vector<int32_t>* ids);
Fault ReadPrompts(const ApiModel& model, const Fields& body, const std::atomic<bool>* stop,
                  std::vector<std::vector<int32_t>>* prompts);

}  // namespace mrs::serve
