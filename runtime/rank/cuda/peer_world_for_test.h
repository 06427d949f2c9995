// Ranks that are processes of an emulated device each, and exchange by its memory: a group that sums, or stages of one
// rank each. They are called 10, 11, ...
//
//   PeerWorld world({.size = 4}, [](PeerRank& rank) -> Status { return rank.exchange->Finish(); });
//   EXPECT_THAT(world.Said(), ::testing::Each("ok"));
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/comm/region.h"
#include "runtime/rank/cuda/child_for_test.h"
#include "runtime/rank/cuda/emulated_faults.h"
#include "runtime/rank/cuda/peer_exchange.h"

namespace mrs {

struct PeerRank {
  int rank = 0;
  Device* device = nullptr;
  PeerExchange* exchange = nullptr;
  std::byte* memory = nullptr;  // of the device, kPeerTestMemory bytes
  Child::Side* side = nullptr;
  const ProgressLine* line = nullptr;

  Status Fill(float value, int64_t count) {
    const std::vector<float> values(static_cast<size_t>(count), value);
    return device->CopyIn(memory, values.data(), values.size() * sizeof(float));
  }
  float At(int64_t index) {
    float value = 0;
    const Status copied = device->CopyOut(&value, memory + index * 4, sizeof(value));
    return copied.ok() ? value : -1;
  }
};
constexpr uint64_t kPeerTestMemory = 1 << 20;

struct PeerShape {
  int size = 2;
  std::chrono::milliseconds deadline{20000};
  DecodeTerms decodes_of_last = {.most_rows = 4};
  PeerGrid grid_of_last = {};
  const char* faults = "";
  bool has_pulse = false;
  bool stages = false;          // each hands on to the next, and none sum
  int64_t ranks_of_device = 0;  // 0: each has a device of its own; else this is said, and all have the first
};

// Processes, numbered from 10, each of which says "ok" in the end, or what went wrong.
class PeerWorld {
 public:
  PeerWorld(const PeerShape& shape, const std::function<Status(PeerRank&)>& run) {
    const Fd region = *CreateShmRegion(shape.size);
    for (int rank = 0; rank < shape.size; ++rank) {
      ranks_.emplace_back([&, rank](Child::Side& side) -> std::string {
        emulated::UseFaults(*emulated::ParseFaults(shape.faults));
        const Status ran = RunRank(shape, rank, region.get(), side, run);
        return ran.ok() ? "ok" : ran.message();
      });
    }
  }
  Child& rank(int number) { return ranks_[static_cast<size_t>(number)]; }
  std::vector<std::string> Said() {
    std::vector<std::string> said;
    for (Child& rank : ranks_) said.push_back(rank.Said());
    return said;
  }

 private:
  static Status RunRank(const PeerShape& shape, int rank, int region, Child::Side& side,
                        const std::function<Status(PeerRank&)>& run) {
    MRS_ASSIGN_OR_RETURN(const auto group, OpenShmCommunicator(rank, shape.size, region));
    MRS_ASSIGN_OR_RETURN(const auto device, Device::Open(shape.ranks_of_device > 0 ? 0 : static_cast<uint32_t>(rank)));
    MRS_ASSIGN_OR_RETURN(const DeviceArena memory, device->Allocate("memory", kPeerTestMemory));
    ProgressLine line;
    Pulse pulse(&line);
    std::vector<int> names;
    for (int i = 0; i < shape.size; ++i) names.push_back(10 + i);
    std::unique_ptr<Communicator> pairs[2];  // with the stage before, and with the one after
    PeerNeighbour before, after;
    if (shape.stages && rank > 0) {
      MRS_ASSIGN_OR_RETURN(pairs[0], group->Group(std::vector{rank - 1, rank}));
      before = {pairs[0].get(), 9 + rank, 10 + rank};
    }
    if (shape.stages && rank + 1 < shape.size) {
      MRS_ASSIGN_OR_RETURN(pairs[1], group->Group(std::vector{rank, rank + 1}));
      after = {pairs[1].get(), 11 + rank, 10 + rank};
    }
    MRS_ASSIGN_OR_RETURN(
        const auto exchange,
        PeerExchange::Meet(
            *device, {.group = shape.stages ? nullptr : group.get(),
                      .ranks = names,
                      .before = before,
                      .after = after,
                      .terms = {.decodes = rank + 1 == shape.size ? shape.decodes_of_last : DecodeTerms{.most_rows = 4},
                                .ranks_of_device = std::max(shape.ranks_of_device, int64_t{1}),
                                .grid = rank + 1 == shape.size ? shape.grid_of_last : PeerGrid()},
                      .pulse = shape.has_pulse ? &pulse : nullptr,
                      .deadline = shape.deadline}));
    PeerRank own{rank, device.get(), exchange.get(), memory.data(), &side, &line};
    return run(own);
  }

  std::deque<Child> ranks_;
};

inline Status ExpectFloat(float actual, float expected) {
  return actual == expected ? Status() : Refuse("{} where {} is expected", actual, expected);
}

}  // namespace mrs
