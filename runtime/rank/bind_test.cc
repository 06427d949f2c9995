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

class BindPlanOf : public ::testing::TestWithParam<uint32_t> {};

// Of each layer QKV's products are one with the rotation and the append, and of all sums but the last, by which the
// model ends, each with what it adds: a product of one rank, or the ranks' sum.
TEST_P(BindPlanOf, StepsOfOneLaunchHasThemAsOneOrEachByItself) {
  const plan::PlanT tiny = testing::TinyPlan({.tp = GetParam(), .layer_count = 2, .fused = true, .joined = true});
  const std::string bytes = PackPlan(tiny);
  const plan::Plan& plan = *plan::GetPlan(bytes.data());
  const plan::StageT& stage = *tiny.stages[0];
  std::vector<std::byte> weights(stage.weight_arena_bytes), activations(stage.activation_arena_bytes),
      kv(stage.kv_arena_bytes);
  const Arenas arenas = {.weights = weights.data(), .activations = activations.data(), .kv = kv.data()};
  size_t steps = 0;
  for (const plan::Step& step : stage.steps) steps += step.variant() != plan::Variant::all_logits ? 1 : 0;
  ASSERT_EQ(stage.joined.size(), 4u);

  const auto joined = BindPlan(plan, 0, kNoKernels, arenas);
  const auto& launches = joined[0].candidates.launches;
  EXPECT_EQ(launches.size(), steps - 4);
  int of_sums = 0, of_products = 0, of_heads = 0;
  for (const uint32_t second : stage.joined) {
    const auto at = std::ranges::find(launches, second - 1, &Launch<CudaKernels>::step);
    ASSERT_NE(at, launches.end());
    EXPECT_EQ(std::ranges::count(launches, second, &Launch<CudaKernels>::step), 0);
    if (const auto* const sum = std::get_if<SumNormLaunch>(&at->work)) {
      ++of_sums;
      EXPECT_EQ(reinterpret_cast<const std::byte*>(sum->norm.args.b), sum->sum.y);
      EXPECT_EQ(sum->sum.row_bytes, static_cast<uint64_t>(sum->norm.args.width) * sizeof(float));
    } else if (const auto* const product = std::get_if<MatmulAddRmsNormLaunch>(&at->work)) {
      ++of_products;
      ASSERT_EQ(product->products.parts.size(), 1u);
      EXPECT_EQ(product->products.parts[0].y, product->then.args.b);
      EXPECT_EQ(product->products.parts[0].shape.n, product->then.args.width);
    } else if (const auto* const heads = std::get_if<MatmulRopeAppendLaunch>(&at->work)) {
      ++of_heads;
      const auto& parts = heads->products.parts;
      ASSERT_EQ(parts.size(), 3u);
      const auto& args = heads->then.args;
      EXPECT_EQ((std::vector<const float*>{parts[0].y, parts[1].y, parts[2].y}),
                (std::vector<const float*>{args.q, args.k, args.v}));
      EXPECT_EQ(parts[0].shape.n, args.heads * args.cache.head_dim);
    }
  }
  EXPECT_EQ(of_heads, 2);
  EXPECT_EQ(of_sums, GetParam() > 1 ? 2 : 0);
  EXPECT_EQ(of_products, GetParam() > 1 ? 0 : 2);

  const auto but_exchanges = BindPlan(plan, 0, kNoKernels, arenas, Joined::kButExchanges);
  EXPECT_EQ(but_exchanges[0].candidates.launches.size(), steps - 4 + static_cast<size_t>(of_sums));
  for (const auto& launch : but_exchanges[0].candidates.launches) {
    EXPECT_FALSE(std::holds_alternative<SumNormLaunch>(launch.work));
  }

  const auto apart = BindPlan(plan, 0, kNoKernels, arenas, Joined::kApart);
  EXPECT_EQ(apart[0].candidates.launches.size(), steps);
  for (const auto& launch : apart[0].candidates.launches) {
    EXPECT_FALSE(std::holds_alternative<SumNormLaunch>(launch.work));
    EXPECT_FALSE(std::holds_alternative<MatmulAddRmsNormLaunch>(launch.work));
    EXPECT_FALSE(std::holds_alternative<MatmulRopeAppendLaunch>(launch.work));
  }
}
INSTANTIATE_TEST_SUITE_P(Ranks, BindPlanOf, ::testing::Values(1u, 2u));

}  // namespace
}  // namespace mrs
