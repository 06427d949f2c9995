// What can be done with values: attributes, items, slices, methods and operators, as in Python, within a budget.
//
//   GetAttribute("abc", "upper") -> a method;  CallMethod(it, {}) -> "ABC"
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/text/template_value.h"
#include "plans/status.h"

namespace mrs::text {

// What a rendering may still spend.
struct Budget {
  int64_t steps_left = 0;
  size_t max_bytes = 0;                     // of any one string
  const std::atomic<bool>* stop = nullptr;  // set: nobody wants the result any more
  Status Charge(int64_t steps);
  Status ChargeBytes(size_t bytes);  // also refuses a string of more than max_bytes
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Hands out arguments by position or name, each once; Done() refuses those that nobody asked for.
class ArgumentReader {
 public:
  ArgumentReader(std::string_view callee, const Arguments& arguments);
  // Null when it is absent.
  const Value* Next(std::string_view name);
  Result<int64_t> NextInt(std::string_view name, int64_t fallback);
  Result<std::string> NextString(std::string_view name, std::string_view fallback);
  bool NextBool(std::string_view name, bool fallback);
  Status Done() const;

 private:
  std::string callee_;
  const Arguments& arguments_;
  size_t position_ = 0;
  size_t named_count_ = 0;
};

// Absent attributes and items are undefined values; those of an undefined value are an error.
Result<Value> GetAttribute(Budget& budget, const Value& value, std::string_view name);
Result<Value> GetItem(Budget& budget, const Value& value, const Value& key);
// Null bounds are absent ones.
Result<Value> GetSlice(Budget& budget, const Value& value, const Value* from, const Value* to, const Value* step);
Result<Value> CallMethod(Budget& budget, const MethodValue& method, const Arguments& arguments);

// What a for runs over: items, keys, characters; nothing for an undefined value.
Result<std::shared_ptr<const ListValue>> Iterate(Budget& budget, const Value& value);
Result<int64_t> LengthOf(Budget& budget, const Value& value);
Result<bool> Contains(Budget& budget, const Value& container, const Value& item);

// + - * / // %
Result<Value> Binary(Budget& budget, std::string_view op, const Value& left, const Value& right);
// == != < <= > >= in, not in
Result<bool> Relate(Budget& budget, std::string_view op, const Value& left, const Value& right);
Result<std::string> ChargedText(Budget& budget, const Value& value);

std::vector<std::string> SplitLines(std::string_view text);
std::string Capitalize(std::string_view text);
// `characters` empty: whitespace.
std::string_view StripText(std::string_view text, std::string_view characters, bool left, bool right);

}  // namespace mrs::text
