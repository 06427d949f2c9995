// Ranks of one process that exchange by each other's buffers, for tests: a thread each, all of whose blocks are
// resident.
//
//   World world(2);
//   world.Run(order, [&](int rank) { EXPECT_EQ(StartPeerExchange(world.Args(rank, x, y, bytes), nullptr), 0); });
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/peer_exchange.h"

namespace mrs::kernels::cuda {

// To the thread sanitizer each CUDA thread of an OS thread is a thread, that takes a millisecond to make, and of which
// it knows no more than some thousand: few cases there, each in one order.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MRS_FEW_THREADS
#endif
#elif defined(__SANITIZE_THREAD__)
#define MRS_FEW_THREADS
#endif
#ifdef MRS_FEW_THREADS
inline constexpr bool kHasFewThreads = true;
#else
inline constexpr bool kHasFewThreads = false;
#endif
inline std::vector<unsigned> FirstOrders() {
  return kHasFewThreads ? std::vector<unsigned>{2} : std::vector<unsigned>{0, 1, 2};
}
// By then all ranks have come, however busy the host is.
inline constexpr uint64_t kLongEnough = kHasFewThreads ? 10'000'000'000 : 3'000'000'000;
// Of ranks that have so many blocks each.
inline bool IsTried(int ranks, int64_t blocks) { return !kHasFewThreads || ranks * blocks <= 4; }
// That exchange bytes, where all have the least share.
inline int64_t BlocksOf(int64_t bytes) { return (bytes + 4095) / 4096; }

class Memory {
 public:
  explicit Memory(uint64_t bytes) : data_(emulation::TakeMemory({.what = "memory", .bytes = bytes})) {}
  Memory(const Memory&) = delete;
  ~Memory() { emulation::GiveMemory(data_); }
  template <typename T = std::byte>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* const data_;
};

struct Rank {
  Memory buffer{kPeerBufferBytes};
  Memory state_memory{sizeof(PeerState)};
  PeerState& state = *state_memory.as<PeerState>();
};

// A thread that stays for all worlds, so that the emulator makes its CUDA threads once.
class RankThread {
 public:
  RankThread() : thread_([this] { Work(); }) {}
  ~RankThread() {
    Start(nullptr);
    thread_.join();
  }
  void Start(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_ = std::move(work);
    has_work_ = true;
    changed_.notify_all();
  }
  void Await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !has_work_; });
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return has_work_; });
      if (!work_) return;
      lock.unlock();
      work_();
      lock.lock();
      has_work_ = false;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;  // none: it ends
  bool has_work_ = false;
  std::thread thread_;
};

// What each rank starts, in its own thread, and in one of the three orders of CUDA threads.
class World {
 public:
  explicit World(int size) : ranks_(static_cast<size_t>(size)) {}
  int size() const { return static_cast<int>(ranks_.size()); }
  Rank& rank(int number) { return ranks_[static_cast<size_t>(number)]; }

  PeerExchangeArgs Args(int number, const void* x, void* y, int64_t bytes) {
    PeerExchangeArgs args;
    args.x = x;
    args.y = y;
    args.bytes = bytes;
    args.state = &rank(number).state;
    args.rank = number;
    args.ranks = size();
    for (int other = 0; other < size(); ++other) args.buffers[other] = rank(other).buffer.as();
    return args;
  }
  void Run(unsigned first_order, const std::function<void(int)>& run) {
    static std::deque<RankThread> threads;
    while (threads.size() < ranks_.size()) threads.emplace_back();
    for (int number = 0; number < size(); ++number) {
      threads[static_cast<size_t>(number)].Start([&, number] {
        const auto order = static_cast<emulation::Order>((first_order + static_cast<unsigned>(number)) % 3);
        emulation::SetSchedule({.order = order, .seed = 5 + static_cast<uint64_t>(number)});
        run(number);
      });
    }
    for (int number = 0; number < size(); ++number) threads[static_cast<size_t>(number)].Await();
  }

 private:
  std::vector<Rank> ranks_;
};

// The tree as communicator.h says it: neighbours at distance 1 first, then at 2, 4, ...
inline float Canonical(std::vector<float> values) {
  for (size_t distance = 1; distance < values.size(); distance *= 2) {
    for (size_t i = 0; i + distance < values.size(); i += 2 * distance) values[i] += values[i + distance];
  }
  return values[0];
}
inline float InOrder(const std::vector<float>& values) {
  float sum = values[0];
  for (size_t i = 1; i < values.size(); ++i) sum += values[i];
  return sum;
}

}  // namespace mrs::kernels::cuda
