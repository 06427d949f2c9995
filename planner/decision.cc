#include "planner/decision.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "ir/canonical_chunks.h"
#include "planner/choose_collectives.h"
#include "planner/cluster/this_host.h"
#include "planner/legality.h"
#include "planner/memory_default.h"
#include "planner/model_config.h"
#include "planner/model_tensors.h"
#include "planner/rules.h"
#include "plans/contract.h"
#include "plans/printable.h"

namespace mrs {
namespace {

constexpr int64_t kMaxSeqs = 4096;  // rule limits.max-seqs

std::optional<int> HostRanks(const std::string& text) {
  int ranks = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ranks);
  if (error != std::errc() || end != text.data() + text.size() || ranks < 1 || ranks > kMaxChunks) return std::nullopt;
  return ranks;
}

std::optional<Collectives> SaidCollectives(const Wish& wish) {
  if (wish.collectives.empty()) return std::nullopt;
  return CollectivesNamed(wish.collectives);
}

}  // namespace

Decider::Decider(const Subject& subject) : subject_(subject) {}

// MISTRALRS_MN_LOCAL_WORLD_SIZE says how many CPU ranks of this host there are where nothing else says a layout.
bool Decider::CountsHostRanks(const Wish& wish) const {
  return subject_.cluster == nullptr && wish.local_world && !wish.tp && !wish.pp && wish.device_layers.empty();
}

const cluster::Cluster* Decider::ClusterOf(const Wish& wish) const {
  if (!CountsHostRanks(wish)) return subject_.cluster;
  const auto ranks = HostRanks(*wish.local_world);
  if (!ranks) return nullptr;
  auto found = hosts_.find(*ranks);
  if (found == hosts_.end()) found = hosts_.emplace(*ranks, cluster::ThisHost(*ranks)).first;
  return &found->second;
}

const cluster::DevicePaths& Decider::PathsOf(const cluster::Cluster& cluster) const {
  const auto found = paths_.find(&cluster);
  if (found != paths_.end()) return found->second;
  return paths_.emplace(&cluster, cluster::DevicePathsOf(cluster)).first->second;
}

int64_t Decider::LengthOf(const Wish& wish) const { return PlannedLength(wish.max_len, subject_.spec->max_position); }

Wish StartOf(const Wish& wish) {
  Wish least = wish;
  if (wish.solve == "max-len") least.max_len = 1;
  if (wish.solve == "max-seqs") least.max_seqs = 1;
  return least;
}

Wish WithTokenOfEach(const Wish& wish) {
  Wish larger = wish;
  if (wish.solve != "max-seqs" && wish.max_batched_tokens && *wish.max_batched_tokens < wish.max_seqs) {
    larger.max_batched_tokens = wish.max_seqs;
  }
  return larger;
}

int64_t Decider::BatchedTokensOf(const Wish& wish) const {
  if (!wish.max_batched_tokens) return 0;
  return std::min(*wish.max_batched_tokens, std::max(kBatchedTokens, LengthOf(wish) * wish.max_seqs));
}

Result<std::optional<std::vector<VisibleDevice>>> Decider::Devices(const Wish& wish) const {
  const cluster::Cluster* const cluster = ClusterOf(wish);
  if (cluster == nullptr) {
    if (!CountsHostRanks(wish)) return std::optional<std::vector<VisibleDevice>>();
    return Error{ErrorKind::kUsage, fmt::format("MISTRALRS_MN_LOCAL_WORLD_SIZE={}: expected a whole number from 1 to "
                                                "{}",
                                                Printable(wish.local_world->substr(0, 64)), kMaxChunks)};
  }
  // Ranks on one device, for tests: NCCL refuses them, and what is staged gains nothing by them.
  DeviceChoice choice = {.flag = wish.devices,
                         .memory = wish.memory,
                         .may_repeat = wish.collectives == "ipc",
                         .host_memory = subject_.host_memory.value_or(0)};
  // --gpus and --cpus say all of what there is, whatever this host may see; a flag counts as a program's ordinals do.
  if (subject_.of_file || !wish.devices.empty()) choice.cuda_visible = wish.cuda_visible;
  if (subject_.of_file && wish.devices.empty()) choice.per_node_ranks = wish.local_world;
  const Key key = {cluster, choice.flag, choice.cuda_visible, choice.per_node_ranks, choice.memory, choice.may_repeat};
  auto found = devices_.find(key);
  if (found == devices_.end()) found = devices_.emplace(key, ChooseDevices(*cluster, choice)).first;
  if (!found->second) return found->second.error();
  return std::optional(*found->second);
}

// By what was asked for; where that is ipc and stages do not reach each other's memory, anew by what they then take.
Result<Decision> Decider::Place(const Wish& wish) const {
  MRS_ASSIGN_OR_RETURN(Decision decision, PlaceBy(wish, SaidCollectives(wish)));
  // What was chosen is of the layout that is there.
  if (wish.collectives.empty() || decision.budget.collectives != Collectives::kIpcInStages) return decision;
  return PlaceBy(wish, Collectives::kIpcInStages);
}

Result<Decision> Decider::PlaceBy(const Wish& wish, std::optional<Collectives> collectives) const {
  const ModelSpec& spec = *subject_.spec;
  Decision decision;
  decision.max_len = LengthOf(wish);
  decision.bf16 = wish.dtype == "bf16" || (wish.dtype == "auto" && subject_.bf16);
  MRS_ASSIGN_OR_RETURN(const std::optional<std::vector<VisibleDevice>> devices, Devices(wish));
  if (wish.max_len && (*wish.max_len < 1 || *wish.max_len > spec.longest)) {
    return BrokenRule<RuleId::kMaxLen>("", *wish.max_len, spec.longest,
                                       spec.longest > spec.max_position ? " and its RoPE scaling" : "");
  }
  decision.cluster = ClusterOf(wish);
  if (!devices) {
    decision.flags = {.tp = wish.tp.value_or(1),
                      .pp = wish.pp.value_or(0),
                      .device_layers = wish.device_layers,
                      .max_seqs = wish.max_seqs,
                      .max_batched_tokens = BatchedTokensOf(wish)};
    if (wish.memory) {
      decision.budget.each = static_cast<int64_t>(*wish.memory);
    } else if (subject_.unbounded) {
      decision.budget.each = static_cast<int64_t>(contract::kMaxArenaBytes);  // what it needs is what is asked
    } else {
      if (!subject_.host_memory) return HostMemoryBytes().error();
      decision.budget.shared = *subject_.host_memory;
    }
    MRS_RETURN_IF_ERROR(CheckTp(spec, decision.flags.tp));
  } else {
    const LayoutWish of = {.tp = wish.tp,
                           .pp = wish.pp,
                           .device_layers = wish.device_layers,
                           .max_seqs = wish.max_seqs,
                           .max_batched_tokens = BatchedTokensOf(wish),
                           .max_len = decision.max_len,
                           .bf16 = decision.bf16,
                           .no_nccl = wish.no_nccl,
                           .collectives = collectives};
    MRS_ASSIGN_OR_RETURN(Placement placed, mrs::Place(spec, *decision.cluster, *devices, of));
    decision.flags = std::move(placed.flags);
    decision.budget = std::move(placed.budget);
    decision.devices = std::move(placed.ranks);
    decision.chosen = std::move(placed.chosen);
  }
  MRS_ASSIGN_OR_RETURN(decision.layout, DecideLayout(decision.flags, ReadsOfAToken(spec)));
  MRS_RETURN_IF_ERROR(CheckLayout(spec, decision.layout));
  const ir::Mesh& mesh = decision.layout.mesh;
  if (devices && std::cmp_less(decision.devices.size(), mesh.RankCount())) {
    return BrokenRule<RuleId::kDevices>("", mesh.RankCount(), mesh.tp, mesh.stage, devices->size());
  }
  if (!devices || mesh.RankCount() == 1) return decision;
  if (collectives && SumsByPeers(*collectives)) {
    MRS_ASSIGN_OR_RETURN(const Collectives reached,
                         PeersOf(*decision.cluster, *devices, decision.devices, decision.layout, LegalSizes(spec)));
    if (*collectives == Collectives::kIpc) decision.budget.collectives = reached;
  }
  if (wish.collectives.empty() && decision.budget.cuda) {
    MRS_ASSIGN_OR_RETURN(const ChosenCollectives chosen,
                         ChooseCollectives(*decision.cluster, PathsOf(*decision.cluster), decision.devices,
                                           decision.layout, wish.no_nccl));
    decision.budget.collectives = chosen.collectives;
    decision.talk_chosen = fmt::format("--collectives {}, as {}", CollectivesName(chosen.collectives), chosen.because);
  }
  return decision;
}

Result<Decision> Decider::Decide(const Wish& wish) const {
  MRS_ASSIGN_OR_RETURN(Decision decision, Place(wish));
  MRS_ASSIGN_OR_RETURN(decision.verdict, Judge({.spec = subject_.spec,
                                                .bf16 = decision.bf16,
                                                .layout = decision.layout,
                                                .max_len = decision.max_len,
                                                .max_seqs = wish.max_seqs,
                                                .budget = decision.budget,
                                                .any_world = wish.any_world}));
  return decision;
}

bool Decider::Plans(const Wish& wish) const {
  const auto decision = Decide(StartOf(wish));
  return decision && decision->verdict.fits();
}

int64_t LargestGood(int64_t lowest, int64_t below, const std::function<bool(int64_t)>& good) {
  while (below - lowest > 1) {
    const int64_t middle = lowest + (below - lowest) / 2;
    (good(middle) ? lowest : below) = middle;
  }
  return lowest;
}

std::optional<int64_t> SolveMaxLen(const Decider& decider, Wish wish) {
  wish.solve.clear();
  const auto good = [&](int64_t tokens) {
    wish.max_len = tokens;
    return decider.Plans(wish);
  };
  const int64_t longest = std::min(decider.subject().spec->longest, static_cast<int64_t>(contract::kMaxLen));
  if (!good(1)) return std::nullopt;
  return good(longest) ? longest : LargestGood(1, longest, good);
}

std::optional<int64_t> SolveMaxSeqs(const Decider& decider, Wish wish) {
  wish.solve.clear();
  const auto good = [&](int64_t seqs) {
    wish.max_seqs = seqs;
    const auto decision = decider.Decide(wish);
    if (!decision || !decision->verdict.fits()) return false;
    const FitVerdict& verdict = decision->verdict;
    for (size_t s = 0; s < verdict.needs.size(); ++s) {
      const int64_t left = verdict.memory[s] - verdict.needs[s].Fixed();
      if (left / verdict.needs[s].sequence < seqs) return false;
    }
    return true;
  };
  if (!good(1)) return std::nullopt;
  return good(kMaxSeqs) ? kMaxSeqs : LargestGood(1, kMaxSeqs, good);
}

}  // namespace mrs
