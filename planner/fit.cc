#include "planner/fit.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "planner/legality.h"
#include "planner/memory_default.h"
#include "planner/rules.h"
#include "plans/contract.h"
#include "plans/text.h"

namespace mrs {
namespace {

constexpr int64_t kTop = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxSeqs = 4096;    // rule limits.max-seqs
constexpr int64_t kMaxStages = 4096;  // --pp
constexpr int kTries = 64;            // layouts that are judged for one answer

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

bool WorldIsLegal(const FitQuestion& question, int64_t tp, int64_t stages) {
  return tp == 1 || stages == 1 || question.any_world || std::has_single_bit(static_cast<uint64_t>(stages));
}

bool Fits(const FitQuestion& question) {
  const auto verdict = Judge(question);
  return verdict && verdict->fits();
}

// The largest value in [lowest, below) that is good, where `lowest` is and `below` is not.
int64_t LargestGood(int64_t lowest, int64_t below, const std::function<bool(int64_t)>& good) {
  while (below - lowest > 1) {
    const int64_t middle = lowest + (below - lowest) / 2;
    (good(middle) ? lowest : below) = middle;
  }
  return lowest;
}

std::optional<int64_t> FewerSequences(const FitQuestion& question) {
  FitQuestion with = question;
  const auto good = [&](int64_t seqs) {
    with.flags.max_seqs = seqs;
    return Fits(with);
  };
  if (question.flags.max_seqs <= 1 || !good(1)) return std::nullopt;
  return LargestGood(1, question.flags.max_seqs, good);
}

std::optional<int64_t> ShorterContext(const FitQuestion& question) {
  FitQuestion with = question;
  const auto good = [&](int64_t tokens) {
    with.max_len = tokens;
    return Fits(with);
  };
  if (question.max_len <= 1 || !good(1)) return std::nullopt;
  return LargestGood(1, question.max_len, good);
}

std::optional<int64_t> LargerTp(const FitQuestion& question) {
  FitQuestion with = question;
  if (question.choose) with.flags.device_layers.clear();
  with.choose = nullptr;
  for (const TpVerdict& verdict : LegalTp(*question.spec)) {
    if (!verdict.legal() || verdict.tp <= question.flags.tp || verdict.tp > question.most_tp) continue;
    with.flags.tp = verdict.tp;
    if (Fits(with)) return verdict.tp;
  }
  return std::nullopt;
}

// Whether so many ranks cannot even hold the parameters, however they are cut: nothing needs to be judged.
bool IsHopeless(const FitQuestion& question, int64_t parameters, int64_t ranks) {
  double most = 0;  // bytes of a rank
  if (question.budget.each) {
    most = static_cast<double>(*question.budget.each);
  } else if (question.budget.shared) {
    most = static_cast<double>(*question.budget.shared) / static_cast<double>(ranks);
  } else {
    for (const int64_t device : question.budget.devices(1)) most = std::max(most, static_cast<double>(device));
  }
  return static_cast<double>(parameters) * (question.bf16 ? 2 : 4) > most * static_cast<double>(ranks);
}

// More stages: each number from the next one on, in ever wider steps once there are many.
std::optional<int64_t> MoreStages(const FitQuestion& question, int64_t now) {
  FitQuestion with = question;
  with.flags.device_layers.clear();
  if (question.choose) with.flags.tp = 1;  // as --pp alone has it
  with.choose = nullptr;
  const int64_t most = std::min<int64_t>(static_cast<int64_t>(question.spec->layers.size()), kMaxStages);
  const int64_t parameters = CountParameters(*question.spec);
  const auto good = [&](int64_t stages) {
    if (!WorldIsLegal(question, with.flags.tp, stages)) return false;
    if (IsHopeless(question, parameters, with.flags.tp * stages)) return false;
    with.flags.pp = stages;
    return Fits(with);
  };
  int64_t passed = now;  // none up to here
  for (int64_t stages = now + 1; stages <= most; stages += 1 + stages / 64) {
    if (good(stages)) {
      // The steps between have not been tried.
      for (int64_t fewer = passed + 1; fewer < stages; ++fewer) {
        if (good(fewer)) return fewer;
      }
      return stages;
    }
    passed = stages;
  }
  return std::nullopt;
}

// Of both at once, the fewest ranks.
std::optional<std::string> MoreOfBoth(const FitQuestion& question) {
  FitQuestion with = question;
  with.choose = nullptr;
  with.flags.device_layers.clear();
  std::vector<std::pair<int64_t, int64_t>> choices;  // stages, tp
  const int64_t most = std::min<int64_t>(static_cast<int64_t>(question.spec->layers.size()), kMaxStages);
  for (const TpVerdict& verdict : LegalTp(*question.spec)) {
    if (!verdict.legal() || verdict.tp == 1 || verdict.tp > question.most_tp) continue;
    for (int64_t stages = 2; stages <= most; stages *= 2) choices.emplace_back(stages, verdict.tp);
  }
  std::stable_sort(choices.begin(), choices.end(),
                   [](const auto& a, const auto& b) { return a.first * a.second < b.first * b.second; });
  const int64_t parameters = CountParameters(*question.spec);
  int tries = 0;
  for (const auto& [stages, tp] : choices) {
    if (IsHopeless(question, parameters, tp * stages)) continue;
    if (++tries > kTries) break;
    with.flags.pp = stages;
    with.flags.tp = tp;
    if (Fits(with)) return fmt::format("--tp {} --pp {}", tp, stages);
  }
  return std::nullopt;
}

std::string Shown(int64_t bytes) {
  return fmt::format("{} bytes ({})", bytes, HumanBytes(static_cast<uint64_t>(bytes)));
}

// "(workspace 33554432, graphs 5, communicators 7)" where a rank has them.
std::string OfCuda(const RankNeed& need, bool cuda) {
  if (!cuda) return "";
  return fmt::format(" (besides a workspace of {}, graphs of {} and communicators of {})", need.beside.workspace,
                     need.beside.graphs, need.beside.communicators);
}

// What a device must have for a rank to use `bytes` of it: 10/9, rounded up.
int64_t DeviceFor(int64_t bytes) { return bytes > kTop / 10 * 9 ? kTop : bytes / 9 * 10 + (bytes % 9 * 10 + 8) / 9; }

}  // namespace

int64_t FitVerdict::ShortBy() const {
  int64_t most = 0;
  for (size_t s = 0; s < needs.size(); ++s) most = std::max(most, needs[s].Least() - memory[s]);
  return most;
}

Result<FitVerdict> Judge(const FitQuestion& question) {
  const ModelSpec& spec = *question.spec;
  FitVerdict verdict;
  LayoutFlags flags = question.choose ? question.choose(question.max_len, question.flags.max_seqs) : question.flags;
  MRS_RETURN_IF_ERROR(CheckTp(spec, flags.tp));
  if (question.budget.devices) {
    flags.device_count = static_cast<int64_t>(question.budget.devices(flags.tp).size()) / flags.tp;
    if (flags.device_count == 0) {
      return BrokenRule<RuleId::kDevices>("", flags.tp, flags.tp, 1, question.budget.devices(1).size());
    }
  }
  MRS_ASSIGN_OR_RETURN(verdict.layout, DecideLayout(flags, ReadsOfAToken(spec)));
  MRS_RETURN_IF_ERROR(CheckLayout(spec, verdict.layout));
  const ir::Mesh& mesh = verdict.layout.mesh;
  if (!WorldIsLegal(question, mesh.tp, mesh.stage)) {
    const auto below = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(mesh.stage)));
    const std::string legal = std::cmp_less_equal(2 * below, spec.layers.size())
                                  ? fmt::format("{} or {}", below, 2 * below)
                                  : fmt::format("{}", below);
    return BrokenRule<RuleId::kWorld>("", mesh.stage, mesh.tp, mesh.RankCount(), legal);
  }
  auto memory = MemoryOf(question.budget, verdict.layout);
  if (!memory) {
    return BrokenRule<RuleId::kDevices>("", mesh.RankCount(), mesh.tp, mesh.stage, question.budget.devices(1).size());
  }
  verdict.memory = *std::move(memory);
  const NeedsOf of = {verdict.layout,          question.bf16,        question.max_len,
                      question.flags.max_seqs, question.budget.cuda, question.budget.nccl};
  verdict.needs = RankNeeds(spec, of);
  for (size_t s = 0; s < verdict.needs.size(); ++s) {
    const int64_t left = std::max<int64_t>(verdict.memory[s] - verdict.needs[s].Fixed(), 0);
    verdict.kv.push_back({left, verdict.needs[s].kv});
  }
  const planner::KvLimits limits = {question.max_len, question.flags.max_seqs, verdict.layout.buckets.back().tokens};
  verdict.too_small = planner::CountKvBlocks(limits, &verdict.kv);
  return verdict;
}

std::vector<std::string> ChangesThatFit(const FitQuestion& question) {
  std::vector<std::string> changes;
  if (const auto seqs = FewerSequences(question)) changes.push_back(fmt::format("--max-seqs {}", *seqs));
  if (const auto tokens = ShorterContext(question)) changes.push_back(fmt::format("--max-len {}", *tokens));
  if (const auto tp = LargerTp(question)) changes.push_back(fmt::format("--tp {}", *tp));
  const auto judged = Judge(question);
  const int64_t now = judged && !question.choose ? judged->layout.mesh.stage : 1;
  if (const auto stages = MoreStages(question, now)) {
    const bool without = !question.choose && !question.flags.device_layers.empty();
    changes.push_back(fmt::format("--pp {}{}", *stages, without ? " without --device-layers" : ""));
  }
  if (!changes.empty()) return changes;
  if (auto both = MoreOfBoth(question)) changes.push_back(*std::move(both));
  return changes;
}

Error DoesNotFit(const FitQuestion& question, const FitVerdict& verdict) {
  const size_t s = *verdict.too_small;
  const RankNeed& need = verdict.needs[s];
  const std::string who = verdict.needs.size() == 1 ? "a rank" : fmt::format("a rank of stage {}", s);
  std::string text =
      Broken<RuleId::kFits>(who, verdict.memory[s], need.weights, need.activations, question.max_len, need.sequence);
  text += OfCuda(need, question.budget.cuda);
  const int64_t lacks = need.Least() - verdict.memory[s];
  text += fmt::format(": {} too few; ", Shown(lacks));
  int64_t least = 0;
  for (const RankNeed& of : verdict.needs) least = std::max(least, of.Least());
  // On devices of another size another map would be chosen.
  const std::string map = question.choose && !question.flags.device_layers.empty()
                              ? fmt::format(" with --device-layers \"{}\"", DeviceLayers(verdict.layout))
                              : "";
  const std::string memory =
      question.budget.each ? fmt::format("--memory {}", least)
      : question.budget.shared
          ? fmt::format("a host of {}", Shown(DeviceFor(least > kTop / verdict.layout.mesh.RankCount()
                                                            ? kTop
                                                            : least * verdict.layout.mesh.RankCount())))
          : fmt::format("devices of {} each{}", Shown(DeviceFor(least)), map);
  const std::vector<std::string> changes = ChangesThatFit(question);
  if (changes.empty()) {
    return Refuse(
        "{}nothing listed suffices (fewer sequences, a shorter context, more ranks by --tp and --pp); {} would", text,
        memory);
  }
  return Refuse("{}what fits: {}; or {}", text, fmt::join(changes, ", or "), memory);
}

Result<int64_t> SolveMaxLen(const FitQuestion& question) {
  FitQuestion with = question;
  const auto good = [&](int64_t tokens) {
    with.max_len = tokens;
    return Fits(with);
  };
  with.max_len = 1;
  MRS_ASSIGN_OR_RETURN(const FitVerdict least, Judge(with));
  if (!least.fits()) return DoesNotFit(with, least);
  if (good(question.longest)) return question.longest;
  return LargestGood(1, question.longest, good);
}

Result<int64_t> SolveMaxSeqs(const FitQuestion& question) {
  FitQuestion with = question;
  const auto good = [&](int64_t seqs) {
    with.flags.max_seqs = seqs;
    const auto verdict = Judge(with);
    if (!verdict || !verdict->fits()) return false;
    for (size_t s = 0; s < verdict->needs.size(); ++s) {
      const int64_t left = verdict->memory[s] - verdict->needs[s].Fixed();
      if (left / verdict->needs[s].sequence < seqs) return false;
    }
    return true;
  };
  with.flags.max_seqs = 1;
  MRS_ASSIGN_OR_RETURN(const FitVerdict least, Judge(with));
  if (!least.fits()) return DoesNotFit(with, least);
  if (good(kMaxSeqs)) return kMaxSeqs;
  return LargestGood(1, kMaxSeqs, good);
}

}  // namespace mrs
