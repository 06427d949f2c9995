// The part of a connection that answers: what is known at once, and what the engine has to say.
#include <boost/asio/post.hpp>
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

HttpReply JsonReply(const Json& body, int status = 200) {
  return HttpReply{.status = status, .body = DumpJson(body), .allow = ""};
}

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

}  // namespace

void HttpSession::AnswerAtOnce(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kOptions:
      return Reply({.status = 204, .body = "", .allow = routed_.allow});
    case Endpoint::kHealth:
      return Reply(HealthReply(state_.engine.state()));
    case Endpoint::kVersion:
      return Reply(JsonReply(Json::object({{"version", MRS_VERSION}})));
    case Endpoint::kModels: {
      Json body = Json::object();
      body["object"] = "list";
      body["data"] = Json::array();
      body["data"].push_back(ModelJson(state_.model));
      return Reply(JsonReply(body));
    }
    case Endpoint::kModel:
      return Reply(ModelReply(state_.model, routed_.model_id));
    case Endpoint::kChat:
    case Endpoint::kCompletions:
    case Endpoint::kNone:
      break;
  }
  MRS_CHECK(false);
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
  sink.fail = [with_session](const ApiError& error) {
    with_session([&](HttpSession& self) { self.Reply(ErrorReply(error)); });
  };
  sink.whole = [with_session](std::string body) {
    with_session([&](HttpSession& self) { self.Reply({.status = 200, .body = std::move(body), .allow = ""}); });
  };
  sink.part = [with_session](const std::string& events) {
    with_session([&](HttpSession& self) { self.StreamPart(events); });
  };
  sink.end = [with_session] { with_session([](HttpSession& self) { self.EndStream(); }); };
  sink.abandon = [with_session] { with_session([](HttpSession& self) { self.Close(); }); };
  const auto active = std::make_shared<ActiveCall>(state, std::move(call), std::move(sink));
  call_ = active;
  active->Start();
}

void HttpSession::StreamPart(const std::string& events) {
  constexpr size_t kMaxBacklogBytes = size_t{16} << 20;  // of a client that does not keep up
  if (!streaming_) {
    streaming_ = true;
    keep_alive_ = keep_alive_ && chunked_;
    Send(WriteStreamHead(chunked_, keep_alive_));
  }
  if (outgoing_.size() > kMaxBacklogBytes) return Close();
  Send(chunked_ ? WriteChunk(events) : events);
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
