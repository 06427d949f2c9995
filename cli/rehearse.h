// `mrs-exec --plan x.mrsplan --rehearse`: the plan carried out without its weights.
#pragma once

#include "cli/exec_options.h"
#include "cli/node_seat.h"
#include "plans/reader.h"

namespace mrs::cli {

// Starts the ranks as for serving, with weights of zeros; every link is checked by data, the programs run, and what was
// measured is printed. What could not be opened is what is wrong. The exit code: 0, or 1 with what is wrong.
int Rehearse(const Result<OpenedPlan>& opened, const Result<NodeSeat>& seat, const ExecOptions& options);

}  // namespace mrs::cli
