// The end of a world that breaks: all that is known is heard, one rank is named, nobody is left.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "runtime/world/rank_waits.h"
#include "runtime/world/rank_world.h"
#include "runtime/world/spawn.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kGrace{300};        // for the cause to come after its consequences
constexpr milliseconds kNodesGrace{1000};  // the same, from other nodes
constexpr milliseconds kHeadGrace{3000};   // for the head to judge what this node saw
constexpr milliseconds kVerdictWait{5000};
constexpr milliseconds kHearEvery{10};
constexpr milliseconds kLookEvery{250};

// Whether the kernel says that a process is stopped, by a signal or a debugger.
bool IsStopped(int pid) {
  std::FILE* const file = std::fopen(fmt::format("/proc/{}/stat", pid).c_str(), "re");
  if (file == nullptr) return false;
  char text[512] = {};
  const size_t size = std::fread(text, 1, sizeof(text) - 1, file);
  std::fclose(file);
  const size_t name_end = std::string_view(text, size).rfind(')');  // "77 (mrs-exec) T 1 ..."
  if (name_end == std::string_view::npos || name_end + 2 >= size) return false;
  return text[name_end + 2] == 'T' || text[name_end + 2] == 't';
}

std::string EncodeEnd(const ProcessEnd& end) {
  return wire::Encode(wire::Ended{.first_rank = end.first_rank,
                                  .rank_count = end.rank_count,
                                  .pid = static_cast<uint32_t>(end.pid),
                                  .wait_status = end.wait_status});
}

}  // namespace

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
  for (size_t member = 0; member < member_count(); ++member) {
    for (;;) {
      const Result<std::optional<Message>> received = channel(member).TryReceive();
      if (!received.ok() || !received->has_value()) break;
      if ((*received)->type != wire::MessageType::kFailure) continue;
      const Result<wire::Failure> failure = FailureOf(member, (*received)->body);
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

WorldNames RankWorld::Names() const {
  WorldNames names;
  for (const Process& process : processes_) {
    names.processes.push_back({process.first_rank, process.rank_count, process.pid});
  }
  if (options_.share.has_value()) {
    const std::vector<PlanNode>& nodes = options_.share->nodes;
    for (NamedProcess& process : names.processes) process.place = PlaceText(nodes, options_.share->node);
    for (size_t node = 0; node < nodes.size(); ++node) {
      if (node == options_.share->node) continue;
      for (const uint32_t rank : nodes[node].ranks) names.processes.push_back({rank, 1, 0, PlaceText(nodes, node)});
    }
    std::ranges::sort(names.processes, {}, &NamedProcess::first_rank);
  }
  names.step_name = [this](uint32_t rank, uint32_t plan_step) -> std::string {
    const plan::Plan& plan = opened_.plan();
    const plan::Stage& stage = *plan.stages()->Get(plan.ranks()->Get(rank)->stage());
    return plan_step < stage.steps()->size() ? plan.names()->Get(stage.steps()->Get(plan_step)->name())->str() : "";
  };
  return names;
}

std::optional<Finding> RankWorld::LookAtBoard(Liveness& liveness) {
  Sight sight;
  sight.ranks.resize(opened_.plan().ranks()->size());
  for (uint32_t index = 0; index < processes_.size(); ++index) {
    const Process& process = processes_[index];
    for (uint32_t rank = process.first_rank; rank < process.first_rank + process.rank_count; ++rank) {
      const RankProgress progress = Read(board_.line(rank));
      sight.ranks[rank] = {.progress = progress,
                           .process = index,
                           .ended = process.reaped,
                           .stopped = !process.reaped && progress.beat == 0 && IsStopped(process.pid)};
    }
  }
  LookAtNodes(&sight);
  sight.handing_out = handing_out_;
  if (const uint32_t awaited = awaited_; awaited != kNobodyAwaited) sight.awaited = awaited;
  sight.now = Clock::now();
  return liveness.Look(sight);
}

void RankWorld::Watch() {
  Evidence evidence;
  std::optional<Liveness> liveness(options_.liveness);
  bool knew_nodes = false;  // their ranks' clocks start when they are there
  Deadline next_look = Clock::now();
  std::vector<ProcessEnd> ends_here;
  size_t told_ends = 0, told_failures = 0;  // to the head, where this is not it
  const bool head_judges = callbacks_.on_evidence != nullptr;
  if (options_.share.has_value()) {
    const std::vector<PlanNode>& nodes = options_.share->nodes;
    for (uint32_t rank = 0; rank < opened_.plan().ranks()->size(); ++rank) {
      const std::string place = PlaceText(nodes, NodeOfRank(nodes, rank));
      evidence.places.push_back(place.empty() ? place : fmt::format(" on {}", place));
    }
  }
  std::optional<Deadline> last_call;  // set by the first sign of trouble
  for (;;) {
    std::vector<pollfd> waiting = {{wake_watcher_.get(), POLLIN, 0}};
    std::vector<Process*> watched;
    for (Process& process : processes_) {
      if (process.reaped) continue;
      waiting.push_back({process.channel->fd(), POLLRDHUP, 0});
      watched.push_back(&process);
    }
    std::optional<std::string> told, work_lost;
    const Deadline wake = last_call.has_value() ? std::min(*last_call, next_look) : next_look;
    const auto left = std::chrono::ceil<milliseconds>(wake - Clock::now());
    if (poll(waiting.data(), waiting.size(), static_cast<int>(std::max<int64_t>(0, left.count()))) < 0) continue;
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
      ends_here.push_back({process.first_rank, process.rank_count, process.pid,
                           status.ok() ? std::optional<int>(*status) : std::nullopt});
    }
    if (Clock::now() >= next_look) {
      next_look = Clock::now() + kLookEvery;
      if (!knew_nodes && lines() != nullptr) {
        knew_nodes = true;
        liveness.emplace(options_.liveness);
      }
      // Of several nodes the head alone sees enough to judge.
      if (const std::optional<Finding> found = head_judges ? std::nullopt : LookAtBoard(*liveness)) {
        const std::string text = Describe(*found, Names());
        if (found->fatal()) {
          evidence.seen = text;
        } else if (callbacks_.on_slow) {
          callbacks_.on_slow(text);
        }
      }
    }
    {
      const std::lock_guard lock(mutex_);
      evidence.failures = failures_;
      evidence.phase = phase_;
      evidence.ends = ends_here;
      evidence.ends.insert(evidence.ends.end(), remote_ends_.begin(), remote_ends_.end());
      evidence.node_lost = node_lost_;
      work_lost = work_lost_;
      told = told_;
    }
    if (told.has_value()) return Break(*told);
    if (head_judges) {
      for (; told_ends < ends_here.size(); ++told_ends) callbacks_.on_evidence(EncodeEnd(ends_here[told_ends]));
      for (; told_failures < evidence.failures.size(); ++told_failures) {
        callbacks_.on_evidence(wire::Encode(evidence.failures[told_failures]));
      }
    }
    if (evidence.ends.empty() && evidence.failures.empty() && evidence.seen.empty() &&
        !evidence.node_lost.has_value() && !work_lost.has_value()) {
      continue;
    }
    if (!last_call.has_value())
      last_call = Clock::now() + (head_judges ? kHeadGrace : lines() != nullptr ? kNodesGrace : kGrace);
    const bool is_last = Clock::now() >= *last_call;
    if (head_judges && !is_last) continue;
    if (is_last && !evidence.node_lost.has_value()) evidence.node_lost = work_lost;
    if (const std::optional<std::string> judged = Judge(evidence, is_last)) {
      Break(*judged);
      return;
    }
  }
}

void RankWorld::Break(const std::string& judged) {
  // Other nodes hear it before anything here ends: what ends makes their ranks complain.
  const std::shared_ptr<Lifelines> others = lines();
  if (others != nullptr) others->TellAll(wire::Encode(wire::Verdict{judged}));
  for (const Process& process : processes_) {
    if (!process.reaped) kill(process.pid, SIGKILL);
  }
  // One that is frozen, or waits for its storage, ends only after that: nobody is kept waiting for it.
  const Deadline end = Clock::now() + kShutdownWait;
  for (Process& process : processes_) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (!process.reaped) process.reaped = ReapWithin(process.pid, std::max(left, milliseconds(0))).ok();
  }
  {
    const std::lock_guard lock(mutex_);
    verdict_ = judged;
  }
  judged_.notify_all();
  Signal(broken_event_);
  if (callbacks_.on_lost) callbacks_.on_lost(judged);
}

}  // namespace mrs
