// The ranks of one process, each on a thread of its own, that all run the same forwards in the same order.
//
//   RankTeam team({.first_rank = 0, .rank_count = 4, .lead = 2, .depth = 2}, MakeExecutor, on_failed);
//   team.AwaitLoaded();
//   team.Enqueue(7, batch);                                // each rank starts when it is done with what came before
//   team.Enqueue(8, next);                                 // up to `depth` before the first is awaited
//   MRS_ASSIGN_OR_RETURN(RankTeam::Finished done, team.Await());   // step 7, the output of rank 2
//
// The lead runs on the thread that calls Await, so that where one thread calls all, one rank costs no thread. Enqueue
// is one thread's, Await one thread's; they may be two. `on_failed` hears of any rank's failure at once, from that
// rank's thread, since the others may be waiting for it; it may end the process.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/executor.h"

namespace mrs {

struct RankTeamShape {
  uint32_t first_rank = 0;
  uint32_t rank_count = 1;
  uint32_t lead = 0;                // whose output is given out; one of these ranks
  uint32_t depth = 1;               // forwards that may be under way: the plan's stages
  std::vector<Pulse*> pulses = {};  // [rank - first_rank], borrowed; empty: nobody watches
};

class RankTeam {
 public:
  using Loader = std::function<Result<std::unique_ptr<Executor>>(uint32_t rank)>;
  using FailureHandler = std::function<void(uint32_t rank, const Error& error)>;

  struct Finished {
    uint64_t step = 0;
    StepOutput output;  // valid until the next Await
  };

  // Starts loading on every thread. A rank for which there is no thread has failed.
  RankTeam(const RankTeamShape& shape, Loader load, FailureHandler on_failed);
  ~RankTeam();
  RankTeam(const RankTeam&) = delete;
  RankTeam& operator=(const RankTeam&) = delete;

  // Loads the lead on the caller's thread and waits for the others. A rank that failed counts as loaded.
  void AwaitLoaded();

  // Hands a forward to all ranks; waits while any of them still has the one `depth` before it.
  void Enqueue(uint64_t step, Batch batch);
  // Runs the lead's part of the oldest forward that was not awaited, waiting for one to be there. Errors: some rank
  // failed now or before (on_failed heard it already); kCancelled after Stop.
  Result<Finished> Await();
  // Returns when every rank is done with all forwards enqueued before; of the thread that enqueues.
  void AwaitIdle();
  // Ends an Await that waits for a forward. Any thread; nothing may be enqueued after it.
  void Stop();

 private:
  struct Forward {
    uint64_t step = 0;
    Batch batch;
  };
  struct Member {
    std::unique_ptr<Executor> executor;
    std::atomic<uint32_t> ran{0};  // forwards it is done with; wraps around
  };

  void Load(uint32_t index);
  void Follow(uint32_t index);  // a thread's life
  void Fail(uint32_t index, const Error& error);
  Result<StepOutput> RunNext(uint32_t index);
  Pulse* PulseOf(uint32_t index) const { return shape_.pulses.empty() ? nullptr : shape_.pulses[index]; }

  const RankTeamShape shape_;
  const uint32_t lead_;  // index of the lead
  const Loader load_;
  const FailureHandler on_failed_;
  std::vector<Member> members_;  // [rank - first_rank]
  // Forward i lies at i % size: a power of two, so that two under way have places of their own where counters wrap.
  std::vector<Forward> forwards_;
  std::atomic<uint32_t> taken_{0};  // forwards enqueued; wraps around. Stop adds one, too
  std::atomic<uint32_t> loading_{0};
  std::atomic<bool> failed_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace mrs
