// The methods of strings and dicts, as in Python.
#include <algorithm>
#include <utility>

#include "formats/text/template_access.h"
#include "formats/text/template_lexer.h"
#include "formats/text/unicode.h"
#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

Result<Value> Strings(std::vector<std::string> texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (std::string& text : texts) items.push_back(MakeString(std::move(text)));
  return MakeList(std::move(items));
}

// str.split and str.rsplit; without a separator at runs of whitespace, without empty parts.
std::vector<std::string> Split(std::string_view text, std::string_view separator, int64_t limit, bool from_right) {
  std::vector<std::string> parts;
  if (separator.empty()) {
    text = from_right ? StripRight(text) : StripLeft(text);
    while (!text.empty() && (limit < 0 || static_cast<int64_t>(parts.size()) < limit)) {
      size_t cut = from_right ? text.size() : 0;
      if (from_right) {
        while (cut > 0 && StripRight(text.substr(0, cut)).size() == cut) {
          do --cut;
          while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80);
        }
        parts.emplace_back(text.substr(cut));
        text = StripRight(text.substr(0, cut));
      } else {
        while (cut < text.size() && !IsPythonSpace(ReadUtf8(text.substr(cut)).character)) {
          cut += static_cast<size_t>(Utf8Length(text[cut]));
        }
        parts.emplace_back(text.substr(0, cut));
        text = StripLeft(text.substr(cut));
      }
    }
    if (!text.empty()) parts.emplace_back(text);
  } else {
    while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
      const size_t at = from_right ? text.rfind(separator) : text.find(separator);
      if (at == text.npos) break;
      parts.emplace_back(from_right ? text.substr(at + separator.size()) : text.substr(0, at));
      text = from_right ? text.substr(0, at) : text.substr(at + separator.size());
    }
    parts.emplace_back(text);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

// str.title: the first letter of each run of letters.
std::string Title(std::string_view text) {
  std::string out;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    const std::string_view character = text.substr(i, static_cast<size_t>(unit.length));
    out.append(inside ? Lower(character) : Upper(character));
    inside = IsAlphabetic(unit.character);
    i += static_cast<size_t>(unit.length);
  }
  return out;
}

// Whether the text starts (or ends) with a string, or one of a tuple of them.
Result<Value> HasAffix(const std::string& text, const Value* affix, bool at_start) {
  const auto has = [&](const Value& one) {
    return one.is_string() && (at_start ? text.starts_with(one.text()) : text.ends_with(one.text()));
  };
  if (affix != nullptr && affix->is_string()) return MakeBool(has(*affix));
  if (affix != nullptr && affix->kind == Value::kTuple) {
    const auto& items = affix->list().items;
    return MakeBool(std::any_of(items.begin(), items.end(), has));
  }
  return Refuse("startswith and endswith take a string or a tuple of strings");
}

Result<Value> Replace(Budget& budget, const std::string& text, const std::string& from, const std::string& to,
                      int64_t limit) {
  std::string out;
  size_t begin = 0;
  if (from.empty()) return Refuse("replacing an empty string is not supported");
  for (size_t at = text.find(from); at != text.npos && limit != 0; at = text.find(from, begin), --limit) {
    out.append(text, begin, at - begin).append(to);
    begin = at + from.size();
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(to.size()));
    if (out.size() > budget.max_bytes) return budget.ChargeBytes(out.size()).error();
  }
  out.append(text, begin);
  return MakeString(std::move(out));
}

Result<Value> CallStringMethod(Budget& budget, const std::string& text, const std::string& name,
                               const Arguments& arguments) {
  ArgumentReader reader(name, arguments);
  MRS_RETURN_IF_ERROR(budget.ChargeBytes(text.size()));
  const auto done = [&](Result<Value> value) -> Result<Value> {
    MRS_RETURN_IF_ERROR(reader.Done());
    return value;
  };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    MRS_ASSIGN_OR_RETURN(const std::string characters, reader.NextString("chars", ""));
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(characters.size()));
    return done(MakeString(std::string(StripText(text, characters, name != "rstrip", name != "lstrip"))));
  }
  if (name == "split" || name == "rsplit") {
    const bool separated = !arguments.positional.empty() || !arguments.named.empty();
    MRS_ASSIGN_OR_RETURN(const std::string separator, reader.NextString("sep", ""));
    MRS_ASSIGN_OR_RETURN(const int64_t limit, reader.NextInt("maxsplit", -1));
    if (separated && separator.empty() && !arguments.positional.empty() && arguments.positional[0].is_string()) {
      return Refuse("split: an empty separator");
    }
    MRS_RETURN_IF_ERROR(budget.Charge(4 * static_cast<int64_t>(text.size())));
    return done(Strings(Split(text, separator, limit, name == "rsplit")));
  }
  if (name == "splitlines") return done(Strings(SplitLines(text)));
  if (name == "startswith" || name == "endswith") {
    return done(HasAffix(text, reader.Next("prefix"), name == "startswith"));
  }
  if (name == "upper") return done(MakeString(Upper(text)));
  if (name == "lower") return done(MakeString(Lower(text)));
  if (name == "title") return done(MakeString(Title(text)));
  if (name == "capitalize") return done(MakeString(Capitalize(text)));
  if (name == "isdigit") {
    const bool digits =
        !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    return done(MakeBool(digits));
  }
  if (name == "replace") {
    MRS_ASSIGN_OR_RETURN(const std::string from, reader.NextString("old", ""));
    MRS_ASSIGN_OR_RETURN(const std::string to, reader.NextString("new", ""));
    MRS_ASSIGN_OR_RETURN(const int64_t limit, reader.NextInt("count", -1));
    return done(Replace(budget, text, from, to, limit));
  }
  if (name == "join") {
    const Value* items = reader.Next("iterable");
    if (items == nullptr) return Refuse("join takes a list");
    MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, *items));
    std::string out;
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (!list->items[i].is_string()) return Refuse("join takes strings, got {}", TypeName(list->items[i]));
      if (i > 0) out.append(text);
      out.append(list->items[i].text());
      MRS_RETURN_IF_ERROR(budget.ChargeBytes(text.size() + list->items[i].text().size()));
      if (out.size() > budget.max_bytes) return budget.ChargeBytes(out.size()).error();
    }
    return done(MakeString(std::move(out)));
  }
  MRS_ASSIGN_OR_RETURN(const std::string part, reader.NextString("sub", ""));
  MRS_RETURN_IF_ERROR(reader.Done());
  if (name == "removeprefix") {
    return MakeString(text.starts_with(part) ? text.substr(part.size()) : text);
  }
  if (name == "removesuffix") {
    return MakeString(text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text);
  }
  if (part.empty()) return Refuse("{}: an empty string to look for is not supported", name);
  if (name == "count") {
    int64_t count = 0;
    for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++count;
    return MakeInt(count);
  }
  if (name == "find") {
    const size_t at = text.find(part);
    if (at == text.npos) return MakeInt(-1);
    MRS_ASSIGN_OR_RETURN(const int64_t count, LengthOf(budget, MakeString(text.substr(0, at))));
    return MakeInt(count);
  }
  return Refuse("the method '{}' of a string is not supported", name);
}

Result<Value> CallDictMethod(Budget& budget, const DictValue& dict, const std::string& name,
                             const Arguments& arguments) {
  ArgumentReader reader(name, arguments);
  if (name == "get") {
    const Value* key = reader.Next("key");
    const Value* fallback = reader.Next("default");
    MRS_RETURN_IF_ERROR(reader.Done());
    if (key == nullptr) return Refuse("get takes a key");
    const Value* item = key->is_string() ? dict.Find(key->text()) : nullptr;
    return item != nullptr ? *item : fallback != nullptr ? *fallback : MakeNone();
  }
  MRS_RETURN_IF_ERROR(reader.Done());
  MRS_RETURN_IF_ERROR(budget.Charge(1 + 2 * static_cast<int64_t>(dict.items.size())));
  std::vector<Value> out;
  for (const auto& [key, item] : dict.items) {
    if (name == "keys") {
      out.push_back(MakeString(key));
    } else if (name == "values") {
      out.push_back(item);
    } else {
      MRS_ASSIGN_OR_RETURN(Value pair, MakeList({MakeString(key), item}, Value::kTuple));
      out.push_back(std::move(pair));
    }
  }
  return MakeList(std::move(out));
}

}  // namespace

Result<Value> CallMethod(Budget& budget, const MethodValue& method, const Arguments& arguments) {
  if (method.self.is_string()) return CallStringMethod(budget, method.self.text(), method.name, arguments);
  return CallDictMethod(budget, method.self.dict(), method.name, arguments);
}

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    const char32_t c = unit.character;
    size_t end = i + static_cast<size_t>(unit.length);
    const bool breaks = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (breaks) {
      if (c == '\r' && end < text.size() && text[end] == '\n') ++end;
      lines.emplace_back(text.substr(begin, i - begin));
      begin = end;
    }
    i = end;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

std::string Capitalize(std::string_view text) {
  if (text.empty()) return {};
  const auto first = static_cast<size_t>(Utf8Length(text[0]));
  return Upper(text.substr(0, first)) + Lower(text.substr(first));
}

std::string_view StripText(std::string_view text, std::string_view characters, bool left, bool right) {
  if (characters.empty()) {
    if (left) text = StripLeft(text);
    return right ? StripRight(text) : text;
  }
  const auto is_member = [&](std::string_view character) { return characters.find(character) != characters.npos; };
  while (left && !text.empty()) {
    const auto length = static_cast<size_t>(Utf8Length(text[0]));
    if (!is_member(text.substr(0, length))) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!is_member(text.substr(begin))) break;
    text = text.substr(0, begin);
  }
  return text;
}

}  // namespace mrs::text
