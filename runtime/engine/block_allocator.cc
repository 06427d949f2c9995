#include "runtime/engine/block_allocator.h"

#include "plans/status.h"

namespace mrs {

BlockAllocator::BlockAllocator(uint32_t block_count) : is_out_(block_count, false) {
  free_.reserve(block_count);
  for (uint32_t block = block_count; block > 0; --block) free_.push_back(static_cast<int32_t>(block - 1));
}

std::optional<std::vector<int32_t>> BlockAllocator::Take(uint64_t count) {
  if (count > free_.size()) return std::nullopt;
  std::vector<int32_t> taken;
  taken.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    taken.push_back(free_.back());
    is_out_[static_cast<size_t>(free_.back())] = true;
    free_.pop_back();
  }
  return taken;
}

void BlockAllocator::GiveBack(const std::vector<int32_t>& blocks) {
  for (size_t i = blocks.size(); i > 0; --i) {
    const int32_t block = blocks[i - 1];
    MRS_CHECK(block >= 0 && static_cast<size_t>(block) < is_out_.size() && is_out_[static_cast<size_t>(block)]);
    is_out_[static_cast<size_t>(block)] = false;
    free_.push_back(block);
  }
}

}  // namespace mrs
