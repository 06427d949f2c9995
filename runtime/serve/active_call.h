// A request that runs: submitted to the engine, its events turned into the parts of a response.
//
//   auto call = std::make_shared<ActiveCall>(state, std::move(api_call), sink);
//   call->Start();    // sink.fail, sink.whole, or sink.part ... sink.end, later and on the I/O thread
//   call->Cancel();   // the client has gone
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/serve/api_request.h"
#include "runtime/serve/api_response.h"
#include "runtime/serve/server_state.h"
#include "runtime/serve/whole_response.h"

namespace mrs::serve {

// Where the response goes: one of fail and whole, or any number of parts and then end; or, where there is no memory for
// any of it, abandon.
struct CallSink {
  std::function<void(const ApiError&)> fail;
  std::function<void(std::unique_ptr<WholeResponse>)> whole;
  std::function<void(std::string events)> part;
  std::function<void()> end;
  std::function<void()> abandon;
};

class ActiveCall : public std::enable_shared_from_this<ActiveCall> {
 public:
  ActiveCall(const std::shared_ptr<ServerState>& state, ApiCall call, CallSink sink);
  ~ActiveCall();

  void Start();
  void Cancel();  // nothing reaches the sink afterwards

 private:
  void OnEvent(size_t index, const Event& event);
  void OnFinish(size_t index, const FinishEvent& finish);
  void Fail(const ApiError& error);
  void Abandon(const std::string& why);
  void Keep(size_t index, const TokenEvent& token);

  std::weak_ptr<ServerState> state_;
  EngineHandle& engine_;
  ApiCall call_;
  ResponseHead head_;
  const text::Tokenizer* tokenizer_;
  CallSink sink_;
  ChunkWriter writer_;
  std::vector<Choice> choices_;  // not streamed: what the response will show
  std::vector<bool> finished_;
  ByteHold kept_;  // the bytes of choices_
  std::vector<RequestId> ids_;
  size_t open_count_ = 0;
  bool started_stream_ = false;
  bool done_ = false;
};

}  // namespace mrs::serve
