// A parsed template: statements over expressions, each with the line it stands on.
//
//   {% if a.b %}x{% endif %} -> Statement kIf {branches: [{kAttribute "b" of kName "a", [kText "x"]}]}
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/text/template_value.h"
#include "plans/status.h"

namespace mrs::text {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum Kind {
    kConstant,   // constant
    kName,       // text
    kList,       // children
    kTuple,      // children
    kDict,       // children: key, value, key, value ...
    kAttribute,  // children[0].text
    kItem,       // children[0][children[1]]
    kSlice,      // children[0][children[1]:children[2]:children[3]], absent ones null
    kCall,       // children[0](children[1..], named)
    kFilter,     // children[0] | text(children[1..], named)
    kTest,       // children[0] is text(children[1..])
    kNot,
    kNegative,
    kPositive,
    kBinary,  // children[0] text children[1]
    kAnd,
    kOr,
    kCompare,    // children[0] operators[0] children[1] operators[1] ...
    kConcat,     // children joined as text
    kCondition,  // children: condition, then, else (may be null)
  };
  Kind kind = kConstant;
  int line = 1;
  int depth = 1;  // of the tree below, bounded by the parser
  std::string text;
  Value constant;
  std::vector<ExpressionPtr> children;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
};

struct Statement;
using Block = std::vector<Statement>;

struct Branch {
  ExpressionPtr condition;  // null: else
  Block body;
};

struct Statement {
  enum Kind {
    kText,          // text
    kOutput,        // value
    kIf,            // branches
    kFor,           // for targets in value if condition: body, else_body
    kSet,           // targets = value
    kSetAttribute,  // targets[0].text = value
    kSetBlock,      // targets[0] = body, through the filters of value (its innermost child is null)
    kMacro,         // text(targets, with defaults for the last ones): body
    kBreak,
    kContinue,
    kScope,  // body
  };
  Kind kind = kText;
  int line = 1;
  std::string text;
  std::vector<std::string> targets;
  ExpressionPtr value;
  ExpressionPtr condition;
  std::vector<ExpressionPtr> defaults;
  std::vector<Branch> branches;
  Block body;
  Block else_body;
};

struct TemplateAst {
  Block body;
};

// At most this deep: statements in statements, and each expression.
inline constexpr int kMaxTreeDepth = 120;

Result<TemplateAst> ParseTemplateAst(std::string_view source);

}  // namespace mrs::text
