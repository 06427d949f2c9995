// From started to ready: every rank says what it is, all are brought together, and all load.
#include <fmt/format.h>
#include <sys/random.h>

#include "runtime/world/hello.h"
#include "runtime/world/rank_world.h"

namespace mrs {

using Clock = std::chrono::steady_clock;

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

}  // namespace mrs
