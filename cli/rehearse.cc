#include "cli/rehearse.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/rehearsal_report.h"
#include "cli/session.h"
#include "host/output.h"
#include "host/process.h"
#include "kernels/kernels.h"
#include "plans/reader.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/rank/stages.h"
#include "runtime/world/rank_world.h"

namespace mrs::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kRuns = 5;                              // of one bucket and variant, at most
constexpr int kCudaWarmUps = 2;                            // a kernel is loaded by its first use, a graph by its second
constexpr auto kRunTime = std::chrono::milliseconds(300);  // after which it is not run again

// The memory check is left to whoever serves where not all is rehearsed; the report says so.
RehearsalScope ScopeOf(const plan::Plan& plan, const std::string& asked, const HostMemory& host) {
  if (asked == "1") return RehearsalScope::kLayers;
  return asked == "all" ? RehearsalScope::kAll : ChooseScope(plan, /*node=*/0, host);
}

// Of a part of the layers, the largest batch, and the smallest with both endings: it has what the largest has of them.
bool IsRehearsed(RehearsalScope scope, uint32_t bucket, uint32_t bucket_count, Variant variant) {
  return scope == RehearsalScope::kAll || bucket == 0 ||
         (bucket + 1 == bucket_count && variant == Variant::kCandidates);
}

Status RunForwards(RankWorld& world, const plan::Plan& plan, Rehearsed* rehearsed) {
  MRS_ASSIGN_OR_RETURN(const std::vector<KvSpace> spaces, KvSpacesOf(plan));
  const auto& buckets = *plan.stages()->Get(plan.ranks()->Get(AnsweringRank(plan))->stage())->buckets();
  const bool of_cuda = plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda;
  uint64_t step = 0;
  for (uint32_t i = 0; i < buckets.size(); ++i) {
    for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) {
      if (!IsRehearsed(rehearsed->scope, i, buckets.size(), variant)) continue;
      const Batch batch = RehearsalBatch(plan, spaces, *buckets.Get(i), variant);
      std::vector<uint64_t> times;
      for (int warm_up = 0; of_cuda && warm_up < kCudaWarmUps; ++warm_up) {
        MRS_RETURN_IF_ERROR(world.Enqueue(++step, batch));
        MRS_RETURN_IF_ERROR(world.Await().status());
      }
      const Clock::time_point enough = Clock::now() + kRunTime;
      do {
        const Clock::time_point begin = Clock::now();
        MRS_RETURN_IF_ERROR(world.Enqueue(++step, batch));
        MRS_RETURN_IF_ERROR(world.Await().status());
        times.push_back(
            static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count()));
      } while (times.size() < kRuns && Clock::now() < enough);
      rehearsed->forwards.push_back({.bucket = i,
                                     .tokens = batch.tokens.size(),
                                     .sequences = batch.sequence_count(),
                                     .logit_rows = batch.logit_rows.size(),
                                     .variant = variant,
                                     .runs = times.size(),
                                     .min_ns = *std::ranges::min_element(times),
                                     .median_ns = Median(times)});
    }
  }
  return Status();
}

Status Run(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options, Rehearsed* rehearsed) {
  const plan::Plan& plan = opened.plan();
  MRS_ASSIGN_OR_RETURN(RankOptions ranks, RanksFor(plan, options, seat));
  rehearsed->host = ReadHostMemory();
  rehearsed->scope = ScopeOf(plan, options.rehearse_layers, rehearsed->host);
  rehearsed->transport = wire::TransportName(ranks.transport);
  rehearsed->threads = ranks.threads;
  const bool on_gpus = plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda;
  rehearsed->isa = on_gpus ? "cuda" : kernels::IsaName(static_cast<kernels::Isa>(ranks.isa));
  ranks.rehearsal = rehearsed->scope;
  MRS_RETURN_IF_ERROR(TakeHeadSeat(opened, seat, options, &ranks));
  MRS_ASSIGN_OR_RETURN(const std::unique_ptr<RankWorld> world, RankWorld::Start(opened, ranks, {}));
  MRS_RETURN_IF_ERROR(world->AwaitReady());
  MRS_RETURN_IF_ERROR(RunForwards(*world, plan, rehearsed));
  MRS_ASSIGN_OR_RETURN(rehearsed->ranks, world->Measure());
  return Status();
}

}  // namespace

int Rehearse(const Result<OpenedPlan>& opened, const Result<NodeSeat>& seat, const ExecOptions& options) {
  const Clock::time_point begin = Clock::now();
  Rehearsed rehearsed;
  const Status ran = !opened.ok() ? opened.status()
                     : !seat.ok() ? seat.status()
                                  : Run(*opened, *seat, options, &rehearsed);
  rehearsed.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (!ran.ok()) {
    if (options.json && ran.error().kind != ErrorKind::kUsage) {
      const Status printed = Print(FailedRehearsalJson(ran.message(), rehearsed.seconds));
      if (!printed.ok()) return Fail(printed.error());
    }
    return Fail(ran.error());
  }
  const Status printed = Print(options.json ? RehearsalJson(opened->plan(), opened->name(), rehearsed)
                                            : RehearsalText(opened->plan(), opened->name(), rehearsed));
  return printed.ok() ? 0 : Fail(printed.error());
}

}  // namespace mrs::cli
