// Expressions by recursive descent, with Jinja's precedence: or, and, not, comparison, + -, ~, * / // %, sign, postfix.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "formats/text/template_cursor.h"

namespace mrs::text {

class ExpressionParser : protected TemplateCursor {
 protected:
  using TemplateCursor::TemplateCursor;

  // One expression, or a tuple without brackets.
  Result<ExpressionPtr> ParseTuple(bool with_condition);
  Result<ExpressionPtr> ParseExpression();
  // Filters, tests and calls that follow a value. Without a value: filters of a set block.
  Result<ExpressionPtr> ParseFilters(ExpressionPtr value);

 private:
  Result<ExpressionPtr> Measure(ExpressionPtr node);
  Result<ExpressionPtr> ParseOr();
  Result<ExpressionPtr> ParseAnd();
  Result<ExpressionPtr> ParseNot();
  Result<ExpressionPtr> ParseCompare();
  Result<ExpressionPtr> ParseSum();
  Result<ExpressionPtr> ParseConcat();
  Result<ExpressionPtr> ParseProduct();
  Result<ExpressionPtr> ParseUnary(bool with_filter);
  Result<ExpressionPtr> Constant(int line, Value constant);
  Result<ExpressionPtr> ParsePrimary();
  // The inside of a list or a dict, after its opening bracket.
  Result<ExpressionPtr> ParseItems(int line, Expression::Kind kind, std::string_view close);
  Result<ExpressionPtr> ParsePostfix(ExpressionPtr value);
  Result<ExpressionPtr> ParseSubscript(ExpressionPtr value, int line);
  // "(a, b, c=d)" after what is called, a filter's or a test's name.
  Status ParseArguments(Expression* node);
  Result<ExpressionPtr> ParseCall(ExpressionPtr callee);
  Result<ExpressionPtr> ParseTest(ExpressionPtr value);

  template <typename... Children>
  Result<ExpressionPtr> Make(Expression::Kind kind, int line, std::string_view text, Children... children) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->line = line;
    node->text = std::string(text);
    (node->children.push_back(std::move(children)), ...);
    return Measure(std::move(node));
  }
};

}  // namespace mrs::text
