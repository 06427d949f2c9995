// What the head of a request says of the message itself, by RFC 9112 and RFC 9110, before anybody asks what it wants:
// its version, where its body ends, whom it is addressed to, whether the connection stays.
//
//   JudgeRequestLine("PRI * HTTP/2.0\r\n", 8192).fault       // 505: HTTP/2.0 is not spoken here
//   JudgeFields(11, {{"Host", "a"}, {"Host", "b"}}).fault    // 400: Host appears 2 times
//   JudgeFields(10, {{"Connection", "keep-alive"}})          // no fault, keep_alive
//
// What a message's own parser refuses (a bare CR, a space before a colon, two lengths that differ) is not here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/serve/api_error.h"

namespace mrs::serve {

struct RequestLine {
  bool complete = false;  // false: more must come before it can be judged
  Fault fault;
  std::optional<size_t>
      minor_digit;  // of HTTP/1.2 to HTTP/1.9, which are to be read as HTTP/1.1: where the digit stands
};

// Of the line at the start of `bytes`.
RequestLine JudgeRequestLine(std::string_view bytes, size_t max_bytes);

struct HttpField {
  std::string_view name;
  std::string_view value;
};

struct HeadFacts {
  Fault fault;              // after it the connection must be closed: where the body ends is unknown
  bool keep_alive = false;  // the client would have the connection stay
  bool expects_continue = false;
};

// `version`: 10 or 11.
HeadFacts JudgeFields(unsigned version, const std::vector<HttpField>& fields);

// The values of all fields of that name, joined by ", ", as if they were one list; "": none.
std::string FieldValue(const std::vector<HttpField>& fields, std::string_view name);

// host [":" port], as Host and the target of an absolute form have it. An empty host is one.
bool IsAuthority(std::string_view text);

}  // namespace mrs::serve
