#include "runtime/rank/cuda/peer_memory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "plans/collectives.h"
#include "plans/printable.h"

namespace mrs {
namespace {

static_assert(kPeerExchangeBytes == kernels::cuda::kPeerBufferBytes);
static_assert(kPeerInboxBytes == kernels::cuda::kPeerInboxBytes);
static_assert(kPeerOutboxBytes == kernels::cuda::kPeerOutboxBytes);
static_assert(kMostPeerRanks == kernels::cuda::kMostPeers);
static_assert(kernels::cuda::kPeerBufferBytes % Device::kSharedUnit == 0);
static_assert(kernels::cuda::kPeerInboxBytes % Device::kSharedUnit == 0);
static_assert(kernels::cuda::kPeerOutboxBytes % Device::kSharedUnit == 0);

// What a rank says of itself, and what it has found: empty where all is well.
struct Hello {
  SharedHandle handle{};
  int32_t pid = 0;
  DecodeTerms decodes;
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
              {&PeerGrid::most_bytes, "bytes at a time"},
              {&PeerGrid::most_normed_rows, "rows at most in one launch with their norm"},
              {&PeerGrid::places, "places of a block for what stages hand on"}};
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

PeerMemory::~PeerMemory() {
  Close();
  if (!are_all_closed_) device_.Forsake(std::move(own_));
}

std::string PeerMemory::Name(int member) const { return fmt::format("rank {}", rank(member)); }

Result<std::unique_ptr<PeerMemory>> PeerMemory::Meet(Device& device, Options options) {
  std::unique_ptr<PeerMemory> made(new PeerMemory(device, std::move(options)));
  PeerMemory& self = *made;
  Communicator& group = self.group();
  const PeerTerms& terms = self.options_.terms;
  const int size = self.size(), own = self.own();
  if (size > kernels::cuda::kMostPeers) {
    return Refuse("{} ranks exchange by peer memory, at most {} can; {}", size, kernels::cuda::kMostPeers,
                  kStagedInstead);
  }
  Hello mine;
  mine.pid = getpid();
  mine.decodes = terms.decodes;
  mine.grid = terms.grid;
  Say(
      [&]() -> Status {
        MRS_RETURN_IF_ERROR(terms.prepared);
        MRS_RETURN_IF_ERROR(CheckHeld(device, terms.ranks_of_device));
        MRS_ASSIGN_OR_RETURN(self.own_, device.Allocate("what peers read", static_cast<uint64_t>(self.options_.bytes)));
        MRS_RETURN_IF_ERROR(device.Finish());  // zeros, before others write there
        MRS_ASSIGN_OR_RETURN(mine.handle, device.Share(self.own_));
        self.are_all_closed_ = false;
        return Status();
      }(),
      mine.why);
  MRS_ASSIGN_OR_RETURN(const std::vector<Hello> hellos, TellAll(group, mine));
  std::vector<SharedHandle> handles;
  for (int member = 0; member < size; ++member) {
    const Hello& hello = hellos[static_cast<size_t>(member)];
    if (hello.why[0] != 0) return Refuse("{} cannot share its memory: {}", self.Name(member), Said(hello.why));
    MRS_RETURN_IF_ERROR(CompareDecodes(mine.decodes, hello.decodes, self.Name(member)));
    MRS_RETURN_IF_ERROR(CompareGrids(mine.grid, hello.grid, self.Name(member)));
    if (member != own && hello.pid == mine.pid) {
      return Refuse(
          "{} and {} are one process, and exchange by memory that processes share; start a process a rank: --transport "
          "shm",
          self.Name(own), self.Name(member));
    }
    handles.push_back(hello.handle);
    self.pids_.push_back(hello.pid);
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
      return Refuse("{} does not reach the others' memory: {}; {}", self.Name(member), Said(found.why), kStagedInstead);
    }
    if (found.wrong == 0) continue;
    const int from = std::countr_zero(found.wrong);
    return Refuse("{} and {} do not reach each other's memory: {}; {}", self.Name(std::min(member, from % size)),
                  self.Name(std::max(member, from % size)),
                  from < size ? fmt::format("what {} wrote into {}'s is not there", self.Name(from), self.Name(member))
                              : fmt::format("{} reads something else in {}'s than it wrote", self.Name(member),
                                            self.Name(from % size)),
                  kStagedInstead);
  }
  return made;
}

Status PeerMemory::Open(const std::vector<SharedHandle>& handles) {
  for (int member = 0; member < size(); ++member) {
    opened_.emplace_back();
    if (member == own()) continue;
    const std::string what = fmt::format("{}'s memory", Name(member));
    MRS_ASSIGN_OR_RETURN(opened_.back(), device_.OpenShared(what.c_str(), handles[static_cast<size_t>(member)]));
  }
  return Status();
}

Status PeerMemory::Greet(bool looks) {
  kernels::cuda::PeerGreetArgs args;
  for (int member = 0; member < size(); ++member) {
    args.buffers[member] = at(member);
  }
  args.rank = own();
  args.ranks = size();
  args.looks = looks;
  MRS_RETURN_IF_ERROR(device_.Launched(kernels::cuda::StartPeerGreet(args, device_.stream())));
  return device_.Finish();
}

// *wrong: a bit a member from whom nothing came; then, from bit `size` on, one a member in whose memory something else
// is read than was written.
Status PeerMemory::CompareGreetings(uint64_t* wrong) {
  constexpr int64_t kFirst = kernels::cuda::PutGreetingAt(0);
  constexpr int64_t kBytes = kernels::cuda::SeenGreetingAt(kernels::cuda::kMostPeers) - kFirst;
  std::vector<uint64_t> words(static_cast<size_t>(kBytes) / sizeof(uint64_t));
  MRS_RETURN_IF_ERROR(device_.CopyOut(words.data(), own_.data() + kFirst, static_cast<size_t>(kBytes)));
  MRS_RETURN_IF_ERROR(device_.Finish());
  const auto word = [&](int64_t byte) { return words[static_cast<size_t>(byte - kFirst) / sizeof(uint64_t)]; };
  for (int member = 0; member < size(); ++member) {
    using namespace kernels::cuda;
    if (word(PutGreetingAt(member)) != GreetingOf(member, own())) *wrong |= uint64_t{1} << member;
    if (word(SeenGreetingAt(member)) != GreetingOf(own(), member)) *wrong |= uint64_t{1} << (size() + member);
  }
  return Status();
}

}  // namespace mrs
