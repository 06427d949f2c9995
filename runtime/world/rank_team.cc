#include "runtime/world/rank_team.h"

#include <utility>

#include "host/process.h"
#include "host/thread.h"
#include "kernels/kernels.h"

namespace mrs {

RankTeam::RankTeam(uint32_t first_rank, uint32_t rank_count, Loader load, FailureHandler on_failed)
    : first_rank_(first_rank), load_(std::move(load)), on_failed_(std::move(on_failed)), executors_(rank_count) {
  busy_ = rank_count - 1;
  threads_.reserve(rank_count);
  for (uint32_t index = 1; index < rank_count; ++index) {
    Result<std::thread> thread = StartThread(
        "a rank", [this, index] { Follow(index); }, [](const Error& error) { EndProcess("a rank", error); });
    if (thread.ok()) {
      threads_.push_back(*std::move(thread));
      continue;
    }
    --busy_;
    Fail(index, thread.error());
  }
}

RankTeam::~RankTeam() {
  stop_ = true;
  round_.fetch_add(1);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void RankTeam::Fail(uint32_t index, const Error& error) {
  failed_ = true;
  on_failed_(first_rank_ + index, error);
}

void RankTeam::Load(uint32_t index) {
  const Status loaded = Guarded([&]() -> Status {
    MRS_ASSIGN_OR_RETURN(executors_[index], load_(first_rank_ + index));
    return Status();
  });
  if (!loaded.ok()) Fail(index, loaded.error());
}

void RankTeam::AwaitLoaded() {
  Load(0);
  for (uint32_t busy = busy_; busy != 0; busy = busy_) busy_.wait(busy);
}

void RankTeam::Follow(uint32_t index) {
  const kernels::ScopedFlushToZero flush;
  uint32_t seen = 0;
  Load(index);
  for (;;) {
    if (busy_.fetch_sub(1) == 1) busy_.notify_all();
    round_.wait(seen);
    ++seen;
    if (stop_) return;
    if (failed_) continue;
    const Status ran = Guarded([&] { return executors_[index]->Run(*batch_).status(); });
    if (!ran.ok()) Fail(index, ran.error());
  }
}

Result<StepOutput> RankTeam::Run(const Batch& batch) {
  const kernels::ScopedFlushToZero flush;
  if (failed_) return Unavailable("a rank of this process failed before");
  batch_ = &batch;
  busy_ = static_cast<uint32_t>(threads_.size());
  round_.fetch_add(1);
  round_.notify_all();
  StepOutput output;
  const Status ran = Guarded([&]() -> Status {
    MRS_ASSIGN_OR_RETURN(output, executors_[0]->Run(batch));
    return Status();
  });
  if (!ran.ok()) Fail(0, ran.error());
  for (uint32_t busy = busy_; busy != 0; busy = busy_) busy_.wait(busy);
  if (!ran.ok()) return ran;
  if (failed_) return Unavailable("a rank of this process failed");
  return output;
}

}  // namespace mrs
