// Writes one JSON value, its commas and its escapes.
//
//   JsonWriter json;
//   json.Begin('{').Key("rank").Value(3u).Key("reads").Begin('[').Value("l0.q").End().End();
//   json.Take()   ->  {"rank":3,"reads":["l0.q"]}
//
// Text that is no UTF-8 (a path may be) gets U+FFFD where it is not.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace mrs {

class JsonWriter {
 public:
  JsonWriter& Begin(char bracket) {  // '{' or '['
    Separate();
    out_.push_back(bracket);
    open_.push_back(bracket == '{' ? '}' : ']');
    first_ = true;
    return *this;
  }
  JsonWriter& End() {
    out_.push_back(open_.back());
    open_.pop_back();
    first_ = false;
    return *this;
  }
  JsonWriter& Key(std::string_view key) {
    Separate();
    AppendText(key);
    out_.push_back(':');
    first_ = true;
    return *this;
  }
  JsonWriter& Value(std::string_view text) {
    Separate();
    AppendText(text);
    return *this;
  }
  JsonWriter& Value(const char* text) { return Value(std::string_view(text)); }
  JsonWriter& Value(bool value) { return Raw(value ? "true" : "false"); }
  template <std::integral T>
  requires(!std::same_as<T, bool>) JsonWriter& Value(T value) { return Raw(fmt::format("{}", value)); }
  JsonWriter& Null() { return Raw("null"); }
  JsonWriter& Raw(std::string_view json) {  // a value that is JSON already
    Separate();
    out_ += json;
    return *this;
  }
  JsonWriter& Line() {  // the next value begins a line
    line_ = true;
    return *this;
  }
  std::string Take() { return std::exchange(out_, {}); }

 private:
  void Separate() {
    if (!first_) out_.push_back(',');
    if (line_) out_.push_back('\n');
    first_ = line_ = false;
  }
  void AppendText(std::string_view text);

  std::string out_;
  std::string open_;
  bool first_ = true;
  bool line_ = false;
};

}  // namespace mrs
