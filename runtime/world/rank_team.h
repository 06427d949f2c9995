// The ranks of one process, each on a thread of its own, that all run the same batch at the same time.
//
//   RankTeam team(0, 4, [&](uint32_t rank) { return MakeExecutor(rank); }, on_failed);
//   team.AwaitLoaded();
//   MRS_ASSIGN_OR_RETURN(const StepOutput output, team.Run(batch));   // of the first rank
//
// The first rank runs on the caller's thread. `on_failed` hears of any rank's failure at once, from that rank's thread,
// since the others may be waiting for it; it may end the process.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "plans/status.h"
#include "runtime/rank/executor.h"

namespace mrs {

class RankTeam {
 public:
  using Loader = std::function<Result<std::unique_ptr<Executor>>(uint32_t rank)>;
  using FailureHandler = std::function<void(uint32_t rank, const Error& error)>;

  // Starts loading on every thread. A rank for which there is no thread has failed.
  RankTeam(uint32_t first_rank, uint32_t rank_count, Loader load, FailureHandler on_failed);
  ~RankTeam();
  RankTeam(const RankTeam&) = delete;
  RankTeam& operator=(const RankTeam&) = delete;

  // Loads the first rank on the caller's thread and waits for the others. A rank that failed counts as loaded.
  void AwaitLoaded();

  // Error: some rank failed now or before (on_failed heard it already).
  Result<StepOutput> Run(const Batch& batch);

 private:
  void Load(uint32_t index);
  void Follow(uint32_t index);  // a thread's life
  void Fail(uint32_t index, const Error& error);

  const uint32_t first_rank_;
  const Loader load_;
  const FailureHandler on_failed_;
  std::vector<std::unique_ptr<Executor>> executors_;  // [rank - first_rank]
  const Batch* batch_ = nullptr;                      // written before round_ moves
  std::atomic<uint32_t> round_{0};
  std::atomic<uint32_t> busy_{0};  // threads that have not finished the round
  std::atomic<bool> failed_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace mrs
