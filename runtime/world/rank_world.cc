#include "runtime/world/rank_world.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "host/cores.h"
#include "host/thread.h"
#include "plans/contract.h"
#include "runtime/comm/region.h"
#include "runtime/world/sealed_bytes.h"
#include "runtime/world/spawn.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kGrace{300};  // for the cause to come after its consequences
constexpr milliseconds kVerdictWait{5000};
constexpr milliseconds kHearEvery{10};
constexpr milliseconds kInterruptGrace{2000};
constexpr milliseconds kRunMargin{1000};  // a rank that waits for another gives up first, and says for whom
constexpr milliseconds kShutdownWait{1000};
constexpr milliseconds kKillWait{5000};
constexpr milliseconds kLookAgain{1000};
constexpr auto kSpin = std::chrono::microseconds(200);

Result<Fd> MakeEvent() {
  Fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event)
    return Unavailable("no event for the ranks: {}; raise the limit on open files (ulimit -n)", strerror(errno));
  return event;
}

// Where it fails all the same, whoever waits looks again after kLookAgain.
void Signal(const Fd& event) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event.get(), &one, sizeof(one));  // full is signalled too
}

// The largest result that the plan's largest bucket can give.
uint32_t MaxResultBytes(const plan::Plan& plan) {
  const plan::Stage& stage = *plan.stages()->Get(0);
  const uint64_t rows = stage.buckets()->Get(stage.buckets()->size() - 1)->logit_rows();
  uint64_t record_bytes = 0;
  for (const plan::TopCandidatesAttr* attr : *stage.candidates()) {
    record_bytes = std::max<uint64_t>(record_bytes, uint64_t{attr->k()} * 8 + uint64_t{attr->chunk_count()} * 8);
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

wire::Hello MakeHello(const OpenedPlan& opened) {
  wire::Hello hello;
  hello.mrs_version = MRS_VERSION;
  hello.format_major = contract::kFormatMajor;
  hello.format_minor = contract::kFormatMinor;
  hello.numerics_revision = contract::kNumericsRevision;
  const auto digest = opened.bytes().last(hello.plan_sha256.size());
  std::memcpy(hello.plan_sha256.data(), digest.data(), digest.size());
  hello.world_size = opened.plan().ranks()->size();
  return hello;
}

Status CompareHello(const wire::Hello& supervisor, const wire::Hello& rank) {
  const auto differs = [&](const char* field, const auto& actual, const auto& expected, const char* hint) {
    return Refuse("rank {}: its {} is {}, its supervisor's is {}; {}", rank.first_rank, field, actual, expected, hint);
  };
  const char* same_program = "run the same mrs-exec everywhere";
  if (rank.mrs_version != supervisor.mrs_version) {
    return differs("mrs version", rank.mrs_version, supervisor.mrs_version, same_program);
  }
  if (rank.format_major != supervisor.format_major || rank.format_minor != supervisor.format_minor) {
    return differs("plan format", fmt::format("{}.{}", rank.format_major, rank.format_minor),
                   fmt::format("{}.{}", supervisor.format_major, supervisor.format_minor), same_program);
  }
  if (rank.numerics_revision != supervisor.numerics_revision) {
    return differs("numerics revision", rank.numerics_revision, supervisor.numerics_revision, same_program);
  }
  if (rank.plan_sha256 != supervisor.plan_sha256) {
    return differs("plan", Hex(rank.plan_sha256), Hex(supervisor.plan_sha256), "give every rank the same plan file");
  }
  if (rank.world_size != supervisor.world_size) {
    return differs("world size", rank.world_size, supervisor.world_size, "give every rank the same plan file");
  }
  return Status();
}

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
  for (uint32_t rank = 0; rank < world_size; rank += ranks_per_process) {
    MRS_ASSIGN_OR_RETURN(auto ends, Channel::MakePair());
    Process process{.first_rank = rank, .rank_count = ranks_per_process};
    MRS_ASSIGN_OR_RETURN(process.pid, SpawnRank(options_.program, ends.second.get()));
    process.channel = std::make_unique<Channel>(std::move(ends.first));
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
  processes_[0].channel->set_max_body_bytes(std::max(wire::kMaxControlBytes, MaxResultBytes(opened_.plan())));
  return Status();
}

Status RankWorld::AwaitReady() {
  MRS_RETURN_IF_ERROR(Meet());
  MRS_RETURN_IF_ERROR(Load());
  SetPhase("before its first step");
  return Status();
}

Status RankWorld::Meet() {
  SetPhase("while meeting the others");
  const wire::Hello expected = MakeHello(opened_);
  std::vector<bool> met(processes_.size(), false);
  wire::Peers peers;
  if (options_.transport == wire::Transport::kTcp) peers.ports.resize(processes_.size());
  for (size_t waiting = 0; waiting < processes_.size();) {
    if (met[waiting]) {
      ++waiting;
      continue;
    }
    MRS_ASSIGN_OR_RETURN(const Incoming incoming, Next(waiting, Waiting::kForStart, Clock::now() + options_.timeout));
    const uint32_t rank = processes_[incoming.process].first_rank;
    if (incoming.message.type != wire::MessageType::kHello || met[incoming.process]) {
      return Report(rank, ErrorKind::kRefused,
                    fmt::format("sent a {} message instead of a hello", wire::MessageTypeName(incoming.message.type)));
    }
    const Result<wire::Hello> hello = wire::DecodeHello(incoming.message.body);
    if (!hello.ok()) return Report(rank, ErrorKind::kRefused, hello.message());
    if (hello->first_rank != rank) {
      return Report(rank, ErrorKind::kRefused, fmt::format("calls itself rank {}", hello->first_rank));
    }
    if (const Status same = CompareHello(expected, *hello); !same.ok()) {
      return Report(rank, ErrorKind::kRefused, same.message());
    }
    if (!peers.ports.empty()) peers.ports[incoming.process] = hello->listen_port;
    met[incoming.process] = true;
  }
  if (getrandom(peers.secret.data(), peers.secret.size(), 0) != static_cast<ssize_t>(peers.secret.size())) {
    return Report(0, ErrorKind::kRefused, "no random bytes for the secret that ranks share");
  }
  const std::string message = wire::Encode(peers);
  for (Process& process : processes_) {
    if (!process.channel->Send(message, Clock::now() + options_.timeout).ok()) return AwaitVerdict();
  }
  return Status();
}

Status RankWorld::Load() {
  SetPhase("while loading weights");
  const size_t world_size = opened_.plan().ranks()->size();
  std::vector<wire::Progress> progress(world_size);
  std::vector<bool> ready(processes_.size(), false);
  for (size_t waiting = 0; waiting < processes_.size();) {
    if (ready[waiting]) {
      ++waiting;
      continue;
    }
    MRS_ASSIGN_OR_RETURN(const Incoming incoming, Next(waiting, Waiting::kForStart, Clock::now() + options_.timeout));
    const Process& process = processes_[incoming.process];
    if (incoming.message.type == wire::MessageType::kReady) {
      ready[incoming.process] = true;
    } else if (incoming.message.type == wire::MessageType::kProgress) {
      const Result<wire::Progress> made = wire::DecodeProgress(incoming.message.body);
      if (!made.ok()) return Report(process.first_rank, ErrorKind::kRefused, made.message());
      if (made->rank < world_size) progress[made->rank] = *made;
    } else {
      return Report(process.first_rank, ErrorKind::kRefused,
                    fmt::format("sent a {} message while loading", wire::MessageTypeName(incoming.message.type)));
    }
    uint64_t done = 0, total = 0;
    for (const wire::Progress& of_rank : progress) {
      done += of_rank.bytes_done;
      total += of_rank.bytes_total;
    }
    if (callbacks_.on_progress && total > 0) callbacks_.on_progress(done, total);
  }
  if (const std::optional<std::string> lost = verdict()) return Unavailable("{}", *lost);
  return Status();
}

Result<StepOutput> RankWorld::Run(uint64_t step, const Batch& batch) {
  SetPhase(fmt::format("at step {}", step));
  const std::string message = wire::Encode(step, batch);
  for (Process& process : processes_) {
    if (!process.channel->Send(message, Clock::now() + options_.timeout).ok()) return AwaitVerdict();
  }
  MRS_ASSIGN_OR_RETURN(const Incoming incoming,
                       Next(0, Waiting::kForStep, Clock::now() + options_.timeout + kRunMargin));
  const uint32_t rank = processes_[incoming.process].first_rank;
  if (incoming.message.type != wire::MessageType::kResult || incoming.process != 0) {
    return Report(rank, ErrorKind::kRefused,
                  fmt::format("sent a {} message instead of a result", wire::MessageTypeName(incoming.message.type)));
  }
  const Result<wire::ResultMessage> result = wire::DecodeResult(incoming.message.body);
  if (!result.ok()) return Report(rank, ErrorKind::kRefused, result.message());
  if (result->step != step) {
    return Report(rank, ErrorKind::kRefused, fmt::format("answered step {} instead of {}", result->step, step));
  }
  SetPhase(fmt::format("after step {}", step));
  return result->output;
}

Result<RankWorld::Incoming> RankWorld::Next(size_t awaited, Waiting waiting, Deadline deadline) {
  const Deadline spin_until = Clock::now() + (spin_ && waiting == Waiting::kForStep ? kSpin : milliseconds(0));
  bool grace = false;  // interrupted: a step may still finish
  for (;;) {
    for (size_t i = 0; i < processes_.size(); ++i) {
      Process& process = processes_[i];
      Result<std::optional<Message>> received = process.channel->TryReceive();
      if (!received.ok()) {
        if (process.channel->peer_gone()) return AwaitVerdict();
        return Report(process.first_rank, ErrorKind::kRefused, received.message());
      }
      if (!received->has_value()) continue;
      if ((*received)->type != wire::MessageType::kFailure) return Incoming{.process = i, .message = **received};
      const Result<wire::Failure> failure = wire::DecodeFailure((*received)->body);
      if (!failure.ok()) return Report(process.first_rank, ErrorKind::kRefused, failure.message());
      return Report(failure->rank, failure->kind, failure->message);
    }
    if (Clock::now() < spin_until) continue;
    if (const std::optional<std::string> known = verdict()) return Unavailable("{}", *known);
    if (interrupted_ && !grace) {
      if (waiting == Waiting::kForStart) return Error{ErrorKind::kCancelled, "shutting down"};
      grace = true;
      deadline = std::min(deadline, Clock::now() + kInterruptGrace);
    }
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left <= milliseconds(0)) {
      if (grace) return Error{ErrorKind::kCancelled, "shutting down"};
      return Report(processes_[awaited].first_rank, ErrorKind::kRefused,
                    fmt::format("no answer within {} s (--timeout)", options_.timeout.count() / 1000.0));
    }
    std::vector<pollfd> sockets;
    for (const Process& process : processes_) sockets.push_back({process.channel->fd(), POLLIN, 0});
    // Once interrupted, the event stays readable; what remains is short.
    if (!grace) sockets.push_back({broken_event_.get(), POLLIN, 0});
    poll(sockets.data(), sockets.size(),
         static_cast<int>(std::min<int64_t>(left.count(), grace ? 50 : kLookAgain.count())));
  }
}

void RankWorld::SetPhase(std::string phase) {
  const std::lock_guard lock(mutex_);
  phase_ = std::move(phase);
}

std::string RankWorld::phase() {
  const std::lock_guard lock(mutex_);
  return phase_;
}

std::optional<std::string> RankWorld::verdict() {
  const std::lock_guard lock(mutex_);
  return verdict_;
}

Error RankWorld::Report(uint32_t rank, ErrorKind kind, std::string message) {
  {
    const std::lock_guard lock(mutex_);
    failures_.push_back({.rank = rank, .kind = kind, .message = std::move(message)});
  }
  Signal(wake_watcher_);
  return AwaitVerdict();
}

// Others may tell the cause, or that they wait, too; and whoever keeps silent may be it.
void RankWorld::HearFailures() {
  for (Process& process : processes_) {
    for (;;) {
      const Result<std::optional<Message>> received = process.channel->TryReceive();
      if (!received.ok() || !received->has_value()) break;
      if ((*received)->type != wire::MessageType::kFailure) continue;
      const Result<wire::Failure> failure = wire::DecodeFailure((*received)->body);
      if (!failure.ok()) continue;
      const std::lock_guard lock(mutex_);
      failures_.push_back(*failure);
      Signal(wake_watcher_);
    }
  }
}

Error RankWorld::AwaitVerdict() {
  const Deadline deadline = Clock::now() + kVerdictWait;
  for (bool known = false; !known && Clock::now() < deadline;) {
    HearFailures();
    std::unique_lock lock(mutex_);
    known = judged_.wait_for(lock, kHearEvery, [this] { return verdict_.has_value() || stopping_; });
  }
  const std::lock_guard lock(mutex_);
  if (verdict_.has_value()) return Unavailable("{}", *verdict_);
  if (stopping_ || interrupted_) return Error{ErrorKind::kCancelled, "shutting down"};
  return Unavailable("a rank was lost {}, and why could not be found out", phase_);
}

void RankWorld::Watch() {
  Evidence evidence;
  std::optional<Deadline> last_call;  // set by the first sign of trouble
  for (;;) {
    std::vector<pollfd> waiting = {{wake_watcher_.get(), POLLIN, 0}};
    std::vector<Process*> watched;
    for (Process& process : processes_) {
      if (process.reaped) continue;
      waiting.push_back({process.channel->fd(), POLLRDHUP, 0});
      watched.push_back(&process);
    }
    int timeout = static_cast<int>(kLookAgain.count());
    if (last_call.has_value()) {
      timeout =
          static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<milliseconds>(*last_call - Clock::now()).count()));
    }
    if (poll(waiting.data(), waiting.size(), timeout) < 0) continue;
    if (stopping_) return;
    uint64_t count;
    [[maybe_unused]] const ssize_t drained = read(wake_watcher_.get(), &count, sizeof(count));
    for (size_t i = 0; i < watched.size(); ++i) {
      if (waiting[i + 1].revents == 0) continue;
      Process& process = *watched[i];
      Result<int> status = ReapWithin(process.pid, kShutdownWait);
      if (!status.ok()) {  // it let go of its socket and stays: it cannot be talked to
        kill(process.pid, SIGKILL);
        status = ReapWithin(process.pid, kKillWait);
      }
      process.reaped = true;
      evidence.ends.push_back({process.first_rank, process.rank_count, process.pid,
                               status.ok() ? std::optional<int>(*status) : std::nullopt});
    }
    {
      const std::lock_guard lock(mutex_);
      evidence.failures = failures_;
      evidence.phase = phase_;
    }
    if (evidence.ends.empty() && evidence.failures.empty()) continue;
    evidence.silent.clear();
    for (const Process& process : processes_) {
      const auto of_it = [&](const wire::Failure& failure) {
        return failure.rank - process.first_rank < process.rank_count;  // unsigned: not below first_rank either
      };
      if (!process.reaped && std::ranges::none_of(evidence.failures, of_it))
        evidence.silent.push_back(process.first_rank);
    }
    if (!last_call.has_value()) last_call = Clock::now() + kGrace;
    const bool is_last = Clock::now() >= *last_call;
    if (const std::optional<std::string> judged = Judge(evidence, is_last)) {
      Break(*judged);
      return;
    }
  }
}

void RankWorld::Break(const std::string& judged) {
  for (const Process& process : processes_) {
    if (!process.reaped) kill(process.pid, SIGKILL);
  }
  for (Process& process : processes_) {
    if (!process.reaped) process.reaped = ReapWithin(process.pid, kKillWait).ok();
  }
  {
    const std::lock_guard lock(mutex_);
    verdict_ = judged;
  }
  judged_.notify_all();
  Signal(broken_event_);
  if (callbacks_.on_lost) callbacks_.on_lost(judged);
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
