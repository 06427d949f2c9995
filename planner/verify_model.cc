#include "planner/verify_model.h"

#include "planner/build_graph.h"
#include "planner/compiler.h"
#include "planner/erasure.h"
#include "planner/model_facts.h"

namespace mrs::planner {
namespace {

// What the plan's maker chose, as the options of a build.
BuildOptions OptionsOf(const plan::Plan& plan, const std::string& model_dir) {
  BuildOptions options;
  options.model_dir = model_dir;
  options.name = plan.model()->name()->str();
  options.tp = plan.tp();
  options.max_len = plan.max_len();
  options.max_seqs = plan.max_seqs();
  options.numerics = plan::EnumNameChain(plan.numerics()->chain());
  options.dtype = plan::EnumNameDType(plan.numerics()->weight_dtype());
  options.memory = plan.cluster()->memory_bytes()->Get(0);
  options.reduction = plan::EnumNameReduction(plan.numerics()->reduction());
  return options;
}

}  // namespace

Result<std::vector<std::string>> VerifyPlanOfModel(const plan::Plan& plan, const std::string& model_dir) {
  MRS_ASSIGN_OR_RETURN(ModelFacts model, ReadModelFacts(OptionsOf(plan, model_dir)));
  Compiler compiler;
  auto module = BuildGraph(compiler.context(), model.facts, model.checkpoint);
  MRS_ASSIGN_OR_RETURN(UnshardedModel unsharded, ReadUnsharded(*module));
  MRS_RETURN_IF_ERROR(CheckErasure(unsharded, plan));
  return std::vector{std::string(kErasureName)};
}

}  // namespace mrs::planner
