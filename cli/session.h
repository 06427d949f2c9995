// A plan brought to life: verified, its tokenizer checked, its ranks started, its engine running; and ended in order.
//
//   MRS_ASSIGN_OR_RETURN(auto session, Session::Start(options, stop_event));
//   session->engine().Submit(...);
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "cli/exec_options.h"
#include "cli/progress_bar.h"
#include "formats/text/tokenizer.h"
#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/engine/engine.h"
#include "runtime/world/rank_world.h"

namespace mrs::cli {

class Session {
 public:
  // Prints the layout to stderr unless `quiet`, and starts the ranks; they load while the caller goes on. Must be
  // called from the main thread. `on_failed` hears, from another thread, why the engine ended by itself.
  static Result<std::unique_ptr<Session>> Start(const ExecOptions& options,
                                                std::function<void(const std::string&)> on_failed);
  ~Session();  // Stop

  // Ends requests, then the engine, then the ranks. No child is left after it.
  void Stop();

  const plan::Plan& plan() const { return opened_.plan(); }
  Engine& engine() { return *engine_; }
  const text::Tokenizer* tokenizer() const { return tokenizer_.has_value() ? &*tokenizer_ : nullptr; }
  ServedModel served_model() const;

 private:
  explicit Session(OpenedPlan opened) : opened_(std::move(opened)) {}

  OpenedPlan opened_;
  std::optional<text::Tokenizer> tokenizer_;
  bool quiet_ = false;
  ProgressBar loading_{"loading"};
  std::atomic<Engine*> for_losses_{nullptr};
  std::unique_ptr<RankWorld> world_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace mrs::cli
