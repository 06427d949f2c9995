// Which step surely finishes before which other one starts, whatever overlap the dependencies allow.
//
//   steps 0 <- 1 <- 3, 0 <- 2: Before(0, 3), Before(0, 2), not Before(2, 3) and not Before(3, 2)
//
// Steps are laid out on chains, each totally ordered; a step's clock says how far along each chain lies before it. That
// is exact, and cheap for programs that are a few chains wide, as models are.
#pragma once

#include <cstdint>
#include <vector>

#include "plans/verify/context.h"

namespace mrs::verify {

class Order {
 public:
  // Refuses programs so wide that the clocks would take too long.
  static Result<Order> Of(const StageView& stage);

  // Meant for two different steps that both run in some variant.
  bool Before(uint32_t a, uint32_t b) const {
    return chain_[a] < clock_[b].size() && clock_[b][chain_[a]] >= place_[a];
  }

 private:
  std::vector<uint32_t> chain_;               // of each step
  std::vector<uint32_t> place_;               // on its chain, from 1
  std::vector<std::vector<uint32_t>> clock_;  // of each step: last place on each chain that lies before it; 0: none
};

}  // namespace mrs::verify
