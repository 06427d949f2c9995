// The JSON of a request, translated: which prompts to run, how to sample, and how the client wants to hear of it.
//
//   ApiCall call;
//   if (Fault fault = ParseChatCall(model, R"({"messages":[{"role":"user","content":"Hi"}]})", seed, &call)) ...
//   call.requests[0].prompt;   // the rendered conversation's tokens
//
// Pure: no clock but the template's strftime_now, no sockets. What would change the answer and is not supported is
// refused by name; parameters that mean nothing here are ignored.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/engine/request.h"
#include "runtime/serve/api_error.h"
#include "runtime/serve/api_model.h"

namespace mrs::serve {

// Of one request. A body is refused where it passes them, before the rest of it is read.
inline constexpr size_t kMaxBodyBytes = 50'000'000;
inline constexpr size_t kMaxBodyValues = 1'100'000;  // JSON values: as many token ids, and room beside them
inline constexpr size_t kMaxBodyKeys = 2048;         // of one object
inline constexpr size_t kMaxPrompts = 256;
inline constexpr size_t kMaxPromptTokens = 1'000'000;  // of all its prompts together
inline constexpr size_t kMaxMessages = 16384;
inline constexpr size_t kMaxContentParts = 16384;  // of all its messages together

struct ApiCall {
  bool chat = false;
  bool stream = false;
  bool include_usage = false;     // a last chunk with the usage
  bool usage_so_far = false;      // with include_usage: in every chunk, of its choice
  bool return_token_ids = false;  // as vLLM
  std::vector<Request> requests;  // one a choice
};

// `seed` is used where the client gives none. `stop`: set when nobody waits for the call any more, which ends the work
// soon; what is returned then is for nobody.
Fault ParseChatCall(const ApiModel& model, std::string_view body, uint64_t seed, ApiCall* call,
                    const std::atomic<bool>* stop = nullptr);
Fault ParseCompletionCall(const ApiModel& model, std::string_view body, uint64_t seed, ApiCall* call,
                          const std::atomic<bool>* stop = nullptr);

// What a request is told when there is no memory to read it.
ApiError OutOfMemory();

}  // namespace mrs::serve
