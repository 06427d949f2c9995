#include "runtime/rank/cpu/thread_pool.h"

#include <utility>

#include "host/process.h"
#include "host/thread.h"
#include "kernels/kernels.h"

namespace mrs {
namespace {

// Pauses, some tens of microseconds in all: longer than the serial parts between two steps, too short to waste a core.
constexpr int kSpinCount = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns the value of `word` once it is not `old`: polls first, then blocks in the kernel.
uint32_t AwaitChange(const std::atomic<uint32_t>& word, uint32_t old, int spin_count) {
  for (int i = 0; i < spin_count; ++i) {
    const uint32_t now = word.load(std::memory_order_acquire);
    if (now != old) return now;
    Pause();
  }
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int thread_count, bool spin, Pulse* pulse)
    : spin_count_(spin ? kSpinCount : 0), counter_(pulse == nullptr ? nullptr : pulse->AddCounter()) {
  MRS_CHECK(thread_count >= 1);
  workers_.reserve(static_cast<size_t>(thread_count) - 1);
  for (int i = 1; i < thread_count; ++i) {
    Pulse::Counter* const counter = pulse == nullptr ? nullptr : pulse->AddCounter();
    Result<std::thread> worker = StartThread(
        "a share of a rank's work", [this, i, counter] { Work(i, counter); },
        [](const Error& error) { EndProcess("a worker of a rank", error); });
    if (!worker.ok()) {
      status_ = worker.error();
      return;
    }
    workers_.push_back(*std::move(worker));
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Share(const Job& job, int64_t index) const {
  const int64_t count = static_cast<int64_t>(workers_.size()) + 1;
  const int64_t whole = job.item_count / count;
  const int64_t rest = job.item_count % count;
  // floor(index * item_count / count) without overflow.
  const int64_t begin = whole * index + rest * index / count;
  const int64_t end = whole * (index + 1) + rest * (index + 1) / count;
  if (begin < end) job.call(job.context, begin, end);
}

void ThreadPool::Fork(const Job& job) {
  job_ = job;
  running_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  ShareOrKeep(job, 0);
  for (uint32_t left = running_.load(std::memory_order_acquire); left != 0;) {
    left = AwaitChange(running_, left, spin_count_);
  }
  if (threw_.load(std::memory_order_relaxed)) {
    threw_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(thrown_, nullptr));
  }
}

void ThreadPool::ShareOrKeep(const Job& job, int64_t index) noexcept {
  try {
    Share(job, index);
    CountWork();
  } catch (...) {
    if (!threw_.exchange(true)) thrown_ = std::current_exception();
  }
}

// Worker: wait for the next round, do the share, report.
void ThreadPool::Work(int64_t index, Pulse::Counter* counter) {
  const kernels::ScopedFlushToZero flush;
  const CounterScope counting(counter);
  for (uint32_t round = 0;;) {
    round = AwaitChange(round_, round, spin_count_);
    if (stop_.load(std::memory_order_relaxed)) return;
    ShareOrKeep(job_, index);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace mrs
