// The part of a connection that answers: what is known at once, and what the engine has to say.
#include <boost/asio/post.hpp>
#include <ctime>
#include <utility>

#include "runtime/serve/http_session.h"

namespace mrs::serve {
namespace {

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
  struct Translated {
    std::string body;
    ApiCall call;
    Fault fault;
  };
  const auto made = std::make_shared<Translated>();
  made->body = std::move(parser_->get().body());
  auto work = [weak = weak_from_this(), state = &state_, made, chat, seed = state_.random()] {
    const Status translated = Guarded([&] {
      made->fault = chat ? ParseChatCall(state->model, made->body, seed, &made->call)
                         : ParseCompletionCall(state->model, made->body, seed, &made->call);
      made->body = std::string();
    });
    const auto answer = [weak, made, error = translated.ok() ? "" : translated.message()] {
      const std::shared_ptr<HttpSession> self = weak.lock();
      if (self == nullptr || self->phase_ != Phase::kBusy) return;
      self->OrClose([&] {
        if (!error.empty()) {
          made->fault = ApiError{
              .status = 500, .message = fmt::format("the request cannot be read: {}", error), .param = "", .code = ""};
        }
        if (made->fault.has_value()) return self->Reply(ErrorReply(*made->fault));
        self->Run(std::move(made->call));
      });
    };
    boost::asio::post(state->io, answer);
  };
  boost::asio::post(state_.translator, std::move(work));
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
  sink.whole = [with_session](std::string body) {
    with_session([&](HttpSession& self) {
      if (!self.streaming_) return self.Reply({.status = 200, .body = std::move(body)});
      self.StreamPart(body);
      self.EndStream();
    });
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
}

// Without chunks (HTTP/1.0) the end of the connection is the answer's, whatever the client said of keeping it.
void HttpSession::OpenStream() {
  streaming_ = true;
  keep_alive_ = keep_alive_ && chunked_;
  Send(WriteStreamHead(events_, chunked_, {.keep_alive = keep_alive_, .date = HttpDate(std::time(nullptr))}));
}

void HttpSession::StreamPart(const std::string& part) {
  constexpr size_t kMaxBacklogBytes = size_t{16} << 20;  // of a client that does not keep up
  if (!streaming_) OpenStream();
  if (outgoing_.size() > kMaxBacklogBytes) return Close();
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
