#include "runtime/serve/seats.h"

#include <algorithm>
#include <tuple>

namespace mrs::serve {

std::optional<size_t> SeatToGive(std::span<const Seat> seats) {
  const auto first = std::min_element(seats.begin(), seats.end(), [](const Seat& a, const Seat& b) {
    return std::tie(a.use, a.since) < std::tie(b.use, b.since);
  });
  if (first == seats.end() || first->use == SeatUse::kBusy) return std::nullopt;
  return static_cast<size_t>(first - seats.begin());
}

}  // namespace mrs::serve
