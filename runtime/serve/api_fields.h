// Optional fields of a request's JSON, read with their range; a fault names the field.
//
//   const Fields body(json);   // one pass over its keys
//   float top_p = 1.0f;
//   if (Fault fault = ReadNumber(body, "top_p", {.min = 0, .max = 1, .above_min = true}, &top_p)) return fault;
//
// Absent and null leave `value` as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/json.h"
#include "runtime/serve/api_error.h"

namespace mrs::serve {

// The fields of an object by name. Requests look for some eighty names, so a client's keys are walked once, not each
// time.
class Fields {
 public:
  explicit Fields(const Json& object);  // borrowed; what is no object has none

  // Null where the field is absent, or null itself.
  const Json* Find(std::string_view name) const;
  size_t size() const { return by_name_.size(); }

 private:
  std::unordered_map<std::string_view, const Json*> by_name_;
};

struct NumberRange {
  double min = 0;
  double max = 0;
  bool above_min = false;  // `min` itself is outside
};

// 3 and, as some clients write it, 3.0.
std::optional<int64_t> WholeNumber(const Json& value);

Fault ReadNumber(const Fields& body, std::string_view name, const NumberRange& range, float* value);
Fault ReadInteger(const Fields& body, std::string_view name, int64_t min, int64_t max, int64_t* value);
Fault ReadFlag(const Fields& body, std::string_view name, bool* value);

// A list of at most `max_count` ids below `vocab`; `param` names the list in faults ("prompt[3]").
Fault ReadTokenIds(const Json& list, std::string_view param, uint32_t vocab, size_t max_count,
                   std::vector<int32_t>* ids);

}  // namespace mrs::serve
