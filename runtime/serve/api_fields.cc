#include "runtime/serve/api_fields.h"

#include <cmath>

namespace mrs::serve {

Fields::Fields(const Json& object) {
  const auto* entries = object.get_ptr<const Json::object_t*>();
  if (entries == nullptr) return;
  by_name_.reserve(entries->size());
  for (const auto& [name, value] : *entries) {
    if (!value.is_null()) by_name_.emplace(name, &value);
  }
}

const Json* Fields::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Fault ReadNumber(const Fields& body, std::string_view name, const NumberRange& range, float* value) {
  const Json* field = body.Find(name);
  if (field == nullptr) return {};
  const double number = field->is_number() ? field->get<double>() : 0.0;
  const bool inside = field->is_number() && (range.above_min ? number > range.min : number >= range.min) &&
                      number <= range.max;  // false for NaN
  if (!inside) {
    return range.above_min ? BadParameter(name, "expected a number above {} and at most {}, got {}", range.min,
                                          range.max, DescribeJson(*field))
                           : BadParameter(name, "expected a number from {} to {}, got {}", range.min, range.max,
                                          DescribeJson(*field));
  }
  *value = static_cast<float>(number);
  return {};
}

std::optional<int64_t> WholeNumber(const Json& value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: every whole number up to here is a double of its own
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!(number >= -kExact && number <= kExact) || number != std::trunc(number)) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return std::nullopt;
  return value.get<int64_t>();
}

Fault ReadInteger(const Fields& body, std::string_view name, int64_t min, int64_t max, int64_t* value) {
  const Json* field = body.Find(name);
  if (field == nullptr) return {};
  const std::optional<int64_t> number = WholeNumber(*field);
  if (!number.has_value() || *number < min || *number > max) {
    return BadParameter(name, "expected an integer from {} to {}, got {}", min, max, DescribeJson(*field));
  }
  *value = *number;
  return {};
}

Fault ReadFlag(const Fields& body, std::string_view name, bool* value) {
  const Json* field = body.Find(name);
  if (field == nullptr) return {};
  if (!field->is_boolean()) return BadParameter(name, "expected true or false, got {}", DescribeJson(*field));
  *value = field->get<bool>();
  return {};
}

Fault ReadTokenIds(const Json& list, std::string_view param, uint32_t vocab, size_t max_count,
                   std::vector<int32_t>* ids) {
  if (!list.is_array()) return BadParameter(param, "expected a list of token ids, got {}", DescribeJson(list));
  if (list.size() > max_count) {
    return BadParameter(param, "{} token ids, at most {} are accepted", list.size(), max_count);
  }
  ids->clear();
  ids->reserve(list.size());
  for (const Json& item : list) {
    const uint64_t id = item.is_number_unsigned() ? item.get<uint64_t>() : UINT64_MAX;
    if (id >= vocab) {
      return BadParameter(fmt::format("{}[{}]", param, ids->size()), "expected a token id from 0 to {}, got {}",
                          vocab - 1, DescribeJson(item));
    }
    ids->push_back(static_cast<int32_t>(id));
  }
  return {};
}

}  // namespace mrs::serve
