#include "ir/sharding_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(ShardingRule, ReadsFactorsAndTheirMarks) {
  const ShardingRule rule = ParseShardingRule("t h !d, c h/ !d, s -> t h !d");
  EXPECT_FALSE(rule.by_name);
  ASSERT_THAT(rule.operands, SizeIs(3));
  ASSERT_THAT(rule.results, SizeIs(1));
  EXPECT_THAT(rule.operands[0].dims, ElementsAre(RuleDim{'t'}, RuleDim{'h'}, RuleDim{.factor = 'd', .whole = true}));
  EXPECT_THAT(rule.operands[1].dims,
              ElementsAre(RuleDim{'c'}, RuleDim{.factor = 'h', .coarse = true}, RuleDim{.factor = 'd', .whole = true}));
  EXPECT_EQ(rule.operands[1].text, "c h/ !d");
  EXPECT_THAT(rule.operands[2].dims, ElementsAre(RuleDim{'s'}));
}

TEST(ShardingRule, ReadsRepetitionsAndStars) {
  const ShardingRule rule = ParseShardingRule("t k*, {n* k*} -> {t n*}");
  EXPECT_FALSE(rule.operands[0].repeated);
  EXPECT_TRUE(rule.operands[1].repeated);
  EXPECT_THAT(rule.operands[1].dims,
              ElementsAre(RuleDim{.factor = 'n', .star = true}, RuleDim{.factor = 'k', .star = true}));
  EXPECT_TRUE(rule.results[0].repeated);
  EXPECT_EQ(rule.results[0].text, "t n*");
}

TEST(ShardingRule, MayLeaveTheJudgementToTheVerifier) { EXPECT_TRUE(ParseShardingRule("by name").by_name); }

TEST(ShardingRuleDeathTest, EndsTheProcessWhereADefinitionHasNone) {
  EXPECT_DEATH(ParseShardingRule(""), "\"\" is no sharding rule");
  EXPECT_DEATH(ParseShardingRule("t h"), "\"t h\" is no sharding rule");
  EXPECT_DEATH(ParseShardingRule("t h? -> t"), "\"t h\\? -> t\" is no sharding rule: \"h\\?\"");
  EXPECT_DEATH(ParseShardingRule("t  h -> t"), "is no sharding rule: \"\"");
}

}  // namespace
}  // namespace mrs::ir
