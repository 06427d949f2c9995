// A plan brought to life: verified, its tokenizer checked, its ranks started, its engine running; and ended in order.
//
//   MRS_ASSIGN_OR_RETURN(auto session, Session::Start(std::move(opened), seat, options, on_failed));
//   session->engine().Submit(...);
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "cli/exec_options.h"
#include "cli/node_seat.h"
#include "cli/progress_bar.h"
#include "formats/text/tokenizer.h"
#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/engine/engine.h"
#include "runtime/world/rank_world.h"

namespace mrs::cli {

// What starts the ranks of a plan as the options say, but for the model's folder. kUsage: a transport or an MRS_ISA
// that there is not.
Result<RankOptions> RanksFor(const plan::Plan& plan, const ExecOptions& options, const NodeSeat& seat);
// The folder of the plan's weight files.
Result<std::string> FindModel(const plan::Plan& plan, const ExecOptions& options);
// "running on    2 ranks x 4 threads, transport shm, ..."
std::string DescribeRun(const plan::Plan& plan, const RankOptions& ranks, const NodeSeat& seat);

class Session {
 public:
  // Prints the layout to stderr unless `quiet`, and starts the ranks; they load while the caller goes on. Must be
  // called from the main thread. `on_failed` hears, from another thread, why the engine ended by itself.
  static Result<std::unique_ptr<Session>> Start(OpenedPlan opened, const NodeSeat& seat, const ExecOptions& options,
                                                std::function<void(const std::string&)> on_failed);
  ~Session();  // Stop

  // What happens to the ranks from now on is part of the end: requests end as by Stop.
  void BeginEnd() { ending_ = true; }
  // Ends requests, then the engine, then the ranks. No child is left after it. Whose requests end is told why.
  void Stop(const std::string& why = "");

  const plan::Plan& plan() const { return opened_.plan(); }
  Engine& engine() { return *engine_; }
  const text::Tokenizer* tokenizer() const { return tokenizer_.has_value() ? &*tokenizer_ : nullptr; }
  ServedModel served_model() const;

 private:
  explicit Session(OpenedPlan opened) : opened_(std::move(opened)) {}

  OpenedPlan opened_;
  std::optional<text::Tokenizer> tokenizer_;
  bool quiet_ = false;
  std::atomic<bool> ending_{false};
  ProgressBar loading_{"loading"};
  std::atomic<Engine*> for_losses_{nullptr};
  std::unique_ptr<RankWorld> world_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace mrs::cli
