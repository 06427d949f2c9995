// The JSON of a request, translated: which prompts to run, how to sample, and how the client wants to hear of it.
//
//   ApiCall call;
//   if (Fault fault = ParseChatCall(model, R"({"messages":[{"role":"user","content":"Hi"}]})", seed, &call)) ...
//   call.requests[0].prompt;   // the rendered conversation's tokens
//
// Pure: no clock but the template's strftime_now, no sockets. What would change the answer and is not supported is
// refused by name; parameters that mean nothing here are ignored.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/engine/request.h"
#include "runtime/serve/api_error.h"
#include "runtime/serve/api_model.h"

namespace mrs::serve {

inline constexpr size_t kMaxBodyBytes = 50'000'000;
inline constexpr size_t kMaxPrompts = 256;  // in one request

struct ApiCall {
  bool chat = false;
  bool stream = false;
  bool include_usage = false;     // a last chunk with the usage
  bool usage_so_far = false;      // with include_usage: in every chunk, of its choice
  bool return_token_ids = false;  // as vLLM
  std::vector<Request> requests;  // one a choice
};

// `seed` is used where the client gives none.
Fault ParseChatCall(const ApiModel& model, std::string_view body, uint64_t seed, ApiCall* call);
Fault ParseCompletionCall(const ApiModel& model, std::string_view body, uint64_t seed, ApiCall* call);

}  // namespace mrs::serve
