#include "runtime/world/rank_team.h"

#include <bit>
#include <utility>

#include "host/process.h"
#include "host/thread.h"
#include "kernels/kernels.h"

namespace mrs {

RankTeam::RankTeam(const RankTeamShape& shape, Loader load, FailureHandler on_failed)
    : shape_(shape),
      lead_(shape.lead - shape.first_rank),
      load_(std::move(load)),
      on_failed_(std::move(on_failed)),
      members_(shape.rank_count),
      forwards_(std::bit_ceil(shape.depth)) {
  MRS_CHECK(lead_ < shape.rank_count && shape.depth > 0);
  MRS_CHECK(shape.pulses.empty() || shape.pulses.size() == shape.rank_count);
  loading_ = shape.rank_count - 1;
  threads_.reserve(shape.rank_count);
  for (uint32_t index = 0; index < shape.rank_count; ++index) {
    if (index == lead_) continue;
    Result<std::thread> thread = StartThread(
        "a rank", [this, index] { Follow(index); }, [](const Error& error) { EndProcess("a rank", error); });
    if (thread.ok()) {
      threads_.push_back(*std::move(thread));
      continue;
    }
    --loading_;
    Fail(index, thread.error());
  }
}

RankTeam::~RankTeam() {
  Stop();
  for (std::thread& thread : threads_) thread.join();
}

void RankTeam::Stop() {
  stop_ = true;
  taken_.fetch_add(1);
  taken_.notify_all();
}

void RankTeam::Fail(uint32_t index, const Error& error) {
  failed_ = true;
  on_failed_(shape_.first_rank + index, error);
}

void RankTeam::Load(uint32_t index) {
  Pulse* const pulse = PulseOf(index);
  if (pulse != nullptr) pulse->Enter(RankPhase::kLoading);
  const Status loaded = Guarded([&]() -> Status {
    MRS_ASSIGN_OR_RETURN(members_[index].executor, load_(shape_.first_rank + index));
    return Status();
  });
  if (pulse != nullptr) pulse->Enter(RankPhase::kIdle);
  if (!loaded.ok()) Fail(index, loaded.error());
}

void RankTeam::AwaitLoaded() {
  Load(lead_);
  for (uint32_t loading = loading_; loading != 0; loading = loading_) loading_.wait(loading);
}

void RankTeam::Follow(uint32_t index) {
  const kernels::ScopedFlushToZero flush;
  Load(index);
  if (loading_.fetch_sub(1) == 1) loading_.notify_all();
  for (;;) {
    taken_.wait(members_[index].ran);
    if (stop_) return;
    [[maybe_unused]] const Result<StepOutput> heard_by_on_failed = RunNext(index);
  }
}

Result<StepOutput> RankTeam::RunNext(uint32_t index) {
  Member& member = members_[index];
  Pulse* const pulse = PulseOf(index);
  Result<StepOutput> output = Unavailable("a rank of this process failed before");
  if (!failed_) {
    const Forward& forward = forwards_[member.ran % forwards_.size()];
    if (pulse != nullptr) pulse->Begin(forward.step);
    const Status ran = Guarded([&]() -> Status {
      output = RunForward(*member.executor, forward.batch);
      return output.status();
    });
    if (!ran.ok()) {
      output = ran.error();
      Fail(index, ran.error());
    }
  }
  if (pulse != nullptr) pulse->Enter(RankPhase::kIdle);
  member.ran.fetch_add(1);
  member.ran.notify_all();
  return output;
}

void RankTeam::Enqueue(uint64_t step, Batch batch) {
  const uint32_t taken = taken_;
  for (const Member& member : members_) {
    for (uint32_t ran = member.ran; taken - ran >= shape_.depth && !failed_; ran = member.ran) member.ran.wait(ran);
  }
  // Nobody looks at a forward any more; one that has no thread would be waited for in vain.
  if (failed_) {
    taken_.fetch_add(1);
    taken_.notify_all();
    return;
  }
  forwards_[taken % forwards_.size()] = {step, std::move(batch)};
  taken_.fetch_add(1);
  taken_.notify_all();
}

void RankTeam::AwaitIdle() {
  const uint32_t taken = taken_;
  for (const Member& member : members_) {
    for (uint32_t ran = member.ran; taken != ran && !failed_; ran = member.ran) member.ran.wait(ran);
  }
}

Result<RankTeam::Finished> RankTeam::Await() {
  const kernels::ScopedFlushToZero flush;
  const uint32_t ran = members_[lead_].ran;
  taken_.wait(ran);
  if (stop_) return Error{ErrorKind::kCancelled, "shutting down"};
  const uint64_t step = forwards_[ran % forwards_.size()].step;
  MRS_ASSIGN_OR_RETURN(const StepOutput output, RunNext(lead_));
  return Finished{step, output};
}

}  // namespace mrs
