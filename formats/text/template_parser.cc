// Statements by recursive descent, over expressions.
#include <algorithm>
#include <utility>

#include "formats/text/template_ast.h"
#include "formats/text/template_expression.h"
#include "formats/text/template_lexer.h"

namespace mrs::text {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::vector<TemplateToken> tokens) : ExpressionParser(std::move(tokens)) {}

  Result<TemplateAst> Run() {
    TemplateAst ast;
    std::string end;
    MRS_ASSIGN_OR_RETURN(ast.body, ParseBlock({}, &end));
    return ast;
  }

 private:
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
    Take();
    const int outer_loops = std::exchange(loop_depth_, 0);
    std::string end;
    MRS_ASSIGN_OR_RETURN(statement.body, ParseBody({"endmacro"}, &end));
    loop_depth_ = outer_loops;
    SkipName(statement.text);
    MRS_RETURN_IF_ERROR(EndTag());
    return statement;
  }

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
