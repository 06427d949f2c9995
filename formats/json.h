// JSON from outside, read with a limit on everything and an error that names the file and the place.
//
//   MRS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1 << 20));
//   MRS_ASSIGN_OR_RETURN(const Json config, ParseJson(text, "config.json"));
//   MRS_ASSIGN_OR_RETURN(const int64_t hidden, GetInt(config, "hidden_size", "config.json", 1));
//   // config.json: 'hidden_size': expected a positive integer, got "abc"
//
// Json keeps the order of keys as written. Finding a key is linear in the object's size, so loop over big objects.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "plans/status.h"

namespace mrs {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  size_t max_bytes = size_t{64} << 20;      // of text
  size_t max_values = size_t{8} << 20;      // values in all, each costs at least 16 bytes of memory
  size_t max_keys = size_t{8} << 20;        // of one object
  int max_depth = 64;                       // nested arrays and objects
  bool refuse_duplicate_keys = true;        // false: the last one wins, as in Python
  bool python_numbers = false;              // NaN, Infinity and -Infinity are numbers, as in Python
  const std::atomic<bool>* stop = nullptr;  // set by another thread: nobody wants the result any more
};

// Parses one JSON text (RFC 8259). `where` names the source in errors: "config.json: line 3, column 7: ...".
// Refuses invalid UTF-8, NUL bytes, NaN and Infinity (by name, unless the limits let them in), numbers past the range
// of a double, trailing text and whatever passes a limit, before it is built. Integers past 64 bits become doubles. Without memory it is kUnavailable,
// and kCancelled when `stop` was set.
Result<Json> ParseJson(std::string_view text, std::string_view where, const JsonLimits& limits = {});

// Makes it null, without asking for memory. Json's own destructor does ask, for an array or object that is not empty, and
// ends the process where there is none: what may be large, and is there when memory runs out, is cleared first.
void ClearJson(Json* json) noexcept;
struct ClearedJson {
  Json value;
  ~ClearedJson() { ClearJson(&value); }
};

// The whole of a regular file of at most `max_bytes`; errors as InputFile::Open has them. A git-lfs pointer is refused.
Result<std::string> ReadFile(const std::string& path, size_t max_bytes, std::string_view if_absent = "");

// Compact text; never throws (invalid UTF-8 is written as U+FFFD).
std::string DumpJson(const Json& value);

// For messages: the value as JSON, cut after about 60 bytes.
std::string DescribeJson(const Json& value);

// The value under `key`, or null when `object` is no object, has no such key, or holds null there.
const Json* FindValue(const Json& object, std::string_view key);

// Required values. Absent, null, of another type or out of range is an error that names `where` and the key; where
// `where` is itself a place inside a file, write it so: "tokenizer.json: model".
inline constexpr int64_t kAnyMin = std::numeric_limits<int64_t>::min();
inline constexpr int64_t kAnyMax = std::numeric_limits<int64_t>::max();
Result<int64_t> GetInt(const Json& object, std::string_view key, std::string_view where, int64_t min = kAnyMin,
                       int64_t max = kAnyMax);
Result<double> GetDouble(const Json& object, std::string_view key, std::string_view where);  // integers too
Result<bool> GetBool(const Json& object, std::string_view key, std::string_view where);
Result<std::string> GetString(const Json& object, std::string_view key, std::string_view where);
Result<const Json*> GetArray(const Json& object, std::string_view key, std::string_view where);
Result<const Json*> GetObject(const Json& object, std::string_view key, std::string_view where);

// Optional values: absent or null gives `fallback` (for arrays and objects a null pointer).
Result<int64_t> GetIntOr(const Json& object, std::string_view key, std::string_view where, int64_t fallback,
                         int64_t min = kAnyMin, int64_t max = kAnyMax);
Result<double> GetDoubleOr(const Json& object, std::string_view key, std::string_view where, double fallback);
Result<bool> GetBoolOr(const Json& object, std::string_view key, std::string_view where, bool fallback);
Result<std::string> GetStringOr(const Json& object, std::string_view key, std::string_view where,
                                std::string_view fallback);
Result<const Json*> GetArrayOrNull(const Json& object, std::string_view key, std::string_view where);
Result<const Json*> GetObjectOrNull(const Json& object, std::string_view key, std::string_view where);

}  // namespace mrs
