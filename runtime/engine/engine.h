// Runs requests: one thread that schedules, sends batches to the ranks, samples, and tells each request's handler.
//
//   Engine engine(*MakeEngineConfig(plan, /*chunk=*/256, tokenizer), ranks);
//   engine.Submit({.prompt = ids, .sampling = {.max_tokens = 16}}, [](const Event& event) { ... });
//
// A request heard once is always answered with exactly one Finish: by its end, by Cancel, by a failure, or by Stop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/engine/answer.h"
#include "runtime/engine/request.h"
#include "runtime/engine/sampler.h"
#include "runtime/engine/scheduler.h"
#include "runtime/engine/served_model.h"
#include "runtime/rank/executor.h"

namespace mrs {

// What the engine needs of the plan, and nothing else of it.
struct EngineConfig {
  SamplerShape shape;
  SchedulerLimits limits;
  uint32_t max_len = 0;
  uint32_t table_stride = 0;  // ceil(max_len / 32)
  std::vector<int32_t> eos;
  const text::Tokenizer* tokenizer = nullptr;  // borrowed; null: token ids only
  // Of all requests that have not finished, waiting ones included. What is past them is refused for now.
  size_t max_open_requests = 4096;
  size_t max_open_prompt_tokens = size_t{16} << 20;
};

// `chunk`: prompt tokens of one sequence in one forward. Refuses a plan that this engine cannot run.
Result<EngineConfig> MakeEngineConfig(const plan::Plan& plan, uint32_t chunk, const text::Tokenizer* tokenizer);

// The ranks as the engine sees them; called from its thread. An error of any is final.
struct EngineRanks {
  std::function<Status()> await_ready;                    // returns when all have loaded
  std::function<Status(uint64_t, const Batch&)> enqueue;  // step number, from 1; the batch is copied
  std::function<Result<StepOutput>()> await;              // of the oldest step; valid until the next await
};

class Engine {
 public:
  // `on_failed` hears the one message of a failure, from the engine's thread, after all requests heard it. Where no
  // thread can be started, this is the failure, heard before the constructor returns.
  Engine(EngineConfig config, EngineRanks ranks, std::function<void(const std::string&)> on_failed = {});
  ~Engine();  // Stop
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // As EngineHandle states them.
  Result<RequestId> Submit(Request request, EventHandler handler);
  void Cancel(RequestId id);
  EngineState state() const { return state_; }

  // A rank was lost while nobody waited for it: ends every request with this error, and refuses new ones.
  void Fail(const std::string& message);
  // Ends every request as cancelled and the thread with them; what the ranks are doing is waited for.
  void Stop();
  // The same without waiting; errors from now on are part of the end. `why` is told to those whose requests end.
  void RequestStop(const std::string& why = "");

 private:
  struct Submission {
    RequestId id;
    Request request;
    EventHandler handler;
  };

  Status Check(const Request& request) const;
  void Loop();
  bool TakeWork();  // false: time to end
  void Admit(Submission& submission);
  void FinishAll(FinishReason reason, const std::string& error);
  // A forward that the ranks have and that was not awaited.
  struct Flight {
    uint64_t step = 0;
    Variant variant = Variant::kCandidates;
    uint32_t row_count = 0;  // that want logits
    std::vector<Piece> pieces;
  };

  Status Step();
  void BuildBatch(const Forward& forward);
  void Sample(const Flight& flight, const StepOutput& output);
  Result<bool> Choose(Answer& answer, const Flight& flight, const StepOutput& output, uint32_t row);
  void Remove(RequestId id);
  void Remove(RequestId id, size_t prompt_tokens);

  const EngineConfig config_;
  const EngineRanks ranks_;
  const std::function<void(const std::string&)> on_failed_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Submission> submitted_;  // guarded by mutex_, as the next seven
  std::vector<RequestId> cancelled_;
  std::string failure_;
  bool stop_ = false;
  std::string stop_reason_;
  size_t open_count_ = 0;  // requests that have not finished
  size_t open_prompt_tokens_ = 0;
  RequestId next_id_ = 1;
  std::atomic<EngineState> state_{EngineState::kLoading};

  // Of the engine's thread alone.
  Scheduler scheduler_;
  std::map<RequestId, Answer> answers_;
  std::deque<Flight> under_way_;  // oldest first
  Batch batch_;
  std::vector<float> joined_;
  uint64_t step_ = 0;

  std::thread thread_;  // starts when all else is there
};

// The calls of an engine as its front ends take them; the engine must outlive the handle.
EngineHandle MakeEngineHandle(Engine& engine, ServedModel model);

}  // namespace mrs
