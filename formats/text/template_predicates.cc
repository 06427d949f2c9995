#include "formats/text/template_predicates.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "formats/text/unicode.h"

namespace mrs::text {
namespace {

constexpr std::string_view kTests[] = {
    "boolean", "callable", "defined", "divisibleby", "eq",     "equalto", "even",      "false",   "float", "ge",
    "gt",      "in",       "integer", "iterable",    "le",     "lower",   "lt",        "mapping", "ne",    "none",
    "number",  "odd",      "sameas",  "sequence",    "string", "true",    "undefined", "upper"};

}  // namespace

bool IsKnownTest(std::string_view name) {
  return std::find(std::begin(kTests), std::end(kTests), name) != std::end(kTests);
}

std::string KnownTests() { return fmt::format("{}", fmt::join(kTests, ", ")); }

Result<bool> ApplyTest(Budget& budget, std::string_view name, const Value& value, const Arguments& arguments) {
  MRS_RETURN_IF_ERROR(budget.Charge(1));
  ArgumentReader reader(name, arguments);
  static const std::map<std::string_view, std::string_view> relations = {{"eq", "=="}, {"equalto", "=="}, {"ne", "!="},
                                                                         {"lt", "<"},  {"le", "<="},      {"gt", ">"},
                                                                         {"ge", ">="}, {"in", "in"}};
  const auto relation = relations.find(name);
  if (relation != relations.end() || name == "divisibleby" || name == "sameas") {
    const Value* other = reader.Next("other");
    MRS_RETURN_IF_ERROR(reader.Done());
    if (other == nullptr) return Refuse("the test '{}' takes a value", name);
    if (relation != relations.end()) return Relate(budget, relation->second, value, *other);
    if (name == "sameas") {
      return value.kind == other->kind &&
             (value.heap || other->heap ? value.heap == other->heap : value.integer == other->integer);
    }
    if (!value.is_integer() || !other->is_integer() || other->integer == 0) {
      return Refuse("divisibleby takes integers, the second not 0");
    }
    return other->integer == -1 || value.integer % other->integer == 0;
  }
  MRS_RETURN_IF_ERROR(reader.Done());
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.kind == Value::kNone;
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is_dict();
  if (name == "iterable" || name == "sequence") {
    return value.is_string() || value.is_list() || value.is_dict() || value.is_undefined();
  }
  if (name == "number") return value.is_number();
  if (name == "integer") return value.kind == Value::kInt;
  if (name == "float") return value.kind == Value::kFloat;
  if (name == "boolean") return value.kind == Value::kBool;
  if (name == "true" || name == "false") return value.kind == Value::kBool && (value.integer != 0) == (name == "true");
  if (name == "callable") {
    return value.kind == Value::kMacro || value.kind == Value::kFunction || value.kind == Value::kMethod;
  }
  if (name == "odd" || name == "even") {
    if (!value.is_integer()) return Refuse("the test '{}' takes an integer, got {}", name, TypeName(value));
    return (value.integer % 2 != 0) == (name == "odd");
  }
  // lower, upper: cased letters are there, and all of that case.
  MRS_ASSIGN_OR_RETURN(const std::string text, ChargedText(budget, value));
  const std::string lower = Lower(text);
  const std::string upper = Upper(text);
  return lower != upper && text == (name == "lower" ? lower : upper);
}

}  // namespace mrs::text
