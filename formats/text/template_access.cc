#include "formats/text/template_access.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "formats/text/template_lexer.h"
#include "formats/text/unicode.h"
#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

Error IsUndefined(const Value& value) { return Refuse("'{}' is undefined", value.text()); }

// Begin of each character, and the end.
std::vector<size_t> CharacterOffsets(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t i = 0; i < text.size(); i += static_cast<size_t>(Utf8Length(text[i]))) offsets.push_back(i);
  offsets.push_back(text.size());
  return offsets;
}

int64_t CharacterCount(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// The two elements of an index into `count` elements: where it points, and whether that is inside.
bool Locate(int64_t index, int64_t count, size_t* at) {
  if (index < 0) index += count;
  if (index < 0 || index >= count) return false;
  *at = static_cast<size_t>(index);
  return true;
}

// Python's slice.indices.
struct SliceRange {
  int64_t from = 0;
  int64_t to = 0;
  int64_t step = 1;
};

Result<SliceRange> ResolveSlice(int64_t count, const Value* from, const Value* to, const Value* step) {
  const auto bound = [](const Value* value, int64_t fallback) -> Result<int64_t> {
    if (value == nullptr || value->kind == Value::kNone) return fallback;
    if (!value->is_integer()) return Refuse("a slice takes integers, got {}", TypeName(*value));
    return value->integer;
  };
  SliceRange range;
  MRS_ASSIGN_OR_RETURN(range.step, bound(step, 1));
  if (range.step == 0) return Refuse("a slice's step is 0");
  range.step = std::clamp<int64_t>(range.step, -(int64_t{1} << 40), int64_t{1} << 40);
  const int64_t low = range.step > 0 ? 0 : -1;
  const int64_t high = range.step > 0 ? count : count - 1;
  const auto resolve = [&](int64_t index) { return std::clamp(index < 0 ? index + count : index, low, high); };
  MRS_ASSIGN_OR_RETURN(range.from, bound(from, range.step > 0 ? 0 : INT64_MAX));
  MRS_ASSIGN_OR_RETURN(range.to, bound(to, range.step > 0 ? INT64_MAX : INT64_MIN));
  range.from = resolve(range.from);
  range.to = to == nullptr || to->kind == Value::kNone ? (range.step > 0 ? high : low) : resolve(range.to);
  return range;
}

Result<Value> Arithmetic(std::string_view op, const Value& left, const Value& right) {
  if (left.is_integer() && right.is_integer() && op != "/") {
    const int64_t a = left.integer;
    const int64_t b = right.integer;
    int64_t result = 0;
    bool overflow = false;
    if (op == "+") {
      overflow = __builtin_add_overflow(a, b, &result);
    } else if (op == "-") {
      overflow = __builtin_sub_overflow(a, b, &result);
    } else if (op == "*") {
      overflow = __builtin_mul_overflow(a, b, &result);
    } else {
      if (b == 0) return Refuse("division by zero");
      overflow = a == INT64_MIN && b == -1;
      if (!overflow) {  // rounds down, as Python
        const int64_t quotient = a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
        result = op == "//" ? quotient : a - quotient * b;
      }
    }
    if (overflow) return Refuse("{} {} {} does not fit 64 bits", a, op, b);
    return MakeInt(result);
  }
  const double a = left.number();
  const double b = right.number();
  if (op == "+") return MakeFloat(a + b);
  if (op == "-") return MakeFloat(a - b);
  if (op == "*") return MakeFloat(a * b);
  if (b == 0) return Refuse("division by zero");
  if (op == "/") return MakeFloat(a / b);
  if (op == "//") return MakeFloat(std::floor(a / b));
  const double remainder = std::fmod(a, b);
  return MakeFloat(remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder);
}

Result<Value> Repeat(Budget& budget, const Value& value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  if (value.is_string()) {
    const size_t size = value.text().size();
    if (size > 0 && static_cast<uint64_t>(times) > budget.max_bytes / size) {
      return Refuse("a string of more than {} bytes", budget.max_bytes);
    }
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(size * static_cast<size_t>(times)));
    std::string out;
    if (size > 0) {
      for (int64_t i = 0; i < times; ++i) out.append(value.text());
    }
    return MakeString(std::move(out));
  }
  const auto& items = value.list().items;
  if (!items.empty() && times > kMaxValueCount / static_cast<int64_t>(items.size())) {
    return Refuse("a list of more than {} values", kMaxValueCount);
  }
  if (items.empty()) times = 0;
  MRS_RETURN_IF_ERROR(budget.Charge(times * static_cast<int64_t>(items.size())));
  std::vector<Value> out;
  for (int64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  return MakeList(std::move(out), value.kind);
}

}  // namespace

Status Budget::Charge(int64_t steps) {
  if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
    return Error{ErrorKind::kCancelled, "is not needed any more"};
  }
  steps_left -= std::min(steps, steps_left + 1);
  return steps_left < 0 ? Status(Refuse("takes more steps than a rendering may")) : Status();
}

Status Budget::ChargeBytes(size_t bytes) {
  if (bytes > max_bytes) return Refuse("a string of more than {} bytes", max_bytes);
  return Charge(1 + static_cast<int64_t>(bytes / 16));
}

ArgumentReader::ArgumentReader(std::string_view callee, const Arguments& arguments)
    : callee_(callee), arguments_(arguments) {}

const Value* ArgumentReader::Next(std::string_view name) {
  const size_t position = position_++;
  if (position < arguments_.positional.size()) return &arguments_.positional[position];
  for (const auto& [given, value] : arguments_.named) {
    if (given == name) {
      ++named_count_;
      return &value;
    }
  }
  return nullptr;
}

Result<int64_t> ArgumentReader::NextInt(std::string_view name, int64_t fallback) {
  const Value* value = Next(name);
  if (value == nullptr) return fallback;
  if (!value->is_integer()) return Refuse("{}: '{}' takes an integer, got {}", callee_, name, TypeName(*value));
  return value->integer;
}

Result<std::string> ArgumentReader::NextString(std::string_view name, std::string_view fallback) {
  const Value* value = Next(name);
  if (value == nullptr || value->kind == Value::kNone) return std::string(fallback);
  if (!value->is_string()) return Refuse("{}: '{}' takes a string, got {}", callee_, name, TypeName(*value));
  return value->text();
}

bool ArgumentReader::NextBool(std::string_view name, bool fallback) {
  const Value* value = Next(name);
  return value == nullptr ? fallback : IsTrue(*value);
}

Status ArgumentReader::Done() const {
  if (position_ < arguments_.positional.size()) {
    return Refuse("{} takes at most {} arguments, got {}", callee_, position_, arguments_.positional.size());
  }
  if (named_count_ < arguments_.named.size()) {
    std::string names;
    for (const auto& [name, value] : arguments_.named) names += (names.empty() ? "" : ", ") + name;
    return Refuse("{}: one of the arguments ({}) is not supported or given twice", callee_, names);
  }
  return {};
}

Result<Value> GetAttribute(Budget& budget, const Value& value, std::string_view name) {
  MRS_RETURN_IF_ERROR(budget.Charge(1));
  if (value.is_undefined()) return IsUndefined(value);
  static constexpr std::string_view kStringMethods[] = {
      "strip", "lstrip",       "rstrip",       "split",      "rsplit",  "startswith", "endswith",
      "upper", "lower",        "title",        "capitalize", "replace", "join",       "find",
      "count", "removeprefix", "removesuffix", "splitlines", "isdigit"};
  static constexpr std::string_view kOtherStringMethods[] = {
      "format",      "zfill",    "center",    "ljust",      "rjust",     "encode",     "index",
      "rfind",       "rindex",   "partition", "rpartition", "isalpha",   "isalnum",    "isspace",
      "isupper",     "islower",  "istitle",   "isnumeric",  "isdecimal", "isascii",    "isidentifier",
      "isprintable", "swapcase", "casefold",  "translate",  "maketrans", "expandtabs", "format_map"};
  static constexpr std::string_view kDictMethods[] = {"get", "items", "keys", "values"};
  static constexpr std::string_view kOtherDictMethods[] = {"update", "pop", "popitem", "setdefault", "clear", "copy"};
  static constexpr std::string_view kOtherListMethods[] = {"append", "extend", "insert", "pop",  "remove", "clear",
                                                           "index",  "count",  "sort",   "copy", "reverse"};
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  const auto bind = [&] {
    Value method;
    method.kind = Value::kMethod;
    method.heap = std::make_shared<const MethodValue>(MethodValue{value, std::string(name)});
    return method;
  };
  if (value.is_string()) {
    if (has(kStringMethods)) return bind();
    if (has(kOtherStringMethods)) return Refuse("the method '{}' of a string is not supported", name);
  } else if (value.is_dict()) {
    if (has(kDictMethods)) return bind();
    if (has(kOtherDictMethods))
      return Refuse("the method '{}' of a dict is not supported: values cannot be changed", name);
    if (const Value* item = value.dict().Find(name); item != nullptr) return *item;
  } else if (value.is_list() && has(kOtherListMethods)) {
    return Refuse("the method '{}' of a list is not supported; use + or a filter", name);
  } else if (value.kind == Value::kLoop) {
    const LoopState& loop = value.loop();
    const auto count = static_cast<int64_t>(loop.items->items.size());
    const auto index = static_cast<int64_t>(loop.index);
    if (name == "index") return MakeInt(index + 1);
    if (name == "index0") return MakeInt(index);
    if (name == "revindex") return MakeInt(count - index);
    if (name == "revindex0") return MakeInt(count - index - 1);
    if (name == "first") return MakeBool(index == 0);
    if (name == "last") return MakeBool(index + 1 == count);
    if (name == "length") return MakeInt(count);
    if (name == "previtem" && index > 0) return loop.items->items[loop.index - 1];
    if (name == "nextitem" && index + 1 < count) return loop.items->items[loop.index + 1];
    if (name == "cycle" || name == "changed" || name == "depth" || name == "depth0") {
      return Refuse("'loop.{}' is not supported", name);
    }
  }
  return MakeUndefined(name);
}

Result<Value> GetItem(Budget& budget, const Value& value, const Value& key) {
  MRS_RETURN_IF_ERROR(budget.Charge(1));
  if (value.is_undefined()) return IsUndefined(value);
  if (key.is_undefined()) return MakeUndefined("an item");
  size_t at = 0;
  if (value.is_dict()) {
    if (key.is_string()) {
      if (const Value* item = value.dict().Find(key.text()); item != nullptr) return *item;
    } else {
      return MakeUndefined("an item");
    }
  } else if (value.is_list() && key.is_integer()) {
    const auto& items = value.list().items;
    if (Locate(key.integer, static_cast<int64_t>(items.size()), &at)) return items[at];
    return MakeUndefined("an item");
  } else if (value.is_string() && key.is_integer()) {
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(value.text().size()));
    const std::vector<size_t> offsets = CharacterOffsets(value.text());
    if (!Locate(key.integer, static_cast<int64_t>(offsets.size()) - 1, &at)) return MakeUndefined("an item");
    return MakeString(value.text().substr(offsets[at], offsets[at + 1] - offsets[at]));
  }
  if (key.is_string()) return GetAttribute(budget, value, key.text());
  return MakeUndefined("an item");
}

Result<Value> GetSlice(Budget& budget, const Value& value, const Value* from, const Value* to, const Value* step) {
  if (value.is_undefined()) return IsUndefined(value);
  if (value.is_string()) {
    const std::string& text = value.text();
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(text.size()));
    const std::vector<size_t> offsets = CharacterOffsets(text);
    MRS_ASSIGN_OR_RETURN(const SliceRange range,
                         ResolveSlice(static_cast<int64_t>(offsets.size()) - 1, from, to, step));
    std::string out;
    for (int64_t i = range.from; range.step > 0 ? i < range.to : i > range.to; i += range.step) {
      const auto at = static_cast<size_t>(i);
      out.append(text, offsets[at], offsets[at + 1] - offsets[at]);
    }
    return MakeString(std::move(out));
  }
  if (!value.is_list()) return Refuse("a {} cannot be sliced", TypeName(value));
  const auto& items = value.list().items;
  MRS_RETURN_IF_ERROR(budget.Charge(1 + static_cast<int64_t>(items.size())));
  MRS_ASSIGN_OR_RETURN(const SliceRange range, ResolveSlice(static_cast<int64_t>(items.size()), from, to, step));
  std::vector<Value> out;
  for (int64_t i = range.from; range.step > 0 ? i < range.to : i > range.to; i += range.step) {
    out.push_back(items[static_cast<size_t>(i)]);
  }
  return MakeList(std::move(out), value.kind);
}

Result<std::shared_ptr<const ListValue>> Iterate(Budget& budget, const Value& value) {
  if (value.is_list()) return std::static_pointer_cast<const ListValue>(value.heap);
  auto list = std::make_shared<ListValue>();
  if (value.is_undefined()) return std::shared_ptr<const ListValue>(list);
  if (value.is_dict()) {
    MRS_RETURN_IF_ERROR(budget.Charge(1 + static_cast<int64_t>(value.dict().items.size())));
    for (const auto& [key, item] : value.dict().items) list->items.push_back(MakeString(key));
  } else if (value.is_string()) {
    const std::string& text = value.text();
    MRS_RETURN_IF_ERROR(budget.Charge(1 + 4 * static_cast<int64_t>(text.size())));
    for (size_t i = 0; i < text.size();) {
      const auto length = static_cast<size_t>(Utf8Length(text[i]));
      list->items.push_back(MakeString(text.substr(i, length)));
      i += length;
    }
  } else {
    return Refuse("a {} cannot be iterated over", TypeName(value));
  }
  list->count = 1 + static_cast<int64_t>(list->items.size());
  return std::shared_ptr<const ListValue>(list);
}

Result<int64_t> LengthOf(Budget& budget, const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_list()) return static_cast<int64_t>(value.list().items.size());
  if (value.is_dict()) return static_cast<int64_t>(value.dict().items.size());
  if (value.kind == Value::kLoop) return static_cast<int64_t>(value.loop().items->items.size());
  if (!value.is_string()) return Refuse("a {} has no length", TypeName(value));
  MRS_RETURN_IF_ERROR(budget.ChargeBytes(value.text().size()));
  return CharacterCount(value.text());
}

Result<bool> Contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string()) return Refuse("'in' a string takes a string, got {}", TypeName(item));
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(container.text().size()));
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.is_dict()) {
    MRS_RETURN_IF_ERROR(budget.Charge(1));
    return item.is_string() && container.dict().Find(item.text()) != nullptr;
  }
  if (container.is_undefined()) return false;
  if (!container.is_list())
    return Refuse("'in' takes a string, list or dict on the right, got {}", TypeName(container));
  MRS_RETURN_IF_ERROR(budget.Charge(CostOf(container)));
  const auto& items = container.list().items;
  return std::any_of(items.begin(), items.end(), [&](const Value& one) { return Equal(one, item); });
}

Result<Value> Binary(Budget& budget, std::string_view op, const Value& left, const Value& right) {
  if (left.is_undefined()) return IsUndefined(left);
  if (right.is_undefined()) return IsUndefined(right);
  if (left.is_number() && right.is_number()) return Arithmetic(op, left, right);
  if (op == "+" && left.is_string() && right.is_string()) {
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(left.text().size() + right.text().size()));
    return MakeString(left.text() + right.text());
  }
  if (op == "+" && left.is_list() && left.kind == right.kind) {
    std::vector<Value> items = left.list().items;
    MRS_RETURN_IF_ERROR(budget.Charge(1 + static_cast<int64_t>(items.size() + right.list().items.size())));
    items.insert(items.end(), right.list().items.begin(), right.list().items.end());
    return MakeList(std::move(items), left.kind);
  }
  const auto repeats = [](const Value& value) { return value.is_string() || value.is_list(); };
  if (op == "*" && repeats(left) && right.is_integer()) return Repeat(budget, left, right.integer);
  if (op == "*" && repeats(right) && left.is_integer()) return Repeat(budget, right, left.integer);
  if (op == "%" && left.is_string()) return Refuse("formatting a string with '%' is not supported");
  return Refuse("'{}' does not take {} and {}", op, TypeName(left), TypeName(right));
}

Result<bool> Relate(Budget& budget, std::string_view op, const Value& left, const Value& right) {
  if (op == "in") return Contains(budget, right, left);
  if (op == "not in") {
    MRS_ASSIGN_OR_RETURN(const bool contains, Contains(budget, right, left));
    return !contains;
  }
  MRS_RETURN_IF_ERROR(budget.Charge(std::min(CostOf(left), CostOf(right))));
  if (op == "==") return Equal(left, right);
  if (op == "!=") return !Equal(left, right);
  if (left.is_undefined()) return IsUndefined(left);
  if (right.is_undefined()) return IsUndefined(right);
  MRS_ASSIGN_OR_RETURN(const int order, Compare(left, right));
  return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
}

Result<std::string> ChargedText(Budget& budget, const Value& value) {
  MRS_RETURN_IF_ERROR(budget.Charge(CostOf(value)));
  MRS_ASSIGN_OR_RETURN(std::string text, ToText(value, budget.max_bytes));
  MRS_RETURN_IF_ERROR(budget.ChargeBytes(text.size()));
  return text;
}

}  // namespace mrs::text
