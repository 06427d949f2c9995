// Plans whose GPUs talk by NCCL, as this host has it: refused where it is said that there is none, and with what
// variables NCCL runs.
//
//   CheckNccl(plan, /*flag=*/false, {"MISTRALRS_NO_NCCL=1"})
//   // "the plan's GPUs talk by NCCL, and MISTRALRS_NO_NCCL=1 says there is none: rebuild it with ..."
//   DescribeNccl({"NCCL_DEBUG=INFO", "HOME=/root"})   // "NCCL          as NCCL_DEBUG=INFO says\n"
//
// NCCL reads its variables itself; none is changed here.
#pragma once

#include <string>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::cli {

bool UsesNccl(const plan::Plan& plan);
// `flag`: --no-nccl; `environment`: entries as of environ, ended by null.
Status CheckNccl(const plan::Plan& plan, bool flag, const char* const* environment);
std::string DescribeNccl(const char* const* environment);

}  // namespace mrs::cli
