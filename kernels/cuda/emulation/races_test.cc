// Faults that are planted in kernels of two ranks, each an OS thread: the thread sanitizer tells of each, by the line
// at which data is read or written that no flag has handed on, and of nothing in the kernels without a fault.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "kernels/cuda/emulation/planted_peers.h"

// Read before main: a race that is told ends the program.
extern "C" const char* __tsan_default_options() { return "halt_on_error=1:exitcode=66"; }

namespace mrs::kernels::cuda {
namespace {

constexpr int kToldExit = 66;

// In an order of nothing but time.
template <typename Word>
void Await(const Word& word, Word value) {
  while (__atomic_load_n(&word, __ATOMIC_RELAXED) != value) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

struct Rank {
  float own[kPlantedBlocks * kPlantedFloats] = {};
  uint64_t flags[kPlantedTimes * 2 * kPlantedBlocks] = {};
  float y[kPlantedBlocks * kPlantedFloats] = {};
};
struct Ranks {
  Rank ranks[2];
  uint32_t count = 0;
  PeerPlantArgs Args(int number, PeerPlant plant) {
    Rank &rank = ranks[number], &other = ranks[1 - number];
    return {rank.own, other.own, rank.flags, other.flags, &count, rank.y, plant};
  }
  // Each in a thread of its own, and none ends before both are done: of one that has ended not all is told.
  template <typename Start>
  void Run(Start start) {
    int left = 2;
    const auto run = [&](int rank) {
      start(rank);
      __atomic_fetch_sub(&left, 1, __ATOMIC_RELAXED);
      Await(left, 0);
    };
    std::thread first(run, 0), second(run, 1);
    first.join();
    second.join();
  }
};

void Sum(Ranks& both, PeerPlant plant, unsigned blocks) {
  both.Run([&](int rank) {
    // What a block of rank 0 then sees of rank 1 is what that one's block of its number had done when it told: another
    // that has told, too, would bring what came before it.
    for (unsigned block = 0; rank == 0 && block < blocks; ++block) Await(both.ranks[0].flags[block], uint64_t{1});
    StartPlantedSums(both.Args(rank, plant), blocks);
  });
}
void Count(Ranks& both, PeerPlant plant) {
  both.Run([&](int rank) { StartPlantedCount(both.Args(rank, plant)); });
}
void RunPlanted(PeerPlant plant) {
  Ranks both;
  if (plant == PeerPlant::kRelaxedCount) {
    Count(both, plant);
  } else {
    Sum(both, plant, plant == PeerPlant::kOthersSecond ? 2 : 1);
  }
}

TEST(Races, WhatIsRightIsNotTold) {
  for (const unsigned blocks : {1u, 2u}) {
    Ranks both;
    Sum(both, PeerPlant::kNothing, blocks);
    for (const Rank& rank : both.ranks) {
      for (unsigned i = 0; i < blocks * kPlantedFloats; ++i) EXPECT_EQ(rank.y[i], 4 * static_cast<float>(i));
    }
  }
  Ranks both;
  Count(both, PeerPlant::kNothing);
  for (int i = 0; i < kPlantedFloats; ++i) {
    EXPECT_EQ(both.ranks[0].y[i] + both.ranks[1].y[i], 2 * static_cast<float>(i));
  }
}

TEST(RacesDeathTest, EachPlantedFaultIsTold) {
  const auto told = [](const std::string& first, const std::string& second) {
    const std::string line = "[^\n]*planted_peers.cc:[0-9]+";
    return "WARNING: ThreadSanitizer: data race[^\n]*\n *" + first + " of size 4[^\n]*\n *#0 [^\n]*Planted" + line +
           "(.*\n)* *Previous " + second + " of size 4[^\n]*\n *#0 [^\n]*Planted" + line;
  };
  const std::string either = "(" + told("Read", "write") + "|" + told("Write", "read") + ")";
  for (const PeerPlant plant : {PeerPlant::kRelaxedStore, PeerPlant::kRelaxedLoad, PeerPlant::kRelaxedCount,
                                PeerPlant::kNoFlag, PeerPlant::kNoClosing, PeerPlant::kOthersSecond}) {
    EXPECT_EXIT(RunPlanted(plant), testing::ExitedWithCode(kToldExit), either) << static_cast<int>(plant);
  }
}

}  // namespace
}  // namespace mrs::kernels::cuda
