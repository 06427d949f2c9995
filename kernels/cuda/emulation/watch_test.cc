// Faults that are planted in kernels whose accesses are watched: each is told, in every order of threads, and what is
// right is not.
#include "kernels/cuda/emulation/watch.h"

#include <gtest/gtest.h>

#include <string>

#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/planted.h"

namespace mrs::kernels::cuda {
namespace {

using emulation::Order;
using emulation::SetSchedule;

struct Arrays {
  float* const x = New("x", 256);
  float* const y = New("y", 128);
  float* const freed = New("freed", 4);
  uint32_t* const count = reinterpret_cast<uint32_t*>(New("count", 1));
  ~Arrays() {
    emulation::GiveMemory(x);
    emulation::GiveMemory(y);
    emulation::GiveMemory(count);
  }
  static float* New(const char* what, uint64_t count) {
    return reinterpret_cast<float*>(emulation::TakeMemory({.what = what, .bytes = count * sizeof(float)}));
  }
};

void RunPlanted(Plant plant, Order order) {
  SetSchedule({.order = order, .seed = 5});
  const Arrays arrays;
  emulation::GiveMemory(arrays.freed);
  StartPlanted({arrays.x, arrays.y, arrays.freed, arrays.count, plant});
  SetSchedule({});
}

constexpr Order kOrders[] = {Order::kForward, Order::kReverse, Order::kRandom};

TEST(Watch, WhatIsRightIsNotTold) {
  for (const Order order : kOrders) RunPlanted(Plant::kNothing, order);
}

TEST(WatchDeathTest, EachPlantedFaultIsTold) {
  const std::string of_shared = " [0-9]+ bytes at byte [0-9]+ of shared memory, which ";
  const std::string between = "thread [0-9]+ (wrote|read), and no barrier is between them, in block";
  const std::string unordered = of_shared + between;
  const std::string at_a_line = "(planted.cc|tensor_cores.h):[0-9]+.*\n(.*\n)*emulation: thread [0-9]+ ";
  const std::string of_the_one_before =
      "0x[0-9a-f]+, which the launch before may still use: the thread has not awaited it \\(AwaitPrevious\\), in block";
  const std::string of_another = "0x[0-9a-f]+, which another block wrote, in block";
  const struct {
    Plant plant;
    std::string said;
  } rows[] = {
      // In some orders what is read first was never written.
      {Plant::kBarrier, at_a_line + "reads" + of_shared + "(" + between + "|no thread of its block has written)"},
      {Plant::kSecondBarrier, at_a_line + "(reads|writes)" + unordered},
      {Plant::kWarpBarrier, at_a_line + "(reads|writes)" + unordered},
      {Plant::kShuffleInstead, at_a_line + "(reads|writes)" + unordered},
      {Plant::kHalfOfTheWarp, at_a_line + "(reads|writes)" + unordered},
      {Plant::kWait, at_a_line + "reads" + of_shared + "a copy of thread [0-9]+ is still on its way to, in block"},
      {Plant::kCommit, at_a_line + "reads" + of_shared + "a copy of thread [0-9]+ is still on its way to, in block"},
      {Plant::kWarpAfterWait, "emulation: thread [0-9]+ (reads|writes)" + of_shared},
      {Plant::kCopyTooEarly, "emulation: thread [0-9]+ (reads|writes)" + of_shared},
      {Plant::kCopyPastShared, "emulation: thread 63 copies 16 bytes at 0x[0-9a-f]+, which is not shared memory"},
      {Plant::kReadPastShared, at_a_line + "reads 4 bytes at 0x[0-9a-f]+, which nobody allocated"},
      {Plant::kWritePastShared, at_a_line + "writes 4 bytes at 0x[0-9a-f]+, which nobody allocated"},
      {Plant::kReadPastGlobal,
       at_a_line + "reads 4 bytes at 0x[0-9a-f]+, which lies at byte 1024 of an allocation of 1024"},
      {Plant::kWritePastGlobal,
       at_a_line + "writes 4 bytes at 0x[0-9a-f]+, which lies at byte 512 of an allocation of 512"},
      {Plant::kReadNowhere, at_a_line + "reads 4 bytes at 0x40, which nobody allocated"},
      {Plant::kReadFreed, at_a_line + "reads 4 bytes at 0x[0-9a-f]+, which nobody allocated"},
      {Plant::kAllWriteOne, at_a_line + "writes 4 bytes at 0x[0-9a-f]+, which thread [0-9]+ wrote, and no barrier"},
      {Plant::kBlocksWriteOne, at_a_line + "writes 4 bytes at " + of_another},
      {Plant::kBlocksReadOthers, at_a_line + "(reads|writes) 4 bytes at " + of_another},
      {Plant::kSharedOverlap, at_a_line + "writes" + unordered},
      {Plant::kReadUnwritten, at_a_line + "reads" + of_shared + "no thread of its block has written, in block"},
      {Plant::kAnyPastShared, "emulation: thread 40 takes any 8 bytes at byte 1020 of shared memory, which is not"},
      {Plant::kTileTooEarly, at_a_line + "(reads|writes)" + unordered},
      {Plant::kBeforeCount, at_a_line + "reads 4 bytes at " + of_another},
      {Plant::kAfterCount, at_a_line + "(reads|writes)" + of_shared},
      {Plant::kNoCount, at_a_line + "reads 4 bytes at " + of_another},
      {Plant::kResetEarly, "thread 0 counts in 4 bytes at " + of_another},
      {Plant::kReadOfBlockBefore,
       at_a_line + "reads" + of_shared + "no thread of its block has written, in block 1,0,0"},
      {Plant::kAwait, at_a_line + "reads 4 bytes at " + of_the_one_before},
      {Plant::kReadBeforeAwait, at_a_line + "reads 4 bytes at " + of_the_one_before},
      {Plant::kWriteBeforeAwait, at_a_line + "writes 4 bytes at " + of_the_one_before},
      {Plant::kCopyBeforeAwait, "emulation: thread 40 reads 16 bytes at " + of_the_one_before},
      {Plant::kPrefetchPastGlobal,
       "emulation: thread 40 prefetches 1040 bytes at 0x[0-9a-f]+, which lies at byte 0 of an allocation of 1024"},
  };
  for (const auto& row : rows) {
    for (const Order order : kOrders) {
      EXPECT_DEATH(RunPlanted(row.plant, order), row.said)
          << "plant " << static_cast<int>(row.plant) << ", order " << static_cast<int>(order);
    }
  }
}

}  // namespace
}  // namespace mrs::kernels::cuda
