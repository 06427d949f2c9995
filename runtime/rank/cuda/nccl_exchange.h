// What a GPU's rank tells other ranks, by NCCL: in the order of its stream, and so inside of its graphs.
//
//   MRS_ASSIGN_OR_RETURN(auto exchange, NcclExchange::Meet(*device, {.world = world, .group = group, ...}));
//   MRS_RETURN_IF_ERROR(exchange->Run(collective, /*rows=*/4));   // also while the stream is captured
//   MRS_RETURN_IF_ERROR(exchange->Finish());                      // the stream is done, or NCCL has an error
//
// NCCL only moves bytes: of a sum it gathers the parts of all ranks, or of a large one those of this rank's share and
// then the others' sums (nccl_sum.h), and a kernel adds them in the order that communicators of the host have. So the
// bits are the CPU's. All ranks tell each other as many rows: those that their kernels run, with rows that pad.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "kernels/cuda/exact.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/cuda/await_stream.h"
#include "runtime/rank/cuda/decode_terms.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/nccl.h"
#include "runtime/rank/cuda/nccl_sum.h"
#include "runtime/rank/launch.h"

namespace mrs {

struct NcclOptions {
  // Borrowed, and used while ranks meet alone: all ranks of the plan, and those of this rank's sums (null: itself).
  Communicator* world = nullptr;
  Communicator* group = nullptr;
  bool has_transfers = false;  // the plan has stages
  DecodeTerms decodes = {};
  kernels::cuda::Workspace workspace = {};  // of the device, for what a sum gathers
  bool has_shares = false;                  // sums of a group may go in two steps: the plan counts what NCCL takes then
  std::optional<int64_t> least_saved = {};  // in bytes, by such a sum (nccl_sum.h); nothing: LeastSavedBytes()
  Pulse* pulse = nullptr;                   // borrowed; told of waits for others. Null: nobody looks
  int neighbour = 0;                        // whom it is told of, as NCCL does not say: a rank that this one waits for
  std::chrono::milliseconds deadline{60000};  // of a communicator's making
};

class NcclExchange {
 public:
  // All ranks of the world at once; `device` is borrowed. Each compares what the others have before any of NCCL's own
  // waits, and where one has no NCCL, or another version, or a device that another has, all say so by name.
  static Result<std::unique_ptr<NcclExchange>> Meet(Device& device, const NcclOptions& options);
  // After the graphs that have calls of it.
  ~NcclExchange();
  NcclExchange(const NcclExchange&) = delete;
  NcclExchange& operator=(const NcclExchange&) = delete;

  Status Run(const CollectiveLaunch& collective, int64_t rows);
  Status Run(const TransferLaunch& transfer, int64_t rows);
  // Waits for the stream. An error of NCCL's ends the wait: after it, Abort.
  Status Finish();
  // After each launch of a step or a graph: waits for the stream where much is under way. A launch that finds the
  // device's queue full waits there, and so long nobody looks for errors.
  Status MakeRoom();
  // The stream has passed a mark: what it waits for is another rank no more.
  void NotePassed() {
    if (wait_.has_value()) wait_->GetsOn();
  }
  // Ends what is under way, here and, by and by, on other ranks. After the graphs, as the destructor.
  void Abort();

 private:
  struct Group {
    nccl::Comm comm = nullptr;
    const char* what = "";
    int size = 1, rank = 0;
  };
  NcclExchange(Device& device, const NcclOptions& options)
      : device_(device),
        workspace_(options.workspace),
        pulse_(options.pulse),
        neighbour_(options.neighbour),
        deadline_(options.deadline) {}
  Status Make(Communicator& ranks, const char* what, Group* group);
  static Error FailureOf(const char* what, const Group& group, int code);
  Status Settle(const Group& group, const char* what, int code, std::chrono::milliseconds limit);
  Status Sum(const CollectiveLaunch& collective, int64_t rows);
  Status SumWhole(const float* x, float* y, int64_t count, bool canonical);
  Status SumInShares(const float* x, float* y, int64_t count, bool canonical);
  int ExchangeShares(const void* x, void* parts, size_t bytes) const;
  Status JoinAll();
  Status CheckErrors() const;

  Device& device_;
  const kernels::cuda::Workspace workspace_;
  Pulse* const pulse_;
  const int neighbour_;
  const std::chrono::milliseconds deadline_;
  Group world_, group_;
  NcclSums sums_;                  // of group_
  std::optional<QuietWait> wait_;  // of Finish
  int under_way_ = 0;              // launches and calls since the last Finish, about
};

}  // namespace mrs
