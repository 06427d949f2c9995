// Checks every link between the ranks by data before anybody relies on one, and measures it: bytes that say who sent
// them to whom go over each ordered pair and are compared where they arrive.
//
//   LinkWatch watch;                                                  // its flag is the communicator's
//   CommOptions::abort MRS_ASSIGN_OR_RETURN(std::vector<LinkTimes> links, CheckLinks(world, watch, name));
//   // "link rank 1 -> rank 0 (tcp 127.0.0.1:40123): byte 17 of 65536 came as 0x5e instead of 0x5f ..."
//
// All ranks of the world call it at once. They meet in rounds (PairRounds): every pair meets once, and no pair waits
// for another of the same round.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/communicator.h"

namespace mrs {

// One direction, as its sender saw it.
struct LinkTimes {
  uint32_t from = 0;
  uint32_t to = 0;
  uint64_t latency_ns = 0;        // of a small message: half of the fastest round trip
  uint64_t bytes_per_second = 0;  // of the largest that was sent
};

// "rank 1 -> rank 0 (tcp 127.0.0.1:40123)".
using LinkName = std::function<std::string(int from, int to)>;

// Gives up a wait in which nothing comes through: a link that swallows bytes must not hold everybody for as long as a
// slow computation may. One a process; any number of its ranks may check at once.
class LinkWatch {
 public:
  explicit LinkWatch(std::chrono::milliseconds limit = kLimit) : limit_(limit) {}
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  // Until End, `flag` is set where no Progress comes for the limit and `extra`: what waits for the consequence of a
  // silence gives up later than who met it first.
  Status Begin();
  void Progress(std::chrono::milliseconds extra);
  void End();
  const std::atomic<bool>* flag() const { return &flag_; }
  std::chrono::milliseconds limit() const { return limit_; }

  static constexpr std::chrono::milliseconds kLimit{5000};

 private:
  using Clock = std::chrono::steady_clock;
  void Watch();
  const std::chrono::milliseconds limit_;
  std::atomic<bool> flag_{false};
  std::mutex mutex_;  // the rest
  std::condition_variable changed_;
  Clock::time_point give_up_{};
  int checking_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

// What goes over a link: bytes that depend on sender, receiver, message and place.
void FillPattern(int from, int to, uint64_t message, std::span<std::byte> bytes);
// The first byte that is not the pattern's; bytes.size() where all are.
size_t FindFault(int from, int to, uint64_t message, std::span<const std::byte> bytes);

// Whom each rank meets in each round; -1: nobody. In a ring its neighbours come first: what is between others goes by
// them, and would be blamed for a link that is not its own.
//
//   PairRounds(4, false)   // {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}
//   PairRounds(4, true)    // {1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1}
std::vector<std::vector<int>> PairRounds(int size, bool ring);

// The times of the links that this rank sends over. The error names the link.
Result<std::vector<LinkTimes>> CheckLinks(Communicator& world, LinkWatch& watch, const LinkName& name,
                                          bool ring = false);

}  // namespace mrs
