#include "planner/build.h"

#include <algorithm>

#include "formats/json.h"
#include "ir/dialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "planner/build_graph.h"
#include "planner/emit_plan.h"
#include "planner/model_facts.h"
#include "planner/passes/passes.h"
#include "plans/writer.h"

namespace mrs::planner {
namespace {

// A context of one thread (same input, same bytes) that keeps what the passes complain about.
struct Compiler {
  Compiler()
      : context(mlir::MLIRContext::Threading::DISABLED), handler(&context, [this](mlir::Diagnostic& diagnostic) {
          if (diagnostic.getSeverity() != mlir::DiagnosticSeverity::Error) return;
          if (!errors.empty()) errors += "; ";
          if (auto where = mlir::dyn_cast<mlir::FileLineColLoc>(diagnostic.getLocation())) {
            errors += fmt::format("{}:{}:{}: ", where.getFilename().str(), where.getLine(), where.getColumn());
          }
          errors += diagnostic.str();
        }) {
    context.loadDialect<ir::MrsDialect, mlir::func::FuncDialect>();
  }
  Error Failure() const { return Error{ErrorKind::kRefused, errors.empty() ? "the module was refused" : errors}; }

  mlir::MLIRContext context;
  std::string errors;
  mlir::ScopedDiagnosticHandler handler;
};

std::string Print(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream);
  stream << "\n";
  return text;
}

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

Result<std::string> Emit(Compiler& compiler, mlir::ModuleOp module) {
  auto plan = EmitPlan(module);
  if (!plan) {
    if (!compiler.errors.empty()) return compiler.Failure();
    return plan.error();
  }
  return SerializePlan(*plan);
}

}  // namespace

Result<Built> BuildUnsharded(const BuildOptions& options) {
  MRS_ASSIGN_OR_RETURN(ModelFacts model, ReadModelFacts(options));
  Compiler compiler;
  auto module = BuildGraph(compiler.context, model.facts, model.checkpoint);
  return Built{"", Print(*module), model.warnings};
}

Result<Built> Build(const BuildOptions& options) {
  MRS_ASSIGN_OR_RETURN(ModelFacts model, ReadModelFacts(options));
  Compiler compiler;
  auto module = BuildGraph(compiler.context, model.facts, model.checkpoint);
  mlir::PassManager manager(&compiler.context);
  manager.enableVerifier(false);  // each pass's own result is checked once, at the end, by the same op verifiers
  AddPlanPipeline(manager);
  if (mlir::failed(manager.run(*module)) || mlir::failed(mlir::verify(*module))) return compiler.Failure();
  MRS_ASSIGN_OR_RETURN(std::string bytes, Emit(compiler, *module));
  return Built{std::move(bytes), "", model.warnings};
}

Result<Built> BuildFromIr(const std::string& path) {
  Compiler compiler;
  const Result<std::string> text = ReadFile(path, kMaxIrBytes);
  if (!text) return text.error();
  MRS_RETURN_IF_ERROR(CheckNesting(*text, path));
  auto module = mlir::parseSourceString<mlir::ModuleOp>(*text, &compiler.context, path);
  if (!module) return compiler.Failure();
  MRS_ASSIGN_OR_RETURN(std::string bytes, Emit(compiler, *module));
  return Built{std::move(bytes), "", {}};
}

}  // namespace mrs::planner
