#include "runtime/serve/seats.h"

#include <gtest/gtest.h>

#include <vector>

namespace mrs::serve {
namespace {

Seat At(SeatUse use, int second) {
  return {.use = use, .since = std::chrono::steady_clock::time_point(std::chrono::seconds(second))};
}

TEST(SeatToGive, TakesTheSilentFirstAndTheLongestAmongEquals) {
  // Taken away one by one, they go in this order.
  const std::vector<Seat> order = {At(SeatUse::kSilent, 8),   At(SeatUse::kSilent, 9), At(SeatUse::kAnswered, 1),
                                   At(SeatUse::kAnswered, 7), At(SeatUse::kAsking, 2), At(SeatUse::kSending, 3),
                                   At(SeatUse::kTaking, 0),   At(SeatUse::kBusy, 0),   At(SeatUse::kBusy, 5)};
  std::vector<Seat> seats(order.rbegin(), order.rend());
  for (size_t gone = 0; gone < 7; ++gone) {
    const std::optional<size_t> index = SeatToGive(seats);
    ASSERT_TRUE(index.has_value());
    EXPECT_EQ(*index, seats.size() - 1);
    seats.pop_back();
  }
  EXPECT_EQ(SeatToGive(seats), std::nullopt) << "the busy ones stay";
  EXPECT_EQ(SeatToGive({}), std::nullopt);
}

}  // namespace
}  // namespace mrs::serve
