#include "runtime/world/heart.h"

#include <utility>

#include "host/process.h"
#include "host/thread.h"

namespace mrs {

Status Heart::Start(std::vector<Pulse*> pulses) {
  for (Pulse* pulse : pulses) pulse->Beat();
  MRS_ASSIGN_OR_RETURN(thread_, StartThread(
                                    "the beat of a rank",
                                    [this, pulses = std::move(pulses)] {
                                      std::unique_lock lock(mutex_);
                                      while (!changed_.wait_for(lock, kBeatEvery, [this] { return stop_; })) {
                                        for (Pulse* pulse : pulses) pulse->Beat();
                                      }
                                    },
                                    [](const Error& error) { EndProcess("the beat of a rank", error); }));
  return Status();
}

Heart::~Heart() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace mrs
