// The bytes of an HTTP/1 response.
//
//   WriteReply({.status = 200, .body = "{}"}, {.keep_alive = true, .date = HttpDate(now)});   // "HTTP/1.1 200
//   OK\r\n..." WriteStreamHead(...) + WriteChunk("data: ...") + ... + kLastChunk
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "runtime/serve/api_error.h"

namespace mrs::serve {

struct HttpReply {
  int status = 200;
  std::string body;
  std::string fields = "";  // more lines of the head, each with its end: "Allow: GET\r\n"
};

struct ReplyForm {
  bool keep_alive = false;
  bool head_only = false;  // HEAD: the length, but no body
  std::string date = "";   // of HttpDate; every answer has one
};

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7), whatever the locale.
std::string HttpDate(std::time_t time);

HttpReply ErrorReply(const ApiError& error);

std::string WriteReply(const HttpReply& reply, const ReplyForm& form);

// Of a body that comes in parts, events or JSON. Not chunked (HTTP/1.0): the end of the connection ends it.
std::string WriteStreamHead(bool events, bool chunked, const ReplyForm& form);
std::string WriteChunk(std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace mrs::serve
