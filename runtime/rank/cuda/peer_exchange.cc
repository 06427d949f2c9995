#include "runtime/rank/cuda/peer_exchange.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "host/process.h"
#include "host/thread.h"
#include "plans/collectives.h"

namespace mrs {
namespace {

using kernels::cuda::PeerFailure;
using kernels::cuda::PeerState;

constexpr PeerGrid kGrid;  // of this program
// By which kernels name who is waited for: members of a group are 0, 1, ...
constexpr int kBefore = kernels::cuda::kMostPeers, kAfter = kBefore + 1;

bool TakesTwoShots(const kernels::cuda::PeerExchangeArgs& args) {
  return args.canonical && !args.is_gather && kernels::cuda::TakesTwoShots(args.bytes, args.ranks);
}

constexpr int kLookEveryMs = 50;  // at what the kernel waits for

}  // namespace

PeerState& PeerExchange::state() const { return *reinterpret_cast<PeerState*>(state_.data()); }

const PeerExchange::Peer* PeerExchange::Find(int number) const {
  const auto found = std::ranges::find(peers_, number, &Peer::number);
  return found == peers_.end() ? nullptr : &*found;
}
std::string PeerExchange::Name(int number) const {
  const Peer* const peer = Find(number);
  return peer == nullptr ? "a rank" : fmt::format("rank {}", peer->rank);
}
std::vector<PeerMemory*> PeerExchange::Memories() const {
  std::vector<PeerMemory*> memories;
  for (const auto* const memory : {&sums_, &before_, &after_}) {
    if (*memory != nullptr) memories.push_back(memory->get());
  }
  return memories;
}

// Neighbours before and then after: the first stage's ranks meet the second's, these then the third's, and so on.
Result<std::unique_ptr<PeerExchange>> PeerExchange::Meet(Device& device, PeerOptions options) {
  std::unique_ptr<PeerExchange> made(new PeerExchange(device, std::move(options)));
  PeerExchange& self = *made;
  PeerTerms terms = self.options_.terms;
  Result<DeviceArena> state = device.AllocateHost("how waits end", sizeof(PeerState));
  if (state.ok()) {
    self.state_ = std::move(*state);
    new (self.state_.data()) PeerState;
  } else if (terms.prepared.ok()) {
    terms.prepared = state.error();
  }
  if (self.options_.group != nullptr) {
    MRS_ASSIGN_OR_RETURN(self.sums_, PeerMemory::Meet(device, {.group = self.options_.group,
                                                               .ranks = self.options_.ranks,
                                                               .bytes = kernels::cuda::kPeerBufferBytes,
                                                               .terms = terms}));
    self.AddPeers(*self.sums_, 0);
  }
  if (const PeerNeighbour& before = self.options_.before; before.pair != nullptr) {
    MRS_ASSIGN_OR_RETURN(self.before_, PeerMemory::Meet(device, {.group = before.pair,
                                                                 .ranks = {before.rank, before.own_rank},
                                                                 .bytes = kernels::cuda::kPeerInboxBytes,
                                                                 .terms = terms}));
    self.AddPeers(*self.before_, kBefore);
  }
  if (const PeerNeighbour& after = self.options_.after; after.pair != nullptr) {
    MRS_ASSIGN_OR_RETURN(self.after_, PeerMemory::Meet(device, {.group = after.pair,
                                                                .ranks = {after.own_rank, after.rank},
                                                                .bytes = kernels::cuda::kPeerOutboxBytes,
                                                                .terms = terms}));
    self.AddPeers(*self.after_, kAfter);
  }
  MRS_RETURN_IF_ERROR(terms.prepared);
  MRS_RETURN_IF_ERROR(self.StartWatch());
  self.is_met_ = true;
  return made;
}

// A neighbour is the only other one of its memory.
void PeerExchange::AddPeers(const PeerMemory& memory, int first_number) {
  for (int member = 0; member < memory.size(); ++member) {
    if (member == memory.own()) continue;
    const int number = first_number < kBefore ? first_number + member : first_number;
    peers_.push_back({.number = number, .rank = memory.rank(member), .pid = memory.pid(member)});
  }
}

Status PeerExchange::StartWatch() {
  end_ = Fd(eventfd(0, EFD_CLOEXEC));
  if (end_.get() < 0) return Unavailable("no descriptor for who looks after the other ranks; raise ulimit -n");
  for (Peer& peer : peers_) {
    peer.process = Fd(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
    if (peer.process.get() >= 0) continue;
    return Unavailable("{} (process {}) has ended, or cannot be looked after: {}; {}", Name(peer.number), peer.pid,
                       std::strerror(errno), kStagedInstead);
  }
  MRS_ASSIGN_OR_RETURN(watch_, StartThread(
                                   "who looks after the other ranks", [this] { Watch(); },
                                   [](const Error& error) { EndProcess("who looks after the other ranks", error); }));
  return Status();
}

// Until it is told to end.
void PeerExchange::Watch() {
  std::vector<pollfd> looked_at;
  for (const Peer& peer : peers_) looked_at.push_back({.fd = peer.process.get(), .events = POLLIN, .revents = 0});
  looked_at.push_back({.fd = end_.get(), .events = POLLIN, .revents = 0});
  std::optional<int> told;
  while (true) {
    poll(looked_at.data(), looked_at.size(), options_.pulse == nullptr ? -1 : kLookEveryMs);
    if (looked_at.back().revents != 0) break;
    for (size_t i = 0; i < peers_.size(); ++i) {
      if (looked_at[i].revents == 0) continue;
      looked_at[i].fd = -1;
      int none = -1;
      gone_.compare_exchange_strong(none, peers_[i].number);
      Abort();
      // Who parts waits by the communicators, to which a process that was killed says nothing.
      if (!parts_.load()) continue;
      for (PeerMemory* const memory : Memories()) memory->group().Abort();
    }
    TellWait(&told);
  }
  if (told.has_value()) options_.pulse->OthersWaitOver(*told);
}

// As the kernel has it, of which the thread that launched it hears nothing until it is done. That thread tells of waits
// of its own, where stages hand on by their hosts, and is left to it.
void PeerExchange::TellWait(std::optional<int>* told) {
  if (options_.pulse == nullptr) return;
  const uint64_t waits_for = std::atomic_ref(state().waits_for).load(std::memory_order_acquire);
  const bool is_over = std::atomic_ref(state().stop).load(std::memory_order_acquire) != 0;
  const Peer* const peer = is_over || waits_for == 0 ? nullptr : Find(static_cast<int>(waits_for - 1));
  const std::optional<int> now = peer != nullptr ? std::optional(peer->rank) : std::nullopt;
  if (*told != now && told->has_value()) options_.pulse->OthersWaitOver(**told);
  if (now.has_value()) options_.pulse->OthersWaitFor(*now);
  *told = now;
}

void PeerExchange::Abort() {
  if (state_.data() != nullptr) std::atomic_ref(state().stop).store(1, std::memory_order_release);
}

// All ranks part from their group first, then from the stage before, then from the one after, as they have met.
PeerExchange::~PeerExchange() {
  const std::vector<PeerMemory*> memories = Memories();
  for (PeerMemory* const memory : memories) memory->Close();
  const bool stopped = state_.data() != nullptr && std::atomic_ref(state().stop).load() != 0;
  // Others may still have this rank's memory open where they have not come to the same place.
  parts_.store(true);
  const bool all_closed =
      is_met_ && !stopped && gone_.load() < 0 &&
      std::ranges::all_of(memories, [](const PeerMemory* memory) { return memory->group().Barrier().ok(); });
  if (watch_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t told = write(end_.get(), &one, sizeof(one));
    watch_.join();
  }
  if (!all_closed) return;
  for (PeerMemory* const memory : memories) memory->AreAllClosed();
}

kernels::cuda::PeerExchangeArgs PeerExchange::ArgsOf(const CollectiveLaunch& collective) const {
  kernels::cuda::PeerExchangeArgs args;
  for (int member = 0; member < sums_->size(); ++member) args.buffers[member] = sums_->at(member);
  args.state = &state();
  args.rank = sums_->own();
  args.ranks = sums_->size();
  args.is_gather = collective.is_gather;
  args.canonical = collective.algorithm != plan::CollectiveAlgorithm::rank_order;
  args.longest_ns = static_cast<uint64_t>(options_.deadline.count()) * 1'000'000;
  args.x = collective.x;
  args.y = collective.y;
  return args;
}

Status PeerExchange::Run(const CollectiveLaunch& collective, int64_t rows) {
  kernels::cuda::PeerExchangeArgs args = ArgsOf(collective);
  const int64_t bytes = rows * static_cast<int64_t>(collective.row_bytes);
  // Gatherings are of logits and candidates, which are less.
  const int64_t most = args.is_gather ? bytes : kGrid.most_bytes;
  for (int64_t at = 0; at < bytes; at += most) {
    args.x = collective.x + at;
    args.y = collective.y + at;
    args.bytes = std::min(most, bytes - at);
    args.two_shots = TakesTwoShots(args);
    MRS_RETURN_IF_ERROR(device_.Launched(kernels::cuda::StartPeerExchange(args, device_.stream())));
  }
  return Status();
}

Status PeerExchange::Run(const SumNormLaunch& joined, int64_t rows) {
  if (rows > kGrid.most_normed_rows) {
    MRS_RETURN_IF_ERROR(Run(joined.sum, rows));
    return device_.Launched(joined.norm.kernel(joined.norm.args, device_.stream()));
  }
  kernels::cuda::PeerSumNormArgs args = {.exchange = ArgsOf(joined.sum), .norm = joined.norm.args};
  args.exchange.bytes = rows * static_cast<int64_t>(joined.sum.row_bytes);
  args.exchange.two_shots = TakesTwoShots(args.exchange);
  return device_.Launched(kernels::cuda::StartPeerSumNorm(args, device_.stream()));
}

Status PeerExchange::Run(const TransferLaunch& transfer, int64_t rows) {
  PeerMemory* const memory = transfer.is_send ? after_.get() : before_.get();
  const int other = transfer.is_send ? 1 : 0;
  if (memory == nullptr || memory->rank(other) != transfer.peer) {
    return Refuse("rank {} is no neighbour whose memory this one has", transfer.peer);
  }
  kernels::cuda::PeerTransferArgs args;
  args.is_send = transfer.is_send;
  args.own = memory->at(1 - other);
  args.peer = memory->at(other);
  args.state = &state();
  args.peer_number = transfer.is_send ? kAfter : kBefore;
  args.longest_ns = static_cast<uint64_t>(options_.deadline.count()) * 1'000'000;
  const int64_t bytes = rows * static_cast<int64_t>(transfer.row_bytes);
  for (int64_t at = 0; at < bytes; at += kGrid.most_bytes) {
    args.data = transfer.data + at;
    args.bytes = std::min(kGrid.most_bytes, bytes - at);
    MRS_RETURN_IF_ERROR(device_.Launched(kernels::cuda::StartPeerTransfer(args, device_.stream())));
  }
  return Status();
}

Status PeerExchange::Finish() {
  if (Status done = device_.Finish(); !done.ok()) {
    // What was read of a process that has ended may be no memory any more.
    if (const int gone = gone_.load(); gone >= 0) return Unavailable("{} has ended; {}", Name(gone), done.message());
    return done;
  }
  const PeerFailure failure = kernels::cuda::FailureOf(state());
  const char* const does = failure.rank >= kBefore ? "hands on"
                           : failure.gathers       ? "gathers"
                           : failure.norms         ? "sums, for a norm,"
                                                   : "sums";
  switch (failure.kind) {
    case PeerFailure::kUnlike:
      return Refuse("{} {} {} bytes where this one exchanges something else: all ranks run one plan's steps alike",
                    Name(failure.rank), does, failure.bytes);
    case PeerFailure::kSilent:
      return TimedOut("{} has not come to an exchange within {} ms", Name(failure.rank), options_.deadline.count());
    case PeerFailure::kNone:
      return Status();
    case PeerFailure::kStopped:
      break;
  }
  if (const int gone = gone_.load(); gone >= 0) return Unavailable("{} has ended", Name(gone));
  if (failure.rank == PeerFailure::kNobody) return Unavailable("given up before an exchange began");
  return Unavailable("given up while {} was waited for", Name(failure.rank));
}

}  // namespace mrs
