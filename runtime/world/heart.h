// The thread of a rank process that does nothing else than say that the process runs.
//
//   Heart heart;
//   MRS_RETURN_IF_ERROR(heart.Start({&pulse_of_rank_0, &pulse_of_rank_1}));   // beats at once, then every 250 ms
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/pulse.h"

namespace mrs {

inline constexpr std::chrono::milliseconds kBeatEvery{250};

class Heart {
 public:
  Heart() = default;
  ~Heart();
  Heart(const Heart&) = delete;
  Heart& operator=(const Heart&) = delete;

  // Once. The pulses outlive the heart.
  Status Start(std::vector<Pulse*> pulses);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace mrs
