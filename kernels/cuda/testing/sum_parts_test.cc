#include "kernels/cuda/sum_parts.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {
namespace {

// The tree as communicator.h says it: neighbours at distance 1 first, then at 2, 4, ...
float Canonical(std::vector<float> values) {
  for (size_t distance = 1; distance < values.size(); distance *= 2) {
    for (size_t i = 0; i + distance < values.size(); i += 2 * distance) values[i] += values[i + distance];
  }
  return values[0];
}
float InOrder(const std::vector<float>& values) {
  float sum = values[0];
  for (size_t i = 1; i < values.size(); ++i) sum += values[i];
  return sum;
}

TEST(SumParts, HasTheBitsOfTheHostsSums) {
  std::mt19937 random(20261126);
  std::normal_distribution<float> normal;
  size_t unlike = 0;
  for (const int64_t ranks : {1, 2, 3, 4, 7, 8, 16, 32, 64}) {
    for (const int64_t count : {1, 5, 255, 256, 1000}) {
      Buffers buffers;
      float* const parts = buffers.New<float>(ranks * count);
      for (int64_t i = 0; i < ranks * count; ++i) parts[i] = normal(random);
      for (const bool canonical : {true, false}) {
        if (canonical && (ranks & (ranks - 1)) != 0) continue;
        float* const y = buffers.New<float>(count + 1);
        y[count] = 7.0f;
        ASSERT_EQ(StartSumParts({parts, y, count, ranks, canonical}, nullptr), 0);
        for (int64_t i = 0; i < count; ++i) {
          std::vector<float> values;
          for (int64_t rank = 0; rank < ranks; ++rank) values.push_back(parts[rank * count + i]);
          const float expected = canonical ? Canonical(values) : InOrder(values);
          ASSERT_EQ(std::memcmp(&y[i], &expected, sizeof(float)), 0)
              << ranks << " ranks, " << count << " elements, element " << i;
          unlike += Canonical(values) != InOrder(values) ? 1 : 0;
        }
        EXPECT_EQ(y[count], 7.0f);
      }
    }
  }
  EXPECT_GT(unlike, 1000u);  // so the order matters
}

TEST(SumParts, RefusesWhatIsNoTree) {
  float x[3] = {1, 2, 3}, y = 0;
  EXPECT_EQ(StartSumParts({x, &y, 1, 3, true}, nullptr), 1);
  EXPECT_EQ(StartSumParts({x, &y, 1, 128, true}, nullptr), 1);
  EXPECT_EQ(StartSumParts({x, &y, 1, 0, false}, nullptr), 1);
  EXPECT_EQ(StartSumParts({x, &y, 0, 3, true}, nullptr), 0);
}

}  // namespace
}  // namespace mrs::kernels::cuda
