// The connections over which nodes hear that the others live, and what ends the world: beats both ways, and messages
// too small to wait behind anything.
//
//   auto lines = *Lifelines::Start(std::move(channels), {.on_message = ..., .on_lost = ..., .beat = ...});
//   lines->TellAll(wire::Encode(wire::Verdict{"rank 3 ..."}));   // any thread
//
// Of the head: one line to each node; of a node: one, to the head. A line is lost when its connection closes, when what
// comes over it is no message, or when it has been silent for kNodeSilence; a process that stood still itself (a frozen
// host) begins to count anew. Over a line of which what came was changed on the way, the other end still hears why the
// world ends. All callbacks come from one thread, on_lost once a line.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/world/channel.h"

namespace mrs {

struct LifelineCallbacks {
  std::function<void(size_t line, const Message& message)> on_message;  // all but beats without ranks, too
  std::function<void(size_t line, const std::string& why)> on_lost;     // "its connection closed"
  std::function<std::string()> beat;  // an encoded Beat, and whatever message may go with it
  std::string last_word = {};         // an encoded message to who was silent: it may still hear; "": nothing
};

class Lifelines {
 public:
  static Result<std::unique_ptr<Lifelines>> Start(std::vector<std::unique_ptr<Channel>> channels,
                                                  LifelineCallbacks callbacks);
  ~Lifelines();  // closes what is open

  // Any thread. What cannot be sent shows as a loss. A line that was lost by its silence is told, too: of a network
  // that carries one way alone, the other end hears so why the world ends.
  void Tell(size_t line, const std::string& message);
  void TellAll(const std::string& message);
  // Waits for the other ends to close, as they do after a verdict or a shutdown; true when all have.
  bool AwaitClosed(std::chrono::milliseconds limit);

 private:
  struct Line {
    std::unique_ptr<Channel> channel;
    std::mutex sending;
    std::chrono::steady_clock::time_point heard;
    std::atomic<bool> lost{false};    // nothing is heard on it any longer
    std::atomic<bool> closed{false};  // nor can anything be said
    std::atomic<bool> spoilt{
        false};  // what came was changed: the other end may hear why the world ends, and then closes
  };

  Lifelines() = default;
  void Run();
  void Hear(size_t index, std::chrono::steady_clock::time_point now);
  enum class How { kClosed, kSilent, kSpoilt };
  void Lose(size_t index, const std::string& why, How how);
  void LookForEnd(Line& line);

  std::vector<std::unique_ptr<Line>> lines_;
  LifelineCallbacks callbacks_;
  Fd wake_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace mrs
