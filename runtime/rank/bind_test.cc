// What the plan says of launches is what is bound: several steps as one, or for a rehearsal each by itself.
#include "runtime/rank/bind.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "kernels/cuda/exact.h"
#include "plans/testing/tiny_plan.h"
#include "plans/writer.h"

namespace mrs {
namespace {

using kernels::cuda::CudaKernels;

constexpr CudaKernels kNoKernels = {};  // none is called

TEST(BindPlan, HasStepsOfOneLaunchAsOneOrEachByItself) {
  const plan::PlanT tiny = testing::TinyPlan({.tp = 2, .layer_count = 2, .fused = true, .joined = true});
  const std::string bytes = PackPlan(tiny);
  const plan::Plan& plan = *plan::GetPlan(bytes.data());
  const plan::StageT& stage = *tiny.stages[0];
  std::vector<std::byte> weights(stage.weight_arena_bytes), activations(stage.activation_arena_bytes),
      kv(stage.kv_arena_bytes);
  const Arenas arenas = {.weights = weights.data(), .activations = activations.data(), .kv = kv.data()};
  size_t steps = 0;
  for (const plan::Step& step : stage.steps) steps += step.variant() != plan::Variant::all_logits ? 1 : 0;
  ASSERT_EQ(stage.joined.size(), 2u);

  const auto joined = BindPlan(plan, 0, kNoKernels, arenas);
  const auto& launches = joined[0].candidates.launches;
  EXPECT_EQ(launches.size(), steps - 2);
  for (const uint32_t second : stage.joined) {
    const auto at = std::ranges::find(launches, second - 1, &Launch<CudaKernels>::step);
    ASSERT_NE(at, launches.end());
    const auto* const launch = std::get_if<SumNormLaunch>(&at->work);
    ASSERT_NE(launch, nullptr);
    EXPECT_EQ(reinterpret_cast<const std::byte*>(launch->norm.args.b), launch->sum.y);
    EXPECT_EQ(launch->sum.row_bytes, static_cast<uint64_t>(launch->norm.args.width) * sizeof(float));
    EXPECT_EQ(std::ranges::count(launches, second, &Launch<CudaKernels>::step), 0);
  }

  const auto apart = BindPlan(plan, 0, kNoKernels, arenas, Joined::kApart);
  EXPECT_EQ(apart[0].candidates.launches.size(), steps);
  for (const auto& launch : apart[0].candidates.launches) {
    EXPECT_FALSE(std::holds_alternative<SumNormLaunch>(launch.work));
  }
}

}  // namespace
}  // namespace mrs
