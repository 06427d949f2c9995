// How ranks of different hosts are connected: over how many streams, under which congestion control.
//
//   LinkOptions links;  links.Register(line);
//   LinkNotices(links, /*alone=*/false, environ)   // "NCCL_SOCKET_NTHREADS=4: as many connections between two ranks
//   ..." DescribeLinks(links.count(), links.congestion, /*ring=*/false)
//   // "links         4 streams between ranks of different hosts, congestion control bbr, as this kernel has it\n"
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "plans/status.h"

namespace mrs::cli {

struct LinkOptions {
  uint32_t streams = 0;    // 0: not said, which is one
  std::string congestion;  // "": not said, which is the kernel's (runtime/comm/tcp_socket.h)

  void Register(CommandLine& line);
  uint32_t count() const { return streams == 0 ? 1 : streams; }
};

// What people should know before anything starts: options that do nothing here, a congestion control that is not to be
// had, and variables of NCCL that mean the same for it. `alone`: all ranks are of one host; `entries` as of environ(7).
std::vector<std::string> LinkNotices(const LinkOptions& options, bool alone, const char* const* entries);

// A ring has no streams. `by_file`: of RING_CONFIG, which leaves no choice.
Status CheckRingLinks(const LinkOptions& options, bool by_file);

// The line of a start.
std::string DescribeLinks(uint32_t streams, const std::string& congestion, bool ring);

}  // namespace mrs::cli
