#include "planner/build.h"

#include <optional>
#include <vector>

#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "planner/compiler.h"
#include "planner/emit_plan.h"
#include "planner/erasure.h"
#include "planner/hash_weights.h"
#include "planner/model_facts.h"
#include "planner/model_tensors.h"
#include "planner/passes/passes.h"
#include "plans/writer.h"

namespace mrs::planner {
namespace {

std::string Print(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream);
  stream << "\n";
  return text;
}

// The plan of a finished module; `unsharded`, where there is one, is what it must compute; `hash`: its weights'
// digests.
Result<std::string> Emit(Compiler& compiler, mlir::ModuleOp finished, UnshardedModel* unsharded,
                         const HashOptions* hash = nullptr) {
  auto plan = EmitPlan(finished);
  if (!plan) return compiler.has_errors() ? compiler.Failure() : plan.error();
  std::vector<PlanCheck> checks;
  if (unsharded != nullptr) {
    checks.push_back({kErasureName, kErasureStatement,
                      [unsharded](const plan::Plan& bytes) { return CheckErasure(*unsharded, bytes); }});
  }
  if (hash == nullptr) return SerializePlan(*std::move(plan), checks);
  // What is hashed is what a plan that is sound will read.
  MRS_ASSIGN_OR_RETURN(const std::string without, SerializePlan(*std::move(plan), checks));
  MRS_ASSIGN_OR_RETURN(std::vector<std::string> digests, DigestsOfWeights(*plan::GetPlan(without.data()), *hash));
  plan::PlanT with;
  plan::GetPlan(without.data())->UnPackTo(&with);
  with.digest_kind = hash->kind;
  for (size_t s = 0; s < digests.size(); ++s) with.stages[s]->digests.assign(digests[s].begin(), digests[s].end());
  return SerializePlan(std::move(with), checks);
}

}  // namespace

Result<Built> BuildUnsharded(const BuildOptions& options) {
  ModelFacts model;
  if (options.solve.empty()) {  // what does not fit has a graph all the same
    MRS_ASSIGN_OR_RETURN(model, ReadModelFacts(options));
  } else {
    MRS_ASSIGN_OR_RETURN(FittingFacts fitting, ReadFittingFacts(options));
    model = std::move(fitting.model);
  }
  Compiler compiler;
  auto module = UnshardedModule(compiler.context(), model);
  return Built{"", Print(*module), model.warnings, model.notes};
}

Result<Built> Build(const BuildOptions& options) {
  MRS_ASSIGN_OR_RETURN(FittingFacts fitting, ReadFittingFacts(options));
  ModelFacts& model = fitting.model;
  Compiler compiler;
  auto module = UnshardedModule(compiler.context(), model);
  MRS_ASSIGN_OR_RETURN(UnshardedModel unsharded, ReadUnsharded(*module));
  mlir::PassManager manager(&compiler.context());
  manager.enableVerifier(false);  // each pass's own result is checked once, at the end, by the same op verifiers
  AddPlanPipeline(manager);
  if (mlir::failed(manager.run(*module)) || mlir::failed(mlir::verify(*module))) return compiler.Failure();
  const bool canonical = options.reduction == "canonical";
  if (!canonical) {
    model.warnings.push_back(
        fmt::format("--reduction {}: sums depend on how many ranks there are, so the plan is not proved "
                    "to be the model's and has no certificate of {}",
                    options.reduction, kErasureName));
  }
  std::optional<HashOptions> hash;
  if (!options.hash_weights.empty()) {
    MRS_ASSIGN_OR_RETURN(const plan::DigestKind kind, ParseDigestKind(options.hash_weights));
    hash = HashOptions{.model_dir = options.model_dir, .kind = kind, .progress = options.on_hashed};
  }
  MRS_ASSIGN_OR_RETURN(std::string bytes,
                       Emit(compiler, *module, canonical ? &unsharded : nullptr, hash ? &*hash : nullptr));
  model.notes.insert(model.notes.end(), model.places.begin(), model.places.end());
  return Built{std::move(bytes), "", model.warnings, model.notes};
}

Result<Built> BuildFromIr(const std::string& path, const std::string& source_path) {
  Compiler compiler;
  MRS_ASSIGN_OR_RETURN(auto module, compiler.Parse(path));
  if (source_path.empty()) {
    MRS_ASSIGN_OR_RETURN(std::string bytes, Emit(compiler, *module, nullptr));
    return Built{std::move(bytes),
                 "",
                 {fmt::format("nothing was compared with the model: the plan has no certificate of {}; give the "
                              "unsharded module that {} came from with --ir-source, or check the plan with mrs-plan "
                              "verify --model DIR",
                              kErasureName, path)},
                 {}};
  }
  MRS_ASSIGN_OR_RETURN(auto source, compiler.Parse(source_path));
  MRS_ASSIGN_OR_RETURN(UnshardedModel unsharded, ReadUnsharded(*source));
  MRS_ASSIGN_OR_RETURN(std::string bytes, Emit(compiler, *module, &unsharded));
  return Built{std::move(bytes), "", {}, {}};
}

}  // namespace mrs::planner
