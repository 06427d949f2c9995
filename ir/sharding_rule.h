// How the dimensions of an operation's operands and results hang together, as its definition says it in one line:
//
//   "t k*, {n* k*}, {n*} -> {t n*}"           mrs.matmul: n split: the result is split; k split: it is a partial sum
//   "t h !d, c h/ !d, t, t, s p -> t h !d"    mrs.attention: h/ are KV heads, the coarse side of h; !d must stay whole
//
// Letters are factors; `x*` stands for as many dimensions as the value has left; a `{...}` part repeats, each time with
// an `n` of its own. Plain C++ (no MLIR), with table tests.
#pragma once

#include <string_view>
#include <vector>

namespace mrs::ir {

// Instead of a rule: no dimension of one value is one of another, and verify_sharding.cc knows the operation by name.
inline constexpr std::string_view kJudgedByName = "by name";

struct RuleDim {
  char factor = 0;
  bool whole = false;   // `!`: the operation needs all of it on every rank
  bool coarse = false;  // `/`: groups of the factor's elements (KV heads of query heads, chunks of a vocabulary)
  bool star = false;    // `*`
  bool operator==(const RuleDim&) const = default;
};

struct RuleValue {
  std::string_view text;  // "h !d"
  bool repeated = false;  // {...}
  std::vector<RuleDim> dims;
};

struct ShardingRule {
  bool by_name = false;
  std::vector<RuleValue> operands;
  std::vector<RuleValue> results;
};

// `text` outlives the rule. A text that is no rule ends the process: it is a line of mrs_ops.td.
ShardingRule ParseShardingRule(std::string_view text);

// Where the K of a product that reads an operation's result may be cut into canonical chunks.
enum class KCut {
  kWhole,     // nowhere: one chain
  kHeads,     // between its heads, dimension 1
  kAnywhere,  // at any element
};

}  // namespace mrs::ir
