// How far a rank is, said apart from its work: whoever watches its line can tell slow from hung, and hung from frozen.
//
//   Pulse pulse(&line);                        // a line of world/progress_board.h, which the watcher has mapped, too
//   pulse.Enter(RankPhase::kWorking);
//   pulse.At(/*operation=*/12, /*plan_step=*/14);   // the working thread, at each operation; counts as work
//   pulse.WaitFor(2);                               // nothing goes on here until rank 2 does: not this rank's doing
//   pulse.Wake();                                   // and yet it looks, now and then, whether rank 2 has
//   pulse.Beat();                                   // every 250 ms, from a thread that does nothing else
//
// `beat` moves while the process runs at all; `work` moves while it gets on. Each thread that works counts in a place
// of its own, which costs it one relaxed store; only Beat adds them up.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

namespace mrs {

enum class RankPhase : uint32_t {
  kUnseen = 0,  // it has not written yet
  kStarting = 1,
  kMeeting = 2,  // connects to the other ranks
  kLoading = 3,
  kIdle = 4,  // waits for what its supervisor says next
  kWorking = 5,
  kSending = 6,  // gives its supervisor a result
};

// What a rank writes and a watcher reads; fresh memory is zero, which is a rank that has not written yet. The fields
// belong to different threads and may be seen in any order.
struct alignas(128) ProgressLine {
  std::atomic<uint64_t> beat{0};
  std::atomic<uint64_t> work{0};
  std::atomic<uint64_t> looks{0};  // of its process, in the line of its first rank: moves while it waits for messages
  std::atomic<uint64_t> wakes{0};  // moves while it waits for another rank
  std::atomic<uint64_t> step{0};   // the forward that it works on, or did last
  std::atomic<uint32_t> phase{0};  // RankPhase
  std::atomic<uint32_t> operation{0};  // the one under way, from 1, of `operations` of this forward
  std::atomic<uint32_t> operations{0};
  std::atomic<uint32_t> plan_step{0};  // of its stage, for the name
  std::atomic<uint32_t> waits_for{0};  // 1 + a rank of the world; 0: for none
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(ProgressLine) == 128);

class Pulse {
 public:
  // Written by one thread, read by any.
  using Counter = std::atomic<uint64_t>;

  explicit Pulse(ProgressLine* line) : line_(line) {}
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  // The working thread's.
  void Enter(RankPhase phase) { Set(line_->phase, static_cast<uint32_t>(phase)); }
  void Begin(uint64_t step) {
    Set(line_->operation, 0u);
    Set(line_->step, step);
    Enter(RankPhase::kWorking);
  }
  void Expect(uint32_t operations) { Set(line_->operations, operations); }
  void At(uint32_t operation, uint32_t plan_step) {
    Set(line_->operation, operation);
    Set(line_->plan_step, plan_step);
    Count();
  }
  void Count() { CountIn(&own_.count); }
  void WaitFor(int rank) {
    Set(line_->waits_for, static_cast<uint32_t>(rank) + 1);
    Wake();
  }
  void Wake() { line_->wakes.fetch_add(1, std::memory_order_relaxed); }  // any thread
  void WaitOver() { Set(line_->waits_for, 0u); }
  // Of another thread, which looks on for the one that works: nothing, where that tells of a wait of its own.
  void OthersWaitFor(int rank) {
    uint32_t none = 0;
    line_->waits_for.compare_exchange_strong(none, static_cast<uint32_t>(rank) + 1, std::memory_order_relaxed);
    Wake();
  }
  void OthersWaitOver(int rank) {
    uint32_t told = static_cast<uint32_t>(rank) + 1;
    line_->waits_for.compare_exchange_strong(told, 0, std::memory_order_relaxed);
  }

  // A place for one more thread to count in; lives as long as the pulse. Any thread.
  Counter* AddCounter();
  static void CountIn(Counter* counter) {
    counter->store(counter->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  // Of the process: to be moved whenever it looks for a message.
  Counter* looks() { return &line_->looks; }

  // One thread's. While the rank starts or loads, the processor time that its process spends counts as work, too: what
  // reads a plan or a header knows nothing of this.
  void Beat();

 private:
  // Of its own, so that no thread writes where another one counts.
  struct alignas(64) Place {
    Counter count{0};
  };

  template <typename T>
  static void Set(std::atomic<T>& field, T value) {
    field.store(value, std::memory_order_relaxed);
  }

  ProgressLine* const line_;
  Place own_;
  std::mutex mutex_;
  std::deque<Place> places_;  // guarded by mutex_
  uint64_t spent_ms_ = 0;     // of Beat alone, as the next
  uint64_t spent_work_ = 0;
};

}  // namespace mrs
