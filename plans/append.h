// Formatted text at the end of a string.
//
//   Append(&out, "{} of {}", done, all);
//   AppendLine(&out, "layers {} to {}", first, last);
#pragma once

#include <fmt/format.h>

#include <string>

namespace mrs {

// The part that does not depend on the arguments' types, compiled once.
void AppendAll(std::string* out, fmt::string_view format, fmt::format_args args);

template <typename... Args>
void Append(std::string* out, fmt::format_string<Args...> format, Args&&... args) {
  AppendAll(out, format, fmt::make_format_args(args...));
}

template <typename... Args>
void AppendLine(std::string* out, fmt::format_string<Args...> format, Args&&... args) {
  AppendAll(out, format, fmt::make_format_args(args...));
  out->push_back('\n');
}

}  // namespace mrs
