// Plans whose GPUs talk by NCCL, as this host has it: refused where it is said that there is none, and with what
// variables NCCL runs.
//
//   CheckNccl(plan, /*flag=*/false, {"MISTRALRS_NO_NCCL=1"})
//   // "the plan's GPUs talk by NCCL, and MISTRALRS_NO_NCCL=1 says there is none: rebuild it with ..."
//   DescribeNccl(ReadNcclSettings(environ, FindNcclFiles()))
//   // "NCCL          not run on a device yet by this program; it reads NCCL_DEBUG=INFO\n"
//
// NCCL reads its variables and files itself; none is changed here.
#pragma once

#include <string>

#include "cli/nccl_settings.h"
#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::cli {

bool UsesNccl(const plan::Plan& plan);
// `flag`: --no-nccl; `environment`: entries as of environ, ended by null.
Status CheckNccl(const plan::Plan& plan, bool flag, const char* const* environment);
// Lines: what it reads; where that overrides what this program asks of it; and what was not looked into here.
std::string DescribeNccl(const NcclSettings& settings);

}  // namespace mrs::cli
