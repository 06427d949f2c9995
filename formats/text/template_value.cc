#include "formats/text/template_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

constexpr size_t kIndexFrom = 16;

// Adds one item to what a container knows of its size.
template <typename Container>
void Grow(const Value& item, Container* container) {
  const int depth = item.is_list() ? item.list().depth : item.is_dict() ? item.dict().depth : 0;
  container->depth = std::max(container->depth, 1 + depth);
  container->count = std::min(container->count + CostOf(item), kMaxValueCount + 1);
}

template <typename Container>
Result<Value> Finish(Value::Kind kind, std::shared_ptr<Container> container) {
  if (container->depth > kMaxValueDepth) return Refuse("values nested deeper than {} levels", kMaxValueDepth);
  if (container->count > kMaxValueCount) return Refuse("a value that holds more than {} values", kMaxValueCount);
  Value value;
  value.kind = kind;
  value.heap = std::move(container);
  return value;
}

// Python's repr of a float: the shortest digits that read back, with an exponent outside [1e-4, 1e16).
std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const double size = std::fabs(value);
  const bool plain = value == 0 || (size >= 1e-4 && size < 1e16);
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value,
                                          plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer, end);
  if (plain && text.find('.') == text.npos) text += ".0";
  return text;
}

// Python's repr of a string: single quotes, unless it holds those and no double ones.
void AppendRepr(std::string_view text, std::string* out) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  out->push_back(quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (byte < 0x20 || byte == 0x7F) {
      out->append(fmt::format("\\x{:02x}", byte));
    } else {
      out->push_back(c);
    }
  }
  out->push_back(quote);
}

struct TextWriter {
  size_t max_bytes;
  std::string out;

  Status Write(const Value& value, bool is_inner) {
    if (out.size() > max_bytes) return Refuse("a text of more than {} bytes", max_bytes);
    switch (value.kind) {
      case Value::kUndefined:
        if (is_inner) out.append("Undefined");
        return {};
      case Value::kNone:
        out.append("None");
        return {};
      case Value::kBool:
        out.append(value.integer != 0 ? "True" : "False");
        return {};
      case Value::kInt:
        out.append(std::to_string(value.integer));
        return {};
      case Value::kFloat:
        out.append(FloatText(value.real));
        return {};
      case Value::kString:
        if (is_inner) {
          AppendRepr(value.text(), &out);
        } else {
          out.append(value.text());
        }
        return {};
      case Value::kList:
      case Value::kTuple: {
        const auto& items = value.list().items;
        out.push_back(value.kind == Value::kList ? '[' : '(');
        for (size_t i = 0; i < items.size(); ++i) {
          if (i > 0) out.append(", ");
          MRS_RETURN_IF_ERROR(Write(items[i], true));
        }
        if (value.kind == Value::kTuple && items.size() == 1) out.push_back(',');
        out.push_back(value.kind == Value::kList ? ']' : ')');
        return {};
      }
      case Value::kDict: {
        out.push_back('{');
        bool first = true;
        for (const auto& [key, item] : value.dict().items) {
          if (!std::exchange(first, false)) out.append(", ");
          AppendRepr(key, &out);
          out.append(": ");
          MRS_RETURN_IF_ERROR(Write(item, true));
        }
        out.push_back('}');
        return {};
      }
      default:
        return Refuse("a {} has no text", TypeName(value));
    }
  }
};

struct JsonWriter {
  const JsonStyle& style;
  size_t max_bytes;
  std::string out;

  void NewLine(int level) {
    if (style.indent < 0) return;
    out.push_back('\n');
    out.append(static_cast<size_t>(style.indent) * static_cast<size_t>(level), ' ');
  }

  void String(std::string_view text) {
    out.push_back('"');
    for (size_t i = 0; i < text.size();) {
      const Utf8Unit unit = ReadUtf8(text.substr(i));
      const char32_t c = unit.character;
      static constexpr std::string_view kNamed = "\"\\\n\r\t\b\f";
      static constexpr std::string_view kEscapes = "\"\\nrtbf";
      if (c < 0x80 && kNamed.find(static_cast<char>(c)) != kNamed.npos) {
        out.push_back('\\');
        out.push_back(kEscapes[kNamed.find(static_cast<char>(c))]);
      } else if (c < 0x20 || (style.ensure_ascii && c >= 0x7F && c < 0x10000)) {
        if (c == 0x7F) {
          out.push_back('\x7F');
        } else {
          out.append(fmt::format("\\u{:04x}", static_cast<uint32_t>(c)));
        }
      } else if (style.ensure_ascii && c >= 0x10000) {
        const uint32_t rest = static_cast<uint32_t>(c) - 0x10000;
        out.append(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF)));
      } else {
        out.append(text.substr(i, static_cast<size_t>(unit.length)));
      }
      i += static_cast<size_t>(unit.length);
    }
    out.push_back('"');
  }

  Status Write(const Value& value, int level) {
    if (out.size() > max_bytes) return Refuse("JSON of more than {} bytes", max_bytes);
    switch (value.kind) {
      case Value::kNone:
        out.append("null");
        return {};
      case Value::kBool:
        out.append(value.integer != 0 ? "true" : "false");
        return {};
      case Value::kInt:
        out.append(std::to_string(value.integer));
        return {};
      case Value::kFloat:
        out.append(FloatText(value.real));
        return {};
      case Value::kString:
        String(value.text());
        return {};
      case Value::kList:
      case Value::kTuple: {
        const auto& items = value.list().items;
        out.push_back('[');
        for (size_t i = 0; i < items.size(); ++i) {
          if (i > 0) out.append(style.item_separator);
          NewLine(level + 1);
          MRS_RETURN_IF_ERROR(Write(items[i], level + 1));
        }
        if (!items.empty()) NewLine(level);
        out.push_back(']');
        return {};
      }
      case Value::kDict: {
        std::vector<const std::pair<std::string, Value>*> order;
        for (const auto& item : value.dict().items) order.push_back(&item);
        if (style.sort_keys) {
          std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
        }
        out.push_back('{');
        for (size_t i = 0; i < order.size(); ++i) {
          if (i > 0) out.append(style.item_separator);
          NewLine(level + 1);
          String(order[i]->first);
          out.append(style.key_separator);
          MRS_RETURN_IF_ERROR(Write(order[i]->second, level + 1));
        }
        if (!order.empty()) NewLine(level);
        out.push_back('}');
        return {};
      }
      default:
        return Refuse("tojson: a value of type {} is not JSON", TypeName(value));
    }
  }
};

}  // namespace

const Value* DictValue::Find(std::string_view key) const {
  if (!index.empty()) {
    const auto found = index.find(std::string(key));
    return found == index.end() ? nullptr : &items[found->second].second;
  }
  for (const auto& [name, value] : items) {
    if (name == key) return &value;
  }
  return nullptr;
}

Value MakeUndefined(std::string_view name) {
  Value value;
  value.heap = std::make_shared<const std::string>(name);
  return value;
}

Value MakeNone() {
  Value value;
  value.kind = Value::kNone;
  return value;
}

Value MakeBool(bool truth) {
  Value value;
  value.kind = Value::kBool;
  value.integer = truth ? 1 : 0;
  return value;
}

Value MakeInt(int64_t integer) {
  Value value;
  value.kind = Value::kInt;
  value.integer = integer;
  return value;
}

Value MakeFloat(double real) {
  Value value;
  value.kind = Value::kFloat;
  value.real = real;
  return value;
}

Value MakeString(std::string text) {
  Value value;
  value.kind = Value::kString;
  value.heap = std::make_shared<const std::string>(std::move(text));
  return value;
}

Result<Value> MakeList(std::vector<Value> items, Value::Kind kind) {
  auto list = std::make_shared<ListValue>();
  for (const Value& item : items) Grow(item, list.get());
  list->items = std::move(items);
  return Finish(kind, std::move(list));
}

Result<Value> MakeDict(std::vector<std::pair<std::string, Value>> items) {
  auto dict = std::make_shared<DictValue>();
  const bool many = items.size() > kIndexFrom;
  for (auto& [key, item] : items) {
    Grow(item, dict.get());
    if (const Value* old = dict->Find(key); old != nullptr) {
      *const_cast<Value*>(old) = std::move(item);
      continue;
    }
    if (many) dict->index.emplace(key, dict->items.size());
    dict->items.emplace_back(std::move(key), std::move(item));
  }
  return Finish(Value::kDict, std::move(dict));
}

namespace {

Result<Value> Convert(const Json& json, int depth) {
  if (depth > kMaxValueDepth) return Refuse("values nested deeper than {} levels", kMaxValueDepth);
  switch (json.type()) {
    case Json::value_t::boolean:
      return MakeBool(json.get<bool>());
    case Json::value_t::number_integer:
      return MakeInt(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX)) return MakeFloat(static_cast<double>(number));
      return MakeInt(static_cast<int64_t>(number));
    }
    case Json::value_t::number_float:
      return MakeFloat(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (FindInvalidUtf8(text) != std::string::npos) return Refuse("a string that is not UTF-8");
      return MakeString(text);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) {
        MRS_ASSIGN_OR_RETURN(Value value, Convert(item, depth + 1));
        items.push_back(std::move(value));
      }
      return MakeList(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<std::string, Value>> items;
      items.reserve(json.size());
      for (const auto& [key, item] : json.get_ref<const Json::object_t&>()) {
        MRS_ASSIGN_OR_RETURN(Value value, Convert(item, depth + 1));
        items.emplace_back(key, std::move(value));
      }
      return MakeDict(std::move(items));
    }
    default:
      return MakeNone();
  }
}

}  // namespace

Result<Value> FromJson(const Json& json) { return Convert(json, 0); }

std::string_view TypeName(const Value& value) {
  static constexpr std::string_view kNames[] = {"Undefined", "NoneType", "bool",   "int",  "float",
                                                "str",       "list",     "tuple",  "dict", "Namespace",
                                                "macro",     "function", "method", "loop"};
  return kNames[value.kind];
}

bool IsTrue(const Value& value) {
  switch (value.kind) {
    case Value::kUndefined:
    case Value::kNone:
      return false;
    case Value::kBool:
    case Value::kInt:
      return value.integer != 0;
    case Value::kFloat:
      return value.real != 0;
    case Value::kString:
      return !value.text().empty();
    case Value::kList:
    case Value::kTuple:
      return !value.list().items.empty();
    case Value::kDict:
      return !value.dict().items.empty();
    default:
      return true;
  }
}

bool Equal(const Value& left, const Value& right) {
  if (left.is_integer() && right.is_integer()) return left.integer == right.integer;
  if (left.is_number() && right.is_number()) return left.number() == right.number();
  if (left.kind != right.kind) return false;
  switch (left.kind) {
    case Value::kUndefined:
    case Value::kNone:
      return true;
    case Value::kString:
    case Value::kFunction:
      return left.text() == right.text();
    case Value::kList:
    case Value::kTuple:
      return left.heap == right.heap || std::equal(left.list().items.begin(), left.list().items.end(),
                                                   right.list().items.begin(), right.list().items.end(), Equal);
    case Value::kDict: {
      const DictValue& other = right.dict();
      if (left.heap == right.heap) return true;
      if (left.dict().items.size() != other.items.size()) return false;
      return std::all_of(left.dict().items.begin(), left.dict().items.end(), [&](const auto& item) {
        const Value* match = other.Find(item.first);
        return match != nullptr && Equal(item.second, *match);
      });
    }
    case Value::kNamespace:
    case Value::kMacro:
      return left.integer == right.integer;
    default:
      return left.heap == right.heap;
  }
}

Result<int> Compare(const Value& left, const Value& right) {
  if (left.is_integer() && right.is_integer()) return (left.integer > right.integer) - (left.integer < right.integer);
  if (left.is_number() && right.is_number()) return (left.number() > right.number()) - (left.number() < right.number());
  if (left.is_string() && right.is_string()) return left.text().compare(right.text());
  if (left.is_list() && left.kind == right.kind) {
    const auto& a = left.list().items;
    const auto& b = right.list().items;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (!Equal(a[i], b[i])) return Compare(a[i], b[i]);
    }
    return (a.size() > b.size()) - (a.size() < b.size());
  }
  return Refuse("values of type {} and {} have no order", TypeName(left), TypeName(right));
}

Result<std::string> ToText(const Value& value, size_t max_bytes) {
  TextWriter writer{max_bytes, {}};
  MRS_RETURN_IF_ERROR(writer.Write(value, false));
  return std::move(writer.out);
}

Result<std::string> ToJson(const Value& value, const JsonStyle& style, size_t max_bytes) {
  JsonWriter writer{style, max_bytes, {}};
  MRS_RETURN_IF_ERROR(writer.Write(value, 0));
  return std::move(writer.out);
}

int64_t CostOf(const Value& value) {
  if (value.is_string()) return 1 + static_cast<int64_t>(value.text().size() / 16);
  if (value.is_list()) return value.list().count;
  if (value.is_dict()) return value.dict().count;
  return 1;
}

}  // namespace mrs::text
