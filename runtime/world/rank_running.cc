// Forwards on ranks that are ready: batches out, results in, in one order.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "runtime/rank/stages.h"
#include "runtime/world/rank_waits.h"
#include "runtime/world/rank_world.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kInterruptGrace{1000};
constexpr auto kSpin = std::chrono::microseconds(200);

}  // namespace

Status RankWorld::Enqueue(uint64_t step, const Batch& batch) {
  MRS_CHECK(under_way_.size() < opened_.plan().stages()->size());
  if (under_way_.empty()) SetPhase(fmt::format("at step {}", step));
  const std::string message = wire::Encode(step, batch);
  MRS_RETURN_IF_ERROR(SendAll(message, message));
  under_way_.push_back(step);
  return Status();
}

Status RankWorld::SendAll(const std::string& for_ranks, const std::string& for_nodes) {
  handing_out_ = true;
  const size_t count = member_count();
  for (size_t sending = 0; sending < count; ++sending) {
    const size_t i = (sending + processes_.size()) % count;  // who is farthest first: the other nodes
    const Status sent = channel(i).Send(i < processes_.size() ? for_ranks : for_nodes, {}, kForever, {},
                                        {.fd = broken_event_.get(), .grace = kInterruptGrace});
    if (sent.ok()) continue;
    // A verdict ends the process, too: what is left is an interruption.
    if (interrupted_ && !channel(i).peer_gone()) return Error{ErrorKind::kCancelled, "shutting down"};
    LoseMember(i);
    return AwaitVerdict();
  }
  handing_out_ = false;
  return Status();
}

Result<StepOutput> RankWorld::Await() {
  MRS_CHECK(!under_way_.empty());
  const uint64_t step = under_way_.front();
  under_way_.pop_front();
  MRS_ASSIGN_OR_RETURN(const Incoming incoming, Next(answering_, Waiting::kForStep));
  const uint32_t rank = FirstRank(incoming.member);
  if (incoming.message.type != wire::MessageType::kResult || incoming.member != answering_) {
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

Result<std::vector<wire::Measured>> RankWorld::Measure() {
  MRS_CHECK(under_way_.empty());
  SetPhase("after the last step");
  const std::string report = wire::EncodeReport();
  MRS_RETURN_IF_ERROR(SendAll(report, report));
  std::vector<wire::Measured> all(opened_.plan().ranks()->size());
  std::vector<bool> told(all.size());
  for (size_t waiting = 0; waiting < all.size();) {
    if (told[waiting]) {
      ++waiting;
      continue;
    }
    size_t awaited = 0;
    while (!HasRank(awaited, static_cast<uint32_t>(waiting))) ++awaited;
    MRS_ASSIGN_OR_RETURN(const Incoming incoming, Next(awaited, Waiting::kForStart));
    const uint32_t first_rank = FirstRank(incoming.member);
    if (incoming.message.type != wire::MessageType::kMeasured) {
      return Report(
          first_rank, ErrorKind::kRefused,
          fmt::format("sent a {} message instead of what it measured", wire::MessageTypeName(incoming.message.type)));
    }
    Result<wire::Measured> measured = wire::DecodeMeasured(incoming.message.body);
    if (!measured.ok()) return Report(first_rank, ErrorKind::kRefused, measured.message());
    const uint32_t rank = measured->rank;
    if (!HasRank(incoming.member, rank) || told[rank]) {
      return Report(first_rank, ErrorKind::kRefused, fmt::format("tells what rank {} measured", rank));
    }
    told[rank] = true;
    all[rank] = *std::move(measured);
  }
  return all;
}

Result<RankWorld::Incoming> RankWorld::Next(size_t awaited, Waiting waiting) {
  awaited_ = awaited == answering_ && waiting == Waiting::kForStep ? AnsweringRank(opened_.plan()) : FirstRank(awaited);
  Result<Incoming> next = NextMessage(waiting);
  awaited_ = kNobodyAwaited;
  return next;
}

Result<RankWorld::Incoming> RankWorld::NextMessage(Waiting waiting) {
  std::optional<Deadline> deadline;  // once interrupted
  const Deadline spin_until = Clock::now() + (spin_ && waiting == Waiting::kForStep ? kSpin : milliseconds(0));
  for (;;) {
    for (size_t i = 0; i < member_count(); ++i) {
      Result<std::optional<Message>> received = channel(i).TryReceive();
      if (!received.ok()) {
        LoseMember(i);
        if (channel(i).peer_gone()) return AwaitVerdict();
        if (i >= processes_.size()) {
          LoseNode(nodes_[i - processes_.size()].node, received.message());
          return AwaitVerdict();
        }
        return Report(FirstRank(i), ErrorKind::kRefused, received.message());
      }
      if (!received->has_value()) continue;
      if ((*received)->type != wire::MessageType::kFailure) return Incoming{.member = i, .message = **received};
      const Result<wire::Failure> failure = FailureOf(i, (*received)->body);
      if (!failure.ok()) return Report(FirstRank(i), ErrorKind::kRefused, failure.message());
      return Report(failure->rank, failure->kind, failure->message);
    }
    if (Clock::now() < spin_until) continue;
    if (const std::optional<std::string> known = verdict()) return Unavailable("{}", *known);
    if (interrupted_ && !deadline.has_value()) {  // a step may still finish
      deadline = Clock::now() + (waiting == Waiting::kForStart ? milliseconds(0) : kInterruptGrace);
    }
    if (deadline.has_value() && Clock::now() >= *deadline) return Error{ErrorKind::kCancelled, "shutting down"};
    std::vector<pollfd> sockets;
    for (size_t i = 0; i < member_count(); ++i) sockets.push_back({channel(i).fd(), POLLIN, 0});
    // Once interrupted, the event stays readable; what remains is short.
    if (!deadline.has_value()) sockets.push_back({broken_event_.get(), POLLIN, 0});
    poll(sockets.data(), sockets.size(), static_cast<int>(deadline.has_value() ? 50 : kLookAgain.count()));
  }
}

}  // namespace mrs
