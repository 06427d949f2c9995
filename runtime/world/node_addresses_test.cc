// Names that are known everywhere (localhost) and nowhere (with an empty part).
#include "runtime/world/node_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using Match = NodeAddresses::Match;

std::vector<PlanNode> Nodes(const std::vector<std::string>& addresses) {
  std::vector<PlanNode> nodes;
  for (const std::string& address : addresses) nodes.push_back({.name = "n", .address = address, .ranks = {0}});
  return nodes;
}

Match Answer(NodeAddresses& addresses, size_t node, const std::string& from, NodeAddresses::Time since) {
  for (;;) {
    const Match match = addresses.IsAt(node, from, since, Clock::now());
    if (match != Match::kLater) return match;
    std::this_thread::yield();
  }
}

TEST(NodeAddresses, NumericOnesAreComparedAtOnce) {
  NodeAddresses addresses(Nodes({"10.0.0.1", "fd00::1", "fe80::1%lo", ""}));
  const struct {
    size_t node;
    const char* from;
    Match match;
  } cases[] = {
      {0, "10.0.0.1", Match::kYes},  {0, "10.0.0.2", Match::kNo},      {1, "fd00::1", Match::kYes},
      {1, "fd00::2", Match::kNo},    {2, "fe80::1%eth7", Match::kYes},  // the zone is of whoever names it
      {2, "fe80::2%lo", Match::kNo}, {3, "10.0.0.9", Match::kUnknown},
  };
  for (const auto& [node, from, match] : cases) {
    EXPECT_EQ(addresses.IsAt(node, from, Clock::now(), Clock::now()), match) << node << " from " << from;
  }
}

TEST(NodeAddresses, NamesAreAskedForAndOnlyAYoungAnswerSaysNo) {
  NodeAddresses addresses(Nodes({"localhost", "no..such"}));
  EXPECT_FALSE(addresses.IsKnownAt(0, "127.0.0.1"));
  const auto since = Clock::now();
  EXPECT_EQ(addresses.IsAt(0, "127.0.0.1", since, since), Match::kLater);
  EXPECT_EQ(Answer(addresses, 0, "127.0.0.1", since), Match::kYes);
  EXPECT_TRUE(addresses.IsKnownAt(0, "127.0.0.1"));
  EXPECT_EQ(addresses.IsAt(0, "10.0.0.9", since, since), Match::kNo);
  const auto later = Clock::now() + std::chrono::nanoseconds(1);
  EXPECT_EQ(addresses.IsAt(0, "10.0.0.9", later, later), Match::kLater);  // it may have moved meanwhile
  EXPECT_EQ(addresses.IsAt(0, "127.0.0.1", later, later), Match::kYes);
  EXPECT_EQ(Answer(addresses, 1, "127.0.0.1", since), Match::kUnknown);
  EXPECT_THAT(addresses.WhyUnknown(1), testing::StartsWith("tcp: address 'no..such': "));
  EXPECT_EQ(addresses.WhyUnknown(0), "");
}

TEST(NodeAddresses, OfThoseWhoAreMissingNamesAreAskedForAgain) {
  NodeAddresses addresses(Nodes({"no..such", "localhost", "localhost"}));
  const auto now = Clock::now();
  const auto missing = [](size_t node) { return node != 2; };
  while (!addresses.IsKnownAt(1, "127.0.0.1") || addresses.WhyUnknown(0).empty()) {
    addresses.Advance(now, missing);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  EXPECT_TRUE(addresses.IsKnownAt(1, "127.0.0.1"));
  EXPECT_NE(addresses.WhyUnknown(0), "");
  EXPECT_FALSE(addresses.IsKnownAt(2, "127.0.0.1"));
  // In the place of the plan's, from whoever knows better.
  addresses.Tell(0, "10.0.0.7");
  EXPECT_TRUE(addresses.IsKnownAt(0, "10.0.0.7"));
  EXPECT_EQ(addresses.WhyUnknown(0), "");
}

}  // namespace
}  // namespace mrs
