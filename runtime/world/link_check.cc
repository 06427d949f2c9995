#include "runtime/world/link_check.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "host/process.h"
#include "host/thread.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr uint64_t kPings = 16;
constexpr size_t kPingBytes = 8;
// Larger ones only over links that took the last in no time, so that a slow link costs seconds and no minutes. Odd
// sizes, so that no buffer's end is a message's.
constexpr size_t kSizes[] = {(4 << 10) + 1, (64 << 10) + 3, (1 << 20) + 5, (4 << 20) + 7};
constexpr nanoseconds kNoTime{50'000'000};
constexpr milliseconds kPerTurn{50};  // by which later turns give up later
constexpr uint64_t kMark = 0x6b6e696c73726d2e;

// splitmix64: https://prng.di.unimi.it/splitmix64.c
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t Word(int from, int to, uint64_t message, uint64_t place) {
  const uint64_t who = (static_cast<uint64_t>(static_cast<uint32_t>(from)) << 32) | static_cast<uint32_t>(to);
  return Mix(Mix(who ^ kMark) + Mix(message) + place);
}

// One link, one direction, at one of its ends.
class Turn {
 public:
  Turn(Communicator& world, LinkWatch& watch, const LinkName& name, int from, int to, milliseconds extra)
      : world_(world), watch_(watch), name_(name), from_(from), to_(to), extra_(extra) {}

  Result<LinkTimes> Send() {
    LinkTimes times{.from = static_cast<uint32_t>(from_), .to = static_cast<uint32_t>(to_)};
    nanoseconds fastest = nanoseconds::max();
    for (uint64_t ping = 0; ping < kPings; ++ping) {
      MRS_ASSIGN_OR_RETURN(const nanoseconds took, SendOne(kPingBytes));
      fastest = std::min(fastest, took);
      if (took > kNoTime) break;
    }
    times.latency_ns = static_cast<uint64_t>(fastest.count()) / 2;
    for (const size_t size : kSizes) {
      MRS_ASSIGN_OR_RETURN(const nanoseconds took, SendOne(size));
      times.bytes_per_second =
          static_cast<uint64_t>(static_cast<double>(size) / static_cast<double>(took.count()) * 1e9);
      if (took > kNoTime) break;
    }
    MRS_RETURN_IF_ERROR(Announce(0));
    return times;
  }

  Status Receive() {
    for (size_t next = 0;;) {
      uint64_t size = 0;
      MRS_RETURN_IF_ERROR(Named(world_.Recv(from_, std::as_writable_bytes(std::span(&size, 1)))));
      Heard();
      if (size == 0) return Status();
      const size_t expected = next < std::size(kSizes) ? kSizes[next] : 0;
      if (size != expected && (size != kPingBytes || next != 0)) {
        return Named(
            Refuse("a message of {} bytes or less was announced as one of {}; the link, or the memory of one "
                   "of its hosts, changes data",
                   expected, size));
      }
      next += size == expected ? 1 : 0;
      MRS_RETURN_IF_ERROR(ReceiveOne(size));
    }
  }

 private:
  // A silence is of the whole turn: whether a message or its answer was lost cannot be told.
  Status Named(const Status& status, bool of_answer = false) const {
    if (status.ok()) return status;
    if (watch_.flag()->load()) {
      return Refuse("link {}: nothing came through for {} s", name_(from_, to_),
                    static_cast<double>((watch_.limit() + extra_).count()) / 1000);
    }
    const std::string link = of_answer ? name_(to_, from_) : name_(from_, to_);
    return Error{status.error().kind, fmt::format("link {}: {}", link, status.message())};
  }

  void Heard() { watch_.Progress(extra_); }

  Status Announce(uint64_t size) {
    MRS_RETURN_IF_ERROR(Named(world_.Send(to_, std::as_bytes(std::span(&size, 1)))));
    Heard();
    return Status();
  }

  // The answer says that all has arrived, so that the sender's time is that of the way.
  Result<nanoseconds> SendOne(size_t size) {
    buffer_.resize(size);
    FillPattern(from_, to_, message_, buffer_);
    MRS_RETURN_IF_ERROR(Announce(size));
    const auto begin = Clock::now();
    MRS_RETURN_IF_ERROR(Named(world_.Send(to_, buffer_)));
    Heard();
    uint64_t answer = 0;
    MRS_RETURN_IF_ERROR(Named(world_.Recv(to_, std::as_writable_bytes(std::span(&answer, 1))), /*of_answer=*/true));
    const nanoseconds took = std::max<nanoseconds>(Clock::now() - begin, nanoseconds(1));
    Heard();
    if (answer != Word(to_, from_, message_, size)) {
      return Refuse(
          "link {}: an answer came as {:#x} instead of {:#x}; the link, or the memory of one of its hosts, "
          "changes data",
          name_(to_, from_), answer, Word(to_, from_, message_, size));
    }
    ++message_;
    return took;
  }

  Status ReceiveOne(size_t size) {
    buffer_.resize(size);
    MRS_RETURN_IF_ERROR(Named(world_.Recv(from_, buffer_)));
    Heard();
    if (const size_t at = FindFault(from_, to_, message_, buffer_); at < size) {
      std::vector<std::byte> expected(size);
      FillPattern(from_, to_, message_, expected);
      return Named(
          Refuse("byte {} of {} came as {:#04x} instead of {:#04x}; the link, or the memory of one of its "
                 "hosts, changes data",
                 at, size, static_cast<int>(buffer_[at]), static_cast<int>(expected[at])));
    }
    const uint64_t answer = Word(to_, from_, message_, size);
    MRS_RETURN_IF_ERROR(Named(world_.Send(from_, std::as_bytes(std::span(&answer, 1))), /*of_answer=*/true));
    Heard();
    ++message_;
    return Status();
  }

  Communicator& world_;
  LinkWatch& watch_;
  const LinkName& name_;
  const int from_;
  const int to_;
  const milliseconds extra_;
  uint64_t message_ = 0;
  std::vector<std::byte> buffer_;
};

Result<std::vector<LinkTimes>> CheckAll(Communicator& world, LinkWatch& watch, const LinkName& name, bool ring) {
  std::vector<LinkTimes> links;
  const int rank = world.rank();
  int turn = 0;
  for (const std::vector<int>& round : PairRounds(world.size(), ring)) {
    const int peer = round[static_cast<size_t>(rank)];
    for (const bool lower_sends : {true, false}) {
      const milliseconds extra = kPerTurn * turn++;
      if (peer < 0) continue;
      watch.Progress(extra);
      const bool sends = (rank < peer) == lower_sends;
      Turn here(world, watch, name, sends ? rank : peer, sends ? peer : rank, extra);
      if (sends) {
        MRS_ASSIGN_OR_RETURN(const LinkTimes times, here.Send());
        links.push_back(times);
      } else {
        MRS_RETURN_IF_ERROR(here.Receive());
      }
    }
  }
  return links;
}

}  // namespace

LinkWatch::~LinkWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status LinkWatch::Begin() {
  const std::lock_guard starting(mutex_);
  ++checking_;
  give_up_ = std::max(give_up_, Clock::now() + limit_);
  changed_.notify_all();
  if (thread_.joinable()) return Status();
  Result<std::thread> thread = StartThread(
      "what watches the links", [this] { Watch(); },
      [](const Error& error) { EndProcess("what watches the links", error); });
  if (!thread.ok()) return thread.status();
  thread_ = *std::move(thread);
  return Status();
}

void LinkWatch::Watch() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (checking_ == 0) {
      changed_.wait(lock);
    } else if (Clock::now() >= give_up_) {
      flag_ = true;
      return;
    } else {
      changed_.wait_until(lock, Clock::time_point(give_up_));
    }
  }
}

// The thread sleeps until the old time, and then finds the new one.
void LinkWatch::Progress(milliseconds extra) {
  const std::lock_guard lock(mutex_);
  give_up_ = Clock::now() + limit_ + extra;
}

void LinkWatch::End() {
  const std::lock_guard lock(mutex_);
  --checking_;
}

void FillPattern(int from, int to, uint64_t message, std::span<std::byte> bytes) {
  for (uint64_t place = 0; !bytes.empty(); ++place) {
    const uint64_t word = Word(from, to, message, place);
    const size_t count = std::min(sizeof(word), bytes.size());
    std::memcpy(bytes.data(), &word, count);
    bytes = bytes.subspan(count);
  }
}

size_t FindFault(int from, int to, uint64_t message, std::span<const std::byte> bytes) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = Word(from, to, message, at / sizeof(uint64_t));
    const size_t count = std::min(sizeof(word), bytes.size() - at);
    if (std::memcmp(bytes.data() + at, &word, count) == 0) continue;
    for (size_t i = 0; i < count; ++i) {
      if (bytes[at + i] != static_cast<std::byte>(word >> (8 * i))) return at + i;
    }
  }
  return bytes.size();
}

// Neighbours: each pair in the first round in which both are free. The others: in round d rank r meets rank r XOR d,
// where they have not met.
std::vector<std::vector<int>> PairRounds(int size, bool ring) {
  std::vector<std::vector<int>> rounds;
  std::set<std::pair<int, int>> met;
  const auto meet = [&](std::vector<int>& round, int a, int b) {
    if (!met.emplace(std::min(a, b), std::max(a, b)).second) return;
    round[static_cast<size_t>(a)] = b;
    round[static_cast<size_t>(b)] = a;
  };
  const std::vector<int> nobody(static_cast<size_t>(size), -1);
  for (int a = 0; ring && size > 1 && a < size; ++a) {
    const int b = (a + 1) % size;
    const auto free = std::ranges::find_if(rounds, [&](const std::vector<int>& round) {
      return round[static_cast<size_t>(a)] < 0 && round[static_cast<size_t>(b)] < 0;
    });
    meet(free == rounds.end() ? rounds.emplace_back(nobody) : *free, a, b);
  }
  for (int d = 1; d < static_cast<int>(std::bit_ceil(static_cast<unsigned>(size))); ++d) {
    std::vector<int> round = nobody;
    for (int a = 0; a < size; ++a) {
      if (a < (a ^ d) && (a ^ d) < size) meet(round, a, a ^ d);
    }
    if (round != nobody) rounds.push_back(std::move(round));
  }
  return rounds;
}

Result<std::vector<LinkTimes>> CheckLinks(Communicator& world, LinkWatch& watch, const LinkName& name, bool ring) {
  MRS_RETURN_IF_ERROR(watch.Begin());
  Result<std::vector<LinkTimes>> links = CheckAll(world, watch, name, ring);
  watch.End();
  return links;
}

}  // namespace mrs
