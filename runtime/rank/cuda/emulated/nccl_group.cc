#include "runtime/rank/cuda/emulated/nccl_group.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

namespace mrs::emulated {
namespace {

using std::chrono::steady_clock;

// "" while a rank is there.
std::string WhyGone(Group& group, int rank) {
  RankLine& line = group.line(rank);
  if (line.state.load(std::memory_order_acquire) == kGone) return fmt::format("rank {} has left", rank);
  const int pid = line.pid.load();
  if (pid == 0 || pid == getpid()) return "";
  char path[64], state = '?';
  std::snprintf(path, sizeof(path), "/proc/%d/stat", pid);
  if (std::FILE* const file = std::fopen(path, "re")) {
    if (std::fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = '?';
    std::fclose(file);
  } else {
    state = 'X';
  }
  return state == 'Z' || state == 'X' ? fmt::format("rank {} has ended (process {})", rank, pid) : "";
}

// Whether one of `ranks` got there; else the group has failed.
template <typename Condition>
bool Await(Group& group, const std::vector<int>& ranks, const Condition& is_there) {
  const auto begin = steady_clock::now();
  for (uint64_t looks = 0; !is_there(); ++looks) {
    if (looks < 200) {
      sched_yield();
      continue;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (looks % 20 != 0) continue;
    std::string why;
    for (const int rank : ranks) {
      if (why.empty()) why = WhyGone(group, rank);
    }
    if (is_there()) return true;  // it did, and left
    if (!why.empty()) {
      group.Fail(ncclRemoteError, std::move(why));
      return false;
    }
    if (steady_clock::now() - begin > kLongest) {
      group.Fail(ncclSystemError, fmt::format("rank {} has made no step for 60 s", ranks.front()));
      return false;
    }
  }
  return true;
}

bool AllStep(Group& group) {
  const uint64_t step = group.line(group.rank).step.fetch_add(1, std::memory_order_acq_rel) + 1;
  for (int rank = 0; rank < group.size; ++rank) {
    RankLine& line = group.line(rank);
    if (!Await(group, {rank}, [&] { return line.step.load(std::memory_order_acquire) >= step; })) return false;
  }
  return true;
}

// Moves a piece of it, where the other rank is there for that.
bool Moves(Group& group, Message& message) {
  const auto [from, to] = message.is_send ? std::pair(group.rank, message.peer) : std::pair(message.peer, group.rank);
  Box& box = group.shared->boxes[from][to];
  std::byte* const letter = group.shared->letters[from][to];
  const uint64_t sent = box.sent.load(std::memory_order_acquire), taken = box.taken.load(std::memory_order_acquire);
  if (message.is_send == (sent != taken)) return false;
  const size_t piece = std::min(kPiece, message.bytes - message.done);
  if (message.is_send) {
    box.bytes.store(message.bytes, std::memory_order_relaxed);
    if (piece > 0) std::memcpy(letter, message.data + message.done, piece);
    box.sent.store(sent + 1, std::memory_order_release);
  } else {
    if (const uint64_t other = box.bytes.load(std::memory_order_relaxed); other != message.bytes) {
      group.Fail(ncclInvalidUsage, fmt::format("rank {} sends {} bytes, and rank {} expects {}", message.peer, other,
                                               group.rank, message.bytes));
      return true;
    }
    if (piece > 0) std::memcpy(message.data + message.done, letter, piece);
    box.taken.store(taken + 1, std::memory_order_release);
  }
  message.done += piece;
  message.is_over = message.done == message.bytes;
  return true;
}

}  // namespace

void RunGather(Group& group, const std::byte* x, std::byte* y, size_t bytes) {
  group.line(group.rank).bytes.store(bytes, std::memory_order_relaxed);
  size_t done = 0;
  do {
    const size_t piece = std::min(kPiece, bytes - done);
    if (piece > 0) std::memcpy(group.shared->gathered[group.rank], x + done, piece);
    if (!AllStep(group)) return;
    for (int rank = 0; rank < group.size; ++rank) {
      if (const uint64_t other = group.line(rank).bytes.load(std::memory_order_relaxed); other != bytes) {
        return group.Fail(ncclInvalidUsage, fmt::format("rank {} gathers {} bytes, and rank {} gathers {}", group.rank,
                                                        bytes, rank, other));
      }
      if (piece > 0) {
        std::memcpy(y + static_cast<size_t>(rank) * bytes + done, group.shared->gathered[rank], piece);
      }
    }
    if (!AllStep(group)) return;
    done += piece;
  } while (done < bytes);
}

// All of a group at once, whichever others are there for.
void RunMessages(Group& group, std::vector<Message> messages) {
  while (true) {
    std::vector<int> peers;
    for (const Message& message : messages) {
      if (!message.is_over) peers.push_back(message.peer);
    }
    if (peers.empty()) return;
    const auto some_move = [&] {
      bool any = false;
      for (Message& message : messages) {
        if (!message.is_over && group.error == ncclSuccess && Moves(group, message)) any = true;
      }
      return any;
    };
    if (!Await(group, peers, some_move) || group.error != ncclSuccess) return;
  }
}

}  // namespace mrs::emulated
