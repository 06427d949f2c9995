#include "planner/verify_model.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>

#include "formats/checkpoint_file.h"
#include "planner/compiler.h"
#include "planner/erasure.h"
#include "planner/model_facts.h"
#include "plans/recorded_file.h"

namespace mrs::planner {
namespace {

// The stages, as --device-layers says them: which device is which stage's, the options alone know of a cluster.
std::string DeviceLayersOf(const plan::Plan& plan) {
  for (const plan::Option* option : *plan.options()) {
    if (option->name()->string_view() == "device-layers") return option->value()->str();
  }
  std::vector<std::string> parts;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const plan::Stage& stage = *plan.stages()->Get(s);
    parts.push_back(fmt::format("{}:{}", s, stage.layer_end() - stage.layer_begin()));
  }
  return fmt::format("{}", fmt::join(parts, ";"));
}

PlannedRanks RanksOf(const plan::Plan& plan) {
  PlannedRanks planned{.ranks = {}, .cluster = plan.cluster()->description()->str()};
  const auto& memory = *plan.cluster()->memory_bytes();
  for (uint32_t i = 0; i < plan.ranks()->size(); ++i) {
    const plan::Rank& rank = *plan.ranks()->Get(i);
    planned.ranks.push_back({.kind = plan::EnumNameDeviceKind(rank.kind()),
                             .node = rank.node(),
                             .device = rank.device(),
                             .memory = i < memory.size() ? static_cast<int64_t>(memory.Get(i)) : 0});
  }
  return planned;
}

// Of the largest batch, which the option must name.
int64_t BatchedTokensOf(const plan::Plan& plan) {
  const auto& buckets = *plan.stages()->Get(0)->buckets();
  return buckets.Get(buckets.size() - 1)->tokens();
}

// What the plan's maker chose, as the options of a build.
BuildOptions OptionsOf(const plan::Plan& plan, const std::string& model_dir) {
  BuildOptions options;
  options.model_dir = model_dir;
  options.name = plan.model()->name()->str();
  options.tp = plan.tp();
  options.any_world = true;  // whoever made the plan has said so
  if (plan.stages()->size() > 1) options.device_layers = DeviceLayersOf(plan);
  options.max_len = plan.max_len();
  options.max_seqs = plan.max_seqs();
  options.numerics = plan::EnumNameChain(plan.numerics()->chain());
  options.dtype = plan::EnumNameDType(plan.numerics()->weight_dtype());
  options.as_planned = RanksOf(plan);
  for (const plan::Option* option : *plan.options()) {
    if (option->name()->string_view() == "collectives") options.collectives = option->value()->str();
    if (option->name()->string_view() == "max-batched-tokens") options.max_batched_tokens = BatchedTokensOf(plan);
  }
  options.reduction = plan::EnumNameReduction(plan.numerics()->reduction());
  return options;
}

// Each file's header, and each tensor that the plan reads, as ranks check them when they open it.
Status CheckHeaders(const plan::Plan& plan, const std::string& model_dir) {
  for (const RecordedFile& recorded : RecordedFilesOf(plan)) {
    MRS_ASSIGN_OR_RETURN(const int descriptor,
                         OpenCheckpointFile(fmt::format("{}/{}", model_dir, recorded.name), recorded));
    close(descriptor);
  }
  return Status();
}

}  // namespace

Result<std::vector<std::string>> VerifyPlanOfModel(const plan::Plan& plan, const std::string& model_dir) {
  MRS_ASSIGN_OR_RETURN(ModelFacts model, ReadModelFacts(OptionsOf(plan, model_dir)));
  Compiler compiler;
  auto module = UnshardedModule(compiler.context(), model);
  MRS_ASSIGN_OR_RETURN(UnshardedModel unsharded, ReadUnsharded(*module));
  MRS_RETURN_IF_ERROR(CheckErasure(unsharded, plan));
  MRS_RETURN_IF_ERROR(CheckHeaders(plan, model_dir));
  return std::vector{std::string(kErasureName), std::string("checkpoint headers")};
}

}  // namespace mrs::planner
