// Where modules live: an MLIR context of one thread (same input, same bytes) that keeps what the passes complain about.
//
//   Compiler compiler;
//   MRS_ASSIGN_OR_RETURN(auto module, compiler.Parse("final.mlir"));
//   if (mlir::failed(manager.run(*module))) return compiler.Failure();
#pragma once

#include <string>

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "plans/status.h"

namespace mrs::planner {

class Compiler {
 public:
  Compiler();
  mlir::MLIRContext& context() { return context_; }

  // A module as text, of at most 256 MiB, in the mrs and func dialects; its operations pass their verifiers.
  Result<mlir::OwningOpRef<mlir::ModuleOp>> Parse(const std::string& path);

  bool has_errors() const { return !errors_.empty(); }
  Error Failure() const;  // all that was said so far

 private:
  mlir::MLIRContext context_;
  std::string errors_;
  mlir::ScopedDiagnosticHandler handler_;
};

}  // namespace mrs::planner
