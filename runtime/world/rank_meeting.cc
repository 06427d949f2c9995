// From started to ready: every rank says what it is, all are brought together, and all load.
#include <fmt/format.h>
#include <sys/random.h>

#include "runtime/rank/shared_slices.h"
#include "runtime/world/hello.h"
#include "runtime/world/node_main.h"
#include "runtime/world/rank_world.h"

namespace mrs {

Status RankWorld::AwaitReady() {
  MRS_RETURN_IF_ERROR(Meet());
  MRS_RETURN_IF_ERROR(Load());
  SetPhase("before its first step");
  return Status();
}

Status RankWorld::Meet() {
  SetPhase("while meeting the others");
  std::vector<wire::Endpoint> endpoints(opened_.plan().ranks()->size());
  const Status hellos = HearHellos(0, &endpoints);
  if (!hellos.ok() && options_.head.has_value() && hellos.error().kind != ErrorKind::kCancelled) {
    TellNodes(hellos.message());
  }
  MRS_RETURN_IF_ERROR(hellos);
  if (options_.head.has_value()) {
    MRS_RETURN_IF_ERROR(JoinNodes());
    MRS_RETURN_IF_ERROR(HearHellos(processes_.size(), &endpoints));
  }
  wire::Peers peers;
  if (wire::UsesSockets(options_.transport)) {
    peers.endpoints = options_.ring.has_value() ? RingEndpoints() : std::move(endpoints);
  }
  if (getrandom(peers.secret.data(), peers.secret.size(), 0) != static_cast<ssize_t>(peers.secret.size())) {
    return Report(0, ErrorKind::kRefused, "no random bytes for the secret that ranks share");
  }
  // Other nodes are told what the secret is made of, and not the secret.
  const std::string for_nodes = wire::Encode(peers);
  if (options_.head.has_value()) peers.secret = MeshSecret(options_.head->party.secret, peers.secret);
  const std::string for_ranks = wire::Encode(peers);
  return SendAll(for_ranks, for_nodes);
}

// From this member on; each rank of a node says hello, and of a process its first.
Status RankWorld::HearHellos(size_t first_member, std::vector<wire::Endpoint>* endpoints) {
  const wire::Hello expected = MakeHello(opened_);
  std::vector<uint32_t> heard(member_count(), 0);
  std::vector<bool> met(endpoints->size(), false);
  for (size_t waiting = first_member; waiting < member_count();) {
    if (heard[waiting] == RankCount(waiting)) {
      ++waiting;
      continue;
    }
    MRS_ASSIGN_OR_RETURN(const Incoming incoming, Next(waiting, Waiting::kForStart));
    const uint32_t rank = FirstRank(incoming.member);
    if (incoming.message.type != wire::MessageType::kHello || heard[incoming.member] == RankCount(incoming.member)) {
      return Report(rank, ErrorKind::kRefused,
                    fmt::format("sent a {} message instead of a hello", wire::MessageTypeName(incoming.message.type)));
    }
    const Result<wire::Hello> hello = wire::DecodeHello(incoming.message.body);
    if (!hello.ok()) return Report(rank, ErrorKind::kRefused, hello.message());
    if (!HasRank(incoming.member, hello->first_rank) || met[hello->first_rank]) {
      return Report(rank, ErrorKind::kRefused, fmt::format("calls itself rank {}", hello->first_rank));
    }
    if (const Status same = CompareHello(expected, *hello); !same.ok()) {
      return Report(rank, ErrorKind::kRefused, same.message());
    }
    const bool here = incoming.member < processes_.size();
    (*endpoints)[hello->first_rank] = {
        .address = !here ? nodes_[incoming.member - processes_.size()].address : OwnAddress(),
        .port = hello->listen_port};
    met[hello->first_rank] = true;
    ++heard[incoming.member];
  }
  return Status();
}

Status RankWorld::Load() {
  SetPhase(options_.rehearsal == RehearsalScope::kNone ? "while loading weights" : "while rehearsing the start");
  const std::string loading = phase();
  if (options_.ring.has_value()) SetPhase("while connecting to its neighbours");  // until the first has
  const size_t world_size = opened_.plan().ranks()->size();
  std::vector<wire::Progress> progress(world_size);
  std::vector<uint32_t> ready(member_count(), 0);  // ranks of each
  std::vector<std::vector<std::string>> digests(world_size);
  for (size_t waiting = 0; waiting < member_count();) {
    if (ready[waiting] == RankCount(waiting)) {
      ++waiting;
      continue;
    }
    MRS_ASSIGN_OR_RETURN(const Incoming incoming, Next(waiting, Waiting::kForStart));
    if (options_.ring.has_value()) SetPhase(loading);
    const uint32_t first_rank = FirstRank(incoming.member);
    if (incoming.message.type == wire::MessageType::kReady && ready[incoming.member] < RankCount(incoming.member)) {
      const Result<wire::Ready> loaded = wire::DecodeReady(incoming.message.body);
      if (!loaded.ok()) return Report(first_rank, ErrorKind::kRefused, loaded.message());
      captured_.graphs = std::max(captured_.graphs, loaded->graphs);
      captured_.milliseconds = std::max(captured_.milliseconds, loaded->capture_ms);
      ++ready[incoming.member];
    } else if (incoming.message.type == wire::MessageType::kDigests) {
      Result<wire::Digests> told = wire::DecodeDigests(incoming.message.body);
      if (!told.ok()) return Report(first_rank, ErrorKind::kRefused, told.message());
      if (!HasRank(incoming.member, told->rank)) {
        return Report(first_rank, ErrorKind::kRefused, fmt::format("tells digests of rank {}", told->rank));
      }
      digests[told->rank] = std::move(told->xxh3);
    } else if (incoming.message.type == wire::MessageType::kProgress) {
      const Result<wire::Progress> made = wire::DecodeProgress(incoming.message.body);
      if (!made.ok()) return Report(first_rank, ErrorKind::kRefused, made.message());
      if (made->rank < world_size) progress[made->rank] = *made;
    } else {
      return Report(first_rank, ErrorKind::kRefused,
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
  if (opened_.plan().digest_kind() != plan::DigestKind::none || options_.rehearsal != RehearsalScope::kNone) {
    return Status();
  }
  const Status same = CompareShared(opened_.plan(), SharedSlicesOf(opened_.plan()), digests);
  return same.ok() ? same : Report(0, ErrorKind::kRefused, same.message());
}

}  // namespace mrs
