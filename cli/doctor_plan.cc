#include "cli/doctor_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "cli/front.h"
#include "cli/session.h"
#include "plans/text.h"
#include "runtime/rank/rehearsal.h"
#include "runtime/world/rank_world.h"

namespace mrs::cli {
namespace {

using doctor::Finding;
using doctor::Verdict;

// What the exchanges of one step may take before a reader would notice: 20 steps a second.
constexpr uint64_t kSlowStepNs = 50'000'000;
constexpr uint64_t kNarrow = 100'000'000;  // bytes a second: less than gigabit Ethernet carries (1000BASE-T, 802.3ab)

std::string LinkText(const LinkTimes& link) {
  return fmt::format("rank {} -> rank {}: {:.1f} us, {:.3g} GB/s", link.from, link.to,
                     static_cast<double>(link.latency_ns) / 1e3, static_cast<double>(link.bytes_per_second) / 1e9);
}

bool OnGpus(const plan::Plan& plan) { return plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda; }

Finding Memory(const plan::Plan& plan, const HostMemory& host) {
  const NodeNeed need = NeedOfNode(plan, /*node=*/0);
  const bool on_gpus = OnGpus(plan);
  const std::string says =
      on_gpus ? fmt::format(
                    "weights pass through {} of this host for {} GPU{}, whose own memory the ranks hold against "
                    "the plan when they start; it has {}, {} of it free",
                    HumanBytes(need.now_bytes), need.rank_count, need.rank_count == 1 ? "" : "s",
                    HumanBytes(host.total_bytes), HumanBytes(host.free_bytes))
              : fmt::format(
                    "the plan takes {} here for {} rank{} ({} at the start, up to {} of KV as sequences come), this "
                    "host has {}, {} "
                    "of "
                    "it free",
                    HumanBytes(need.now_bytes + need.kv_bytes), need.rank_count, need.rank_count == 1 ? "" : "s",
                    HumanBytes(need.now_bytes), HumanBytes(need.kv_bytes), HumanBytes(host.total_bytes),
                    HumanBytes(host.free_bytes));
  if (Fits(need, host)) return {"plan.memory", Verdict::kOk, says, ""};
  const bool too_large =
      static_cast<double>(need.now_bytes) + static_cast<double>(need.kv_bytes) > static_cast<double>(host.total_bytes);
  return {"plan.memory", Verdict::kBad, says,
          too_large ? "build the plan with --memory BYTES, fewer --max-seqs or a smaller --max-len, or for more hosts"
                    : "end what holds the memory"};
}

Finding Cores(const doctor::Facts& facts, const PlanRun& run) {
  const uint64_t busy = run.ranks * run.threads;
  const std::string says =
      fmt::format("{} rank{} x {} thread{} on {} core{}", run.ranks, run.ranks == 1 ? "" : "s", run.threads,
                  run.threads == 1 ? "" : "s", facts.cores, facts.cores == 1 ? "" : "s");
  if (busy <= facts.cores) return {"plan.cores", Verdict::kOk, says, ""};
  return {"plan.cores", Verdict::kWarn, says + ": they take turns, and each waits for the others at every exchange",
          run.ranks <= facts.cores ? "give --threads fewer"
                                   : "build the plan for fewer ranks, or use a host with more cores"};
}

Finding Isa(const plan::Plan& plan, const doctor::Facts& facts) {
  const std::string chain = plan::EnumNameChain(plan.numerics()->chain());
  if (plan.numerics()->chain() == plan::Chain::fast) {
    return {"plan.isa", Verdict::kOk,
            "fast: products and attention of many rows by the GPUs' tensor cores, in no order that is kept", ""};
  }
  if (OnGpus(plan)) {
    return {"plan.isa", Verdict::kOk, fmt::format("{}, the plan's order of sums, by the GPUs' own kernels", chain), ""};
  }
  if (!facts.isa.baseline) {
    return {"plan.isa", Verdict::kBad, "no AVX2 and FMA: no kernel of the plan runs here",
            "use a CPU of 2013 or later; in a virtual machine, pass the host's CPU through (-cpu host)"};
  }
  const bool native = std::ranges::find(facts.isa.native, chain) != facts.isa.native.end();
  if (native)
    return {"plan.isa", Verdict::kOk,
            fmt::format("{}, the plan's order of sums, in hardware ({})", chain, facts.isa.isa), ""};
  return {"plan.isa", Verdict::kWarn,
          fmt::format("{}, the plan's order of sums, is emulated with FMAs ({}): the same bits, more slowly", chain,
                      facts.isa.isa),
          "use a host that has the instruction, or build the plan with --numerics for this one"};
}

Finding Port(const PlanRun& run) {
  if (run.port_error.empty())
    return {"plan.port", Verdict::kOk, fmt::format("port {} on 127.0.0.1 is free", run.port), ""};
  return {"plan.port", Verdict::kBad, run.port_error, "end what listens there, or serve with another --port"};
}

// A refusal says what is missing, then what to do.
void Libraries(const PlanRun& run, std::vector<Finding>* findings) {
  for (const CudaLibrary& library : run.libraries) {
    if (library.version.ok()) {
      findings->push_back(
          {"plan.libraries", Verdict::kOk, fmt::format("{} {} is there", library.name, *library.version), ""});
      continue;
    }
    const std::string& why = library.version.message();
    const size_t end = why.find("; ");
    findings->push_back(
        {"plan.libraries", Verdict::kBad, why.substr(0, end), end == std::string::npos ? "" : why.substr(end + 2)});
  }
}

void Links(const plan::Plan& plan, const PlanRun& run, std::vector<Finding>* findings) {
  if (plan.ranks()->size() == 1) {
    findings->push_back({"plan.links", Verdict::kOk, "one rank: no links", ""});
    return;
  }
  if (!run.links_error.empty()) {
    findings->push_back({"plan.links", Verdict::kBad, run.links_error,
                         run.transport == "tcp"
                             ? "let the ranks' processes reach each other at the ports that they listen on"
                             : "start again; if it stays so, try --transport tcp"});
    return;
  }
  findings->push_back({"plan.links", Verdict::kOk,
                       fmt::format("{} over {}, each checked by data", run.links.size(), run.transport), ""});
  const LinkTimes slowest = *std::ranges::max_element(run.links, {}, &LinkTimes::latency_ns);
  const uint64_t count = ExchangesOfAStep(plan);
  const uint64_t step_ns = count * slowest.latency_ns;
  const std::string latency = fmt::format("the slowest is {}; {} exchanges wait for it in every step, {:.2f} ms in all",
                                          LinkText(slowest), count, static_cast<double>(step_ns) / 1e6);
  findings->push_back({"plan.latency", step_ns > kSlowStepNs ? Verdict::kWarn : Verdict::kOk, latency,
                       step_ns > kSlowStepNs
                           ? "put the ranks closer together, or build the plan with stages (--pp) for those far away"
                           : ""});
  const LinkTimes narrowest = *std::ranges::min_element(run.links, {}, &LinkTimes::bytes_per_second);
  const bool narrow = narrowest.bytes_per_second < kNarrow;
  findings->push_back({"plan.bandwidth", narrow ? Verdict::kWarn : Verdict::kOk,
                       fmt::format("the narrowest is {}", LinkText(narrowest)),
                       narrow ? "free the host's cores, which move these bytes, or use a faster network" : ""});
}

}  // namespace

// All stages', as a token goes through one after the other.
uint64_t ExchangesOfAStep(const plan::Plan& plan) {
  uint64_t count = 0;
  for (const plan::Stage* stage : *plan.stages()) {
    for (const plan::Step* step : *stage->steps()) {
      if (step->variant() == plan::Variant::all_logits) continue;
      const plan::OpKind op = step->op();
      count += op == plan::OpKind::all_reduce || op == plan::OpKind::all_gather || op == plan::OpKind::recv ? 1 : 0;
    }
  }
  return count;
}

Result<PlanRun> MeasurePlan(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options) {
  MRS_ASSIGN_OR_RETURN(RankOptions ranks, RanksFor(opened.plan(), options, seat));
  PlanRun run;
  run.transport = wire::TransportName(ranks.transport);
  run.ranks = seat.identity.ranks.size();
  run.threads = ranks.threads;
  run.libraries = CudaLibrariesOf(opened.plan());
  run.port = options.port;
  if (const Result<Front> front = BindFront(options.host, options.port, std::chrono::milliseconds(1)); !front.ok()) {
    run.port_error = front.message();
  }
  ranks.rehearsal = RehearsalScope::kLinks;
  const Status tried = [&]() -> Status {
    MRS_RETURN_IF_ERROR(TakeHeadSeat(opened, seat, options, &ranks));
    MRS_ASSIGN_OR_RETURN(const std::unique_ptr<RankWorld> world, RankWorld::Start(opened, ranks, {}));
    MRS_RETURN_IF_ERROR(world->AwaitReady());
    MRS_ASSIGN_OR_RETURN(const std::vector<wire::Measured> measured, world->Measure());
    for (const wire::Measured& rank : measured) run.links.insert(run.links.end(), rank.links.begin(), rank.links.end());
    return Status();
  }();
  if (!tried.ok()) run.links_error = tried.message();
  return run;
}

std::vector<Finding> JudgePlan(const plan::Plan& plan, const doctor::Facts& facts, const PlanRun& run) {
  std::vector<Finding> findings = {Memory(plan, facts.memory), Cores(facts, run), Isa(plan, facts), Port(run)};
  Libraries(run, &findings);
  Links(plan, run, &findings);
  return findings;
}

Json PlanJson(const plan::Plan& plan, std::string_view plan_sha256, const PlanRun& run) {
  const NodeNeed need = NeedOfNode(plan, /*node=*/0);
  Json links = Json::array();
  for (const LinkTimes& link : run.links) {
    links.push_back({{"from", link.from},
                     {"to", link.to},
                     {"latency_ns", link.latency_ns},
                     {"bytes_per_second", link.bytes_per_second}});
  }
  return {{"sha256", std::string(plan_sha256)},
          {"ranks", plan.ranks()->size()},
          {"transport", run.transport},
          {"threads", run.threads},
          {"needed_bytes", need.now_bytes + need.kv_bytes},
          {"needed_at_start_bytes", need.now_bytes},
          {"numerics", plan::EnumNameChain(plan.numerics()->chain())},
          {"port", run.port},
          {"links_error", run.links_error.empty() ? Json() : Json(run.links_error)},
          {"links", std::move(links)}};
}

}  // namespace mrs::cli
