#include "runtime/world/rank_world.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "host/cores.h"
#include "host/output.h"
#include "host/thread.h"
#include "plans/cluster_ports.h"
#include "runtime/comm/mixed.h"
#include "runtime/comm/region.h"
#include "runtime/rank/stages.h"
#include "runtime/world/hello.h"
#include "runtime/world/message_limits.h"
#include "runtime/world/rank_waits.h"
#include "runtime/world/sealed_bytes.h"
#include "runtime/world/spawn.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr uint32_t kRingMeets = 4000;    // ms; all listen by then, so whoever is not reached is named within 5 s
constexpr milliseconds kNodesEnd{3000};  // for other nodes to end, their ranks first

Result<Fd> MakeEvent() {
  Fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event)
    return Unavailable("no event for the ranks: {}; raise the limit on open files (ulimit -n)", strerror(errno));
  return event;
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
  if (options_.share.has_value()) MRS_RETURN_IF_ERROR(CheckClusterPort(options_.share->cluster_port, world_size));
  remote_.resize(world_size);   // before anybody looks
  std::vector<uint32_t> local;  // first ranks of the processes
  if (options_.share.has_value()) {
    local = options_.share->nodes.at(options_.share->node).ranks;
  } else {
    for (uint32_t rank = 0; rank < world_size; ++rank) local.push_back(rank);
  }
  const uint32_t cores = CoreCount();
  const uint64_t busy = std::max<uint64_t>(local.size(), options_.ranks_on_host) * options_.threads;
  const uint32_t ranks_per_process = options_.transport == wire::Transport::kLocal ? world_size : 1;
  if (ranks_per_process > 1) local = {0};
  spin_ = busy + 1 <= cores;
  MRS_ASSIGN_OR_RETURN(const Fd plan, SealBytes("plan", opened_.bytes()));
  MRS_ASSIGN_OR_RETURN(const Fd board, CreateProgressBoard(world_size));
  MRS_ASSIGN_OR_RETURN(board_, ProgressBoard::Map(board.get(), world_size));
  Fd shared_memory;
  if (options_.transport == wire::Transport::kShm) {
    MRS_ASSIGN_OR_RETURN(shared_memory, CreateShmRegion(static_cast<int>(world_size)));
  }
  HostLinks links;
  if (options_.transport == wire::Transport::kMixed && local.size() > 1) {
    MRS_ASSIGN_OR_RETURN(links, CreateHostLinks(static_cast<int>(local.size())));
  }
  const uint32_t answering = AnsweringRank(opened_.plan());
  for (const uint32_t rank : local) {
    MRS_ASSIGN_OR_RETURN(auto ends, Channel::MakePair());
    Process process{.first_rank = rank, .rank_count = ranks_per_process};
    MRS_ASSIGN_OR_RETURN(process.pid,
                         SpawnRank(options_.program, ends.second.get(),
                                   options_.voices == nullptr ? -1 : options_.voices->StandardErrorOf(rank)));
    process.channel = std::make_unique<Channel>(std::move(ends.first));
    if (answering >= rank && answering - rank < ranks_per_process) answering_ = processes_.size();
    processes_.push_back(std::move(process));
    const uint16_t cluster_port = options_.share ? options_.share->cluster_port : 0;
    const auto listen_port = static_cast<uint16_t>(cluster_port == 0 ? 0 : RankPort(cluster_port, rank));
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
                              .cuda_graphs = options_.cuda_graphs,
                              .dependent_launch = options_.dependent_launch,
                              .rehearsal = options_.rehearsal,
                              .listen_address = OwnAddress(),
                              .listen_port = options_.ring ? options_.ring->listen_port : listen_port,
                              .meet_within_ms = options_.ring ? kRingMeets : 0,
                              .local_ranks = links.region ? local : std::vector<uint32_t>(),
                              .integrity = options_.integrity,
                              .streams = options_.streams,
                              .congestion = options_.congestion};
    std::vector<int> passed = {plan.get(), board.get()};
    if (shared_memory) passed.push_back(shared_memory.get());
    if (links.region) passed.insert(passed.end(), {links.region.get(), links.bell.get()});
    // A process that is gone already is the watching thread's business; what is sent first fits the socket.
    [[maybe_unused]] const Status sent =
        processes_.back().channel->Send(wire::Encode(config), {}, Clock::now() + kShutdownWait, passed);
  }
  if (options_.voices != nullptr) options_.voices->Started();
  channel(answering_).set_max_body_bytes(MaxResultBytes(opened_.plan()));
  return Status();
}

void RankWorld::Interrupt() {
  interrupted_ = true;
  Signal(broken_event_);
}

void RankWorld::Stop(const std::string& failure) {
  Interrupt();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  judged_.notify_all();
  Signal(wake_watcher_);
  if (watcher_.joinable()) watcher_.join();
  const std::string goodbye = wire::EncodeShutdown();
  const milliseconds patience =
      opened_.plan().ranks()->Get(0)->kind() == plan::DeviceKind::cuda ? kDeviceShutdownWait : kShutdownWait;
  const Deadline deadline = Clock::now() + patience;
  const std::shared_ptr<Lifelines> others = lines();
  if (others != nullptr) others->TellAll(failure.empty() ? goodbye : wire::Encode(wire::Verdict{failure}));
  for (Process& process : processes_) {
    if (!process.reaped) [[maybe_unused]]
      const Status sent = process.channel->Send(goodbye, deadline);
  }
  for (Process& process : processes_) {
    if (process.reaped) continue;
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (!ReapWithin(process.pid, std::max(left, milliseconds(0))).ok()) {
      kill(process.pid, SIGKILL);
      if (!ReapWithin(process.pid, patience).ok()) {
        Say("mrs-exec: {} (pid {}) was killed and has not ended: it is frozen, or its storage hangs; it ends with "
            "that\n",
            RankRange(process.first_rank, process.rank_count), process.pid);
      }
    }
    process.reaped = true;
  }
  if (others != nullptr) others->AwaitClosed(kNodesEnd);
  std::unique_ptr<NodeLines> words;  // ends after the lines that it hears from
  // Its thread takes the lock, too.
  std::shared_ptr<Lifelines> last;
  const std::lock_guard lock(mutex_);
  last.swap(lines_);
  words.swap(node_lines_);
}

std::vector<int> RankWorld::pids() const {
  std::vector<int> pids;
  for (const Process& process : processes_) pids.push_back(process.pid);
  return pids;
}

}  // namespace mrs
