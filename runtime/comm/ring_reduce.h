// A reduce-scatter on a ring: each rank's segment comes to it along two arms, as partial sums of the canonical tree.
//
//   RingReduce reduce;
//   Status status = reduce.Run(/*rank=*/1, /*size=*/4, segments, own_sum, exchange);
//   // up:    from 0, what 3 and 0 hold of segment 1: {3} {0}     down: from 2, what 2 holds: {2}
//   // own:   ({0} + {1}) + ({2} + {3})
//
// Which sums travel is decided by plans/schedule/ring_schedule.h; sender and receiver both know.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "plans/schedule/ring_schedule.h"
#include "plans/status.h"

namespace mrs {

class RingReduce {
 public:
  // segment(owner): this rank's part of what `owner` gets, read only. sum: [segment(rank).size()], the result; may be
  // memory of segment(rank). exchange(send_to, span, recv_from, span): one message each way, between neighbours.
  template <typename Segment, typename Exchange>
  Status Run(int rank, int size, const Segment& segment, std::span<float> sum, const Exchange& exchange) {
    const auto around = [&](int of) { return (of % size + size) % size; };
    const int above = around(rank + 1);
    const int below = around(rank - 1);
    const int up = UpArmLength(size);
    const int down = DownArmLength(size);
    // Both arms at once, step by step: what goes up was begun by the owner's farthest rank below, and so on.
    up_.Begin(around(rank + up), segment(around(rank + up)), {rank, 1});
    if (down > 0) down_.Begin(around(rank - down), segment(around(rank - down)), {rank, 1});
    for (int step = 1; step <= up; ++step) {
      MRS_RETURN_IF_ERROR(
          up_.Move(above, below, around(rank - step), step, 1, size, around(rank - step + up), segment, exchange));
      if (step < up) up_.Join(segment(up_.owner()), {rank, 1});
      if (step > down) continue;
      MRS_RETURN_IF_ERROR(
          down_.Move(below, above, around(rank + step), step, -1, size, around(rank + step - down), segment, exchange));
      if (step < down) down_.Join(segment(down_.owner()), {rank, 1});
    }
    Finish(rank, segment(rank), down > 0, sum);
    return Status();
  }

 private:
  static void Add(float* sum, const float* part, size_t count) {
    for (size_t i = 0; i < count; ++i) sum[i] += part[i];
  }

  // What travels one way: partial sums of one owner's segment, one after another.
  class Arm {
   public:
    int owner() const { return owner_; }
    const std::vector<TreeBlock>& blocks() const { return blocks_; }
    float* block(size_t index) { return held_.data() + index * length_; }

    void Begin(int owner, std::span<const float> own, const TreeBlock& block) {
      owner_ = owner;
      length_ = own.size();
      blocks_.clear();
      Join(own, block);
    }

    // Gives on what is held, and takes what `length` ranks from `first` on hold for another owner.
    template <typename Segment, typename Exchange>
    Status Move(int send_to, int recv_from, int first, int length, int direction, int size, int owner,
                const Segment& segment, const Exchange& exchange) {
      const std::span<const float> out(held_.data(), blocks_.size() * length_);
      ArmBlocks(first, length, direction, size, coming_blocks_);
      const size_t coming_length = segment(owner).size();
      // A block more, for the own part.
      coming_.resize(std::max(coming_.size(), (coming_blocks_.size() + 1) * coming_length));
      MRS_RETURN_IF_ERROR(
          exchange(send_to, out, recv_from, std::span(coming_).first(coming_blocks_.size() * coming_length)));
      held_.swap(coming_);
      blocks_.swap(coming_blocks_);
      length_ = coming_length;
      owner_ = owner;
      return Status();
    }

    // Adds the part of one rank more. ArmBlocks says the same of what is held after it.
    void Join(std::span<const float> own, const TreeBlock& block) {
      held_.resize(std::max(held_.size(), (blocks_.size() + 1) * length_));
      std::copy(own.begin(), own.end(), held_.begin() + static_cast<ptrdiff_t>(blocks_.size() * length_));
      blocks_.push_back(block);
      while (blocks_.size() > 1 && AreSiblings(blocks_[blocks_.size() - 2], blocks_.back())) {
        TreeBlock& whole = blocks_[blocks_.size() - 2];
        whole = {std::min(whole.first, blocks_.back().first), whole.count * 2};
        Add(this->block(blocks_.size() - 2), this->block(blocks_.size() - 1), length_);
        blocks_.pop_back();
      }
    }

   private:
    int owner_ = 0;
    size_t length_ = 0;              // of a block: the owner's segment
    std::vector<TreeBlock> blocks_;  // held, in order
    std::vector<float> held_;        // [blocks_, length_]
    std::vector<TreeBlock> coming_blocks_;
    std::vector<float> coming_;
  };

  struct Part {
    TreeBlock block;
    float* values;
  };

  // The owner has all blocks of the tree; whichever two are halves of a subtree become one, until one is left.
  void Finish(int rank, std::span<const float> own, bool has_down, std::span<float> sum) {
    parts_.clear();
    for (size_t i = 0; i < up_.blocks().size(); ++i) parts_.push_back({up_.blocks()[i], up_.block(i)});
    if (has_down) {
      for (size_t i = 0; i < down_.blocks().size(); ++i) parts_.push_back({down_.blocks()[i], down_.block(i)});
    }
    own_.assign(own.begin(), own.end());
    parts_.push_back({{rank, 1}, own_.data()});
    while (parts_.size() > 1) {
      const auto [a, b] = FindSiblings();
      Add(parts_[a].values, parts_[b].values, own.size());
      parts_[a].block = {std::min(parts_[a].block.first, parts_[b].block.first), parts_[a].block.count * 2};
      parts_.erase(parts_.begin() + static_cast<ptrdiff_t>(b));
    }
    std::copy_n(parts_[0].values, own.size(), sum.begin());
  }

  std::pair<size_t, size_t> FindSiblings() const {
    for (size_t a = 0; a < parts_.size(); ++a) {
      for (size_t b = a + 1; b < parts_.size(); ++b) {
        if (AreSiblings(parts_[a].block, parts_[b].block)) return {a, b};
      }
    }
    MRS_CHECK(false);  // the two arms and the owner are all ranks
    return {};
  }

  Arm up_;
  Arm down_;
  std::vector<float> own_;
  std::vector<Part> parts_;
};

}  // namespace mrs
