#include "runtime/rank/cuda/gpu_exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "plans/nccl_memory.h"
#include "runtime/rank/stages.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {

using kernels::cuda::CudaKernels;

bool IsCutBy(Collectives collectives, plan::OpKind op) {
  const bool is_transfer = op == plan::OpKind::send || op == plan::OpKind::recv;
  const bool is_collective = op == plan::OpKind::all_reduce || op == plan::OpKind::all_gather;
  if (collectives == Collectives::kStaged) return is_transfer || is_collective;
  return is_transfer && collectives == Collectives::kIpcInStages;
}

Result<std::unique_ptr<GpuExchange>> GpuExchange::Make(Device& device, const plan::Plan& plan, uint32_t rank,
                                                       Communicator* world, Pulse* pulse) {
  std::unique_ptr<Communicator> group;
  if (const std::vector<int> ranks = TpGroupOf(plan, rank); ranks.size() > 1) {
    MRS_ASSIGN_OR_RETURN(group, world->Group(ranks));
  }
  return std::unique_ptr<GpuExchange>(new GpuExchange(device, plan, rank, world, std::move(group), pulse));
}

Status GpuExchange::Meet(const Meeting& meeting) {
  const Status met = SumsByPeers(CollectivesOf(plan_)) ? MeetPeers(meeting) : MeetByNccl(meeting);
  if (met.ok()) return met;
  return Error{met.error().kind, fmt::format("rank {}: {}", rank_, met.message())};
}

// Where the plan counts communicators, which no more than its ranks have.
Status GpuExchange::MeetByNccl(const Meeting& meeting) {
  const uint64_t counted = StageOf(plan_, rank_).communicators_bytes();
  if (counted == 0 || world_ == nullptr) return Status();
  const uint32_t stage = plan_.ranks()->Get(rank_)->stage();
  const NcclRank rank = {.tp = plan_.tp(), .first = stage == 0, .last = stage + 1 == plan_.stages()->size()};
  MRS_ASSIGN_OR_RETURN(nccl_,
                       NcclExchange::Meet(device_, {.world = world_,
                                                    .group = group_.get(),
                                                    .has_transfers = plan_.stages()->size() > 1,
                                                    .decodes = meeting.decodes,
                                                    .workspace = meeting.workspace,
                                                    .has_shares = CountsNcclShares(static_cast<int64_t>(counted), rank),
                                                    .pulse = pulse_,
                                                    .neighbour = Neighbour(meeting)}));
  return Status();
}

// The next of those that this rank sums with; without such, who hands on to it, or for the first, to whom it does.
int GpuExchange::Neighbour(const Meeting& meeting) const {
  const std::vector<int> group = TpGroupOf(plan_, rank_);
  if (group.size() > 1) return group[(static_cast<size_t>(group_->rank()) + 1) % group.size()];
  for (const auto& launch : meeting.launches) {
    if (const auto* const transfer = std::get_if<TransferLaunch>(&launch.work)) return transfer->peer;
  }
  return static_cast<int>(rank_);  // it waits for nobody
}

// The rank of `stage` with which this one has to do, and a communicator of the two, in the order of stages.
Result<PeerNeighbour> GpuExchange::NeighbourIn(uint32_t stage, std::unique_ptr<Communicator>* pair) const {
  const int peer = static_cast<int>(PeerIn(plan_, rank_, stage)), own = static_cast<int>(rank_);
  const bool is_before = stage < plan_.ranks()->Get(rank_)->stage();
  const int members[] = {is_before ? peer : own, is_before ? own : peer};
  MRS_ASSIGN_OR_RETURN(*pair, world_->Group(members));
  return PeerNeighbour{.pair = pair->get(), .rank = peer, .own_rank = own};
}

// As the plan counts buffers where there is somebody to exchange with.
Status GpuExchange::MeetPeers(const Meeting& meeting) {
  const Collectives collectives = CollectivesOf(plan_);
  const uint32_t stage = plan_.ranks()->Get(rank_)->stage();
  const bool first = stage == 0, last = stage + 1 == plan_.stages()->size();
  const auto needed = static_cast<uint64_t>(PeerBytes(collectives, plan_.tp(), first, last));
  if (const uint64_t planned = StageOf(plan_, rank_).communicators_bytes(); planned != needed) {
    return Refuse("the plan counts {} bytes for what peers read, and here it is {}: rebuild the plan", planned, needed);
  }
  PeerNeighbour before, after;
  if (HandsOnByPeers(collectives) && !first) {
    MRS_ASSIGN_OR_RETURN(before, NeighbourIn(stage - 1, &before_));
  }
  if (HandsOnByPeers(collectives) && !last) {
    MRS_ASSIGN_OR_RETURN(after, NeighbourIn(stage + 1, &after_));
  }
  if (needed == 0) return Status();
  MRS_ASSIGN_OR_RETURN(
      peers_,
      PeerExchange::Meet(device_, {.group = group_.get(),
                                   .ranks = TpGroupOf(plan_, rank_),
                                   .before = before,
                                   .after = after,
                                   .terms = {.decodes = meeting.decodes, .ranks_of_device = RanksOfThisDevice()},
                                   .pulse = pulse_}));
  return Status();
}

Status GpuExchange::Prepare(const std::vector<BoundBucket<CudaKernels>>& buckets) {
  uint64_t most = 0;
  for (const BoundBucket<CudaKernels>& bucket : buckets) {
    const int64_t rows_by[] = {1, bucket.tokens, bucket.sequences, bucket.logit_rows};
    for (const Program<CudaKernels>* const program : {&bucket.candidates, &bucket.all_logits}) {
      for (const Launch<CudaKernels>& launch : program->launches) {
        if (!IsCut(launch)) continue;
        const int64_t rows = rows_by[static_cast<size_t>(launch.rows)];
        const auto* const collective = std::get_if<CollectiveLaunch>(&launch.work);
        most = std::max(most, collective != nullptr ? staged_.BytesOf(*collective, rows)
                                                    : staged_.BytesOf(std::get<TransferLaunch>(launch.work), rows));
      }
    }
  }
  return staged_.Prepare(most);
}

int64_t GpuExchange::RanksOfThisDevice() const {
  const auto& ranks = *plan_.ranks();
  return std::count_if(ranks.begin(), ranks.end(), [own = ranks[rank_]](const plan::Rank* rank) {
    return rank->node() == own->node() && rank->device() == own->device();
  });
}

bool GpuExchange::IsCut(const Launch<CudaKernels>& launch) const {
  if (std::holds_alternative<TransferLaunch>(launch.work)) return nccl_ == nullptr && !HandsOnInStream();
  return group_ != nullptr && !InStream() && std::holds_alternative<CollectiveLaunch>(launch.work);
}

size_t GpuExchange::PartsOf(const CollectiveLaunch& collective) const {
  return InStream() && group_ != nullptr && collective.is_gather ? static_cast<size_t>(group_->size()) : 1;
}

Status GpuExchange::Run(const CollectiveLaunch& collective, int64_t rows) {
  if (group_ == nullptr || !InStream()) return staged_.Run(collective, rows);
  return nccl_ != nullptr ? nccl_->Run(collective, rows) : peers_->Run(collective, rows);
}

Status GpuExchange::Run(const TransferLaunch& transfer, int64_t rows) {
  if (nccl_ != nullptr) return nccl_->Run(transfer, rows);
  if (HandsOnInStream()) return peers_->Run(transfer, rows);
  if (peers_ != nullptr) MRS_RETURN_IF_ERROR(peers_->Finish());  // what is not summed is not handed on
  return staged_.Run(transfer, rows);
}

Status GpuExchange::Run(const SumNormLaunch& joined, int64_t rows) {
  MRS_CHECK(peers_ != nullptr);
  return peers_->Run(joined, rows);
}

Status GpuExchange::Finish() {
  if (nccl_ != nullptr) return nccl_->Finish();
  return peers_ != nullptr ? peers_->Finish() : device_.Finish();
}

void GpuExchange::Abort() {
  if (nccl_ != nullptr) nccl_->Abort();
  if (peers_ != nullptr) peers_->Abort();
}

}  // namespace mrs
