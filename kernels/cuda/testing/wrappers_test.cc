// What the emulator makes of each PTX wrapper: the meaning that cuda_check holds a device to.
#include "kernels/cuda/testing/wrappers.h"

#include <gtest/gtest.h>

#include "kernels/cuda/emulation/machine.h"

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

// The control: an error of the launch or after it is one.
TEST(Wrappers, WhatFailsIsSaid) {
  for (const WrapperCheck& check : WrapperChecks()) EXPECT_EQ(check.differs([] { return 700; }), "error 700");
}

}  // namespace
}  // namespace mrs::kernels::cuda
