#include "planner/fit.h"

#include <algorithm>
#include <bit>

#include "planner/memory_default.h"
#include "planner/rules.h"
#include "plans/contract.h"
#include "plans/text.h"

namespace mrs {
namespace {

// Of each stage; nothing where there are too few devices.
std::optional<std::vector<int64_t>> MemoryOf(const Budget& budget, const Layout& layout) {
  const ir::Mesh& mesh = layout.mesh;
  if (budget.each) return std::vector<int64_t>(mesh.stage, *budget.each);
  if (budget.shared) {
    const auto top = static_cast<uint64_t>(contract::kMaxArenaBytes);
    const uint64_t rank = DefaultMemoryPerRank(*budget.shared, static_cast<uint64_t>(mesh.RankCount()));
    return std::vector<int64_t>(mesh.stage, static_cast<int64_t>(std::min(rank, top)));
  }
  const std::vector<int64_t> devices = budget.devices(mesh.tp);
  std::vector<int64_t> memory;
  for (const LayoutStage& stage : layout.stages) {
    if (std::cmp_greater((stage.device + 1) * mesh.tp, devices.size())) return std::nullopt;
    const auto first = devices.begin() + stage.device * mesh.tp;
    memory.push_back(*std::min_element(first, first + mesh.tp));
  }
  return memory;
}

// "(workspace 33554432, graphs 5, communicators 7)" where a rank has them.
std::string OfCuda(const RankNeed& need, bool cuda) {
  if (!cuda) return "";
  return fmt::format(" (besides a workspace of {}, graphs of {} and communicators of {})", need.beside.workspace,
                     need.beside.graphs, need.beside.communicators);
}

}  // namespace

int64_t FitVerdict::ShortBy() const {
  int64_t most = 0;
  for (size_t s = 0; s < needs.size(); ++s) most = std::max(most, needs[s].Least() - memory[s]);
  return most;
}

Result<FitVerdict> Judge(const FitQuestion& question) {
  const Layout& layout = question.layout;
  const ir::Mesh& mesh = layout.mesh;
  const bool both = mesh.tp > 1 && mesh.stage > 1;
  if (both && !question.any_world && !std::has_single_bit(static_cast<uint64_t>(mesh.stage))) {
    return BrokenRule<RuleId::kWorld>("", mesh.stage, mesh.tp, mesh.RankCount());
  }
  auto memory = MemoryOf(question.budget, layout);
  if (!memory) {
    return BrokenRule<RuleId::kDevices>("", mesh.RankCount(), mesh.tp, mesh.stage, question.budget.devices(1).size());
  }
  FitVerdict verdict;
  verdict.memory = *std::move(memory);
  const NeedsOf of = {
      layout, question.bf16, question.max_len, question.max_seqs, question.budget.cuda, question.budget.collectives};
  verdict.needs = RankNeeds(*question.spec, of);
  for (size_t s = 0; s < verdict.needs.size(); ++s) {
    const int64_t left = std::max<int64_t>(verdict.memory[s] - verdict.needs[s].Fixed(), 0);
    verdict.kv.push_back({left, verdict.needs[s].kv});
  }
  const planner::KvLimits limits = {question.max_len, question.max_seqs, layout.buckets.back().tokens};
  verdict.too_small = planner::CountKvBlocks(limits, &verdict.kv);
  return verdict;
}

int64_t LeastOf(const FitVerdict& verdict) {
  int64_t least = 0;
  for (const RankNeed& need : verdict.needs) least = std::max(least, need.Least());
  return least;
}

std::string TooFew(const FitQuestion& question, const FitVerdict& verdict) {
  const size_t s = *verdict.too_small;
  const RankNeed& need = verdict.needs[s];
  const std::string who = verdict.needs.size() == 1 ? "a rank" : fmt::format("a rank of stage {}", s);
  const int64_t lacks = need.Least() - verdict.memory[s];
  return fmt::format(
      "{}{}: {} bytes ({}) too few",
      Broken<RuleId::kFits>(who, verdict.memory[s], need.weights, need.activations, question.max_len, need.sequence),
      OfCuda(need, question.budget.cuda), lacks, HumanBytes(static_cast<uint64_t>(lacks)));
}

}  // namespace mrs
