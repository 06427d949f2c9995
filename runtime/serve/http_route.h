// Which request goes where, decided from its head alone, before the body is read.
//
//   Route({.method = "POST", .target = "/v1/chat/completions", .host = "localhost:1234",
//          .content_type = "application/json"})          // kChat
//   Route({.method = "GET", .target = "/v1/chat/completions", ...}).error   // 405, fields "Allow: POST, OPTIONS\r\n"
#pragma once

#include <string>
#include <string_view>

#include "runtime/serve/api_error.h"

namespace mrs::serve {

enum class Endpoint { kNone, kOptions, kHealth, kVersion, kModels, kModel, kChat, kCompletions };

struct RequestHead {
  std::string method = "";
  std::string target = "";
  std::string host = "";  // "": none sent, here and below
  std::string content_type = "";
  std::string content_encoding = "";
  std::string if_match = "";
  std::string if_none_match = "";
};

struct Routed {
  Endpoint endpoint = Endpoint::kNone;
  std::string model_id;  // of kModel, decoded
  std::string fields;    // what the answer's head says beyond what each says: "Allow: GET, HEAD, OPTIONS\r\n"
  int conditional = 0;   // where the answer would be a 2xx: the status in its place, by the request's conditions
  Fault error;
};

Routed Route(const RequestHead& head);

}  // namespace mrs::serve
