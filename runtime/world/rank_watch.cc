// The end of a world that breaks: all that is known is heard, one rank is named, nobody is left.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/world/rank_waits.h"
#include "runtime/world/rank_world.h"
#include "runtime/world/spawn.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kGrace{300};  // for the cause to come after its consequences
constexpr milliseconds kVerdictWait{5000};
constexpr milliseconds kHearEvery{10};

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

}  // namespace mrs
