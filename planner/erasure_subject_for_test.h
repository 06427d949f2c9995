// A model, its unsharded graph and its plan, to be changed in one place and held against each other.
//
//   Subject s("models/mini", {.tp = 2});
//   s.stage().norms[0]->eps = 1;   s.Refusal() == "erasure: stage 0 step 2 'l0.input_norm': eps of ..."
//
// The plan is sealed anew and not verified: what is refused here, the erasure check refuses alone.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

#include "host/source_dir_for_test.h"
#include "planner/build.h"
#include "planner/cluster/short_form.h"
#include "planner/compiler.h"
#include "planner/erasure.h"
#include "planner/model_facts.h"
#include "plans/structure.h"
#include "plans/writer.h"

namespace mrs::planner {

struct Cut {
  int64_t tp = 2;
  int64_t stages = 1;
  const char* gpus = "";               // else of CPU ranks
  const char* collectives = "staged";  // of GPUs
};

// `model`: a folder of the repository, or the name of a random checkpoint (random_checkpoint.py), as CTest writes them
// before the tests that need one: "Gemma2".
inline BuildOptions Options(const std::string& model, const Cut& cut) {
  const bool random = model.find('/') == std::string::npos;
  BuildOptions options;
  options.model_dir = fmt::format("{}/{}", random ? MRS_RANDOM_MODELS : SourceDir(), model);
  options.name = "subject";
  options.tp = cut.tp;
  options.pp = cut.stages;
  if (random) options.max_len = 128;
  options.numerics = "pair2";
  options.memory = uint64_t{1} << 30;
  if (*cut.gpus != '\0') {
    options.cluster = *cluster::ParseGpus(cut.gpus);
    options.collectives = cut.collectives;
  }
  return options;
}

struct Subject {
  explicit Subject(const std::string& model, const Cut& cut = {}) {
    const BuildOptions options = Options(model, cut);
    const Result<Built> built = Build(options);
    if (!built) throw std::runtime_error(built.message());
    plan::GetPlan(built->plan_bytes.data())->UnPackTo(&plan);
    const Result<ModelFacts> facts = ReadModelFacts(options);
    module = UnshardedModule(compiler.context(), *facts);
  }
  // What the erasure check says: "" where it passes.
  std::string Refusal() {
    Result<UnshardedModel> model = ReadUnsharded(*module);
    if (!model) return model.message();
    const std::string bytes = PackPlan(plan);
    const Result<SealedPlan> sealed = CheckStructure(std::as_bytes(std::span(bytes)));
    if (!sealed) return sealed.message();
    const Status status = CheckErasure(*model, *sealed->plan);
    return status.ok() ? std::string() : status.message();
  }
  plan::StageT& stage(size_t index = 0) { return *plan.stages[index]; }

  plan::PlanT plan;
  Compiler compiler;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

}  // namespace mrs::planner
