// What the emulator makes of each PTX wrapper: the meaning that cuda_check holds a device to.
#include "kernels/cuda/testing/wrappers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/peer_exchange.h"

namespace mrs::kernels::cuda {
namespace {

using emulation::Order;

TEST(Wrappers, MeanWhatTheyShouldInEveryOrder) {
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    emulation::SetSchedule({.order = order, .seed = 11});
    for (const WrapperCheck& check : WrapperChecks()) {
      EXPECT_EQ(check.differs([] { return 0; }), "") << check.name << ", order " << static_cast<int>(order);
    }
  }
  emulation::SetSchedule({});
}

TEST(Wrappers, HereALaunchBeginsWhenTheOneBeforeHasEnded) {
  EXPECT_EQ(EarlyLaunches([] { return 0; }), 0);
  EXPECT_EQ(EarlyLaunches([] { return 700; }), -1);
}

TEST(Wrappers, LaunchesSideBySideMeetAndOneAloneDoesNot) {
  for (const int launches : {1, 2}) {
    std::vector<uint64_t> there(2 * kPeerBlocks), met(2 * kPeerBlocks);
    std::vector<std::thread> threads;
    for (int launch = 0; launch < launches; ++launch) {
      threads.emplace_back([&, launch] {
        const uint64_t longest_ns = launches == 2 ? 20'000'000'000 : 20'000'000;
        EXPECT_EQ(StartSideBySide({there.data(), met.data(), launch, 2, longest_ns}, nullptr), 0);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::count(met.begin(), met.end(), 1u), launches == 2 ? 2 * kPeerBlocks : 0);
  }
}

// The control: an error of the launch or after it is one.
TEST(Wrappers, WhatFailsIsSaid) {
  for (const WrapperCheck& check : WrapperChecks()) EXPECT_EQ(check.differs([] { return 700; }), "error 700");
}

}  // namespace
}  // namespace mrs::kernels::cuda
