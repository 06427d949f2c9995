// What a plan needs of this host, and what is between its ranks: the part of `mrs-exec doctor --plan x.mrsplan` that
// knows a plan.
//
//   JudgePlan(plan, facts, run)
//   // {"plan.memory", kBad, "the plan takes 172 GiB here for 2 ranks, this host has 23.5 GiB", "rebuild it ..."}
//
// JudgePlan is a pure function; MeasurePlan starts the ranks, for their links alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/exec_options.h"
#include "cli/node_seat.h"
#include "formats/json.h"
#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/doctor/findings.h"
#include "runtime/rank/cuda/libraries.h"
#include "runtime/world/link_check.h"

namespace mrs::cli {

// How the plan would run here, as it was tried.
struct PlanRun {
  std::string transport;
  uint64_t ranks = 1;       // of this host
  uint32_t threads = 1;     // of each rank
  std::string links_error;  // "": every link is whole
  std::vector<LinkTimes> links;
  std::vector<CudaLibrary> libraries;  // that ranks on GPUs open
  uint16_t port = 0;                   // to serve on
  std::string port_error;              // "": it is free
};

// Of several nodes this is the head; the others take part.
Result<PlanRun> MeasurePlan(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options);

// What a step waits for at least, whatever else it does.
uint64_t ExchangesOfAStep(const plan::Plan& plan);

std::vector<doctor::Finding> JudgePlan(const plan::Plan& plan, const doctor::Facts& facts, const PlanRun& run);

// The field "plan" of the report.
Json PlanJson(const plan::Plan& plan, std::string_view plan_sha256, const PlanRun& run);

}  // namespace mrs::cli
