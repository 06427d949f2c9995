// A world is all ranks of one transport, each running the same body; what a body returns is its complaint.
//
//   std::vector<std::string> complaints = RunWorld({.transport = "tcp", .size = 4}, [](Rank& rank) -> std::string {
//     const Status status = rank.comm->Barrier();
//     return status.ok() ? "" : status.message();
//   });
//
// local, tcp, mixed and ring ranks are threads; shm ranks are forked processes, or under a sanitizer (which does not
// follow a fork of threads, or sees no race between processes) threads that map the region each for itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/comm/communicator.h"

namespace mrs {

struct WorldConfig {
  std::string transport;  // local, shm, tcp, mixed, ring; the last three also as tcp_tagged, ...;
                          // tcp and mixed as tcp_streams, tcp_streams_tagged, ...: three streams for each pair
  int size = 1;
  CommOptions options = {};
  size_t ring_bytes = 1 << 16;  // of local, shm and mixed
};

struct Rank {
  std::unique_ptr<Communicator> comm;
  bool leaves_trace = true;  // false: dies as a killed process does, closing nothing

  // As far as the transport can tell, this rank's process is dead from here on.
  void Die() {
    if (leaves_trace) comm.reset();
  }
};

// Complaints by rank. Communicators stay open until all bodies have returned, unless a body closes its own.
std::vector<std::string> RunWorld(const WorldConfig& config, const std::function<std::string(Rank&)>& body);

}  // namespace mrs
