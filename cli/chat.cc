#include "cli/chat.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "formats/json.h"
#include "runtime/serve/api_model.h"
#include "runtime/serve/api_request.h"

namespace mrs::cli {
namespace {

constexpr std::string_view kHelp =
    "\\help shows this, \\clear forgets the conversation, \\system TEXT does, too, and tells the model TEXT first, "
    "\\exit "
    "or Ctrl-D ends; Ctrl-C stops an answer\n";

Json Message(std::string_view role, std::string_view content) {
  return Json::object({{"role", std::string(role)}, {"content", std::string(content)}});
}

}  // namespace

struct Chat::State {
  // Of the main thread.
  serve::ApiModel model;
  Json sampling = Json::object();  // what the command line says of it
  bool ignore_eos = false;
  Json messages = Json::array();
  bool answering = false;
  std::string to_show;
  std::string failure;

  std::function<void()> on_word;
  std::mutex mutex;  // of what follows
  RequestId request = 0;
  std::string untaken;
  std::string answer;
  std::optional<FinishEvent> finish;
};

Chat::Chat(Session& session) : session_(session), state_(std::make_shared<State>()) {}
Chat::~Chat() = default;

Result<std::unique_ptr<Chat>> Chat::Start(Session& session, const ExecOptions& options, std::function<void()> on_word) {
  std::unique_ptr<Chat> chat(new Chat(session));
  State& state = *chat->state_;
  state.model = serve::MakeApiModel(session.served_model());
  if (!state.model.chat) return Refuse("-i: {}; continue a text with --prompt", state.model.chat_refusal);
  state.on_word = std::move(on_word);
  state.ignore_eos = options.sampling.ignore_eos;
  const SamplingParams& said = options.sampling;
  if (options.sampling_given.contains("--temperature")) state.sampling["temperature"] = said.temperature;
  if (options.sampling_given.contains("--top-k")) state.sampling["top_k"] = said.top_k;
  if (options.sampling_given.contains("--top-p")) state.sampling["top_p"] = said.top_p;
  if (options.sampling_given.contains("--seed")) state.sampling["seed"] = said.seed;
  if (options.sampling_given.contains("--max-tokens")) state.sampling["max_tokens"] = said.max_tokens;
  if (options.sampling_given.contains("--stop")) state.sampling["stop"] = options.stops;
  return chat;
}

Chat::Heard Chat::Hear(std::string_view line) {
  State& state = *state_;
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  while (line.starts_with(' ')) line.remove_prefix(1);
  if (line.empty()) return Heard::kDone;
  if (!line.starts_with('\\')) {
    Ask(line);
    return state.answering ? Heard::kAnswers : Heard::kDone;
  }
  constexpr std::string_view kSystem = "\\system ";
  if (line == "\\exit") return Heard::kEnd;
  if (line == "\\help") {
    state.to_show += kHelp;
  } else if (line == "\\clear" || line.starts_with(kSystem)) {
    state.messages = Json::array();
    if (line.starts_with(kSystem)) state.messages.push_back(Message("system", line.substr(kSystem.size())));
  } else {
    state.to_show += fmt::format("{}: there is no such command; {}", line.substr(0, line.find(' ')), kHelp);
  }
  return Heard::kDone;
}

void Chat::Ask(std::string_view line) {
  State& state = *state_;
  state.messages.push_back(Message("user", line));
  Json body = state.sampling;
  body["messages"] = state.messages;
  serve::ApiCall call;
  const serve::Fault fault = serve::ParseChatCall(state.model, DumpJson(body), std::random_device()(), &call);
  std::string wrong = fault ? fault->message : "";
  if (!fault) {
    call.requests[0].sampling.ignore_eos = state.ignore_eos;
    {
      const std::lock_guard lock(state.mutex);
      state.answer.clear();
      state.finish.reset();
    }
    const EventHandler handler = [held = state_](const Event& event) {
      {
        const std::lock_guard lock(held->mutex);
        const std::string& text = event.token ? event.token->text : event.finish->text;
        held->untaken += text;
        held->answer += text;
        if (event.finish) held->finish = event.finish;
      }
      held->on_word();
    };
    const Result<RequestId> id = session_.engine().Submit(std::move(call.requests[0]), handler);
    if (id.ok()) {
      state.request = *id;
      state.answering = true;
      return;
    }
    wrong = id.message();
    if (id.error().kind == ErrorKind::kUnavailable) state.failure = wrong;
  }
  // The conversation is as it was: a shorter line may go, or a new conversation.
  state.messages.erase(state.messages.size() - 1);
  state.to_show += fmt::format("not sent: {}; \\clear begins anew\n", wrong);
}

std::string Chat::Take(bool* ended) {
  State& state = *state_;
  std::string text = std::exchange(state.to_show, "");
  const std::lock_guard lock(state.mutex);
  text += std::exchange(state.untaken, "");
  *ended = state.answering && state.finish.has_value();
  if (!*ended) return text;
  state.answering = false;
  state.messages.push_back(Message("assistant", state.answer));
  text += "\n";
  if (state.finish->reason == FinishReason::kError) state.failure = state.finish->error;
  return text;
}

void Chat::StopAnswer() {
  if (state_->answering) session_.engine().Cancel(state_->request);
}

const std::string& Chat::failure() const { return state_->failure; }

Result<bool> LineReader::Read(int descriptor) {
  char bytes[4096];
  const ssize_t count = read(descriptor, bytes, sizeof(bytes));
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (count < 0 && errno == EIO) return false;  // a terminal that is gone
  if (count < 0) return Unavailable("standard input: cannot be read: {}", std::strerror(errno));
  held_.append(bytes, static_cast<size_t>(count));
  if (count > 0) return true;
  ended_ = true;
  return false;
}

bool LineReader::Next(std::string* line, bool* too_long) {
  *too_long = false;
  const size_t end = held_.find('\n');
  if (end == held_.npos && !(ended_ && (!held_.empty() || dropping_))) {
    if (held_.size() > kMaxLineBytes) {
      dropping_ = true;
      held_.clear();
    }
    return false;
  }
  *line = held_.substr(0, end);
  held_.erase(0, end == held_.npos ? held_.size() : end + 1);
  *too_long = std::exchange(dropping_, false) || line->size() > kMaxLineBytes;
  return true;
}

}  // namespace mrs::cli
