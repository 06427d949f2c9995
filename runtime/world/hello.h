// What a process says of itself before anything heavy happens, and whether a rank is as its supervisor.
//
//   CompareHello(MakeHello(opened), hello)   // "rank 1: its plan is 3fb0..., its supervisor's is 91c2...; give every
//   ..."
#pragma once

#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/world/wire.h"

namespace mrs {

// What this process is; its ranks must be the same.
wire::Hello MakeHello(const OpenedPlan& opened);
// Names the first field in which a rank differs.
Status CompareHello(const wire::Hello& supervisor, const wire::Hello& rank);

}  // namespace mrs
