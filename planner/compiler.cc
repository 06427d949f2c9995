#include "planner/compiler.h"

#include <algorithm>

#include "formats/json.h"
#include "ir/dialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

namespace mrs::planner {
namespace {

constexpr size_t kMaxIrBytes = size_t{256} << 20;
constexpr int kMaxIrDepth = 256;

// MLIR's parser recurses without a bound, so nesting is bounded before it sees the text. Brackets in strings and
// comments do not count. Bytecode is not text: its magic is refused.
Status CheckNesting(llvm::StringRef text, const std::string& path) {
  if (text.substr(0, 4) == llvm::StringRef("ML\xEFR", 4))
    return Refuse("{}: MLIR bytecode; expected a module as text", path);
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i) {
        if (text[i] == '\\') ++i;
      }
    } else if (c == '/' && i + 1 < text.size() && text[i + 1] == '/') {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '(' || c == '[' || c == '{' || c == '<') {
      if (++depth > kMaxIrDepth) return Refuse("{}: brackets nest deeper than {}", path, kMaxIrDepth);
    } else if (c == ')' || c == ']' || c == '}' || (c == '>' && i > 0 && text[i - 1] != '-')) {
      depth = std::max(depth - 1, 0);
    }
  }
  return Status();
}

}  // namespace

Compiler::Compiler()
    : context_(mlir::MLIRContext::Threading::DISABLED), handler_(&context_, [this](mlir::Diagnostic& diagnostic) {
        if (diagnostic.getSeverity() != mlir::DiagnosticSeverity::Error) return;
        if (!errors_.empty()) errors_ += "; ";
        if (auto where = mlir::dyn_cast<mlir::FileLineColLoc>(diagnostic.getLocation())) {
          errors_ += fmt::format("{}:{}:{}: ", where.getFilename().str(), where.getLine(), where.getColumn());
        }
        errors_ += diagnostic.str();
      }) {
  context_.loadDialect<ir::MrsDialect, mlir::func::FuncDialect>();
}

Result<mlir::OwningOpRef<mlir::ModuleOp>> Compiler::Parse(const std::string& path) {
  const Result<std::string> text = ReadFile(path, kMaxIrBytes);
  if (!text) return text.error();
  MRS_RETURN_IF_ERROR(CheckNesting(*text, path));
  auto module = mlir::parseSourceString<mlir::ModuleOp>(*text, &context_, path);
  if (!module) return Failure();
  return module;
}

Error Compiler::Failure() const {
  return Error{ErrorKind::kRefused, errors_.empty() ? "the module was refused" : errors_};
}

}  // namespace mrs::planner
