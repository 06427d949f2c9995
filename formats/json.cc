#include "formats/json.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <limits>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

#include "formats/input_file.h"
#include "plans/printable.h"

namespace mrs {
namespace {

// Walks the text and leaves its position where the handler can see it, so that our own refusals have a line too.
struct TrackingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  const char** seen = nullptr;

  reference operator*() const { return *at; }
  TrackingIterator& operator++() {
    *seen = ++at;
    return *this;
  }
  TrackingIterator operator++(int) {
    TrackingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const TrackingIterator& other) const { return at == other.at; }
  bool operator!=(const TrackingIterator& other) const { return at != other.at; }
};

// A number that Python's json writes and JSON lacks.
struct PythonNumber {
  size_t at = 0;  // offset of its first byte
  double value = 0;
};

// Finds them and writes a JSON number of the same length in their place, so that lines and columns stay. What only
// looks like one (1NaN, NaNs, anything in a string) is left to the parser, which refuses it.
std::vector<PythonNumber> ReplacePythonNumbers(std::string* text) {
  struct Literal {
    std::string_view name, placeholder;
    double value;
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr Literal kLiterals[] = {{"NaN", "0.0", std::numeric_limits<double>::quiet_NaN()},
                                          {"Infinity", "0.000000", kInfinity},
                                          {"-Infinity", "-0.000000", -kInfinity}};
  const auto joins = [&](size_t i) {
    return i < text->size() && (std::isalnum(static_cast<unsigned char>((*text)[i])) != 0 || (*text)[i] == '.' ||
                                (*text)[i] == '+' || (*text)[i] == '-');
  };
  std::vector<PythonNumber> found;
  for (size_t i = 0; i < text->size(); ++i) {
    if ((*text)[i] == '"') {
      for (++i; i < text->size() && (*text)[i] != '"'; ++i) {
        if ((*text)[i] == '\\') ++i;
      }
      continue;
    }
    if (i > 0 && joins(i - 1)) continue;
    for (const Literal& literal : kLiterals) {
      if (text->compare(i, literal.name.size(), literal.name) != 0 || joins(i + literal.name.size())) continue;
      text->replace(i, literal.name.size(), literal.placeholder);
      found.push_back({i, literal.value});
      i += literal.name.size() - 1;
      break;
    }
  }
  return found;
}

// For errors, which are text: characters that are not seen become their bytes. `broken`: what is no ASCII may be no
// UTF-8.
std::string Seen(std::string_view text, bool broken = false) {
  std::string seen;
  while (!text.empty()) {
    const size_t hidden = broken && static_cast<unsigned char>(text[0]) >= 0x80 ? 1 : HiddenLength(text);
    const size_t length = hidden > 0 ? hidden : FirstCharacter(text).second;
    if (hidden > 0) {
      AppendNumbers(text.substr(0, length), &seen);
    } else {
      seen += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return seen;
}

// Builds the tree without recursion, and appends to objects without the linear search of nlohmann::ordered_map.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  // `numbers`: where `text` stands for others; `seen`: the parser's place in it.
  TreeBuilder(const JsonLimits& limits, std::string_view text, const std::vector<PythonNumber>& numbers,
              const char* const& seen)
      : limits_(limits), text_(text), numbers_(numbers), seen_(seen) {}
  ~TreeBuilder() override { ClearJson(&root); }

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(int64_t value) override { return Add(value); }
  bool number_unsigned(uint64_t value) override { return Add(value); }
  bool number_float(double value, const std::string& spelled) override {
    // The parser has read one byte past the number, unless the text ends with it.
    const auto read = static_cast<size_t>(seen_ - text_.data());
    for (const size_t past : {size_t{1}, size_t{0}}) {
      if (read < spelled.size() + past) continue;
      const size_t at = read - past - spelled.size();
      const auto found = std::lower_bound(numbers_.begin(), numbers_.end(), at,
                                          [](const PythonNumber& number, size_t place) { return number.at < place; });
      if (found != numbers_.end() && found->at == at && text_.substr(at, spelled.size()) == spelled) {
        return Add(found->value);
      }
    }
    return Add(value);
  }
  bool string(std::string& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return Fail("binary values are not JSON"); }

  bool start_object(size_t) override { return Open(Json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }

  // An object of a few keys is searched; a bigger one gets a hash map, so a hostile one costs no quadratic time.
  bool key(std::string& name) override {
    Level& level = open_.back();
    if (Stopped()) return false;
    if (level.value->size() >= limits_.max_keys) {
      return Fail(fmt::format("more than {} keys in one object", limits_.max_keys));
    }
    // The vector below ordered_map, for appending without its search.
    auto* entries = static_cast<Json::object_t::Container*>(level.value->get_ptr<Json::object_t*>());
    size_t found = entries->size();
    if (entries->size() < kHashFrom) {
      for (size_t i = 0; i < entries->size(); ++i) {
        if ((*entries)[i].first == name) found = i;
      }
    } else {
      if (level.index.empty()) {
        for (size_t i = 0; i < entries->size(); ++i) level.index.emplace((*entries)[i].first, i);
      }
      found = level.index.emplace(name, entries->size()).first->second;
    }
    if (found < entries->size()) {
      if (limits_.refuse_duplicate_keys) {
        return Fail(fmt::format("the key {} appears twice in one object", DescribeJson(Json(name))));
      }
      (*entries)[found].second = nullptr;
      slot_ = &(*entries)[found].second;
      return true;
    }
    entries->emplace_back(std::move(name), Json());
    slot_ = &entries->back().second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    error_position = position;
    has_position = true;
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ...": keep the last part.
    std::string_view text = error.what();
    if (const size_t bracket = text.find("] "); bracket != text.npos) text.remove_prefix(bracket + 2);
    if (text.substr(0, 14) == "parse error at") {
      if (const size_t colon = text.find(": "); colon != text.npos) text.remove_prefix(colon + 2);
    }
    // It quotes all of what it read last, which may be the whole file: its start and what follows it say enough.
    constexpr size_t kStart = 160, kEnd = 120;
    const bool quotes_broken = text.find("ill-formed UTF-8") != text.npos;
    if (text.size() > 2 * (kStart + kEnd)) {
      const auto inside = [&](size_t at) { return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; };
      size_t start = kStart, end = text.size() - kEnd;
      while (start > 0 && inside(start)) --start;
      while (end < text.size() && inside(end)) ++end;
      message = Seen(text.substr(0, start), quotes_broken);
      message += "...";
      text.remove_prefix(end);
    }
    message += Seen(text, quotes_broken);
    return false;
  }

  Json root;
  std::string message;
  size_t error_position = 0;
  bool has_position = false;
  bool stopped = false;

 private:
  static constexpr size_t kHashFrom = 16;

  struct Level {
    Json* value = nullptr;
    std::unordered_map<std::string, size_t> index;  // key -> position; empty below kHashFrom keys
  };

  bool Fail(std::string why) {
    message = std::move(why);
    return false;
  }

  bool Stopped() {
    stopped = limits_.stop != nullptr && limits_.stop->load(std::memory_order_relaxed);
    return stopped;
  }

  Json* Place(Json value) {
    if (Stopped()) return nullptr;
    if (++value_count_ > limits_.max_values) {
      Fail(fmt::format("more than {} values", limits_.max_values));
      return nullptr;
    }
    Json* place = &root;
    if (!open_.empty()) {
      Level& level = open_.back();
      if (level.value->is_array()) {
        auto* items = level.value->get_ptr<Json::array_t*>();
        items->emplace_back();
        place = &items->back();
      } else {
        place = slot_;
      }
    }
    *place = std::move(value);
    return place;
  }

  bool Add(Json value) { return Place(std::move(value)) != nullptr; }

  // A parent's vector does not move while a child is open, so pointers to open values stay good.
  bool Open(Json value) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Fail(fmt::format("nested deeper than {} levels", limits_.max_depth));
    }
    Json* place = Place(std::move(value));
    if (place == nullptr) return false;
    open_.push_back(Level{place, {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  std::string_view text_;
  const std::vector<PythonNumber>& numbers_;
  const char* const& seen_;
  std::vector<Level> open_;
  Json* slot_ = nullptr;
  size_t value_count_ = 0;
};

// "line 3, column 7" of a byte offset, both from 1; columns count bytes.
std::string Place(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const size_t line = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
  const size_t line_start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  return fmt::format("line {}, column {}", line, before.size() - line_start + 1);
}

// Python's json writes NaN and Infinity, which JSON lacks: name them when the error stands inside one.
std::string_view PythonLiteralAt(std::string_view text, size_t offset) {
  size_t start = std::min(offset, text.size());
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'; };
  while (start > 0 && is_letter(text[start - 1]) && offset - start < 12) --start;
  for (const std::string_view literal : {"NaN", "-Infinity", "Infinity", "None", "True", "False"}) {
    if (text.substr(start, literal.size()) == literal) return literal;
  }
  return {};
}

Result<Json> Parse(std::string_view text, std::string_view where, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Refuse("{}: {} bytes of JSON, at most {} are accepted", where, text.size(), limits.max_bytes);
  }
  // The lexer takes a NUL for the end of the text, so what follows it would go unseen.
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    return Refuse("{}: {}: a NUL byte is not JSON", where, Place(text, nul));
  }
  std::string replaced;
  std::vector<PythonNumber> numbers;
  if (limits.python_numbers && (text.find("NaN") != text.npos || text.find("Infinity") != text.npos)) {
    replaced = text;
    numbers = ReplacePythonNumbers(&replaced);
    text = replaced;
  }
  const char* seen = text.data();
  TreeBuilder builder(limits, text, numbers, seen);
  try {
    const TrackingIterator begin{text.data(), &seen};
    const TrackingIterator end{text.data() + text.size(), &seen};
    if (Json::sax_parse(begin, end, &builder)) return std::move(builder.root);
  } catch (const std::bad_alloc&) {
    throw;  // not a fault of the text
  } catch (const std::exception& error) {
    builder.message = error.what();
  }
  if (builder.stopped) return Error{ErrorKind::kCancelled, fmt::format("{}: is not needed any more", where)};
  const size_t read = builder.has_position ? builder.error_position : static_cast<size_t>(seen - text.data());
  const size_t offset = read == 0 ? 0 : std::min(read, text.size() + 1) - 1;
  if (const std::string_view literal = PythonLiteralAt(text, offset); builder.has_position && !literal.empty()) {
    return Refuse("{}: {}: {} is Python, not JSON; write a JSON value in its place", where, Place(text, offset),
                  literal);
  }
  return Refuse("{}: {}: {}", where, Place(text, offset), builder.message);
}

}  // namespace

// From the leaves up, so that what is destroyed is empty. As deep as a parsed value may be.
void ClearJson(Json* json) noexcept {
  if (auto* items = json->get_ptr<Json::array_t*>(); items != nullptr) {
    for (Json& item : *items) ClearJson(&item);
    items->clear();
  } else if (auto* entries = json->get_ptr<Json::object_t*>(); entries != nullptr) {
    for (auto& entry : *entries) ClearJson(&entry.second);
    entries->clear();
  }
  *json = nullptr;
}

Result<Json> ParseJson(std::string_view text, std::string_view where, const JsonLimits& limits) {
  try {
    return Parse(text, where, limits);
  } catch (const std::bad_alloc&) {
    return Error{ErrorKind::kUnavailable, "out of memory"};  // so short that the message needs none
  }
}

Result<std::string> ReadFile(const std::string& path, size_t max_bytes, std::string_view if_absent) {
  MRS_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path, if_absent));
  if (file.bytes() > max_bytes) {
    return Refuse("{}: {} bytes, at most {} are accepted", path, file.bytes(), max_bytes);
  }
  std::string text(file.bytes(), '\0');
  MRS_RETURN_IF_ERROR(file.ReadAt(0, text.data(), text.size()));
  if (IsGitLfsPointer(text)) return GitLfsPointer(path);
  return text;
}

std::string DumpJson(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string DescribeJson(const Json& value) {
  constexpr size_t kShown = 60;
  if (value.is_object()) return fmt::format("an object of {} keys", value.size());
  if (value.is_array()) return fmt::format("an array of {} values", value.size());
  if (const auto* text = value.get_ptr<const Json::string_t*>(); text != nullptr && text->size() > kShown) {
    std::string shown = DumpJson(Json(text->substr(0, kShown)));
    shown.insert(shown.size() - 1, "...");
    return Seen(shown);
  }
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    return std::isnan(value.get<double>()) ? "NaN" : value.get<double>() > 0 ? "Infinity" : "-Infinity";
  }
  return Seen(DumpJson(value));
}

const Json* FindValue(const Json& object, std::string_view key) {
  const auto* entries = object.get_ptr<const Json::object_t*>();
  if (entries == nullptr) return nullptr;
  for (const auto& [name, value] : *entries) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

namespace {

Error Unexpected(const Json& object, std::string_view key, std::string_view where, std::string_view expected) {
  if (!object.is_object()) return Refuse("{}: expected an object with '{}', got {}", where, key, DescribeJson(object));
  const Json* value = FindValue(object, key);
  if (value == nullptr) return Refuse("{}: '{}' is missing; expected {}", where, key, expected);
  return Refuse("{}: '{}': expected {}, got {}", where, key, expected, DescribeJson(*value));
}

std::string DescribeRange(int64_t min, int64_t max) {
  if (max == kAnyMax && min == 1) return "a positive integer";
  if (max == kAnyMax && min == 0) return "a non-negative integer";
  if (max == kAnyMax && min == kAnyMin) return "an integer";
  if (max == kAnyMax) return fmt::format("an integer of at least {}", min);
  if (min == kAnyMin) return fmt::format("an integer of at most {}", max);
  return fmt::format("an integer from {} to {}", min, max);
}

// An optional value goes by the required getter where there is one. An `object` that is none is still an error.
template <typename T, typename Get>
Result<T> Or(const Json& object, std::string_view key, T fallback, Get get) {
  if (object.is_object() && FindValue(object, key) == nullptr) return fallback;
  return get();
}

}  // namespace

Result<int64_t> GetInt(const Json& object, std::string_view key, std::string_view where, int64_t min, int64_t max) {
  const Json* value = FindValue(object, key);
  if (value == nullptr || !value->is_number_integer()) return Unexpected(object, key, where, DescribeRange(min, max));
  const bool past_signed = value->is_number_unsigned() &&
                           value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  const int64_t number = past_signed ? 0 : value->get<int64_t>();
  if (past_signed || number < min || number > max) return Unexpected(object, key, where, DescribeRange(min, max));
  return number;
}

Result<double> GetDouble(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = FindValue(object, key);
  if (value == nullptr || !value->is_number()) return Unexpected(object, key, where, "a number");
  return value->get<double>();
}

Result<bool> GetBool(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = FindValue(object, key);
  if (value == nullptr || !value->is_boolean()) return Unexpected(object, key, where, "true or false");
  return value->get<bool>();
}

Result<std::string> GetString(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = FindValue(object, key);
  if (value == nullptr || !value->is_string()) return Unexpected(object, key, where, "a string");
  return value->get_ref<const std::string&>();
}

Result<const Json*> GetArray(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = FindValue(object, key);
  if (value == nullptr || !value->is_array()) return Unexpected(object, key, where, "an array");
  return value;
}

Result<const Json*> GetObject(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = FindValue(object, key);
  if (value == nullptr || !value->is_object()) return Unexpected(object, key, where, "an object");
  return value;
}

Result<int64_t> GetIntOr(const Json& object, std::string_view key, std::string_view where, int64_t fallback,
                         int64_t min, int64_t max) {
  return Or<int64_t>(object, key, fallback, [&] { return GetInt(object, key, where, min, max); });
}

Result<double> GetDoubleOr(const Json& object, std::string_view key, std::string_view where, double fallback) {
  return Or<double>(object, key, fallback, [&] { return GetDouble(object, key, where); });
}

Result<bool> GetBoolOr(const Json& object, std::string_view key, std::string_view where, bool fallback) {
  return Or<bool>(object, key, fallback, [&] { return GetBool(object, key, where); });
}

Result<std::string> GetStringOr(const Json& object, std::string_view key, std::string_view where,
                                std::string_view fallback) {
  return Or<std::string>(object, key, std::string(fallback), [&] { return GetString(object, key, where); });
}

Result<const Json*> GetArrayOrNull(const Json& object, std::string_view key, std::string_view where) {
  return Or<const Json*>(object, key, nullptr, [&] { return GetArray(object, key, where); });
}

Result<const Json*> GetObjectOrNull(const Json& object, std::string_view key, std::string_view where) {
  return Or<const Json*>(object, key, nullptr, [&] { return GetObject(object, key, where); });
}

}  // namespace mrs
