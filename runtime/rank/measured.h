// What a rehearsal measured on one rank: its collectives and transfers, by kind and size.
//
//   CollectiveTimes times;
//   times.Add({.kind = ExchangeKind::kAllReduce, .algorithm = 1, .bytes = 16384}, 4200);   // each that ran, in ns
//   times.Summary()   // {all-reduce of 16 KiB: 9 times, 3100 ns at least, 4200 ns in the middle}
//
// The time includes the wait for peers that come later; of all ranks', the shortest is the exchange itself.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs {

enum class ExchangeKind : uint8_t { kAllReduce = 1, kAllGather = 2, kSend = 3, kRecv = 4 };
const char* ExchangeName(ExchangeKind kind);

struct Exchange {
  ExchangeKind kind = ExchangeKind::kAllReduce;
  plan::CollectiveAlgorithm algorithm = plan::CollectiveAlgorithm::none;  // of a sum
  uint64_t bytes = 0;                                                     // of one rank's operand
  auto operator<=>(const Exchange&) const = default;
};

struct MeasuredExchange {
  Exchange exchange = {};
  uint64_t count = 0;  // of samples
  uint64_t min_ns = 0;
  uint64_t median_ns = 0;
};

class CollectiveTimes {
 public:
  void Add(const Exchange& exchange, uint64_t ns) {
    std::vector<uint64_t>& of_it = samples_[exchange];
    if (of_it.size() < kMostSamples) of_it.push_back(ns);
  }
  std::vector<MeasuredExchange> Summary() const;

 private:
  static constexpr size_t kMostSamples = 1 << 16;
  std::map<Exchange, std::vector<uint64_t>> samples_;
};

// 0 of nothing.
uint64_t Median(std::vector<uint64_t> values);

}  // namespace mrs
