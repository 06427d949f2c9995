// The rank processes as their supervisor sees them: started, met, watched, asked for a forward, ended; none outlives
// it.
//
//   MRS_ASSIGN_OR_RETURN(auto world, RankWorld::Start(opened, options, {.on_lost = ..., .on_progress = ...}));
//   MRS_RETURN_IF_ERROR(world->AwaitReady());
//   MRS_RETURN_IF_ERROR(world->Enqueue(1, batch));
//   MRS_ASSIGN_OR_RETURN(const StepOutput output, world->Await());
//
// Start, Stop and the destructor are one thread's, AwaitReady, Enqueue and Await another's (or the same).
// A rank that dies is noticed by the end of its socket, whether or not anyone waits for it; the others are killed, all
// are reaped, and on_lost hears one message that names the rank. After that every call returns this message.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/rank/executor.h"
#include "runtime/world/channel.h"
#include "runtime/world/verdict.h"
#include "runtime/world/wire.h"

namespace mrs {

struct RankOptions {
  std::string plan_path;
  std::string model_dir;
  wire::Transport transport = wire::Transport::kLocal;
  uint32_t threads = 1;                      // per rank
  uint8_t isa = 0;                           // kernels::Isa
  std::chrono::milliseconds timeout{60000};  // without an answer, of every wait
  std::string program = "/proc/self/exe";
};

struct RankCallbacks {
  std::function<void(const std::string&)> on_lost;      // once, from the watching thread
  std::function<void(uint64_t, uint64_t)> on_progress;  // bytes read and to be read, all ranks; from AwaitReady
};

class RankWorld {
 public:
  // Starts all rank processes and tells them what to be; ends the ignoring of SIGCHLD. The calling thread must live as
  // long as they do: the kernel ends them with it. `opened` must outlive the world.
  static Result<std::unique_ptr<RankWorld>> Start(const OpenedPlan& opened, const RankOptions& options,
                                                  RankCallbacks callbacks);
  ~RankWorld();  // Stop
  RankWorld(const RankWorld&) = delete;
  RankWorld& operator=(const RankWorld&) = delete;

  // Compares every rank with this process, brings them together, and returns when all have loaded.
  Status AwaitReady();
  // Hands a forward to all ranks. As many as the plan has stages may be under way.
  Status Enqueue(uint64_t step, const Batch& batch);
  // The result of the oldest forward under way, valid until the next call.
  Result<StepOutput> Await();
  // Any thread: AwaitReady gives up now, Enqueue and Await within two seconds.
  void Interrupt();
  // Asks all ranks to end, kills those that do not within a second, and reaps all.
  void Stop();

  std::vector<int> pids() const;
  std::string phase();  // "while loading weights", "at step 57"; any thread

 private:
  struct Process {
    uint32_t first_rank = 0;
    uint32_t rank_count = 0;
    int pid = -1;
    bool reaped = false;  // of the watching thread, then of Stop
    std::unique_ptr<Channel> channel = nullptr;
  };
  struct Incoming {
    size_t process = 0;
    Message message;
  };

  RankWorld(const OpenedPlan& opened, const RankOptions& options, RankCallbacks callbacks);
  Status Spawn();  // rank_world.cc
  Status Meet();   // rank_meeting.cc, as AwaitReady
  Status Load();
  // rank_running.cc, as Enqueue and Await. The next message of any rank; a Failure, a lost rank and silence until the
  // deadline end the world. The silence is reported for process `awaited`.
  enum class Waiting { kForStart, kForStep };
  Result<Incoming> Next(size_t awaited, Waiting waiting, Deadline deadline);
  // rank_watch.cc.
  Error AwaitVerdict();
  Error Report(uint32_t rank, ErrorKind kind, std::string message);  // a cause; returns the verdict
  void HearFailures();  // takes what has arrived; other messages of a broken world are dropped
  std::optional<std::string> verdict();
  void Watch();
  void Break(const std::string& verdict);
  void SetPhase(std::string phase);

  const OpenedPlan& opened_;
  const RankOptions options_;
  const RankCallbacks callbacks_;
  std::vector<Process> processes_;
  size_t answering_ = 0;            // which of them gives the results
  std::deque<uint64_t> under_way_;  // steps, oldest first
  bool spin_ = false;               // cores enough for the supervisor to wait awake

  Fd wake_watcher_;  // eventfd: something for the watching thread
  Fd broken_event_;  // eventfd, readable once there is a verdict or an interruption
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> stopping_{false};

  std::mutex mutex_;
  std::condition_variable judged_;
  std::vector<wire::Failure> failures_;  // guarded by mutex_, as the next two
  std::string phase_;
  std::optional<std::string> verdict_;

  std::thread watcher_;
};

}  // namespace mrs
