// What a client is told when its request is not carried out: the HTTP status and OpenAI's error body.
//
//   return BadParameter("top_p", "expected a number above 0 and at most 1, got {}", 7);
//   // 400 {"error":{"message":"top_p: expected ...","type":"invalid_request_error","param":"top_p","code":null}}
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "formats/json.h"

namespace mrs::serve {

struct ApiError {
  int status = 400;
  std::string message;
  std::string param;  // "": none
  std::string code;   // "": none
};

// Nothing, or why not.
using Fault = std::optional<ApiError>;

// {"message","type","param","code"}; the type follows from the status.
Json ErrorObject(const ApiError& error);
// {"error":{...}}
std::string ErrorBody(const ApiError& error);

template <typename... Args>
ApiError BadParameter(std::string_view param, fmt::format_string<Args...> format, Args&&... args) {
  return ApiError{.status = 400,
                  .message = fmt::format("{}: {}", param, fmt::format(format, std::forward<Args>(args)...)),
                  .param = std::string(param),
                  .code = ""};
}

}  // namespace mrs::serve
