// What a GPU's rank tells other ranks, through pinned memory of its host: out of the device, by the communicator that
// CPU ranks use, and into the device. So its sums are the CPU's, bit for bit.
//
//   StagedExchange exchange(*device, world, group);
//   MRS_RETURN_IF_ERROR(exchange.Prepare(exchange.BytesOf(collective, /*most rows=*/512)));
//   MRS_RETURN_IF_ERROR(exchange.Run(collective, /*rows=*/3));   // in the stream's order; the host awaits the device
//
// No graph holds it: the host has a part in it. An executor cuts its graphs there.
#pragma once

#include <cstdint>

#include "runtime/comm/communicator.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/launch.h"

namespace mrs {

class StagedExchange {
 public:
  // All borrowed. `world`: null of one rank; `group`, of the collectives: null where it is one rank.
  StagedExchange(Device& device, Communicator* world, Communicator* group)
      : device_(device), world_(world), group_(group) {}

  // What it takes of the host, pinned, and that it takes it: once, before any, for the largest.
  uint64_t BytesOf(const CollectiveLaunch& collective, int64_t rows) const;
  uint64_t BytesOf(const TransferLaunch& transfer, int64_t rows) const;
  Status Prepare(uint64_t bytes);

  // Of `rows` of the batch.
  Status Run(const CollectiveLaunch& collective, int64_t rows);
  Status Run(const TransferLaunch& transfer, int64_t rows);

 private:
  Device& device_;
  Communicator* const world_;
  Communicator* const group_;
  DeviceArena pinned_;
  uint64_t pinned_bytes_ = 0;
};

}  // namespace mrs
