// The verifier's budget of work suffices for the largest plans that are meant, and ends plans made to slow it down.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "plans/structure.h"
#include "plans/testing/tiny_plan.h"
#include "plans/verify.h"
#include "plans/writer.h"

namespace mrs::testing {
namespace {

using namespace plan;

TEST(VerifyScale, SufficesFor126LayersOn64Ranks) {
  const std::string message =
      Refusal(TinyPlan({.tp = 16, .dp = 4, .layer_count = 126, .bucket_count = 12, .scale = 8}));
  EXPECT_EQ(message, "");
}

TEST(VerifyScale, SufficesFor65536Ranks) {
  const std::string message = Refusal(TinyPlan({.tp = 16, .dp = 4096, .scale = 8}));
  EXPECT_EQ(message, "");
}

TEST(VerifyScale, GivesUpOnStepsThatWaitForNothing) {
  PlanT plan = TinyPlan();
  StageT& stage = *plan.stages[0];
  const Ref positions(BufferNamed(plan, "positions"), RefSpace::buffer);
  for (uint32_t i = 0; i < 200'000; ++i) {
    const auto buffer = static_cast<uint32_t>(stage.buffers.size());
    stage.buffers.push_back(BufferOf(plan, "cos_sin"));
    stage.steps.emplace_back(0, static_cast<uint32_t>(stage.refs.size()), 0, 0, 0, 1, 1, -1, OpKind::rope_angles,
                             Variant::always);
    stage.refs.push_back(positions);
    stage.refs.emplace_back(buffer, RefSpace::buffer);
  }
  const size_t bucket_count = stage.buckets.size();
  stage.placements.assign(bucket_count * stage.buffers.size(), 0);
  const std::string message = Refusal(plan);
  EXPECT_EQ(message, "checking what may overlap in the program would take too long for any plan that mrs-plan writes");
}

TEST(VerifyScale, GivesUpOnMoreHeadsThanAnyModelHas) {
  EXPECT_EQ(Refusal(TinyPlan({.head_scale = 1 << 25})),
            "checking which KV heads are read would take too long for any plan that mrs-plan writes");
}

// A file of a megabyte that is two hundred megabytes to whoever follows it.
TEST(VerifyScale, GivesUpOnTheSameTableManyTimesOver) {
  PlanT plan = TinyPlan();
  plan.predictions[0]->provenance.assign(1 << 20, 'x');
  for (uint32_t i = 0; i < 200; ++i) plan.predictions.push_back(std::make_unique<PredictionT>());
  std::string bytes = PackPlan(plan);
  // Tables lie behind the vector that names them, each at an offset from its entry.
  auto* entries = const_cast<uint8_t*>(GetPlan(bytes.data())->predictions()->Data());
  const auto first = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(entries);
  for (uint32_t i = 1; i <= 200; ++i) {
    flatbuffers::WriteScalar<flatbuffers::uoffset_t>(entries + 4 * i, first - 4 * i);
  }
  Reseal(&bytes);
  ASSERT_LT(bytes.size(), 2 << 20);
  const auto sealed = CheckStructure(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(sealed.ok()) << sealed.message();
  ASSERT_EQ(sealed->plan->predictions()->Get(200)->provenance()->size(), 1 << 20);
  EXPECT_EQ(VerifyPlan(*sealed->plan).message(), "predictions[127].provenance: the same parts are used over and over");
}

}  // namespace
}  // namespace mrs::testing
