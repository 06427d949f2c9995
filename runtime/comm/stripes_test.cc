#include "runtime/comm/stripes.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace mrs {
namespace {

// (stream, bytes) of every stripe of a body.
std::vector<std::pair<int, size_t>> StripesOf(size_t body, int stream_count) {
  std::vector<std::pair<int, size_t>> stripes;
  for (size_t left = body; left > 0;) {
    const Stripe next = NextStripe(false, left, stream_count);
    EXPECT_GT(next.body_bytes, 0u);
    EXPECT_LE(next.body_bytes, left);
    stripes.emplace_back(next.stream, next.body_bytes);
    left -= next.body_bytes;
  }
  return stripes;
}

TEST(Stripes, EndWithWholeOnesByTurns) {
  using Stripes = std::vector<std::pair<int, size_t>>;
  constexpr size_t kAll = kStripeBytes;
  EXPECT_EQ(StripesOf(3 * kAll + 8, 4), (Stripes{{3, 8}, {2, kAll}, {1, kAll}, {0, kAll}}));
  EXPECT_EQ(StripesOf(3 * kAll, 2), (Stripes{{0, kAll}, {1, kAll}, {0, kAll}}));
  EXPECT_EQ(StripesOf(kAll + 1, 8), (Stripes{{1, 1}, {0, kAll}}));
  EXPECT_EQ(StripesOf(kAll, 8), (Stripes{{0, kAll}}));
  EXPECT_EQ(StripesOf(5 * kAll + 1, 1), (Stripes{{0, 5 * kAll + 1}}));
  EXPECT_EQ(StripesOf(0, 3), Stripes());
}

TEST(Stripes, TheHeaderIsStreamZeros) {
  for (int count = 1; count <= kMaxStreams; ++count) {
    for (const size_t body : {size_t{0}, size_t{1}, kStripeBytes, kStripeBytes + 1, 9 * kStripeBytes}) {
      const Stripe first = NextStripe(true, body, count);
      EXPECT_EQ(first.stream, 0);
      // Together with what follows, but for a body that begins elsewhere.
      EXPECT_EQ(first.body_bytes, count == 1 || body <= kStripeBytes ? body : 0);
    }
  }
}

// Whoever is called again with what is left goes on where it was.
TEST(Stripes, APartOfAStripeLeavesItsRestWhereItIs) {
  for (const int count : {2, 3, 8}) {
    for (const size_t body : {7 * kStripeBytes, 7 * kStripeBytes + 1, 8 * kStripeBytes - 1}) {
      for (size_t left = body; left > 0;) {
        const Stripe whole = NextStripe(false, left, count);
        for (const size_t moved : {size_t{1}, whole.body_bytes / 2, whole.body_bytes - 1}) {
          if (moved >= whole.body_bytes) continue;
          const Stripe rest = NextStripe(false, left - moved, count);
          EXPECT_EQ(rest.stream, whole.stream);
          EXPECT_EQ(rest.body_bytes, whole.body_bytes - moved);
        }
        left -= whole.body_bytes;
      }
    }
  }
}

}  // namespace
}  // namespace mrs
