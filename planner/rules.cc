#include "planner/rules.h"

#include "formats/json.h"
#include "plans/append.h"

namespace mrs {
namespace {

std::string_view NameOf(Severity severity) { return severity == Severity::kError ? "error" : "warning"; }

}  // namespace

std::string RulesText() {
  std::string text;
  for (const Rule& rule : kRules) {
    Append(&text, "{}{} ({})\n  holds    {}\n  because  {}\n  remedy   {}\n", text.empty() ? "" : "\n", rule.name,
           NameOf(rule.severity), rule.formula, rule.source, rule.remedy);
  }
  return text;
}

std::string RulesJson() {
  Json rules = Json::array();
  for (const Rule& rule : kRules) {
    rules.push_back({{"id", rule.name},
                     {"severity", NameOf(rule.severity)},
                     {"formula", rule.formula},
                     {"source", rule.source},
                     {"remedy", rule.remedy},
                     {"message", rule.message}});
  }
  return rules.dump(2) + "\n";
}

}  // namespace mrs
