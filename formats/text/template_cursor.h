// A place in the tokens of a template, as the parsers of expressions and of statements move it on.
//
//   if (SkipOperator("(")) MRS_RETURN_IF_ERROR(ExpectOperator(")"));   // "chat template: line 3: expected ')', ..."
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/text/template_ast.h"
#include "formats/text/template_lexer.h"
#include "plans/status.h"

namespace mrs::text {

class TemplateCursor {
 protected:
  explicit TemplateCursor(std::vector<TemplateToken> tokens) : tokens_(std::move(tokens)) {}

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

  int depth_ = 0;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace mrs::text
