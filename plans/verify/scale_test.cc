// The verifier's budget of work suffices for the largest plans that are meant, and ends plans made to slow it down.
#include <gmock/gmock.h>
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

// What the verifier says of a file in which every entry of a vector of tables names the first one's table. `entries` is
// where the vector's entries lie: each is the distance from itself to its table, which lies behind them.
template <typename Entries>
std::string RefusalOfOneTable(std::string bytes, Entries entries) {
  const auto* vector = entries(*GetPlan(bytes.data()));
  auto* data = const_cast<uint8_t*>(vector->Data());
  const auto first = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(data);
  for (uint32_t i = 1; i < vector->size(); ++i) {
    flatbuffers::WriteScalar<flatbuffers::uoffset_t>(data + 4 * i, first - 4 * i);
  }
  Reseal(&bytes);
  EXPECT_LT(bytes.size(), 2 << 20);
  const auto sealed = CheckStructure(std::as_bytes(std::span(bytes)));
  if (!sealed.ok()) return sealed.message();
  EXPECT_EQ(entries(*sealed->plan)->Get(1), entries(*sealed->plan)->Get(0));
  return VerifyPlan(*sealed->plan).message();
}

// A file of a megabyte that is two hundred megabytes to whoever follows it, in text or in numbers.
TEST(VerifyScale, GivesUpOnTheSameTableManyTimesOver) {
  PlanT plan = TinyPlan();
  plan.predictions[0]->provenance.assign(1 << 20, 'x');
  for (uint32_t i = 0; i < 200; ++i) plan.predictions.push_back(std::make_unique<PredictionT>());
  EXPECT_EQ(RefusalOfOneTable(PackPlan(plan), [](const Plan& p) { return p.predictions(); }),
            "predictions[127].provenance: the same parts are used over and over");
  plan = TinyPlan();
  plan.ropes[0]->inv_freq.assign(1 << 18, 1);
  for (uint32_t i = 0; i < 200; ++i) plan.ropes.push_back(std::make_unique<RopeT>());
  EXPECT_THAT(RefusalOfOneTable(PackPlan(plan), [](const Plan& p) { return p.ropes(); }),
              ::testing::MatchesRegex("ropes.127..inv_freq.[0-9]+.: the same parts are used over and over"));
}

}  // namespace
}  // namespace mrs::testing
