#include "cli/answer_once.h"

#include <fmt/format.h>

#include <cmath>
#include <mutex>
#include <utility>

#include "cli/logits_file.h"
#include "formats/json.h"
#include "host/output.h"
#include "host/process.h"
#include "plans/append.h"

namespace mrs::cli {
namespace {

struct Answered {
  std::vector<int32_t> token_ids;
  std::vector<float> logprobs;
  std::string text;
  std::optional<FinishEvent> finish;
  std::optional<LogitsFile> logits;
};

const char* ReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "error";
}

// fmt writes the shortest digits that give the same f32 back.
std::string JsonLine(const Answered& answer) {
  std::string logprobs;
  for (const float logprob : answer.logprobs) {
    Append(&logprobs, "{}{}", logprobs.empty() ? "" : ",",
           std::isfinite(logprob) ? fmt::format("{}", logprob) : "null");
  }
  std::string line = fmt::format(
      R"({{"text":{},"token_ids":[{}],"logprobs":[{}],"logits_sha256":{},"finish_reason":"{}","prompt_tokens":{})",
      DumpJson(Json(answer.text)), fmt::join(answer.token_ids, ","), logprobs,
      DumpJson(Json(answer.finish->logits_sha256)), ReasonName(answer.finish->reason), answer.finish->prompt_tokens);
  if (!answer.finish->error.empty()) line += ",\"error\":" + DumpJson(Json(answer.finish->error));
  return line + "}";
}

}  // namespace

struct AnswerOnce::State {
  std::mutex mutex;
  std::vector<Answered> answers;
  size_t open_count = 0;
  bool json = false;
  bool streams = false;  // a single prompt's text goes out as it comes
  bool has_text = false;
  std::string untaken;  // of it, what has come since TakeText
  std::function<void()> on_word;
};

AnswerOnce::AnswerOnce() : state_(std::make_shared<State>()) {}
AnswerOnce::~AnswerOnce() = default;

Result<std::vector<Request>> MakeRequests(const ExecOptions& options, const text::Tokenizer* tokenizer) {
  std::vector<Request> requests;
  for (const std::string& prompt : options.prompts) {
    if (tokenizer == nullptr)
      return Refuse("--prompt needs a tokenizer and this plan has none; use --prompt-ids 1,2,3");
    MRS_ASSIGN_OR_RETURN(std::vector<int32_t> ids, text::Encode(*tokenizer, prompt, /*add_special_tokens=*/true));
    requests.push_back({.prompt = std::move(ids), .sampling = options.sampling, .goes_on = true});
  }
  for (const std::vector<int32_t>& ids : options.prompt_ids) {
    requests.push_back({.prompt = ids, .sampling = options.sampling, .goes_on = true});
  }
  for (Request& request : requests) request.sampling.logits_hash = options.json || !options.logits_out.empty();
  return requests;
}

Result<std::unique_ptr<AnswerOnce>> AnswerOnce::Submit(Session& session, const ExecOptions& options,
                                                       std::function<void()> on_word) {
  MRS_ASSIGN_OR_RETURN(std::vector<Request> requests, MakeRequests(options, session.tokenizer()));
  std::unique_ptr<AnswerOnce> once(new AnswerOnce());
  const std::shared_ptr<State> state = once->state_;
  state->answers.resize(requests.size());
  state->open_count = requests.size();
  state->json = options.json;
  state->has_text = session.tokenizer() != nullptr;
  state->streams = !options.json && requests.size() == 1 && state->has_text;
  state->on_word = std::move(on_word);
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!options.logits_out.empty()) {
      const std::string path = requests.size() == 1 ? options.logits_out : fmt::format("{}.{}", options.logits_out, i);
      MRS_ASSIGN_OR_RETURN(state->answers[i].logits, LogitsFile::Create(path));
      // Print reads the file only after the last event.
      requests[i].on_logits = [state, i](std::span<const float> row) { state->answers[i].logits->Write(row); };
    }
    const EventHandler handler = [state, i](const Event& event) {
      bool word = false;
      {
        const std::lock_guard lock(state->mutex);
        Answered& answer = state->answers[i];
        const std::string& text = event.token ? event.token->text : event.finish->text;
        answer.text += text;
        if (state->streams) state->untaken += text;
        if (event.token) {
          answer.token_ids.push_back(event.token->token.id);
          answer.logprobs.push_back(event.token->token.logprob);
        } else {
          answer.finish = event.finish;
          --state->open_count;
        }
        word = event.finish.has_value() ? state->open_count == 0 : state->streams && !text.empty();
      }
      if (word) state->on_word();
    };
    const Result<RequestId> id = session.engine().Submit(std::move(requests[i]), handler);
    if (!id.ok()) return Error{id.error().kind, fmt::format("prompt {}: {}", i, id.message())};
  }
  return once;
}

bool AnswerOnce::finished() const {
  const std::lock_guard lock(state_->mutex);
  return state_->open_count == 0;
}

std::string AnswerOnce::TakeText() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->untaken, std::string());
}

int AnswerOnce::Print(int interrupt_fd) {
  const std::lock_guard lock(state_->mutex);
  int exit_code = 0;
  const auto complain = [&exit_code](size_t i, const std::string& message) {
    Say("mrs-exec: prompt {}: {}\n", i, message);
    exit_code = 1;
  };
  std::string out = std::exchange(state_->untaken, std::string());
  for (size_t i = 0; i < state_->answers.size(); ++i) {
    Answered& answer = state_->answers[i];
    if (!answer.finish.has_value()) return 1;
    if (const Status written = answer.logits ? answer.logits->Finish() : Status(); !written.ok()) {
      complain(i, written.message());
    }
    if (state_->json) {
      out += JsonLine(answer);
    } else {
      if (state_->answers.size() > 1) out += fmt::format("--- prompt {}\n", i);
      out += state_->streams    ? ""
             : state_->has_text ? answer.text
                                : fmt::format("{}", fmt::join(answer.token_ids, ","));
    }
    out += "\n";
    if (answer.finish->reason == FinishReason::kError) complain(i, answer.finish->error);
    if (answer.finish->reason == FinishReason::kCancelled) exit_code = 1;
  }
  const Status printed = mrs::Print(out, interrupt_fd);
  return printed.ok() ? exit_code : Fail(printed.error());
}

}  // namespace mrs::cli
