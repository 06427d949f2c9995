#include "runtime/rank/measured.h"

#include <algorithm>

namespace mrs {

const char* ExchangeName(ExchangeKind kind) {
  switch (kind) {
    case ExchangeKind::kAllReduce:
      return "all-reduce";
    case ExchangeKind::kAllGather:
      return "all-gather";
    case ExchangeKind::kSend:
      return "send";
    case ExchangeKind::kRecv:
      return "recv";
  }
  return "unknown";
}

uint64_t Median(std::vector<uint64_t> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<MeasuredExchange> CollectiveTimes::Summary() const {
  std::vector<MeasuredExchange> summary;
  for (const auto& [exchange, samples] : samples_) {
    summary.push_back({.exchange = exchange,
                       .count = samples.size(),
                       .min_ns = *std::ranges::min_element(samples),
                       .median_ns = Median(samples)});
  }
  return summary;
}

}  // namespace mrs
