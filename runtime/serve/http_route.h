// Which request goes where, decided from its head alone, before the body is read.
//
//   Route({.method = "POST", .target = "/v1/chat/completions", .host = "localhost:1234",
//          .content_type = "application/json"})          // kChat
//   Route({.method = "GET", .target = "/v1/chat/completions", ...}).error   // 405, allow "POST, OPTIONS"
#pragma once

#include <string>
#include <string_view>

#include "runtime/serve/api_error.h"

namespace mrs::serve {

enum class Endpoint { kNone, kOptions, kHealth, kVersion, kModels, kModel, kChat, kCompletions };

struct RequestHead {
  std::string method = "";
  std::string target = "";
  std::string host = "";              // "": none sent
  std::string content_type = "";      // "": none sent
  std::string content_encoding = "";  // "": none sent
};

struct Routed {
  Endpoint endpoint = Endpoint::kNone;
  std::string model_id;  // of kModel, decoded
  std::string allow;     // methods of this path; "" where there is no such path
  Fault error;
};

Routed Route(const RequestHead& head);

}  // namespace mrs::serve
