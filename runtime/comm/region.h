// A region is memory that all ranks of one host share: for each ordered pair of ranks a ring of bytes to write into.
//
//   Fd region = *CreateShmRegion(4);                                         // the supervisor; passes it to its
//   children std::unique_ptr<Communicator> world = *OpenShmCommunicator(rank, 4, region.get());              // each
//   child
//
//   std::vector<std::unique_ptr<Communicator>> world = *MakeLocalCommunicators(4);                  // threads of one
//   process
//
// The memory is a memfd, never /dev/shm, which containers keep at 64 MB. A killed process leaves no trace in it: its
// peers learn by timeout or by Abort; a destroyed communicator is seen at once.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/fd.h"

namespace mrs {

class RegionMapping;

constexpr int kMaxRegionRanks = 64;
constexpr size_t kDefaultRingBytes = size_t{1} << 18;  // holds an all-reduce of 64 K floats without waiting

// ring_bytes: of one ring, a power of two in [4 KiB, 64 MiB]. size * size rings; only touched pages take memory.
Result<Fd> CreateShmRegion(int size, size_t ring_bytes = kDefaultRingBytes);

// Maps a region made by CreateShmRegion for `size` ranks; `fd` stays the caller's and may be closed after.
Result<std::shared_ptr<RegionMapping>> MapRegion(int size, int fd);

// Over a mapping of its own. One communicator per rank and region.
Result<std::unique_ptr<Communicator>> OpenShmCommunicator(int rank, int size, int fd, const CommOptions& options = {});

// All ranks of a region of this process's own; element r belongs to the thread of rank r, and so does pulses[r], where
// there are any.
Result<std::vector<std::unique_ptr<Communicator>>> MakeLocalCommunicators(int size, const CommOptions& options = {},
                                                                          size_t ring_bytes = kDefaultRingBytes,
                                                                          std::span<Pulse* const> pulses = {});

}  // namespace mrs
