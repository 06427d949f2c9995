// A few threads that share one loop at a time, each taking a fixed range of its items.
//
//   ThreadPool pool(4, /*spin=*/true);
//   pool.For(10, [&](int64_t begin, int64_t end) { ... });   // [0,2) [2,5) [5,7) [7,10), one a thread
//
// What leaves a body on any of the threads leaves For, once all have come to an end; the first of several.
// A body that runs long calls CountWork as it gets on: the pulse, where there is one, learns of it from every thread.
// The split depends on the counts alone. Every thread of the pool flushes denormals to zero; the caller's own thread is
// the caller's business. One For at a time; no allocation, and no system call while the threads spin.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/pulse.h"

namespace mrs {

class ThreadPool {
 public:
  // thread_count >= 1, the caller included. `spin`: wait awake for a short while before blocking; wrong where the host
  // runs more threads than it has cores.
  ThreadPool(int thread_count, bool spin, Pulse* pulse = nullptr);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Why there are fewer threads than asked for, where there are.
  const Status& status() const { return status_; }
  int thread_count() const { return static_cast<int>(workers_.size()) + 1; }

  // In a body of For: this thread has got on. Costs a store; does nothing in other threads.
  static void CountWork() {
    if (counter_of_thread != nullptr) Pulse::CountIn(counter_of_thread);
  }

  // Calls body(begin, end) for disjoint ranges that cover [0, item_count), and returns when all of them have.
  template <typename Body>
  void For(int64_t item_count, Body&& body) {
    if (item_count <= 0) return;
    const CounterScope counting(counter_);
    if (workers_.empty() || item_count == 1) {
      body(int64_t{0}, item_count);
      CountWork();
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    Fork(Job{.context = const_cast<void*>(static_cast<const void*>(std::addressof(body))),
             .call = [](void* context, int64_t begin, int64_t end) { (*static_cast<Plain*>(context))(begin, end); },
             .item_count = item_count});
  }

 private:
  static inline constinit thread_local Pulse::Counter* counter_of_thread = nullptr;
  struct CounterScope {
    explicit CounterScope(Pulse::Counter* counter) { counter_of_thread = counter; }
    ~CounterScope() { counter_of_thread = nullptr; }
    CounterScope(const CounterScope&) = delete;
    CounterScope& operator=(const CounterScope&) = delete;
  };

  struct Job {
    void* context = nullptr;
    void (*call)(void* context, int64_t begin, int64_t end) = nullptr;
    int64_t item_count = 0;
  };

  void Fork(const Job& job);
  void Share(const Job& job, int64_t index) const;  // what thread `index` of the pool does of a job; 0 is the caller
  void ShareOrKeep(const Job& job, int64_t index) noexcept;  // and what it throws
  void Work(int64_t index, Pulse::Counter* counter);

  const int spin_count_;           // polls before blocking
  Pulse::Counter* const counter_;  // of the caller's thread; null: nobody watches
  Job job_;                        // written before round_ moves, read after
  std::atomic<uint32_t> round_{0};
  std::atomic<uint32_t> running_{0};  // workers that have not finished the round
  std::atomic<bool> stop_{false};
  std::atomic<bool> threw_{false};
  std::exception_ptr thrown_;  // written by whoever set threw_, read when all have finished the round
  std::vector<std::thread> workers_;
  Status status_;
};

}  // namespace mrs
