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

// What the verifier says; "" where it accepts.
std::string Verdict(const PlanT& plan) {
  const std::string bytes = PackPlan(plan);
  const auto sealed = CheckStructure(std::as_bytes(std::span(bytes)));
  if (!sealed) return sealed.message();
  const Status status = VerifyPlan(*sealed->plan);
  return status.ok() ? "" : status.message();
}

TEST(VerifyScale, SufficesFor126LayersOn64Ranks) {
  const std::string message =
      Verdict(TinyPlan({.tp = 16, .dp = 4, .layer_count = 126, .bucket_count = 12, .scale = 8}));
  EXPECT_EQ(message, "");
}

TEST(VerifyScale, SufficesFor65536Ranks) {
  const std::string message = Verdict(TinyPlan({.tp = 16, .dp = 4096, .scale = 8}));
  EXPECT_EQ(message, "");
}

TEST(VerifyScale, GivesUpOnAMillionStepsThatWaitForNothing) {
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
  const std::string message = Verdict(plan);
  EXPECT_EQ(message, "checking what may overlap in the program would take too long for any plan that mrs-plan writes");
}

TEST(VerifyScale, GivesUpOnSlicesOverTooManyRanks) {
  PlanT plan = TinyPlan({.tp = 1024, .scale = 512});
  const std::string message = Verdict(plan);
  EXPECT_NE(message, "");  // 16 chunks cannot be cut 1024 ways
}

TEST(VerifyScale, GivesUpOnTheSameTableManyTimesOver) {
  PlanT plan = TinyPlan();
  for (uint32_t i = 0; i < 300; ++i) plan.ropes.push_back(std::make_unique<RopeT>(*plan.ropes[0]));
  EXPECT_EQ(Verdict(plan), "the number of ropes is 301, expected 0 to 256");
}

}  // namespace
}  // namespace mrs::testing
