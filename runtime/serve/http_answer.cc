// The part of a connection that answers: what is known at once, and what the engine has to say.
#include <boost/asio/post.hpp>
#include <ctime>
#include <utility>

#include "runtime/serve/http_session.h"

namespace mrs::serve {
namespace {

constexpr size_t kTreeBytes = 8;  // of memory for a byte of JSON, where it is all brackets and numbers

Json ModelJson(const ApiModel& model) {
  Json json = Json::object();
  json["id"] = model.facts.name;
  json["object"] = "model";
  json["created"] = 0;  // a plan has no clock
  json["owned_by"] = "mrs";
  json["max_model_len"] = model.facts.max_len;
  json["plan_sha256"] = model.facts.plan_sha256;
  return json;
}

HttpReply JsonReply(const Json& body, int status = 200) { return HttpReply{.status = status, .body = DumpJson(body)}; }

HttpReply HealthReply(EngineState state) {
  switch (state) {
    case EngineState::kReady:
      return JsonReply(Json::object({{"status", "ready"}}));
    case EngineState::kLoading:
      return JsonReply(Json::object({{"status", "loading"}}), 503);
    case EngineState::kStopping:
      return JsonReply(Json::object({{"status", "stopping"}}), 503);
    case EngineState::kFailed:
      break;
  }
  return JsonReply(Json::object({{"status", "failed"}}), 500);
}

HttpReply ModelReply(const ApiModel& model, const std::string& id) {
  if (id == model.facts.name) return JsonReply(ModelJson(model));
  return ErrorReply({.status = 404,
                     .message = fmt::format("model {} is not served here; this server has {}", DescribeJson(Json(id)),
                                            DescribeJson(Json(model.facts.name))),
                     .param = "model",
                     .code = "model_not_found"});
}

HttpReply KnownReply(const ServerState& state, const Routed& routed) {
  switch (routed.endpoint) {
    case Endpoint::kOptions:
      return {.status = 204, .body = "", .fields = routed.fields};
    case Endpoint::kHealth:
      if (state.draining) return JsonReply(Json::object({{"status", "draining"}}), 503);
      return HealthReply(state.engine.state());
    case Endpoint::kVersion:
      return JsonReply(Json::object({{"version", MRS_VERSION}}));
    case Endpoint::kModels: {
      Json body = Json::object();
      body["object"] = "list";
      body["data"] = Json::array();
      body["data"].push_back(ModelJson(state.model));
      return JsonReply(body);
    }
    case Endpoint::kModel:
      return ModelReply(state.model, routed.model_id);
    case Endpoint::kChat:
    case Endpoint::kCompletions:
    case Endpoint::kNone:
      break;
  }
  MRS_CHECK(false);
}

}  // namespace

void HttpSession::AnswerAtOnce() {
  HttpReply reply = KnownReply(state_, routed_);
  if (reply.status == 200 && routed_.conditional == 304) reply = {.status = 304, .body = ""};
  if (reply.status == 200 && routed_.conditional == 412) {
    reply = ErrorReply({.status = 412,
                        .message = "If-Match: what is served here has no entity tags; leave it out",
                        .param = "",
                        .code = "precondition_failed"});
  }
  Reply(reply);
}

// On the other thread: a long prompt must not keep other clients waiting for their tokens.
void HttpSession::Translate(bool chat) {
  translation_ =
      std::make_shared<Translation>(std::move(parser_->get().body()), std::move(body_hold_), chat, state_.random());
  auto work = [weak = weak_from_this(), state = &state_, made = translation_] {
    if (!made->TakeUp()) return;
    ++state->translated;
    if (!made->Run(state->model)) ++state->given_up;
    if (made->body_bytes() > state->options.free_bytes) NoteFreed(*state, made->body_bytes() * kTreeBytes);
    boost::asio::post(state->io, [weak, made] {
      const std::shared_ptr<HttpSession> self = weak.lock();
      if (self == nullptr || self->translation_ != made) return;
      self->OrClose([&] {
        self->translation_.reset();
        if (made->out_of_memory) return self->Reply(ErrorReply(OutOfMemory()));
        if (made->fault.has_value()) return self->Reply(ErrorReply(*made->fault));
        self->Run(std::move(made->call));
      });
    });
  };
  if (translation_->body_bytes() <= state_.options.free_bytes) {
    boost::asio::post(state_.translator, std::move(work));
  } else {
    state_.large_translations.push_back(std::move(work));
    PostLarge(state_);
  }
}

void HttpSession::Run(ApiCall call) {
  const std::shared_ptr<ServerState> state = weak_state_.lock();
  if (state == nullptr) return;
  // The call may outlive its turn on this connection by an event; `weak` and `call_` guard what it reaches.
  const auto with_session = [weak = weak_from_this()](auto action) {
    const std::shared_ptr<HttpSession> self = weak.lock();
    if (self != nullptr && self->phase_ == Phase::kBusy) action(*self);
  };
  CallSink sink;
  sink.fail = [with_session](const ApiError& error) { with_session([&](HttpSession& self) { self.FailCall(error); }); };
  sink.whole = [with_session](std::unique_ptr<WholeResponse> response) {
    with_session([&](HttpSession& self) { self.ReplyWhole(std::move(response)); });
  };
  sink.part = [with_session](const std::string& events) {
    with_session([&](HttpSession& self) { self.StreamPart(events); });
  };
  sink.end = [with_session] { with_session([](HttpSession& self) { self.EndStream(); }); };
  sink.abandon = [with_session] { with_session([](HttpSession& self) { self.Close(); }); };
  events_ = call.stream;
  const auto active = std::make_shared<ActiveCall>(state, std::move(call), std::move(sink));
  call_ = active;
  active->Start();
  if (client_ended_) Probe();
  if (events_ && call_ != nullptr) {
    last_part_ = std::chrono::steady_clock::now();
    KeepAlive();
  }
}

// Without chunks (HTTP/1.0) the end of the connection is the answer's, whatever the client said of keeping it.
void HttpSession::OpenStream() {
  streaming_ = true;
  keep_alive_ = keep_alive_ && chunked_;
  Send(WriteStreamHead(events_, chunked_, {.keep_alive = keep_alive_, .date = HttpDate(std::time(nullptr))}));
}

void HttpSession::StreamPart(const std::string& part) {
  if (!streaming_) OpenStream();
  last_part_ = std::chrono::steady_clock::now();
  // Of a client that does not keep up, and of all that do not.
  const size_t backlog = outgoing_.size() + writing_.size() - written_;
  if (outgoing_.size() > state_.options.max_backlog_bytes ||
      !backlog_hold_.Resize(backlog > state_.options.free_bytes ? backlog - state_.options.free_bytes : 0)) {
    return Close();
  }
  Send(chunked_ ? WriteChunk(part) : part);
}

// A status that is out cannot be taken back: then events end with an error, and a JSON text, which is the error's, does
// not end as it should.
void HttpSession::FailCall(const ApiError& error) {
  if (!streaming_) return Reply(ErrorReply(error));
  if (events_) {
    StreamPart("data: " + ErrorBody(error) + "\n\n");
    return EndStream();
  }
  StreamPart(ErrorBody(error));
  chunked_ = keep_alive_ = false;
  EndStream();
}

// Whether a client that sends no more still listens.
void HttpSession::Probe() {
  if (phase_ != Phase::kBusy || call_ == nullptr) return;
  if (!streaming_) {
    OpenStream();
  } else if (writing_.empty()) {  // else it is being written to anyway
    StreamPart(events_ ? ":\n\n" : " ");
  }
  next_probe_.expires_after(state_.options.probe_interval);
  next_probe_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const std::shared_ptr<HttpSession> self = weak.lock();
    if (!error && self != nullptr) self->OrClose([&] { self->Probe(); });
  });
}

// Something for proxies and clients that give up on a connection in which nothing moves: behind other requests, or in a
// long prompt, the first token may take a while.
void HttpSession::KeepAlive() {
  if (phase_ != Phase::kBusy || call_ == nullptr || !events_) return;
  const auto next = last_part_ + state_.options.keep_alive;
  if (std::chrono::steady_clock::now() >= next) {
    if (writing_.empty()) StreamPart(":\n\n");
    last_part_ = std::chrono::steady_clock::now();
  }
  next_keep_alive_.expires_at(last_part_ + state_.options.keep_alive);
  next_keep_alive_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const std::shared_ptr<HttpSession> self = weak.lock();
    if (!error && self != nullptr) self->OrClose([&] { self->KeepAlive(); });
  });
}

// What fits into one piece is sent with its length. The rest of a longer one is made as the client takes it.
void HttpSession::ReplyWhole(std::unique_ptr<WholeResponse> response) {
  std::string first = response->Next(kPieceBytes);
  if (response->done() && !streaming_) return Reply({.status = 200, .body = std::move(first)});
  call_.reset();
  whole_ = std::move(response);
  since_ = std::chrono::steady_clock::now();
  if (!streaming_) OpenStream();
  WritePiece(first);
}

void HttpSession::WritePiece(const std::string& piece) {
  if (whole_->done()) DropWhole();
  reply_complete_ = whole_ == nullptr;
  Send(chunked_ ? WriteChunk(piece) + std::string(reply_complete_ ? kLastChunk : "") : piece);
}

void HttpSession::DropWhole() {
  if (whole_ == nullptr) return;
  NoteFreed(state_, whole_->kept_bytes());
  whole_.reset();
}

void HttpSession::EndStream() {
  call_.reset();
  reply_complete_ = true;
  if (chunked_) {
    Send(kLastChunk);
  } else if (writing_.empty()) {
    Linger();
  }
}

}  // namespace mrs::serve
