// `mrs-exec --prompt`: answers the prompts of the command line, as one batch, and says how it went.
//
//   AnswerOnce(session, options, done)  ->  exit code after `wait` saw everything finish
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
  // Submits all prompts; `on_done` is called from the engine's thread when the last has finished.
  static Result<std::unique_ptr<AnswerOnce>> Submit(Session& session, const ExecOptions& options,
                                                    std::function<void()> on_done);
  ~AnswerOnce();

  // Prints the answers that have not been streamed. After on_done. The exit code: 1 when any request failed.
  int Print();

 private:
  struct State;
  AnswerOnce();
  std::shared_ptr<State> state_;  // the handlers' too
};

}  // namespace mrs::cli
