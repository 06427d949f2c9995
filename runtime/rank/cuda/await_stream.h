// Waits for a stream whose work may wait for other ranks, looking around meanwhile; and tells of such a wait where
// nobody says whom it is for.
//
//   QuietWait wait(pulse, /*neighbour=*/2);
//   return AwaitStream(*device, [&] { wait.Look(); return comm.Error(); });
#pragma once

#include <chrono>
#include <thread>
#include <utility>

#include "plans/status.h"
#include "runtime/comm/pulse.h"

namespace mrs {

// A Stream is a Device, but for tests. `look` is called now and then, and once it is done; its error ends the wait, and
// is returned.
template <typename Stream, typename Look>
Status AwaitStream(Stream& stream, const Look& look) {
  using std::chrono::steady_clock;
  constexpr int kAsksALook = 200;
  constexpr std::chrono::milliseconds kSpin{10};  // a decode; who waits for longer leaves the core to others
  constexpr std::chrono::microseconds kPause{50};
  const steady_clock::time_point spins_until = steady_clock::now() + kSpin;
  for (bool is_done = false; !is_done;) {
    for (int asked = 0; asked < kAsksALook && !is_done; ++asked) {
      MRS_ASSIGN_OR_RETURN(is_done, stream.IsDone());
      if (is_done) break;
      if (steady_clock::now() < spins_until) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kPause);
      }
    }
    MRS_RETURN_IF_ERROR(look());
  }
  return stream.Finish();
}

// A stream that has not got on for a while waits for another rank, or hangs by itself. One of the others is told of: of
// ranks that tell so of each other, the one that does not look around keeps them, and where all do, none is known to.
class QuietWait {
 public:
  // Longer than the steps between two marks take.
  static constexpr std::chrono::milliseconds kQuiet{250};
  // `pulse`: borrowed; null: nobody looks.
  QuietWait(Pulse* pulse, int neighbour, std::chrono::milliseconds quiet = kQuiet)
      : pulse_(pulse), neighbour_(neighbour), quiet_(quiet) {}
  ~QuietWait() { GetsOn(); }
  QuietWait(const QuietWait&) = delete;

  void GetsOn() {
    since_ = Clock::now();
    if (std::exchange(is_told_, false)) pulse_->WaitOver();
  }
  void Look() {
    if (pulse_ == nullptr || Clock::now() - since_ < quiet_) return;
    pulse_->WaitFor(neighbour_);
    is_told_ = true;
  }

 private:
  using Clock = std::chrono::steady_clock;

  Pulse* const pulse_;
  const int neighbour_;
  const std::chrono::milliseconds quiet_;
  Clock::time_point since_ = Clock::now();
  bool is_told_ = false;
};

}  // namespace mrs
