// Recursive descent over the tokens, with Jinja's precedence: or, and, not, comparison, + -, ~, * / // %, sign,
// postfix.
#include <algorithm>
#include <utility>

#include "runtime/text/template_ast.h"
#include "runtime/text/template_filters.h"
#include "runtime/text/template_lexer.h"

namespace mrs::text {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr size_t kMaxArguments = 32;  // also bounds map('map', 'map', ...), which recurses

class Parser {
 public:
  explicit Parser(std::vector<TemplateToken> tokens) : tokens_(std::move(tokens)) {}

  Result<TemplateAst> Run() {
    TemplateAst ast;
    std::string end;
    MRS_ASSIGN_OR_RETURN(ast.body, ParseBlock({}, &end));
    return ast;
  }

 private:
  using Token = TemplateToken;

  const Token& Peek() const { return tokens_[at_]; }
  const Token& PeekNext() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& Take() {
    const Token& token = tokens_[at_];
    if (token.kind != Token::kEnd) ++at_;
    return token;
  }
  bool IsOperator(std::string_view text) const { return Peek().kind == Token::kOperator && Peek().text == text; }
  bool IsName(std::string_view text) const { return Peek().kind == Token::kName && Peek().text == text; }
  bool SkipOperator(std::string_view text) {
    const bool is = IsOperator(text);
    if (is) ++at_;
    return is;
  }
  bool SkipName(std::string_view text) {
    const bool is = IsName(text);
    if (is) ++at_;
    return is;
  }

  static std::string Show(const Token& token) {
    switch (token.kind) {
      case Token::kText:
        return "text";
      case Token::kBlockBegin:
        return "'{%'";
      case Token::kBlockEnd:
        return "'%}'";
      case Token::kOutputBegin:
        return "'{{'";
      case Token::kOutputEnd:
        return "'}}'";
      case Token::kString:
        return "a string";
      case Token::kEnd:
        return "the end of the template";
      default:
        return fmt::format("'{}'", token.text);
    }
  }

  template <typename... Args>
  Error Bad(fmt::format_string<Args...> format, Args&&... args) const {
    return Refuse("chat template: line {}: {}", Peek().line, fmt::format(format, std::forward<Args>(args)...));
  }
  Error Expected(std::string_view what) const { return Bad("expected {}, got {}", what, Show(Peek())); }

  Status ExpectOperator(std::string_view text) {
    return SkipOperator(text) ? Status() : Status(Expected(fmt::format("'{}'", text)));
  }
  Status Expect(Token::Kind kind, std::string_view what) {
    if (Peek().kind != kind) return Expected(what);
    ++at_;
    return {};
  }
  Status EndTag() { return Expect(Token::kBlockEnd, "'%}'"); }
  Result<std::string> ExpectName() {
    if (Peek().kind != Token::kName) return Expected("a name");
    return Take().text;
  }

  // Counts how deep the descent is, so that no input can exhaust the stack.
  struct Deeper {
    explicit Deeper(int* counter) : depth(counter) { ++*depth; }
    ~Deeper() { --*depth; }
    int* depth;
  };
  Status CheckDepth() const { return depth_ > kMaxTreeDepth ? Status(Bad("nested too deep")) : Status(); }

  template <typename... Children>
  Result<ExpressionPtr> Make(Expression::Kind kind, int line, std::string_view text, Children... children) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->line = line;
    node->text = std::string(text);
    (node->children.push_back(std::move(children)), ...);
    return Measure(std::move(node));
  }

  Result<ExpressionPtr> Measure(ExpressionPtr node) {
    for (const ExpressionPtr& child : node->children) {
      if (child) node->depth = std::max(node->depth, 1 + child->depth);
    }
    for (const auto& [name, child] : node->named) node->depth = std::max(node->depth, 1 + child->depth);
    if (node->depth > kMaxTreeDepth) return Bad("an expression nested too deep");
    return node;
  }

  // ---- statements

  // Up to a tag of `ends`, whose name goes to `end` and is taken; with no ends up to the end of the template.
  Result<Block> ParseBlock(const std::vector<std::string_view>& ends, std::string* end) {
    Block block;
    const Deeper deeper(&depth_);
    MRS_RETURN_IF_ERROR(CheckDepth());
    while (true) {
      const Token& token = Peek();
      if (token.kind == Token::kEnd) {
        if (ends.empty()) return block;
        return Bad("the template ends without '{}'", ends.back());
      }
      if (token.kind == Token::kText) {
        Statement text;
        text.line = token.line;
        text.text = Take().text;
        block.push_back(std::move(text));
      } else if (token.kind == Token::kOutputBegin) {
        Statement output;
        output.kind = Statement::kOutput;
        output.line = Take().line;
        MRS_ASSIGN_OR_RETURN(output.value, ParseTuple(true));
        MRS_RETURN_IF_ERROR(Expect(Token::kOutputEnd, "'}}'"));
        block.push_back(std::move(output));
      } else {
        MRS_RETURN_IF_ERROR(Expect(Token::kBlockBegin, "a tag"));
        const int line = Peek().line;
        MRS_ASSIGN_OR_RETURN(const std::string name, ExpectName());
        if (std::find(ends.begin(), ends.end(), name) != ends.end()) {
          *end = name;
          return block;
        }
        MRS_ASSIGN_OR_RETURN(Statement statement, ParseStatement(name));
        statement.line = line;
        block.push_back(std::move(statement));
      }
    }
  }

  Result<Block> ParseBody(const std::vector<std::string_view>& ends, std::string* end) {
    MRS_RETURN_IF_ERROR(EndTag());
    return ParseBlock(ends, end);
  }

  Result<Statement> ParseStatement(const std::string& name) {
    if (name == "if") return ParseIf();
    if (name == "for") return ParseFor();
    if (name == "set") return ParseSet();
    if (name == "macro") return ParseMacro();
    Statement statement;
    if (name == "break" || name == "continue") {
      if (loop_depth_ == 0) return Bad("'{}' outside a loop", name);
      statement.kind = name == "break" ? Statement::kBreak : Statement::kContinue;
      MRS_RETURN_IF_ERROR(EndTag());
      return statement;
    }
    if (name == "generation") {  // marks the assistant's part for training; rendered as what it holds
      std::string end;
      statement.kind = Statement::kScope;
      MRS_ASSIGN_OR_RETURN(statement.body, ParseBody({"endgeneration"}, &end));
      MRS_RETURN_IF_ERROR(EndTag());
      return statement;
    }
    if (name.starts_with("end") || name == "else" || name == "elif") return Bad("'{}' closes nothing here", name);
    return Bad("the tag '{}' is not supported; supported: if, for, set, macro, break, continue, raw, generation", name);
  }

  Result<Statement> ParseIf() {
    Statement statement;
    statement.kind = Statement::kIf;
    std::string end = "elif";
    while (end == "elif") {
      Branch branch;
      MRS_ASSIGN_OR_RETURN(branch.condition, ParseTuple(false));
      MRS_ASSIGN_OR_RETURN(branch.body, ParseBody({"elif", "else", "endif"}, &end));
      statement.branches.push_back(std::move(branch));
    }
    if (end == "else") {
      Branch branch;
      MRS_ASSIGN_OR_RETURN(branch.body, ParseBody({"endif"}, &end));
      statement.branches.push_back(std::move(branch));
    }
    MRS_RETURN_IF_ERROR(EndTag());
    return statement;
  }

  Result<std::vector<std::string>> ParseTargets() {
    std::vector<std::string> targets;
    const bool bracketed = SkipOperator("(");
    do {
      if (!targets.empty() && (IsName("in") || IsOperator(")"))) break;  // a comma at the end
      MRS_ASSIGN_OR_RETURN(std::string name, ExpectName());
      targets.push_back(std::move(name));
    } while (SkipOperator(","));
    if (bracketed) MRS_RETURN_IF_ERROR(ExpectOperator(")"));
    return targets;
  }

  Result<Statement> ParseFor() {
    Statement statement;
    statement.kind = Statement::kFor;
    MRS_ASSIGN_OR_RETURN(statement.targets, ParseTargets());
    if (!SkipName("in")) return Expected("'in'");
    MRS_ASSIGN_OR_RETURN(statement.value, ParseTuple(false));
    if (SkipName("if")) {
      MRS_ASSIGN_OR_RETURN(statement.condition, ParseExpression());
    }
    if (IsName("recursive")) return Bad("a recursive loop is not supported");
    std::string end;
    ++loop_depth_;
    MRS_ASSIGN_OR_RETURN(statement.body, ParseBody({"else", "endfor"}, &end));
    --loop_depth_;
    if (end == "else") {
      MRS_ASSIGN_OR_RETURN(statement.else_body, ParseBody({"endfor"}, &end));
    }
    MRS_RETURN_IF_ERROR(EndTag());
    return statement;
  }

  Result<Statement> ParseSet() {
    Statement statement;
    statement.kind = Statement::kSet;
    MRS_ASSIGN_OR_RETURN(statement.targets, ParseTargets());
    if (statement.targets.size() == 1 && SkipOperator(".")) {
      statement.kind = Statement::kSetAttribute;
      MRS_ASSIGN_OR_RETURN(statement.text, ExpectName());
    }
    if (SkipOperator("=")) {
      MRS_ASSIGN_OR_RETURN(statement.value, ParseTuple(true));
      MRS_RETURN_IF_ERROR(EndTag());
      return statement;
    }
    if (statement.kind != Statement::kSet || statement.targets.size() != 1) return Expected("'='");
    statement.kind = Statement::kSetBlock;
    if (IsOperator("|")) {
      MRS_ASSIGN_OR_RETURN(statement.value, ParseFilters(nullptr));
    }
    std::string end;
    MRS_ASSIGN_OR_RETURN(statement.body, ParseBody({"endset"}, &end));
    MRS_RETURN_IF_ERROR(EndTag());
    return statement;
  }

  Result<Statement> ParseMacro() {
    Statement statement;
    statement.kind = Statement::kMacro;
    MRS_ASSIGN_OR_RETURN(statement.text, ExpectName());
    MRS_RETURN_IF_ERROR(ExpectOperator("("));
    while (!IsOperator(")")) {
      if (!statement.targets.empty()) MRS_RETURN_IF_ERROR(ExpectOperator(","));
      MRS_ASSIGN_OR_RETURN(std::string name, ExpectName());
      statement.targets.push_back(std::move(name));
      if (SkipOperator("=")) {
        MRS_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
        statement.defaults.push_back(std::move(value));
      } else if (!statement.defaults.empty()) {
        return Bad("macro '{}': a parameter without a default after one with", statement.text);
      }
    }
    ++at_;
    const int outer_loops = std::exchange(loop_depth_, 0);
    std::string end;
    MRS_ASSIGN_OR_RETURN(statement.body, ParseBody({"endmacro"}, &end));
    loop_depth_ = outer_loops;
    SkipName(statement.text);
    MRS_RETURN_IF_ERROR(EndTag());
    return statement;
  }

  // ---- expressions

  // One expression, or a tuple without brackets.
  Result<ExpressionPtr> ParseTuple(bool with_condition) {
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

  Result<ExpressionPtr> ParseExpression() {
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

  Result<ExpressionPtr> ParseOr() {
    MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseAnd());
    while (IsName("or")) {
      const int line = Take().line;
      MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseAnd());
      MRS_ASSIGN_OR_RETURN(left, Make(Expression::kOr, line, "", std::move(left), std::move(right)));
    }
    return left;
  }

  Result<ExpressionPtr> ParseAnd() {
    MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseNot());
    while (IsName("and")) {
      const int line = Take().line;
      MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseNot());
      MRS_ASSIGN_OR_RETURN(left, Make(Expression::kAnd, line, "", std::move(left), std::move(right)));
    }
    return left;
  }

  Result<ExpressionPtr> ParseNot() {
    const Deeper deeper(&depth_);
    MRS_RETURN_IF_ERROR(CheckDepth());
    if (!IsName("not")) return ParseCompare();
    const int line = Take().line;
    MRS_ASSIGN_OR_RETURN(ExpressionPtr value, ParseNot());
    return Make(Expression::kNot, line, "", std::move(value));
  }

  Result<ExpressionPtr> ParseCompare() {
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
        ++at_;
      }
      if (name.empty()) break;
      ++at_;
      MRS_ASSIGN_OR_RETURN(ExpressionPtr next, ParseSum());
      if (compare->children.empty()) compare->children.push_back(std::move(first));
      compare->operators.push_back(std::move(name));
      compare->children.push_back(std::move(next));
    }
    if (compare->children.empty()) return first;
    return Measure(std::move(compare));
  }

  Result<ExpressionPtr> ParseSum() {
    MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseConcat());
    while (IsOperator("+") || IsOperator("-")) {
      const Token op = Take();
      MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseConcat());
      MRS_ASSIGN_OR_RETURN(left, Make(Expression::kBinary, op.line, op.text, std::move(left), std::move(right)));
    }
    return left;
  }

  Result<ExpressionPtr> ParseConcat() {
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

  Result<ExpressionPtr> ParseProduct() {
    MRS_ASSIGN_OR_RETURN(ExpressionPtr left, ParseUnary(true));
    while (IsOperator("*") || IsOperator("/") || IsOperator("//") || IsOperator("%")) {
      const Token op = Take();
      MRS_ASSIGN_OR_RETURN(ExpressionPtr right, ParseUnary(true));
      MRS_ASSIGN_OR_RETURN(left, Make(Expression::kBinary, op.line, op.text, std::move(left), std::move(right)));
    }
    if (IsOperator("**")) return Bad("the operator '**' is not supported");
    return left;
  }

  Result<ExpressionPtr> ParseUnary(bool with_filter) {
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

  Result<ExpressionPtr> Constant(int line, Value constant) {
    auto node = std::make_unique<Expression>();
    node->line = line;
    node->constant = std::move(constant);
    return node;
  }

  Result<ExpressionPtr> ParsePrimary() {
    const Token token = Peek();
    switch (token.kind) {
      case Token::kName:
        ++at_;
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
        ++at_;
        return Constant(token.line, MakeInt(token.integer));
      case Token::kFloat:
        ++at_;
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

  // The inside of a list or a dict, after its opening bracket.
  Result<ExpressionPtr> ParseItems(int line, Expression::Kind kind, std::string_view close) {
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

  Result<ExpressionPtr> ParsePostfix(ExpressionPtr value) {
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

  Result<ExpressionPtr> ParseSubscript(ExpressionPtr value, int line) {
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
    ++at_;
    if (part > 0) {
      return Make(Expression::kSlice, line, "", std::move(value), std::move(parts[0]), std::move(parts[1]),
                  std::move(parts[2]));
    }
    if (!parts[0]) return Bad("an empty subscript");
    return Make(Expression::kItem, line, "", std::move(value), std::move(parts[0]));
  }

  // "(a, b, c=d)" after what is called, a filter's or a test's name.
  Status ParseArguments(Expression* node) {
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
        ++at_;
      } else if (!node->named.empty()) {
        return Bad("an argument without a name after one with");
      }
      MRS_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      if (node->children.size() + node->named.size() > kMaxArguments)
        return Bad("more than {} arguments", kMaxArguments);
      if (name.empty()) {
        node->children.push_back(std::move(value));
      } else {
        node->named.emplace_back(std::move(name), std::move(value));
      }
    }
    return {};
  }

  Result<ExpressionPtr> ParseCall(ExpressionPtr callee) {
    auto node = std::make_unique<Expression>();
    node->kind = Expression::kCall;
    node->line = Peek().line;
    node->children.push_back(std::move(callee));
    MRS_RETURN_IF_ERROR(ParseArguments(node.get()));
    return Measure(std::move(node));
  }

  // Filters, tests and calls that follow a value. Without a value: filters of a set block.
  Result<ExpressionPtr> ParseFilters(ExpressionPtr value) {
    while (true) {
      if (IsOperator("|")) {
        ++at_;
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
        ++at_;
        MRS_ASSIGN_OR_RETURN(value, ParseTest(std::move(value)));
      } else if (value && IsOperator("(")) {
        MRS_ASSIGN_OR_RETURN(value, ParseCall(std::move(value)));
      } else {
        return value;
      }
    }
  }

  Result<ExpressionPtr> ParseTest(ExpressionPtr value) {
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

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loop_depth_ = 0;
};

}  // namespace

Result<TemplateAst> ParseTemplateAst(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return Refuse("chat template: {} bytes, at most {} are accepted", source.size(), kMaxTemplateBytes);
  }
  MRS_ASSIGN_OR_RETURN(std::vector<TemplateToken> tokens, LexTemplate(source));
  return Parser(std::move(tokens)).Run();
}

}  // namespace mrs::text
