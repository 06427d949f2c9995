// The bytes of an HTTP/1 response.
//
//   WriteReply({.status = 200, .body = "{}"}, {.keep_alive = true});   // "HTTP/1.1 200 OK\r\nContent-Type: ..."
//   WriteStreamHead(...) + WriteChunk("data: ...") + ... + kLastChunk
#pragma once

#include <string>
#include <string_view>

#include "runtime/serve/api_error.h"

namespace mrs::serve {

struct HttpReply {
  int status = 200;
  std::string body;
  std::string allow;  // "": no Allow header
};

struct ReplyForm {
  bool keep_alive = false;
  bool head_only = false;  // HEAD: the length, but no body
};

HttpReply ErrorReply(const ApiError& error);

std::string WriteReply(const HttpReply& reply, const ReplyForm& form);

// Of an event stream. Not chunked (HTTP/1.0): the end of the connection ends it.
std::string WriteStreamHead(bool chunked, bool keep_alive);
std::string WriteChunk(std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace mrs::serve
