#include "plans/verify/order.h"

#include <algorithm>

namespace mrs::verify {

// A step's clock is the greatest of its dependencies' clocks, and of their own places. It goes onto any chain whose
// last step lies before it, else onto a new one.
Result<Order> Order::Of(const StageView& stage) {
  const auto step_count = static_cast<uint32_t>(stage.steps.size());
  Order order;
  order.chain_.resize(step_count);
  order.place_.resize(step_count);
  order.clock_.resize(step_count);
  std::vector<uint32_t> length;  // of each chain
  for (uint32_t i = 0; i < step_count; ++i) {
    std::vector<uint32_t>& clock = order.clock_[i];
    const std::span<const uint32_t> deps = stage.Deps(stage.steps[i]);
    if (!stage.budget.Spend((deps.size() + 1) * (length.size() + 1))) {
      return Budget::Exhausted("what may overlap in the program");
    }
    clock.assign(length.size(), 0);
    for (const uint32_t dep : deps) {
      const std::vector<uint32_t>& before = order.clock_[dep];
      for (size_t chain = 0; chain < before.size(); ++chain) clock[chain] = std::max(clock[chain], before[chain]);
      clock[order.chain_[dep]] = std::max(clock[order.chain_[dep]], order.place_[dep]);
    }
    uint32_t chain = 0;
    while (chain < length.size() && clock[chain] != length[chain]) ++chain;
    if (chain == length.size()) length.push_back(0);
    order.chain_[i] = chain;
    order.place_[i] = ++length[chain];
  }
  return order;
}

}  // namespace mrs::verify
