// What a GPU's rank tells other ranks, by whatever carries it as the plan says: staged through the host (staged.h),
// NCCL (nccl_exchange.h), or peer memory (peer_exchange.h), where the plan says so but for what stages hand on.
//
//   MRS_ASSIGN_OR_RETURN(auto exchange, GpuExchange::Make(*device, plan, rank, world, pulse));
//   MRS_RETURN_IF_ERROR(exchange->Meet({.most_decode_rows = 16, .workspace = workspace, .launches = launches}));
//   MRS_RETURN_IF_ERROR(exchange->Prepare(buckets));
//   if (exchange->IsCut(launch)) ...                              // the host has a part in it, so no graph holds it
//   MRS_RETURN_IF_ERROR(exchange->Run(collective, /*rows=*/4));   // in the stream's order
//   MRS_RETURN_IF_ERROR(exchange->Finish());
//
// In the stream all ranks exchange as many rows: those of their kernels. What is cut has the batch's own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/exact.h"
#include "plans/collectives.h"
#include "plans/plan_generated.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/bind.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/nccl_exchange.h"
#include "runtime/rank/cuda/peer_exchange.h"
#include "runtime/rank/cuda/staged.h"
#include "runtime/rank/launch.h"

namespace mrs {

// Of what the host has a part in, so that it cuts graphs.
bool IsCutBy(Collectives collectives, plan::OpKind op);

class GpuExchange {
 public:
  // All borrowed. `world` spans the plan's ranks, and is null where that is one; `pulse`: null, nobody looks.
  static Result<std::unique_ptr<GpuExchange>> Make(Device& device, const plan::Plan& plan, uint32_t rank,
                                                   Communicator* world, Pulse* pulse);

  struct Meeting {
    DecodeTerms decodes = {};
    kernels::cuda::Workspace workspace = {};                          // the plan's
    const std::vector<Launch<kernels::cuda::CudaKernels>>& launches;  // of a forward: whom this rank hands on to
  };
  // All ranks at once, where the plan has them exchange in their streams. Errors name this rank.
  Status Meet(const Meeting& meeting);

  // Once they have met: takes what is exchanged through the host, for the largest batch.
  Status Prepare(const std::vector<BoundBucket<kernels::cuda::CudaKernels>>& buckets);

  // Whether what it exchanges is in the stream, but for transfers that are cut; else the host has a part in it.
  bool InStream() const { return nccl_ != nullptr || peers_ != nullptr; }
  // Whether this rank sums with no other.
  bool IsAlone() const { return group_ == nullptr; }
  bool IsCut(const Launch<kernels::cuda::CudaKernels>& launch) const;
  // Of how many ranks a result in the stream has parts, each with rows that pad behind it.
  size_t PartsOf(const CollectiveLaunch& collective) const;

  Status Run(const CollectiveLaunch& collective, int64_t rows);
  Status Run(const TransferLaunch& transfer, int64_t rows);
  // Of peer memory alone: a plan has no such launch else.
  Status Run(const SumNormLaunch& joined, int64_t rows);
  // Waits for the stream.
  Status Finish();
  // After each launch of a step or a graph, so that the host gets to look for errors (nccl_exchange.h).
  Status MakeRoom() { return nccl_ != nullptr ? nccl_->MakeRoom() : Status(); }
  // The stream has passed a mark.
  void NotePassed() {
    if (nccl_ != nullptr) nccl_->NotePassed();
  }

  // Whether graphs that hold exchanges must be gone before Abort and the destructor, even under way.
  bool OutlivesGraphs() const { return nccl_ != nullptr; }
  // Ends what is in the stream, here and, by and by, on other ranks; what is not ends by itself.
  void Abort();

 private:
  GpuExchange(Device& device, const plan::Plan& plan, uint32_t rank, Communicator* world,
              std::unique_ptr<Communicator> group, Pulse* pulse)
      : device_(device),
        plan_(plan),
        rank_(rank),
        world_(world),
        pulse_(pulse),
        group_(std::move(group)),
        staged_(device, world, group_.get()) {}
  Status MeetByNccl(const Meeting& meeting);
  Status MeetPeers(const Meeting& meeting);
  Result<PeerNeighbour> NeighbourIn(uint32_t stage, std::unique_ptr<Communicator>* pair) const;
  int Neighbour(const Meeting& meeting) const;
  int64_t RanksOfThisDevice() const;
  bool HandsOnInStream() const { return peers_ != nullptr && peers_->HandsOn(); }

  Device& device_;
  const plan::Plan& plan_;
  const uint32_t rank_;
  Communicator* const world_;                  // null: one rank
  Pulse* const pulse_;                         // null: nobody looks
  const std::unique_ptr<Communicator> group_;  // of sums; null: one rank
  StagedExchange staged_;
  std::unique_ptr<Communicator> before_,
      after_;                            // of this rank and whoever hands on to it, or to whom it does, by peers
  std::unique_ptr<NcclExchange> nccl_;   // null: there is none
  std::unique_ptr<PeerExchange> peers_;  // as nccl_
};

}  // namespace mrs
