// A value of the template language: as in Python, but never changed once made (a namespace alone can be).
//
//   ToText(Value::List) -> "['a', 1, None]",  ToJson -> "[\"a\", 1, null]"
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "plans/status.h"

namespace mrs::text {

struct ListValue;
struct DictValue;
struct MethodValue;
struct LoopState;

struct Value {
  enum Kind : uint8_t {
    kUndefined,  // text: its name, for messages
    kNone,
    kBool,    // integer
    kInt,     // integer
    kFloat,   // real
    kString,  // text
    kList,
    kTuple,
    kDict,
    kNamespace,  // integer: which of the interpreter's
    kMacro,      // integer: which of the interpreter's
    kFunction,   // text: its name
    kMethod,
    kLoop,
  };
  Kind kind = kUndefined;
  union {
    int64_t integer = 0;
    double real;
  };
  std::shared_ptr<const void> heap;

  const std::string& text() const { return *static_cast<const std::string*>(heap.get()); }
  const ListValue& list() const { return *static_cast<const ListValue*>(heap.get()); }
  const DictValue& dict() const { return *static_cast<const DictValue*>(heap.get()); }
  const MethodValue& method() const { return *static_cast<const MethodValue*>(heap.get()); }
  const LoopState& loop() const { return *static_cast<const LoopState*>(heap.get()); }

  bool is_string() const { return kind == kString; }
  bool is_list() const { return kind == kList || kind == kTuple; }
  bool is_dict() const { return kind == kDict; }
  bool is_integer() const { return kind == kInt || kind == kBool; }  // as Python counts
  bool is_number() const { return is_integer() || kind == kFloat; }
  bool is_undefined() const { return kind == kUndefined; }
  double number() const { return kind == kFloat ? real : static_cast<double>(integer); }
};

// Nesting is bounded when a container is made, so that walking one may recurse.
inline constexpr int kMaxValueDepth = 80;
// Values in a container, those inside inner ones counted each time: bounds what walking one costs.
inline constexpr int64_t kMaxValueCount = int64_t{1} << 24;

struct ListValue {
  std::vector<Value> items;
  int depth = 1;
  int64_t count = 1;
};

struct DictValue {
  std::vector<std::pair<std::string, Value>> items;  // in the order of insertion
  std::unordered_map<std::string, size_t> index;     // only where there are many
  int depth = 1;
  int64_t count = 1;
  const Value* Find(std::string_view key) const;
};

struct MethodValue {
  Value self;
  std::string name;
};

// The variable `loop` of a for.
struct LoopState {
  std::shared_ptr<const ListValue> items;
  size_t index = 0;
};

Value MakeUndefined(std::string_view name);
Value MakeNone();
Value MakeBool(bool value);
Value MakeInt(int64_t value);
Value MakeFloat(double value);
Value MakeString(std::string text);
Result<Value> MakeList(std::vector<Value> items, Value::Kind kind = Value::kList);
Result<Value> MakeDict(std::vector<std::pair<std::string, Value>> items);  // the last of equal keys counts
Result<Value> FromJson(const Json& json);

std::string_view TypeName(const Value& value);  // as Python says it: "str"
bool IsTrue(const Value& value);
bool Equal(const Value& left, const Value& right);
// Negative, 0 or positive; an error for values without an order.
Result<int> Compare(const Value& left, const Value& right);
// As str() and repr() of Python. `max_bytes` bounds the work.
Result<std::string> ToText(const Value& value, size_t max_bytes);

struct JsonStyle {
  int indent = -1;  // -1: one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
  bool ensure_ascii = false;
};
Result<std::string> ToJson(const Value& value, const JsonStyle& style, size_t max_bytes);

// What walking it to the bottom costs, in steps.
int64_t CostOf(const Value& value);

}  // namespace mrs::text
