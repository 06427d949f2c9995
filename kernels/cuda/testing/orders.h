// In which orders of threads a kernel is tried.
#pragma once

#include <vector>

#include "kernels/cuda/emulation/machine.h"

namespace mrs::kernels::cuda {

// Where each access is looked at, by a sanitizer or the emulator, one order will do: it takes twenty times as long.
inline std::vector<emulation::Order> Orders() {
#ifdef MRS_ONE_ORDER
  return {emulation::Order::kRandom};
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  return {emulation::Order::kRandom};
#endif
#endif
  return {emulation::Order::kForward, emulation::Order::kReverse, emulation::Order::kRandom};
}

}  // namespace mrs::kernels::cuda
