#include "runtime/rank/cuda/staged.h"

#include "runtime/rank/exchange.h"

namespace mrs {

uint64_t StagedExchange::BytesOf(const CollectiveLaunch& collective, int64_t rows) const {
  return group_ == nullptr ? 0 : ResultBytes(collective, rows, group_->size());
}
uint64_t StagedExchange::BytesOf(const TransferLaunch& transfer, int64_t rows) const {
  return static_cast<uint64_t>(rows) * transfer.row_bytes;
}

Status StagedExchange::Prepare(uint64_t bytes) {
  MRS_ASSIGN_OR_RETURN(pinned_, device_.AllocateHost("what ranks exchange", bytes));
  pinned_bytes_ = bytes;
  return Status();
}

Status StagedExchange::Run(const CollectiveLaunch& collective, int64_t rows) {
  const uint64_t bytes = static_cast<uint64_t>(rows) * collective.row_bytes;
  if (group_ == nullptr) {  // a group of one: its sum and its gathering are the operand
    if (collective.x == collective.y) return Status();
    return device_.CopyWithin(collective.y, collective.x, bytes);
  }
  const uint64_t result_bytes = BytesOf(collective, rows);
  MRS_CHECK(result_bytes <= pinned_bytes_);
  std::byte* const y = pinned_.data();
  std::byte* const x = y + (collective.is_gather ? bytes * static_cast<uint64_t>(group_->rank()) : 0);
  // After what an earlier exchange copies in from there, as the stream's order is.
  MRS_RETURN_IF_ERROR(device_.CopyOut(x, collective.x, bytes));
  MRS_RETURN_IF_ERROR(device_.Finish());
  MRS_RETURN_IF_ERROR(RunCollective(*group_, collective, rows, x, y));
  return device_.CopyIn(collective.y, y, result_bytes);
}

Status StagedExchange::Run(const TransferLaunch& transfer, int64_t rows) {
  if (world_ == nullptr) return Refuse("a plan of one rank sends nothing to others");
  const uint64_t bytes = BytesOf(transfer, rows);
  MRS_CHECK(bytes <= pinned_bytes_);
  if (!transfer.is_send) {
    MRS_RETURN_IF_ERROR(device_.Finish());  // an earlier exchange may still copy in from there
    MRS_RETURN_IF_ERROR(RunTransfer(*world_, transfer, rows, pinned_.data()));
    return device_.CopyIn(transfer.data, pinned_.data(), bytes);
  }
  MRS_RETURN_IF_ERROR(device_.CopyOut(pinned_.data(), transfer.data, bytes));
  MRS_RETURN_IF_ERROR(device_.Finish());
  return RunTransfer(*world_, transfer, rows, pinned_.data());
}

}  // namespace mrs
