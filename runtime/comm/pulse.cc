#include "runtime/comm/pulse.h"

#include <time.h>

namespace mrs {
namespace {

// One unit of work. The thread that beats needs a millisecond in a minute.
constexpr uint64_t kWorkMs = 20;

uint64_t ProcessorMs() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return static_cast<uint64_t>(spent.tv_sec) * 1000 + static_cast<uint64_t>(spent.tv_nsec) / 1000000;
}

}  // namespace

Pulse::Counter* Pulse::AddCounter() {
  const std::lock_guard lock(mutex_);
  return &places_.emplace_back().count;
}

void Pulse::Beat() {
  const auto phase = static_cast<RankPhase>(line_->phase.load(std::memory_order_relaxed));
  const uint64_t now_ms = ProcessorMs();
  if (phase != RankPhase::kStarting && phase != RankPhase::kLoading) {
    spent_ms_ = now_ms;
  } else if (now_ms - spent_ms_ >= kWorkMs) {
    spent_ms_ = now_ms;
    ++spent_work_;
  }
  uint64_t work = spent_work_ + own_.count.load(std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    for (const Place& place : places_) work += place.count.load(std::memory_order_relaxed);
  }
  Set(line_->work, work);
  Set(line_->beat, line_->beat.load(std::memory_order_relaxed) + 1);
}

}  // namespace mrs
