// What several ranks hold, summed in the order that communicators of the host have (runtime/comm/communicator.h).
//
//   StartSumParts({.parts = parts, .y = y, .count = 4096, .ranks = 4, .canonical = true}, stream)
//   // y[i] = (parts[0][i] + parts[1][i]) + (parts[2][i] + parts[3][i])
//
// No row of the kernel table: a CPU's ranks sum as they exchange.
#pragma once

#include <cstdint>

namespace mrs::kernels::cuda {

constexpr int64_t kMostSummedRanks = 64;

struct SumPartsArgs {
  const float* parts = nullptr;  // [ranks][count]
  float* y = nullptr;            // [count], no memory of parts
  int64_t count = 0;
  int64_t ranks = 1;      // a power of two of at most kMostSummedRanks, where canonical
  bool canonical = true;  // the tree; else ((p0 + p1) + p2) + ...
};
// As a kernel of exact.h.
int StartSumParts(const SumPartsArgs& args, void* stream);

}  // namespace mrs::kernels::cuda
