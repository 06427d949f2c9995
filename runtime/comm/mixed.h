// One world over shared memory within each host and TCP between hosts.
//
//   HostLinks links = *CreateHostLinks(2);                                  // the supervisor of a host with ranks 1, 3
//   // each rank inherits both descriptors:
//   MixedConfig config{.mesh = {.rank = 3, .endpoints = four, .secret = secret},
//                      .local = {1, 3}, .region_fd = links.region.get(), .bell_fd = links.bell.get()};
//   std::unique_ptr<Communicator> world = *ConnectMixed(listener, config);
//
// A host's ranks may be any of the world's. Where all are of one host, this is shm; where each is alone, tcp.
#pragma once

#include <memory>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/region.h"
#include "runtime/comm/tcp.h"

namespace mrs {

// What the ranks of one host share.
struct HostLinks {
  Fd region;  // CreateShmRegion of the ranks of this host
  Fd bell;    // an eventfd, for ranks that wait for memory and sockets at once
};

// rank_count: of this host.
Result<HostLinks> CreateHostLinks(int rank_count, size_t ring_bytes = kDefaultRingBytes);

struct MixedConfig {
  MeshConfig mesh;         // of all ranks; endpoints of the ranks of this host are not used
  std::vector<int> local;  // the ranks of this host, this one among them, in the same order on each; empty: alone
  int region_fd = -1;      // both of CreateHostLinks(local.size()); they stay the caller's and may be closed after
  int bell_fd = -1;        // -1 where this rank is alone
};

// listener: null where all ranks are of this host. Errors as of ConnectMesh.
Result<std::unique_ptr<Communicator>> ConnectMixed(const TcpListener* listener, const MixedConfig& config,
                                                   const CommOptions& options = {});

}  // namespace mrs
