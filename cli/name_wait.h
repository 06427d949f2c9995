// Waits for a host's name to be known: hosts are started one after the other, and a headless service of Kubernetes
// knows its pods once they run.
//
//   WaitForName("m-0.m", "the head's address, m-0.m", options)   ->  "10.2.0.7", or, after --start-timeout,
//   "the head's address, m-0.m: not found within 600 s (--start-timeout): tcp: address 'm-0.m': Name or service not
//   known"
//
// Meanwhile says what it waits for. Before the signals are the main loop's, so that they end it.
#pragma once

#include <string>

#include "cli/exec_options.h"
#include "plans/status.h"

namespace mrs::cli {

// The first numeric form of a name or an address. kRefused: an address that no name will change.
Result<std::string> WaitForName(const std::string& host, const std::string& field, const ExecOptions& options);

}  // namespace mrs::cli
