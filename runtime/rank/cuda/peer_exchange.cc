#include "runtime/rank/cuda/peer_exchange.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "host/process.h"
#include "host/thread.h"
#include "plans/collectives.h"
#include "plans/printable.h"

namespace mrs {
namespace {

using kernels::cuda::PeerFailure;
using kernels::cuda::PeerState;

static_assert(kPeerExchangeBytes == kernels::cuda::kPeerBufferBytes);
static_assert(kMostPeerRanks == kernels::cuda::kMostPeers);
static_assert(kernels::cuda::kPeerBufferBytes % Device::kSharedUnit == 0);

// What a rank says of itself, and what it has found: empty where all is well.
struct Hello {
  SharedHandle handle{};
  int32_t pid = 0;
  int64_t most_decode_rows = 0;
  PeerGrid grid;
  char why[512] = {};
};
struct Verdict {
  uint64_t wrong = 0;  // of CompareGreetings
  char why[512] = {};
};

template <size_t size>
void Say(const Status& status, char (&why)[size]) {
  if (status.ok()) return;
  const std::string text = status.message();
  std::copy_n(text.data(), std::min(text.size(), size - 1), why);
}
template <size_t size>
std::string Said(const char (&why)[size]) {
  return Printable(std::string(why, strnlen(why, size)));
}

template <typename T>
Result<std::vector<T>> TellAll(Communicator& group, T& mine) {
  std::vector<T> all(static_cast<size_t>(group.size()));
  MRS_RETURN_IF_ERROR(
      group.AllGather(std::as_writable_bytes(std::span<T, 1>(&mine, 1)), std::as_writable_bytes(std::span(all))));
  return all;
}

constexpr PeerGrid kGrid;  // of this program

Status CompareGrids(const PeerGrid& mine, const PeerGrid& other, const std::string& name) {
  const struct {
    int64_t PeerGrid::*number;
    const char* is;
  } rows[] = {{&PeerGrid::blocks, "blocks of an exchange"},
              {&PeerGrid::piece_bytes, "bytes of a block's piece"},
              {&PeerGrid::header_bytes, "bytes of flags before the pieces"},
              {&PeerGrid::most_ranks, "ranks at most"},
              {&PeerGrid::two_shot_bytes_of_few, "bytes from which sums of up to 4 ranks go in two shots"},
              {&PeerGrid::two_shot_bytes, "bytes from which sums of more ranks go in two shots"},
              {&PeerGrid::most_summed_bytes, "bytes summed at a time"},
              {&PeerGrid::most_normed_rows, "rows at most in one launch with their norm"}};
  static_assert(sizeof(rows) / sizeof(rows[0]) == sizeof(PeerGrid) / sizeof(int64_t));  // each
  for (const auto& row : rows) {
    if (mine.*row.number == other.*row.number) continue;
    return Refuse(
        "peer memory has {} {} here and {} on {}, and blocks of ranks wait for each other by these: run one build of "
        "mrs-exec on all ranks",
        mine.*row.number, row.is, other.*row.number, name);
  }
  return Status();
}

bool TakesTwoShots(const kernels::cuda::PeerExchangeArgs& args) {
  return args.canonical && !args.is_gather && kernels::cuda::TakesTwoShots(args.bytes, args.ranks);
}

constexpr int kLookEveryMs = 50;  // at what the kernel waits for

constexpr const char* kInstead = "plan with mrs-plan build --collectives staged";

// What exchanges waits for the other ranks, so where they share a device, it must hold the blocks of all of them at
// once. (Of one rank the launch sees to that, which is cooperative.)
Status CheckHeld(Device& device, int64_t ranks) {
  if (ranks == 1) return Status();
  MRS_ASSIGN_OR_RETURN(const int64_t multiprocessors, device.MultiprocessorCount());
  const int64_t held = multiprocessors * kernels::cuda::kPeerBlocksAMultiprocessor;
  if (ranks * kernels::cuda::kPeerBlocks <= held) return Status();
  return Refuse(
      "{} ranks share {}, whose {} multiprocessors hold {} blocks at once, and {} of each wait for each other; plan "
      "for "
      "fewer a device",
      ranks, device.name(), multiprocessors, held, kernels::cuda::kPeerBlocks);
}

}  // namespace

PeerState& PeerExchange::state() const { return *reinterpret_cast<PeerState*>(state_.data()); }
std::string PeerExchange::Name(int member) const {
  return fmt::format("rank {}", options_.ranks[static_cast<size_t>(member)]);
}

Result<std::unique_ptr<PeerExchange>> PeerExchange::Meet(Device& device, PeerOptions options) {
  std::unique_ptr<PeerExchange> made(new PeerExchange(device, std::move(options)));
  PeerExchange& self = *made;
  Communicator& group = *self.options_.group;
  const int size = self.size(), own = self.rank();
  if (size > kernels::cuda::kMostPeers) {
    return Refuse("{} ranks exchange by peer memory, at most {} can; {}", size, kernels::cuda::kMostPeers, kInstead);
  }
  Hello mine;
  mine.pid = getpid();
  mine.most_decode_rows = self.options_.most_decode_rows;
  mine.grid = self.options_.grid;
  Say(
      [&]() -> Status {
        MRS_RETURN_IF_ERROR(CheckHeld(device, self.options_.ranks_of_device));
        MRS_ASSIGN_OR_RETURN(self.own_, device.Allocate("what peers read", kernels::cuda::kPeerBufferBytes));
        MRS_ASSIGN_OR_RETURN(self.state_, device.AllocateHost("how waits end", sizeof(PeerState)));
        new (self.state_.data()) PeerState;
        MRS_RETURN_IF_ERROR(device.Finish());  // zeros, before others write there
        MRS_ASSIGN_OR_RETURN(mine.handle, device.Share(self.own_));
        return Status();
      }(),
      mine.why);
  MRS_ASSIGN_OR_RETURN(const std::vector<Hello> hellos, TellAll(group, mine));
  std::vector<SharedHandle> handles;
  std::vector<int> pids;
  for (int member = 0; member < size; ++member) {
    const Hello& hello = hellos[static_cast<size_t>(member)];
    if (hello.why[0] != 0) return Refuse("{} cannot share its memory: {}", self.Name(member), Said(hello.why));
    if (hello.most_decode_rows != mine.most_decode_rows) {
      return Refuse("decodes are of up to {} rows here and {} on {}, and ranks pad them alike: rebuild the plan",
                    mine.most_decode_rows, hello.most_decode_rows, self.Name(member));
    }
    MRS_RETURN_IF_ERROR(CompareGrids(mine.grid, hello.grid, self.Name(member)));
    if (member != own && hello.pid == mine.pid) {
      return Refuse(
          "{} and {} are one process, and exchange by memory that processes share; start a process a rank: --transport "
          "shm",
          self.Name(own), self.Name(member));
    }
    handles.push_back(hello.handle);
    pids.push_back(hello.pid);
  }
  Verdict verdict;
  Status reached = self.Open(handles);
  if (reached.ok()) reached = self.Greet(/*looks=*/false);
  Say(reached, verdict.why);
  MRS_ASSIGN_OR_RETURN(std::vector<Verdict> verdicts, TellAll(group, verdict));
  if (std::all_of(verdicts.begin(), verdicts.end(), [](const Verdict& one) { return one.why[0] == 0; })) {
    reached = self.Greet(/*looks=*/true);
    if (reached.ok()) reached = self.CompareGreetings(&verdict.wrong);
    Say(reached, verdict.why);
    MRS_ASSIGN_OR_RETURN(verdicts, TellAll(group, verdict));
  }
  for (int member = 0; member < size; ++member) {
    const Verdict& found = verdicts[static_cast<size_t>(member)];
    if (found.why[0] != 0) {
      return Refuse("{} does not reach the others' memory: {}; {}", self.Name(member), Said(found.why), kInstead);
    }
    if (found.wrong == 0) continue;
    const int from = std::countr_zero(found.wrong);
    return Refuse("{} and {} do not reach each other's memory: {}; {}", self.Name(std::min(member, from % size)),
                  self.Name(std::max(member, from % size)),
                  from < size ? fmt::format("what {} wrote into {}'s is not there", self.Name(from), self.Name(member))
                              : fmt::format("{} reads something else in {}'s than it wrote", self.Name(member),
                                            self.Name(from % size)),
                  kInstead);
  }
  MRS_RETURN_IF_ERROR(self.StartWatch(pids));
  self.is_met_ = true;
  return made;
}

Status PeerExchange::Open(const std::vector<SharedHandle>& handles) {
  for (int member = 0; member < size(); ++member) {
    opened_.emplace_back();
    if (member == rank()) continue;
    const std::string what = fmt::format("{}'s memory", Name(member));
    MRS_ASSIGN_OR_RETURN(opened_.back(), device_.OpenShared(what.c_str(), handles[static_cast<size_t>(member)]));
  }
  return Status();
}

Status PeerExchange::Greet(bool looks) {
  kernels::cuda::PeerGreetArgs args;
  for (int member = 0; member < size(); ++member) {
    args.buffers[member] = member == rank() ? own_.data() : opened_[static_cast<size_t>(member)].data();
  }
  args.rank = rank();
  args.ranks = size();
  args.looks = looks;
  MRS_RETURN_IF_ERROR(device_.Launched(kernels::cuda::StartPeerGreet(args, device_.stream())));
  return device_.Finish();
}

// *wrong: a bit a member from whom nothing came; then, from bit `size` on, one a member in whose memory something else
// is read than was written.
Status PeerExchange::CompareGreetings(uint64_t* wrong) {
  constexpr int64_t kFirst = kernels::cuda::PutGreetingAt(0);
  constexpr int64_t kBytes = kernels::cuda::SeenGreetingAt(kernels::cuda::kMostPeers) - kFirst;
  std::vector<uint64_t> words(static_cast<size_t>(kBytes) / sizeof(uint64_t));
  MRS_RETURN_IF_ERROR(device_.CopyOut(words.data(), own_.data() + kFirst, static_cast<size_t>(kBytes)));
  MRS_RETURN_IF_ERROR(device_.Finish());
  const auto at = [&](int64_t byte) { return words[static_cast<size_t>(byte - kFirst) / sizeof(uint64_t)]; };
  for (int member = 0; member < size(); ++member) {
    using namespace kernels::cuda;
    if (at(PutGreetingAt(member)) != GreetingOf(member, rank())) *wrong |= uint64_t{1} << member;
    if (at(SeenGreetingAt(member)) != GreetingOf(rank(), member)) *wrong |= uint64_t{1} << (size() + member);
  }
  return Status();
}

Status PeerExchange::StartWatch(const std::vector<int>& pids) {
  end_ = Fd(eventfd(0, EFD_CLOEXEC));
  if (end_.get() < 0) return Unavailable("no descriptor for who looks after the other ranks; raise ulimit -n");
  for (int member = 0; member < size(); ++member) {
    const int pid = pids[static_cast<size_t>(member)];
    processes_.emplace_back(member == rank() ? -1 : static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (member == rank() || processes_.back().get() >= 0) continue;
    return Unavailable("{} (process {}) has ended, or cannot be looked after: {}; {}", Name(member), pid,
                       std::strerror(errno), kInstead);
  }
  MRS_ASSIGN_OR_RETURN(watch_, StartThread(
                                   "who looks after the other ranks", [this] { Watch(); },
                                   [](const Error& error) { EndProcess("who looks after the other ranks", error); }));
  return Status();
}

// Until it is told to end.
void PeerExchange::Watch() {
  std::vector<pollfd> looked_at;
  for (const Fd& process : processes_) looked_at.push_back({.fd = process.get(), .events = POLLIN, .revents = 0});
  looked_at.push_back({.fd = end_.get(), .events = POLLIN, .revents = 0});
  std::optional<int> told;
  while (true) {
    poll(looked_at.data(), looked_at.size(), options_.pulse == nullptr ? -1 : kLookEveryMs);
    if (looked_at.back().revents != 0) break;
    for (size_t member = 0; member + 1 < looked_at.size(); ++member) {
      if (looked_at[member].revents == 0) continue;
      looked_at[member].fd = -1;
      int none = -1;
      gone_.compare_exchange_strong(none, static_cast<int>(member));
      Abort();
      // Who parts waits by the communicator, to which a process that was killed says nothing.
      if (parts_.load()) options_.group->Abort();
    }
    TellWait(&told);
  }
  if (told.has_value()) options_.pulse->OthersWaitOver(*told);
}

// As the kernel has it, of which the thread that launched it hears nothing until it is done. That thread tells of waits
// of its own, for ranks of other stages, and is left to it.
void PeerExchange::TellWait(std::optional<int>* told) {
  if (options_.pulse == nullptr) return;
  const uint64_t waits_for = std::atomic_ref(state().waits_for).load(std::memory_order_acquire);
  const bool is_over = std::atomic_ref(state().stop).load(std::memory_order_acquire) != 0;
  const bool waits = !is_over && waits_for > 0 && waits_for <= options_.ranks.size();
  const std::optional<int> now = waits ? std::optional(options_.ranks[waits_for - 1]) : std::nullopt;
  if (*told != now && told->has_value()) options_.pulse->OthersWaitOver(**told);
  if (now.has_value()) options_.pulse->OthersWaitFor(*now);
  *told = now;
}

void PeerExchange::Abort() {
  if (state_.data() != nullptr) std::atomic_ref(state().stop).store(1, std::memory_order_release);
}

PeerExchange::~PeerExchange() {
  opened_.clear();
  const bool stopped = state_.data() != nullptr && std::atomic_ref(state().stop).load() != 0;
  // Others may still have this rank's memory open where they have not come to the same place.
  parts_.store(true);
  const bool all_closed = is_met_ && !stopped && gone_.load() < 0 && options_.group->Barrier().ok();
  if (watch_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t told = write(end_.get(), &one, sizeof(one));
    watch_.join();
  }
  if (!all_closed) device_.Forsake(std::move(own_));
}

kernels::cuda::PeerExchangeArgs PeerExchange::ArgsOf(const CollectiveLaunch& collective) const {
  kernels::cuda::PeerExchangeArgs args;
  for (int member = 0; member < size(); ++member) {
    args.buffers[member] = member == rank() ? own_.data() : opened_[static_cast<size_t>(member)].data();
  }
  args.state = &state();
  args.rank = rank();
  args.ranks = size();
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
  const int64_t most = args.is_gather ? bytes : kGrid.most_summed_bytes;
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

Status PeerExchange::Finish() {
  if (Status done = device_.Finish(); !done.ok()) {
    // What was read of a process that has ended may be no memory any more.
    if (const int gone = gone_.load(); gone >= 0) return Unavailable("{} has ended; {}", Name(gone), done.message());
    return done;
  }
  const PeerFailure failure = kernels::cuda::FailureOf(state());
  const char* const does = failure.gathers ? "gathers" : failure.norms ? "sums, for a norm," : "sums";
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
  return Unavailable("given up while {} was waited for", Name(failure.rank));
}

}  // namespace mrs
