// A few threads that share one loop at a time, each taking a fixed range of its items.
//
//   ThreadPool pool(4, /*spin=*/true);
//   pool.For(10, [&](int64_t begin, int64_t end) { ... });   // [0,2) [2,5) [5,7) [7,10), one a thread
//
// What leaves a body on any of the threads leaves For, once all have come to an end; the first of several.
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

namespace mrs {

class ThreadPool {
 public:
  // thread_count >= 1, the caller included. `spin`: wait awake for a short while before blocking; wrong where the host
  // runs more threads than it has cores.
  ThreadPool(int thread_count, bool spin);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Why there are fewer threads than asked for, where there are.
  const Status& status() const { return status_; }
  int thread_count() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for disjoint ranges that cover [0, item_count), and returns when all of them have.
  template <typename Body>
  void For(int64_t item_count, Body&& body) {
    if (item_count <= 0) return;
    if (workers_.empty() || item_count == 1) {
      body(int64_t{0}, item_count);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    Fork(Job{.context = const_cast<void*>(static_cast<const void*>(std::addressof(body))),
             .call = [](void* context, int64_t begin, int64_t end) { (*static_cast<Plain*>(context))(begin, end); },
             .item_count = item_count});
  }

 private:
  struct Job {
    void* context = nullptr;
    void (*call)(void* context, int64_t begin, int64_t end) = nullptr;
    int64_t item_count = 0;
  };

  void Fork(const Job& job);
  void Share(const Job& job, int64_t index) const;  // what thread `index` of the pool does of a job; 0 is the caller
  void ShareOrKeep(const Job& job, int64_t index) noexcept;  // and what it throws
  void Work(int64_t index);

  const int spin_count_;  // polls before blocking
  Job job_;               // written before round_ moves, read after
  std::atomic<uint32_t> round_{0};
  std::atomic<uint32_t> running_{0};  // workers that have not finished the round
  std::atomic<bool> stop_{false};
  std::atomic<bool> threw_{false};
  std::exception_ptr thrown_;  // written by whoever set threw_, read when all have finished the round
  std::vector<std::thread> workers_;
  Status status_;
};

}  // namespace mrs
