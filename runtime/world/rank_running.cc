// Forwards on ranks that are ready: batches out, results in, in one order.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "runtime/world/rank_waits.h"
#include "runtime/world/rank_world.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kInterruptGrace{2000};
constexpr milliseconds kRunMargin{1000};  // a rank that waits for another gives up first, and says for whom
constexpr auto kSpin = std::chrono::microseconds(200);

}  // namespace

Status RankWorld::Enqueue(uint64_t step, const Batch& batch) {
  MRS_CHECK(under_way_.size() < opened_.plan().stages()->size());
  if (under_way_.empty()) SetPhase(fmt::format("at step {}", step));
  const std::string message = wire::Encode(step, batch);
  for (Process& process : processes_) {
    const Status sent = process.channel->Send(message, {}, Clock::now() + options_.timeout, {},
                                              {.fd = broken_event_.get(), .grace = kInterruptGrace});
    if (sent.ok()) continue;
    if (process.channel->peer_gone()) return AwaitVerdict();
    if (interrupted_) return Error{ErrorKind::kCancelled, "shutting down"};
    return Report(process.first_rank, ErrorKind::kRefused,
                  fmt::format("took no batch within {} s (--timeout)", options_.timeout.count() / 1000.0));
  }
  under_way_.push_back(step);
  return Status();
}

Result<StepOutput> RankWorld::Await() {
  MRS_CHECK(!under_way_.empty());
  const uint64_t step = under_way_.front();
  under_way_.pop_front();
  MRS_ASSIGN_OR_RETURN(const Incoming incoming,
                       Next(answering_, Waiting::kForStep, Clock::now() + options_.timeout + kRunMargin));
  const uint32_t rank = processes_[incoming.process].first_rank;
  if (incoming.message.type != wire::MessageType::kResult || incoming.process != answering_) {
    return Report(rank, ErrorKind::kRefused,
                  fmt::format("sent a {} message instead of a result", wire::MessageTypeName(incoming.message.type)));
  }
  const Result<wire::ResultMessage> result = wire::DecodeResult(incoming.message.body);
  if (!result.ok()) return Report(rank, ErrorKind::kRefused, result.message());
  if (result->step != step) {
    return Report(rank, ErrorKind::kRefused, fmt::format("answered step {} instead of {}", result->step, step));
  }
  SetPhase(under_way_.empty() ? fmt::format("after step {}", step) : fmt::format("at step {}", under_way_.front()));
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

}  // namespace mrs
