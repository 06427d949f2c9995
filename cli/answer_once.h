// `mrs-exec --prompt`: answers the prompts of the command line, as one batch, and says how it went.
//
//   MRS_ASSIGN_OR_RETURN(auto once, AnswerOnce::Submit(session, options, on_word));
//   while (!once->finished()) { wait for word; mrs::Print(once->TakeText()); }
//   return once->Print();   // the exit code
#pragma once

#include <functional>
#include <memory>

#include "cli/exec_options.h"
#include "cli/session.h"
#include "plans/status.h"

namespace mrs::cli {

// The prompts as requests: texts first, then ids.
Result<std::vector<Request>> MakeRequests(const ExecOptions& options, const text::Tokenizer* tokenizer);

class AnswerOnce {
 public:
  // Submits all prompts; `on_word` is called from the engine's thread when there is text to take, and when the last has
  // finished.
  static Result<std::unique_ptr<AnswerOnce>> Submit(Session& session, const ExecOptions& options,
                                                    std::function<void()> on_word);
  ~AnswerOnce();

  bool finished() const;
  // What has come of a single prompt's text since the last call; "" where answers are printed at the end.
  std::string TakeText();

  // Prints what has not been taken, once the engine has stopped, or until `interrupt_fd` is readable. The exit code: 1
  // when any request failed, or standard output did.
  int Print(int interrupt_fd = -1);

 private:
  struct State;
  AnswerOnce();
  std::shared_ptr<State> state_;  // the handlers' too
};

}  // namespace mrs::cli
