// `mrs-exec -i`: a conversation, line by line. What was said stays; an answer that is stopped stays as far as it came.
//
//   MRS_ASSIGN_OR_RETURN(auto chat, Chat::Start(session, options, on_word));
//   chat->Hear("Hi");             // kAnswers: the model answers; on_word is called from its thread when there is more
//   Print(chat->Take());          // what there is to show
//   chat->StopAnswer();           // Ctrl-C
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cli/exec_options.h"
#include "cli/session.h"
#include "plans/status.h"

namespace mrs::cli {

inline constexpr size_t kMaxLineBytes = 1 << 20;

class Chat {
 public:
  // Refuses a model without a chat template or a tokenizer.
  static Result<std::unique_ptr<Chat>> Start(Session& session, const ExecOptions& options,
                                             std::function<void()> on_word);
  ~Chat();

  enum class Heard { kAnswers, kDone, kEnd };
  // A line without its end: a command such as \exit, or what is to be answered. Not while an answer is under way.
  Heard Hear(std::string_view line);
  // What there is to show since the last call; `ended`: the answer has, and belongs to the conversation now.
  std::string Take(bool* ended);
  void StopAnswer();
  // Why no answer will come any more; "": nothing is wrong.
  const std::string& failure() const;

 private:
  struct State;
  explicit Chat(Session& session);
  void Ask(std::string_view line);

  Session& session_;
  std::shared_ptr<State> state_;  // the handlers' too
};

// Lines out of what a descriptor gives, as it comes; the last may lack its end.
class LineReader {
 public:
  // Reads once; false at the end of the input, after which Next gives what is left.
  Result<bool> Read(int descriptor);
  // False: no whole line is there. A line past kMaxLineBytes is cut to what `too_long` says.
  bool Next(std::string* line, bool* too_long);

 private:
  std::string held_;
  bool ended_ = false;
  bool dropping_ = false;  // the rest of a line that is too long
};

}  // namespace mrs::cli
