// Hands out KV blocks: all that a sequence can ever need, at once, so that no running sequence runs out.
//
//   BlockAllocator blocks(8);
//   std::optional<std::vector<int32_t>> mine = blocks.Take(3);   // {0, 1, 2}; nullopt when fewer than 3 are free
//   blocks.GiveBack(*mine);
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace mrs {

class BlockAllocator {
 public:
  explicit BlockAllocator(uint32_t block_count);

  // Lowest numbers first after a fresh start; the last given back are the first taken.
  std::optional<std::vector<int32_t>> Take(uint64_t count);
  // Each block must be out; one that is not is a mistake of ours.
  void GiveBack(const std::vector<int32_t>& blocks);

  uint64_t free_count() const { return free_.size(); }
  uint64_t block_count() const { return is_out_.size(); }

 private:
  std::vector<int32_t> free_;  // a stack
  std::vector<bool> is_out_;   // [block]
};

}  // namespace mrs
