// Can processes of this host talk over TCP? Tried, not asked: listens, connects, sends and reads a few bytes.
//
//   a network namespace whose lo is down  ->  "cannot bind 127.0.0.1: Cannot assign requested address"
#pragma once

#include <chrono>
#include <string>

#include "plans/status.h"

namespace mrs::probe {

// `address` is an IPv4 address of this host. Each step waits at most `limit`.
Status TryTcp(const std::string& address = "127.0.0.1",
              std::chrono::milliseconds limit = std::chrono::milliseconds(2000));

}  // namespace mrs::probe
