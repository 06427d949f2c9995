#include "runtime/world/rank_world.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "host/cores.h"
#include "host/thread.h"
#include "plans/contract.h"
#include "runtime/comm/region.h"
#include "runtime/rank/stages.h"
#include "runtime/world/hello.h"
#include "runtime/world/rank_waits.h"
#include "runtime/world/sealed_bytes.h"
#include "runtime/world/spawn.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

Result<Fd> MakeEvent() {
  Fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event)
    return Unavailable("no event for the ranks: {}; raise the limit on open files (ulimit -n)", strerror(errno));
  return event;
}

// The largest result that the plan's largest bucket can give.
uint32_t MaxResultBytes(const plan::Plan& plan) {
  const plan::Stage& stage = *plan.stages()->Get(plan.stages()->size() - 1);
  const uint64_t rows = stage.buckets()->Get(stage.buckets()->size() - 1)->logit_rows();
  uint64_t record_bytes = 0;
  for (const plan::TopCandidatesAttr* attr : *stage.candidates()) {
    record_bytes = std::max(record_bytes, contract::CandidateRecordBytes(attr->k(), attr->chunk_count()));
  }
  const uint64_t bytes =
      wire::ResultBodyBytes(rows * plan.tp() * record_bytes, rows * uint64_t{plan.model()->vocab_padded()});
  return static_cast<uint32_t>(std::min<uint64_t>(bytes, UINT32_MAX));
}

// Where SIGCHLD is ignored, as a parent may have left it, the kernel reaps the ranks and nobody learns how they ended.
void HeedChildren() {
  struct sigaction before {};
  if (sigaction(SIGCHLD, nullptr, &before) != 0) return;
  if (before.sa_handler == SIG_IGN || (before.sa_flags & SA_NOCLDWAIT) != 0) signal(SIGCHLD, SIG_DFL);
}

}  // namespace

RankWorld::RankWorld(const OpenedPlan& opened, const RankOptions& options, RankCallbacks callbacks)
    : opened_(opened), options_(options), callbacks_(std::move(callbacks)), phase_("while starting") {}

RankWorld::~RankWorld() { Stop(); }

Result<std::unique_ptr<RankWorld>> RankWorld::Start(const OpenedPlan& opened, const RankOptions& options,
                                                    RankCallbacks callbacks) {
  std::unique_ptr<RankWorld> world(new RankWorld(opened, options, std::move(callbacks)));
  MRS_ASSIGN_OR_RETURN(world->wake_watcher_, MakeEvent());
  MRS_ASSIGN_OR_RETURN(world->broken_event_, MakeEvent());
  MRS_RETURN_IF_ERROR(world->Spawn());
  MRS_ASSIGN_OR_RETURN(world->watcher_,
                       StartThread(
                           "what watches the ranks", [raw = world.get()] { raw->Watch(); },
                           [raw = world.get()](const Error& error) {
                             raw->Break(fmt::format("the ranks could not be watched any longer: {}", error.message));
                           }));
  return world;
}

Status RankWorld::Spawn() {
  HeedChildren();
  const uint32_t world_size = opened_.plan().ranks()->size();
  const uint32_t ranks_per_process = options_.transport == wire::Transport::kLocal ? world_size : 1;
  const uint32_t cores = CoreCount();
  const uint64_t busy = uint64_t{world_size} * options_.threads;
  spin_ = busy + 1 <= cores;
  MRS_ASSIGN_OR_RETURN(const Fd plan, SealBytes("plan", opened_.bytes()));
  Fd shared_memory;
  if (options_.transport == wire::Transport::kShm) {
    MRS_ASSIGN_OR_RETURN(shared_memory, CreateShmRegion(static_cast<int>(world_size)));
  }
  const uint32_t answering = AnsweringRank(opened_.plan());
  for (uint32_t rank = 0; rank < world_size; rank += ranks_per_process) {
    MRS_ASSIGN_OR_RETURN(auto ends, Channel::MakePair());
    Process process{.first_rank = rank, .rank_count = ranks_per_process};
    MRS_ASSIGN_OR_RETURN(process.pid, SpawnRank(options_.program, ends.second.get()));
    process.channel = std::make_unique<Channel>(std::move(ends.first));
    if (answering >= rank && answering - rank < ranks_per_process) answering_ = processes_.size();
    processes_.push_back(std::move(process));
    const wire::Config config{.plan_path = options_.plan_path,
                              .plan_sha256 = MakeHello(opened_).plan_sha256,
                              .model_dir = options_.model_dir,
                              .world_size = world_size,
                              .first_rank = rank,
                              .rank_count = ranks_per_process,
                              .transport = options_.transport,
                              .threads = options_.threads,
                              .isa = options_.isa,
                              .spin = busy <= cores,
                              .spin_for_batch = spin_,
                              .timeout_ms = static_cast<uint32_t>(options_.timeout.count())};
    std::vector<int> passed = {plan.get()};
    if (shared_memory) passed.push_back(shared_memory.get());
    // A process that is gone already is the watching thread's business.
    [[maybe_unused]] const Status sent =
        processes_.back().channel->Send(wire::Encode(config), {}, Clock::now() + options_.timeout, passed);
  }
  processes_[answering_].channel->set_max_body_bytes(std::max(wire::kMaxControlBytes, MaxResultBytes(opened_.plan())));
  return Status();
}

void RankWorld::Interrupt() {
  interrupted_ = true;
  Signal(broken_event_);
}

void RankWorld::Stop() {
  Interrupt();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  judged_.notify_all();
  Signal(wake_watcher_);
  if (watcher_.joinable()) watcher_.join();
  const std::string goodbye = wire::EncodeShutdown();
  const Deadline deadline = Clock::now() + kShutdownWait;
  for (Process& process : processes_) {
    if (!process.reaped) [[maybe_unused]]
      const Status sent = process.channel->Send(goodbye, deadline);
  }
  for (Process& process : processes_) {
    if (process.reaped) continue;
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (!ReapWithin(process.pid, std::max(left, milliseconds(0))).ok()) {
      kill(process.pid, SIGKILL);
      [[maybe_unused]] const Result<int> status = ReapWithin(process.pid, kKillWait);
    }
    process.reaped = true;
  }
}

std::vector<int> RankWorld::pids() const {
  std::vector<int> pids;
  for (const Process& process : processes_) pids.push_back(process.pid);
  return pids;
}

}  // namespace mrs
