// Bytes that nobody can change any more, to hand to other processes: what one of them verified, all of them get.
//
//   MRS_ASSIGN_OR_RETURN(const Fd plan, SealBytes("plan", opened.bytes()));   // a sealed memfd
#pragma once

#include <cstddef>
#include <span>

#include "plans/status.h"
#include "runtime/comm/fd.h"

namespace mrs {

// `name` shows in /proc. The descriptor is close-on-exec; it can be passed over a socket.
Result<Fd> SealBytes(const char* name, std::span<const std::byte> bytes);

}  // namespace mrs
