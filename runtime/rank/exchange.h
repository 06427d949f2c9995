// A plan's collectives and transfers on memory of the host, by a Communicator: whatever device the rank runs on.
//
//   RunCollective(group, launch, 3, launch.x, launch.y)          // where a CPU rank's operands lie
//   RunCollective(group, launch, 3, pinned + place, pinned)      // where a GPU's rank has copied them
//
// Rows are those that the batch has, never such as pad: what ranks tell each other does not depend on how each of them
// runs its kernels.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "plans/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/rank/launch.h"
#include "runtime/rank/measured.h"

namespace mrs {

// Rows of `launch` on all ranks together: what its result takes, in bytes.
uint64_t ResultBytes(const CollectiveLaunch& launch, int64_t rows, int group_size);

// `x`: rows of launch.row_bytes, `y`: ResultBytes; x is y of a sum, this rank's place in y of a gathering, or apart.
Status RunCollective(Communicator& group, const CollectiveLaunch& launch, int64_t rows, const std::byte* x,
                     std::byte* y);
// `data`: rows of launch.row_bytes, in the place of launch.data.
Status RunTransfer(Communicator& world, const TransferLaunch& launch, int64_t rows, std::byte* data);

// Of how much they are, for who times them.
Exchange ExchangeOf(const CollectiveLaunch& launch, int64_t rows);
Exchange ExchangeOf(const TransferLaunch& launch, int64_t rows);

// Runs what waits for others, by run(); timed where somebody asked for it.
Status Timed(CollectiveTimes* times, const auto& launch, int64_t rows, auto&& run) {
  if (times == nullptr) return run();
  const auto begin = std::chrono::steady_clock::now();
  const Status ran = run();
  const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin);
  times->Add(ExchangeOf(launch, rows), static_cast<uint64_t>(took.count()));
  return ran;
}

}  // namespace mrs
