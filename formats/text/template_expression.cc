#include "formats/text/template_expression.h"

#include <algorithm>
#include <utility>

#include "formats/text/template_filters.h"
#include "formats/text/template_predicates.h"

namespace mrs::text {
namespace {

constexpr size_t kMaxArguments = 32;  // also bounds map('map', 'map', ...), which recurses

}  // namespace

Result<ExpressionPtr> ExpressionParser::Measure(ExpressionPtr node) {
  for (const ExpressionPtr& child : node->children) {
    if (child) node->depth = std::max(node->depth, 1 + child->depth);
  }
  for (const auto& [name, child] : node->named) node->depth = std::max(node->depth, 1 + child->depth);
  if (node->depth > kMaxTreeDepth) return Bad("an expression nested too deep");
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParseTuple(bool with_condition) {
  const int line = Peek().line;
  MRS_ASSIGN_OR_RETURN(ExpressionPtr first, with_condition ? ParseExpression() : ParseOr());
  if (!IsOperator(",")) return first;
  auto tuple = std::make_unique<Expression>();
  tuple->kind = Expression::kTuple;
  tuple->line = line;
  tuple->children.push_back(std::move(first));
  while (SkipOperator(",")) {
    if (Peek().kind == Token::kBlockEnd || Peek().kind == Token::kOutputEnd || IsOperator(")")) break;
    MRS_ASSIGN_OR_RETURN(ExpressionPtr next, with_condition ? ParseExpression() : ParseOr());
    tuple->children.push_back(std::move(next));
  }
  return Measure(std::move(tuple));
}

Result<ExpressionPtr> ExpressionParser::ParseExpression() {
  const Deeper deeper(&depth_);
  MRS_RETURN_IF_ERROR(CheckDepth());
  const int line = Peek().line;
  MRS_ASSIGN_OR_RETURN(ExpressionPtr value, ParseOr());
  while (SkipName("if")) {
    MRS_ASSIGN_OR_RETURN(ExpressionPtr condition, ParseOr());
    ExpressionPtr otherwise;
    if (SkipName("else")) {
      MRS_ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    MRS_ASSIGN_OR_RETURN(
        value, Make(Expression::kCondition, line, "", std::move(condition), std::move(value), std::move(otherwise)));
  }
  return value;
}

Result<ExpressionPtr> ExpressionParser::ParseOr() {
  MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseAnd());
  while (IsName("or")) {
    const int line = Take().line;
    MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseAnd());
    MRS_ASSIGN_OR_RETURN(left, Make(Expression::kOr, line, "", std::move(left), std::move(right)));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::ParseAnd() {
  MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseNot());
  while (IsName("and")) {
    const int line = Take().line;
    MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseNot());
    MRS_ASSIGN_OR_RETURN(left, Make(Expression::kAnd, line, "", std::move(left), std::move(right)));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::ParseNot() {
  const Deeper deeper(&depth_);
  MRS_RETURN_IF_ERROR(CheckDepth());
  if (!IsName("not")) return ParseCompare();
  const int line = Take().line;
  MRS_ASSIGN_OR_RETURN(ExpressionPtr value, ParseNot());
  return Make(Expression::kNot, line, "", std::move(value));
}

Result<ExpressionPtr> ExpressionParser::ParseCompare() {
  MRS_ASSIGN_OR_RETURN(ExpressionPtr first, ParseSum());
  auto compare = std::make_unique<Expression>();
  compare->kind = Expression::kCompare;
  compare->line = Peek().line;
  while (true) {
    std::string name;
    for (const std::string_view one : {"==", "!=", "<", "<=", ">", ">="}) {
      if (IsOperator(one)) name = std::string(one);
    }
    if (IsName("in")) name = "in";
    if (IsName("not") && PeekNext().kind == Token::kName && PeekNext().text == "in") {
      name = "not in";
      Take();
    }
    if (name.empty()) break;
    Take();
    MRS_ASSIGN_OR_RETURN(ExpressionPtr next, ParseSum());
    if (compare->children.empty()) compare->children.push_back(std::move(first));
    compare->operators.push_back(std::move(name));
    compare->children.push_back(std::move(next));
  }
  if (compare->children.empty()) return first;
  return Measure(std::move(compare));
}

Result<ExpressionPtr> ExpressionParser::ParseSum() {
  MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseConcat());
  while (IsOperator("+") || IsOperator("-")) {
    const Token op = Take();
    MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseConcat());
    MRS_ASSIGN_OR_RETURN(left, Make(Expression::kBinary, op.line, op.text, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::ParseConcat() {
  MRS_ASSIGN_OR_RETURN(ExpressionPtr first, ParseProduct());
  if (!IsOperator("~")) return first;
  auto concat = std::make_unique<Expression>();
  concat->kind = Expression::kConcat;
  concat->line = Peek().line;
  concat->children.push_back(std::move(first));
  while (SkipOperator("~")) {
    MRS_ASSIGN_OR_RETURN(ExpressionPtr next, ParseProduct());
    concat->children.push_back(std::move(next));
  }
  return Measure(std::move(concat));
}

Result<ExpressionPtr> ExpressionParser::ParseProduct() {
  MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseUnary(true));
  while (IsOperator("*") || IsOperator("/") || IsOperator("//") || IsOperator("%")) {
    const Token op = Take();
    MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseUnary(true));
    MRS_ASSIGN_OR_RETURN(left, Make(Expression::kBinary, op.line, op.text, std::move(left), std::move(right)));
  }
  if (IsOperator("**")) return Bad("the operator '**' is not supported");
  return left;
}

Result<ExpressionPtr> ExpressionParser::ParseUnary(bool with_filter) {
  const Deeper deeper(&depth_);
  MRS_RETURN_IF_ERROR(CheckDepth());
  const int line = Peek().line;
  ExpressionPtr value;
  if (IsOperator("-") || IsOperator("+")) {
    const bool negative = Take().text == "-";
    MRS_ASSIGN_OR_RETURN(value, ParseUnary(false));
    MRS_ASSIGN_OR_RETURN(value,
                         Make(negative ? Expression::kNegative : Expression::kPositive, line, "", std::move(value)));
  } else {
    MRS_ASSIGN_OR_RETURN(value, ParsePrimary());
  }
  MRS_ASSIGN_OR_RETURN(value, ParsePostfix(std::move(value)));
  return with_filter ? ParseFilters(std::move(value)) : Result<ExpressionPtr>(std::move(value));
}

Result<ExpressionPtr> ExpressionParser::Constant(int line, Value constant) {
  auto node = std::make_unique<Expression>();
  node->line = line;
  node->constant = std::move(constant);
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParsePrimary() {
  const Token token = Peek();
  switch (token.kind) {
    case Token::kName:
      Take();
      if (token.text == "true" || token.text == "True") return Constant(token.line, MakeBool(true));
      if (token.text == "false" || token.text == "False") return Constant(token.line, MakeBool(false));
      if (token.text == "none" || token.text == "None") return Constant(token.line, MakeNone());
      return Make(Expression::kName, token.line, token.text);
    case Token::kString: {
      std::string text;
      while (Peek().kind == Token::kString) text += Take().text;  // "a" "b" is "ab"
      return Constant(token.line, MakeString(std::move(text)));
    }
    case Token::kInt:
      Take();
      return Constant(token.line, MakeInt(token.integer));
    case Token::kFloat:
      Take();
      return Constant(token.line, MakeFloat(token.real));
    default:
      break;
  }
  if (SkipOperator("(")) {
    if (SkipOperator(")")) return Make(Expression::kTuple, token.line, "");
    MRS_ASSIGN_OR_RETURN(ExpressionPtr inner, ParseTuple(true));
    MRS_RETURN_IF_ERROR(ExpectOperator(")"));
    return inner;
  }
  if (SkipOperator("[")) return ParseItems(token.line, Expression::kList, "]");
  if (SkipOperator("{")) return ParseItems(token.line, Expression::kDict, "}");
  return Expected("an expression");
}

Result<ExpressionPtr> ExpressionParser::ParseItems(int line, Expression::Kind kind, std::string_view close) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = line;
  while (!SkipOperator(close)) {
    if (!node->children.empty()) {
      MRS_RETURN_IF_ERROR(ExpectOperator(","));
      if (SkipOperator(close)) break;
    }
    MRS_ASSIGN_OR_RETURN(ExpressionPtr item, ParseExpression());
    node->children.push_back(std::move(item));
    if (kind == Expression::kDict) {
      MRS_RETURN_IF_ERROR(ExpectOperator(":"));
      MRS_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      node->children.push_back(std::move(value));
    }
  }
  return Measure(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::ParsePostfix(ExpressionPtr value) {
  while (true) {
    const int line = Peek().line;
    if (SkipOperator(".")) {
      if (Peek().kind == Token::kInt) {
        MRS_ASSIGN_OR_RETURN(ExpressionPtr index, Constant(line, MakeInt(Take().integer)));
        MRS_ASSIGN_OR_RETURN(value, Make(Expression::kItem, line, "", std::move(value), std::move(index)));
        continue;
      }
      MRS_ASSIGN_OR_RETURN(const std::string name, ExpectName());
      MRS_ASSIGN_OR_RETURN(value, Make(Expression::kAttribute, line, name, std::move(value)));
    } else if (SkipOperator("[")) {
      MRS_ASSIGN_OR_RETURN(value, ParseSubscript(std::move(value), line));
    } else if (IsOperator("(")) {
      MRS_ASSIGN_OR_RETURN(value, ParseCall(std::move(value)));
    } else {
      return value;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::ParseSubscript(ExpressionPtr value, int line) {
  ExpressionPtr parts[3];
  int part = 0;
  while (!IsOperator("]")) {
    if (SkipOperator(":")) {
      if (++part > 2) return Expected("']'");
      continue;
    }
    if (parts[part]) return Expected("']'");
    MRS_ASSIGN_OR_RETURN(parts[part], ParseExpression());
  }
  Take();
  if (part > 0) {
    return Make(Expression::kSlice, line, "", std::move(value), std::move(parts[0]), std::move(parts[1]),
                std::move(parts[2]));
  }
  if (!parts[0]) return Bad("an empty subscript");
  return Make(Expression::kItem, line, "", std::move(value), std::move(parts[0]));
}

Status ExpressionParser::ParseArguments(Expression* node) {
  MRS_RETURN_IF_ERROR(ExpectOperator("("));
  bool first = true;
  while (!SkipOperator(")")) {
    if (!std::exchange(first, false)) {
      MRS_RETURN_IF_ERROR(ExpectOperator(","));
      if (SkipOperator(")")) break;
    }
    if (IsOperator("*") || IsOperator("**")) return Bad("'*' in a call is not supported");
    std::string name;
    if (Peek().kind == Token::kName && PeekNext().kind == Token::kOperator && PeekNext().text == "=") {
      name = Take().text;
      Take();
    } else if (!node->named.empty()) {
      return Bad("an argument without a name after one with");
    }
    MRS_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
    if (node->children.size() + node->named.size() > kMaxArguments) return Bad("more than {} arguments", kMaxArguments);
    if (name.empty()) {
      node->children.push_back(std::move(value));
    } else {
      node->named.emplace_back(std::move(name), std::move(value));
    }
  }
  return {};
}

Result<ExpressionPtr> ExpressionParser::ParseCall(ExpressionPtr callee) {
  auto node = std::make_unique<Expression>();
  node->kind = Expression::kCall;
  node->line = Peek().line;
  node->children.push_back(std::move(callee));
  MRS_RETURN_IF_ERROR(ParseArguments(node.get()));
  return Measure(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::ParseFilters(ExpressionPtr value) {
  while (true) {
    if (IsOperator("|")) {
      Take();
      auto node = std::make_unique<Expression>();
      node->kind = Expression::kFilter;
      node->line = Peek().line;
      if (Peek().kind != Token::kName) return Expected("the name of a filter");
      if (!IsKnownFilter(Peek().text)) {
        return Bad("the filter '{}' is not supported; supported: {}", Peek().text, KnownFilters());
      }
      MRS_ASSIGN_OR_RETURN(node->text, ExpectName());
      node->children.push_back(std::move(value));
      if (IsOperator("(")) MRS_RETURN_IF_ERROR(ParseArguments(node.get()));
      MRS_ASSIGN_OR_RETURN(value, Measure(std::move(node)));
    } else if (value && IsName("is")) {
      Take();
      MRS_ASSIGN_OR_RETURN(value, ParseTest(std::move(value)));
    } else if (value && IsOperator("(")) {
      MRS_ASSIGN_OR_RETURN(value, ParseCall(std::move(value)));
    } else {
      return value;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::ParseTest(ExpressionPtr value) {
  const bool negated = SkipName("not");
  auto node = std::make_unique<Expression>();
  node->kind = Expression::kTest;
  node->line = Peek().line;
  if (Peek().kind != Token::kName) return Expected("the name of a test");
  if (!IsKnownTest(Peek().text)) {
    return Bad("the test '{}' is not supported; supported: {}", Peek().text, KnownTests());
  }
  node->text = Take().text;
  node->children.push_back(std::move(value));
  const Token& next = Peek();
  const bool starts_value =
      next.kind == Token::kString || next.kind == Token::kInt || next.kind == Token::kFloat ||
      (next.kind == Token::kOperator && (next.text == "[" || next.text == "{")) ||
      (next.kind == Token::kName && next.text != "else" && next.text != "or" && next.text != "and" &&
       next.text != "is" && next.text != "if" && next.text != "in" && next.text != "not");
  if (IsOperator("(")) {
    MRS_RETURN_IF_ERROR(ParseArguments(node.get()));
  } else if (starts_value) {
    MRS_ASSIGN_OR_RETURN(ExpressionPtr argument, ParsePrimary());
    MRS_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    node->children.push_back(std::move(argument));
  }
  const int line = node->line;
  MRS_ASSIGN_OR_RETURN(ExpressionPtr test, Measure(std::move(node)));
  return negated ? Make(Expression::kNot, line, "", std::move(test)) : Result<ExpressionPtr>(std::move(test));
}

}  // namespace mrs::text
