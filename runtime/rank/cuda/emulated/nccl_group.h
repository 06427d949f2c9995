// What ranks of an emulated NCCL communicator share, and how bytes move between them: memory of all, in which each has
// a line, and each two have a box. Whoever waits looks whether the other is still there.
//
//   RunGather(group, x, y, bytes)       // y has the x of all ranks, once all are here
//   RunMessages(group, {a, b, c})       // sends and receipts at once, in whatever order the others are there for them
//
// What goes wrong the group keeps, and its other calls have it, too.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/rank/cuda/emulated/nccl.h"

namespace mrs::emulated {

constexpr size_t kMostRanks = 64;
constexpr size_t kPiece = size_t{64} << 10;
constexpr auto kLongest = std::chrono::seconds(60);  // without a step of the rank that is waited for

enum State : uint32_t { kAbsent, kThere, kGone };

// All of it begins as zeros.
struct alignas(64) RankLine {
  std::atomic<uint32_t> state;
  std::atomic<bool> has_come;  // and may have left since
  std::atomic<int32_t> pid;
  std::atomic<uint32_t> device;
  std::atomic<uint64_t> host;   // emulated::HostOfProcess
  std::atomic<uint64_t> step;   // of gatherings, two a piece
  std::atomic<uint64_t> bytes;  // of the gathering under way
};
struct alignas(64) Box {
  std::atomic<uint64_t> sent, taken;  // pieces
  std::atomic<uint64_t> bytes;        // of the message under way
};
struct Shared {
  std::atomic<uint32_t> size;  // as the first rank has it
  RankLine lines[kMostRanks];
  Box boxes[kMostRanks][kMostRanks];  // [from][to]
  std::byte gathered[kMostRanks][kPiece];
  std::byte letters[kMostRanks][kMostRanks][kPiece];
};

// What is called, with whom; of a gathering -1.
struct Call {
  enum Kind : uint8_t { kGather, kSend, kRecv } kind;
  int peer;
  auto operator<=>(const Call&) const = default;
};

struct Group {
  ~Group() { munmap(shared, sizeof(Shared)); }

  Shared* shared = nullptr;
  std::string id;
  int rank = 0, size = 0;
  uint32_t device = 0;
  std::shared_ptr<int> held = std::make_shared<int>();  // by graphs, too
  std::set<Call> called;                                // in no graph
  bool is_blocking = true, is_ready = false, is_final = false, is_gone = false, hangs = false;
  bool is_pending = false;  // since a call that did not wait, of which nobody was told yet that it is done
  ncclResult_t error = ncclSuccess;
  std::string why;

  RankLine& line(int of) { return shared->lines[of]; }
  void Fail(ncclResult_t code, std::string because) {
    if (error != ncclSuccess) return;
    error = code;
    why = std::move(because);
  }
};

// A send or a receipt.
struct Message {
  bool is_send = false;
  std::byte* data = nullptr;
  size_t bytes = 0;
  int peer = 0;
  size_t done = 0;
  bool is_over = false;
};

void RunGather(Group& group, const std::byte* x, std::byte* y, size_t bytes);
void RunMessages(Group& group, std::vector<Message> messages);

}  // namespace mrs::emulated
