// The head's other nodes, and what a node that is not the head does in place of running a world.
#include <fmt/format.h>

#include <algorithm>

#include "plans/printable.h"
#include "runtime/rank/stages.h"
#include "runtime/world/message_limits.h"
#include "runtime/world/node_main.h"
#include "runtime/world/rank_waits.h"
#include "runtime/world/rank_world.h"
#include "runtime/world/ring_facts.h"

namespace mrs {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPassGrace{500};
constexpr int kMostOfARank = 4;  // that a node tells of failures, or ends

}  // namespace

std::string RankWorld::OwnAddress() const {
  if (options_.ring.has_value()) return options_.ring->listen_address;
  return options_.share.has_value() ? options_.share->address : "127.0.0.1";
}

void RankWorld::TellNodes(const std::string& why) {
  Party party = options_.head->party;
  party.refused = why;
  [[maybe_unused]] const auto told = HoldRendezvous(std::move(*options_.head->listener), party);
}

std::vector<wire::Endpoint> RankWorld::RingEndpoints() const {
  std::vector<wire::RingFacts> facts;
  facts.push_back(*options_.head->party.facts.ring);
  for (const NodeLink& node : nodes_) facts.push_back(*node.ring);
  std::vector<wire::Endpoint> endpoints(facts.size());
  for (size_t rank = 0; rank < facts.size(); ++rank) {
    const size_t right = (rank + 1) % facts.size();
    endpoints[right] = DialedBy(facts[rank], facts[right]);
  }
  return endpoints;
}

uint32_t RankWorld::FirstRank(size_t member) const {
  if (member < processes_.size()) return processes_[member].first_rank;
  return options_.share->nodes[nodes_[member - processes_.size()].node].ranks.front();
}

bool RankWorld::HasRank(size_t member, uint32_t rank) const {
  if (member < processes_.size()) return rank - processes_[member].first_rank < processes_[member].rank_count;
  return std::ranges::binary_search(options_.share->nodes[nodes_[member - processes_.size()].node].ranks, rank);
}

uint32_t RankWorld::RankCount(size_t member) const {
  if (member < processes_.size()) return 1;
  return static_cast<uint32_t>(options_.share->nodes[nodes_[member - processes_.size()].node].ranks.size());
}

std::shared_ptr<Lifelines> RankWorld::lines() {
  const std::lock_guard lock(mutex_);
  return lines_;
}

Status RankWorld::JoinNodes() {
  SetPhase("while waiting for its nodes");
  Party party = options_.head->party;
  party.stop_fd = broken_event_.get();
  party.why_stopped = [this] { return verdict().value_or("the head was asked to end"); };
  party.plan = &opened_.plan();
  Result<std::vector<NodeLink>> met = HoldRendezvous(std::move(*options_.head->listener), party);
  if (!met.ok()) {
    if (met.error().kind == ErrorKind::kCancelled) return verdict() ? AwaitVerdict() : met.error();
    EndWith(met.message());
    return AwaitVerdict();
  }
  std::vector<std::unique_ptr<Channel>> controls;
  for (NodeLink& link : *met) {
    controls.push_back(std::move(link.control));
    link.work->set_max_body_bytes(wire::kMaxControlBytes);
    nodes_.push_back(std::move(link));
  }
  const uint32_t answering = AnsweringRank(opened_.plan());
  while (!HasRank(answering_, answering)) ++answering_;
  channel(answering_).set_max_body_bytes(MaxResultBytes(opened_.plan()));
  MRS_ASSIGN_OR_RETURN(auto words, NodeLines::Start(options_.share->nodes));
  {
    const std::lock_guard lock(mutex_);
    node_lines_ = std::move(words);
  }
  // Line i is of nodes_[i].
  LifelineCallbacks callbacks{
      .on_message = [this](size_t line, const Message& message) { HearNode(nodes_[line].node, message); },
      .on_lost = [this](size_t line, const std::string& why) { LoseNode(nodes_[line].node, why); },
      .beat = [] { return wire::Encode(wire::Beat{}); }};
  MRS_ASSIGN_OR_RETURN(std::shared_ptr<Lifelines> lines, Lifelines::Start(std::move(controls), std::move(callbacks)));
  {
    const std::lock_guard lock(mutex_);
    for (Remote& remote : remote_) remote.heard = Clock::now();
    lines_ = std::move(lines);
  }
  SetPhase("while meeting the others");
  return Status();
}

// What a node saw of its ranks is evidence as what is seen here.
void RankWorld::HearNode(uint32_t node, const Message& message) {
  const std::vector<uint32_t>& ranks = options_.share->nodes[node].ranks;
  const auto is_its = [&](uint32_t rank) { return std::ranges::binary_search(ranks, rank); };
  if (message.type == wire::MessageType::kFailure) {
    Result<wire::Failure> failure = wire::DecodeFailure(message.body);
    if (!failure.ok() || !is_its(failure->rank)) return LoseNode(node, "it tells a failure of no rank of its own");
    failure->message = Printable(failure->message);
    const std::lock_guard lock(mutex_);
    const auto of_rank = std::ranges::count(failures_, failure->rank, &wire::Failure::rank);
    if (of_rank < kMostOfARank) failures_.push_back(*std::move(failure));
  } else if (message.type == wire::MessageType::kEnded) {
    const Result<wire::Ended> ended = wire::DecodeEnded(message.body);
    if (!ended.ok() || !is_its(ended->first_rank)) return LoseNode(node, "it tells the end of no rank of its own");
    const std::lock_guard lock(mutex_);
    const auto of_rank = std::ranges::count(remote_ends_, ended->first_rank, &ProcessEnd::first_rank);
    if (of_rank >= kMostOfARank) return;
    remote_ends_.push_back({ended->first_rank, ended->rank_count, static_cast<int>(ended->pid), ended->wait_status});
  } else if (message.type == wire::MessageType::kLog) {
    Result<wire::Log> log = wire::DecodeLog(message.body);
    if (!log.ok()) return LoseNode(node, log.message());
    for (const wire::LogLine& line : log->lines) {
      if (line.rank.has_value() && !is_its(*line.rank)) return LoseNode(node, "it tells words of no rank of its own");
    }
    return node_lines_->Add(node, *std::move(log));
  } else if (message.type == wire::MessageType::kLeaving) {
    const Result<wire::Leaving> leaving = wire::DecodeLeaving(message.body);
    return LoseNode(node, leaving.ok() ? Printable(leaving->text) : leaving.message());
  } else if (message.type == wire::MessageType::kBeat) {
    const Result<wire::Beat> beat = wire::DecodeBeat(message.body);
    if (!beat.ok()) return LoseNode(node, beat.message());
    const std::lock_guard lock(mutex_);
    for (const wire::RankBeat& one : beat->ranks) {
      if (is_its(one.rank)) remote_[one.rank] = {one.progress, Clock::now()};
    }
    return;
  } else {
    return LoseNode(node, fmt::format("it sent a {} message", wire::MessageTypeName(message.type)));
  }
  Signal(wake_watcher_);
}

void RankWorld::LoseNode(uint32_t node, const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!node_lost_.has_value()) {
      node_lost_ = fmt::format("{} is gone: {}", NodeText(options_.share->nodes, node), why);
    }
  }
  Signal(wake_watcher_);
}

void RankWorld::LoseMember(size_t member) {
  if (member < processes_.size() || !channel(member).peer_gone()) return;  // a process is waited for, which says more
  const uint32_t node = nodes_[member - processes_.size()].node;
  {
    const std::lock_guard lock(mutex_);
    if (!work_lost_.has_value()) {
      work_lost_ = fmt::format("{} is gone: its connection closed", NodeText(options_.share->nodes, node));
    }
  }
  Signal(wake_watcher_);
}

Result<wire::Failure> RankWorld::FailureOf(size_t member, std::span<const std::byte> body) const {
  MRS_ASSIGN_OR_RETURN(wire::Failure failure, wire::DecodeFailure(body));
  if (!HasRank(member, failure.rank)) return Refuse("tells a failure of rank {}", failure.rank);
  if (member >= processes_.size()) failure.message = Printable(failure.message);
  return failure;
}

void RankWorld::EndWith(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!told_.has_value()) told_ = why;
  }
  Signal(wake_watcher_);
}

Result<Message> RankWorld::Hear() {
  MRS_ASSIGN_OR_RETURN(const Incoming incoming, Next(0, Waiting::kForStart));
  return incoming.message;
}

wire::Beat RankWorld::Beat() const {
  wire::Beat beat;
  for (const Process& process : processes_) {
    for (uint32_t rank = process.first_rank; rank < process.first_rank + process.rank_count; ++rank) {
      beat.ranks.push_back({rank, Read(board_.line(rank))});
    }
  }
  return beat;
}

// A node that is silent is another matter than a rank that is: Lifelines sees it.
void RankWorld::LookAtNodes(Sight* sight) {
  if (!options_.share.has_value()) return;
  const std::lock_guard lock(mutex_);
  uint32_t process = static_cast<uint32_t>(processes_.size());
  for (size_t node = 0; node < options_.share->nodes.size(); ++node) {
    if (node == options_.share->node) continue;
    for (const uint32_t rank : options_.share->nodes[node].ranks) {
      const bool told = lines_ != nullptr && Clock::now() - remote_[rank].heard < kNodeBeatEvery * 3;
      sight->ranks[rank] = {.progress = remote_[rank].progress, .process = process++, .ended = !told};
    }
  }
}

Status RankWorld::Pass(const std::string& head, std::span<const std::byte> body) {
  const std::span<const std::byte> payload[] = {body};
  for (size_t member = 0; member < member_count(); ++member) {
    // Whoever hears the ranks says why.
    MRS_RETURN_IF_ERROR(
        channel(member).Send(head, payload, Deadline::max(), {}, {.fd = broken_event_.get(), .grace = kPassGrace}));
  }
  return Status();
}

}  // namespace mrs
