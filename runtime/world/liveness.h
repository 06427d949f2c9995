// Decides from what the ranks' lines say, look by look, whether one of them is lost, hangs, or is merely slow.
//
//   Liveness liveness({.hang_after = 30s});
//   liveness.Look({.now = now, .ranks = {{.progress = Read(board.line(0)), .process = 0}, ...}})
//   // every 250 ms: nothing | rank 2 lost | rank 1 hangs, ranks 0 and 3 wait for it | rank 1 slow
//
// Two clocks a rank. No beat for `lost_after`: its process does not run (frozen, stopped, cut off). Beats, but nothing
// that gets on for `hang_after`: it hangs, unless it waits for another rank. Then that one is looked at, and so on: the
// one named is at the end of the waits. A watcher that did not look for a while was frozen itself, perhaps with all the
// others: its clocks start anew.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/world/progress_board.h"

namespace mrs {

struct LivenessLimits {
  std::chrono::milliseconds lost_after{4000};
  std::chrono::milliseconds hang_after{30000};
  std::chrono::milliseconds slow_after{10000};  // of one forward
  std::chrono::milliseconds slow_again{60000};  // between two words on it
  std::chrono::milliseconds own_gap{2000};      // between two looks, from which on the watcher was frozen itself
};

// One rank at one look.
struct RankSight {
  RankProgress progress = {};
  uint32_t process = 0;  // ranks of one process beat, and look for messages, together; its `looks` are the first rank's
  bool ended = false;    // the process has: others judge that
  bool stopped = false;  // the kernel says that the process is stopped; matters until the rank has beaten
};

struct Sight {
  std::chrono::steady_clock::time_point now = {};
  std::vector<RankSight> ranks = {};     // of the world, as numbered
  bool handing_out = false;              // a batch is on its way to the ranks: not all have been given it
  std::optional<uint32_t> awaited = {};  // the rank whose message the supervisor waits for
};

struct Finding {
  enum class Kind {
    kLost,       // `ranks`: no beat
    kUnstarted,  // `ranks`: never a beat
    kHangs,      // `ranks`: one that does not get on
    kDeaf,       // `ranks`: of one process, idle, which looks for no message
    kCircle,     // `ranks`: each waits for the next
    kMissed,     // `ranks`: one that is idle while others wait for it
    kOwes,       // `ranks`: one that is idle while the supervisor waits for its message
    kSlow,       // `ranks`: the one furthest behind of those that work; nothing is wrong
  };
  Kind kind = Kind::kLost;
  std::vector<uint32_t> ranks = {};
  std::chrono::milliseconds since{0};  // without a beat, without progress, at this step
  RankProgress progress = {};          // of ranks[0]
  std::vector<uint32_t> waiting = {};  // who waits for ranks[0], by way of others too

  bool fatal() const { return kind != Kind::kSlow; }
};

class Liveness {
 public:
  explicit Liveness(const LivenessLimits& limits) : limits_(limits) {}
  std::optional<Finding> Look(const Sight& sight);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Clocks {
    RankProgress seen;
    Time beat;   // when it was last seen to move
    Time work;   // and to get on
    Time looks;  // and its process, to look for messages or to do anything else
    Time wakes;  // and to look whether the rank that it waits for has got on
    Time step;   // when this forward was first seen
  };

  void Advance(const Sight& sight);
  std::optional<Finding> FindLost(const Sight& sight) const;
  std::optional<Finding> FindHang(const Sight& sight) const;
  std::optional<Finding> FindDeaf(const Sight& sight) const;
  std::optional<Finding> FindSlow(const Sight& sight);
  Finding Make(Finding::Kind kind, std::vector<uint32_t> ranks, Time since, const Sight& sight) const;
  bool AllIdle(const Sight& sight, std::optional<uint32_t> process) const;

  const LivenessLimits limits_;
  std::optional<Time> last_look_;
  std::optional<Time> last_slow_;
  std::optional<uint32_t> awaited_;
  Time awaited_since_;
  std::vector<Clocks> clocks_;
};

}  // namespace mrs
