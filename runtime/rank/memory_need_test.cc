#include "runtime/rank/memory_need.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

TEST(CheckMemory, NamesWhatIsMissing) {
  const MemoryNeed need{.rank = 3, .weight_bytes = 400 * kMiB, .activation_bytes = 12 * kMiB, .kv_bytes = 100 * kMiB};
  EXPECT_TRUE(CheckMemory(need, 1, {512 * kMiB, 412 * kMiB}).ok());
  const Status now = CheckMemory(need, 1, {512 * kMiB, 411 * kMiB});
  ASSERT_FALSE(now.ok());
  EXPECT_THAT(now.message(), HasSubstr("rank 3 needs 412.0 MiB now (400.0 MiB weights, 12.0 MiB activations), but only "
                                       "411.0 MiB"));
  const Status all = CheckMemory(need, 2, {1023 * kMiB, 1000 * kMiB});
  ASSERT_FALSE(all.ok());
  EXPECT_THAT(all.message(), HasSubstr("2 rank(s) here need 512.0 MiB each"));
}

}  // namespace
}  // namespace mrs
