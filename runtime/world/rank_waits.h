// How long the supervisor waits for what its ranks cannot be asked to hurry with, and how its threads wake each other.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>

#include "runtime/comm/fd.h"

namespace mrs {

inline constexpr std::chrono::milliseconds kShutdownWait{1000};
// Of a process with a GPU, whose driver takes its memory back first.
inline constexpr std::chrono::milliseconds kDeviceShutdownWait{10000};
inline constexpr std::chrono::milliseconds kKillWait{5000};
inline constexpr std::chrono::milliseconds kLookAgain{1000};  // where a wake-up was lost

// Where it fails all the same, whoever waits looks again after kLookAgain.
inline void Signal(const Fd& event) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event.get(), &one, sizeof(one));  // full is signalled too
}

}  // namespace mrs
