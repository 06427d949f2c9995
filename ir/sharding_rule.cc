#include "ir/sharding_rule.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace mrs::ir {
namespace {

[[noreturn]] void NoRule(std::string_view text, std::string_view part) {
  std::fprintf(stderr, "mrs_ops.td: \"%.*s\" is no sharding rule: \"%.*s\"\n", static_cast<int>(text.size()),
               text.data(), static_cast<int>(part.size()), part.data());
  std::abort();
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Takes the part before the next `separator` off the front of `text`.
std::string_view TakePart(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

RuleDim ParseDim(std::string_view rule, std::string_view word) {
  const std::string_view whole_word = word;
  RuleDim dim;
  if (word.starts_with('!')) {
    dim.whole = true;
    word.remove_prefix(1);
  }
  if (word.empty() || word[0] < 'a' || word[0] > 'z') NoRule(rule, whole_word);
  dim.factor = word[0];
  word.remove_prefix(1);
  dim.coarse = word == "/";
  dim.star = word == "*";
  if (!word.empty() && !dim.coarse && !dim.star) NoRule(rule, whole_word);
  return dim;
}

std::vector<RuleValue> ParseSide(std::string_view rule, std::string_view side) {
  std::vector<RuleValue> values;
  while (!side.empty()) {
    RuleValue value;
    std::string_view part = Trim(TakePart(side, ','));
    if (part.starts_with('{') && part.ends_with('}')) {
      value.repeated = true;
      part = part.substr(1, part.size() - 2);
    }
    value.text = part;
    while (!part.empty()) value.dims.push_back(ParseDim(rule, TakePart(part, ' ')));
    values.push_back(value);
  }
  return values;
}

}  // namespace

ShardingRule ParseShardingRule(std::string_view text) {
  if (text == kJudgedByName) return {.by_name = true, .operands = {}, .results = {}};
  const size_t arrow = text.find("->");
  if (arrow == std::string_view::npos) NoRule(text, text);
  return {.by_name = false,
          .operands = ParseSide(text, Trim(text.substr(0, arrow))),
          .results = ParseSide(text, Trim(text.substr(arrow + 2)))};
}

}  // namespace mrs::ir
