// No byte of a plan can change unseen; and where the seal is made good again, the plan is refused or sound, never a
// crash.
#include <gtest/gtest.h>

#include <string>

#include "plans/contract.h"
#include "plans/html/page.h"
#include "plans/reader.h"
#include "plans/testing/tiny_plan.h"
#include "plans/text.h"
#include "plans/writer.h"

namespace mrs::testing {
namespace {

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(Flip, EveryByteIsRefused) {
  std::string file = PackPlan(TinyPlan());
  for (char& byte : file) {
    byte = static_cast<char>(byte ^ 0x10);
    EXPECT_FALSE(OpenPlanBytes(Bytes(file)).ok());
    byte = static_cast<char>(byte ^ 0x10);
  }
  EXPECT_TRUE(OpenPlanBytes(Bytes(file)).ok());
}

class FlipOf : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Plans, FlipOf, ::testing::Bool());

TEST_P(FlipOf, EveryByteResealedIsRefusedOrSound) {
  const std::string original = PackPlan(TinyPlan({.fused = GetParam(), .joined = GetParam()}));
  size_t refused = 0;
  size_t sound = 0;
  for (size_t i = 0; i < original.size() - contract::kTrailerBytes; ++i) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      std::string file = original;
      file[i] = static_cast<char>(file[i] ^ flip);
      Reseal(&file);
      const Result<OpenedPlan> opened = OpenPlanBytes(Bytes(file));
      if (!opened) {
        ++refused;
        continue;
      }
      ++sound;
      EXPECT_FALSE(PlanToText(opened->plan(), opened->name()).empty());
      EXPECT_FALSE(PlanToJson(opened->plan(), opened->name()).empty());
      EXPECT_FALSE(PlanSummary(opened->plan(), opened->name()).empty());
      EXPECT_FALSE(PlanToHtml(opened->plan(), opened->name()).empty());
    }
  }
  EXPECT_GT(refused, sound);
}

TEST(Flip, EveryTruncationIsRefused) {
  const std::string file = PackPlan(TinyPlan());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(OpenPlanBytes(Bytes(file).first(size)).ok()) << size;
    if (size < contract::kTrailerBytes) continue;
    std::string resealed = file.substr(0, size);
    Reseal(&resealed);
    const Result<OpenedPlan> opened = OpenPlanBytes(Bytes(resealed));
    if (opened) {
      EXPECT_FALSE(PlanToText(opened->plan(), opened->name()).empty());
    }
  }
}

}  // namespace
}  // namespace mrs::testing
