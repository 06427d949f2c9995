#include "runtime/serve/active_call.h"

#include <boost/asio/post.hpp>
#include <ctime>
#include <utility>

#include "host/output.h"
#include "host/process.h"

namespace mrs::serve {
namespace {

ResponseHead MakeHead(ServerState& state, bool chat) {
  return {.id = fmt::format("{}-{:016x}", chat ? "chatcmpl" : "cmpl", state.random()),
          .created = static_cast<int64_t>(std::time(nullptr)),
          .model = state.model.facts.name,
          .fingerprint = Fingerprint(state.model)};
}

// kRefused is the client's doing; kUnavailable is a failed engine, or one that is full or ends.
ApiError ApiErrorOf(const Error& error, EngineState state) {
  if (error.kind != ErrorKind::kUnavailable) return {.status = 400, .message = error.message, .param = "", .code = ""};
  const bool failed = state == EngineState::kFailed;
  return {.status = failed ? 500 : 503,
          .message = error.message,
          .param = "",
          .code = failed                            ? "engine_failed"
                  : state == EngineState::kStopping ? "shutting_down"
                                                    : "unavailable"};
}

}  // namespace

ActiveCall::ActiveCall(const std::shared_ptr<ServerState>& state, ApiCall call, CallSink sink)
    : state_(state),
      engine_(state->engine),
      call_(std::move(call)),
      head_(MakeHead(*state, call_.chat)),
      tokenizer_(state->model.facts.tokenizer),
      sink_(std::move(sink)),
      writer_(call_, head_, tokenizer_),
      choices_(call_.stream ? 0 : call_.requests.size()),
      finished_(call_.requests.size()),
      kept_(&state->answers),
      open_count_(call_.requests.size()) {}

ActiveCall::~ActiveCall() {
  if (const std::shared_ptr<ServerState> state = state_.lock()) NoteFreed(*state, kept_.bytes());
}

void ActiveCall::Start() {
  for (size_t i = 0; i < call_.requests.size(); ++i) {
    // Called from the engine's thread, perhaps after this call or even the server has gone.
    const auto handler = [state = state_, call = weak_from_this(), i](const Event& event) {
      const std::shared_ptr<ServerState> alive = state.lock();
      if (alive == nullptr) return;
      boost::asio::post(alive->io, [call, i, event] {
        const std::shared_ptr<ActiveCall> self = call.lock();
        if (self == nullptr) return;
        const Status heard = Guarded([&] { self->OnEvent(i, event); });
        if (!heard.ok()) self->Abandon(heard.message());
      });
    };
    const Result<RequestId> id = engine_.submit(call_.requests[i], handler);
    if (!id.ok()) return Fail(ApiErrorOf(id.error(), engine_.state()));
    ids_.push_back(*id);
  }
}

void ActiveCall::Cancel() {
  if (done_) return;
  done_ = true;
  for (size_t i = 0; i < ids_.size(); ++i) {
    if (!finished_[i]) engine_.cancel(ids_[i]);
  }
}

void ActiveCall::Fail(const ApiError& error) {
  if (done_) return;
  Cancel();
  sink_.fail(error);
}

// An event was lost for want of memory: an answer must not go on with a hole in it.
void ActiveCall::Abandon(const std::string& why) {
  Say("mrs-exec: HTTP: an answer ends: {}\n", why);
  Cancel();
  sink_.abandon();
}

void ActiveCall::OnEvent(size_t index, const Event& event) {
  if (done_) return;
  if (event.token.has_value()) {
    if (!call_.stream) {
      Keep(index, *event.token);
    } else {
      started_stream_ = true;
      sink_.part(writer_.OnToken(index, *event.token));
    }
  }
  if (event.finish.has_value() && !done_) OnFinish(index, *event.finish);
}

// Counted as the vectors grow.
void ActiveCall::Keep(size_t index, const TokenEvent& token) {
  Choice& choice = choices_[index];
  const size_t before = choice.bytes();
  choice.Add(token, call_);
  const size_t grown = choice.bytes() - before;
  if (grown == 0 || kept_.Resize(kept_.bytes() + grown)) return;
  Fail({.status = 503,
        .message =
            "the answers that are being kept for responses hold all the memory there is for them; try again, ask "
            "for less, or stream",
        .param = "",
        .code = "overloaded"});
}

void ActiveCall::OnFinish(size_t index, const FinishEvent& finish) {
  finished_[index] = true;
  --open_count_;
  const Fault fault = FaultOf(finish);
  // An error before the first part can still be the response's status.
  if (fault.has_value() && !started_stream_) return Fail(*fault);
  if (call_.stream) {
    started_stream_ = true;
    sink_.part(writer_.OnFinish(index, finish));
    if (fault.has_value() && !done_) {
      Cancel();
      return sink_.end();
    }
  }
  if (!call_.stream) {
    choices_[index].finish = finish;
    choices_[index].text += finish.text;
  }
  if (open_count_ > 0 || done_) return;
  done_ = true;
  if (!call_.stream) {
    return sink_.whole(std::make_unique<WholeResponse>(std::move(call_), std::move(head_), tokenizer_,
                                                       std::move(choices_), std::move(kept_)));
  }
  sink_.part(writer_.End());
  sink_.end();
}

}  // namespace mrs::serve
