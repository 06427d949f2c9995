#include "plans/cluster_nodes.h"

#include <gtest/gtest.h>

namespace mrs {
namespace {

using Names = std::vector<NamedNode>;

TEST(ReadNodeNames, ReadsWhatMrsPlanWrites) {
  const Result<Names> read = ReadNodeNames(
      "version: 1\nname: \"rack\"\nnetwork: 10Gbit/s\nnodes:\n"
      "  - name: \"a \\\"b\\\" \\\\ \\x1b\\u202e\\U0001f600\"\n    memory: 4GiB\n    sockets:\n      - {numa: 0}\n"
      "    devices:\n      - {kind: cpu, model: \"  - name: x\", ordinal: 0, socket: 0}\n"
      "  - names: [\"b\", \"c\"]\n    addresses: [\"10.0.0.2\", \"fe80::1%eth0\"]\n    completed:\n      - "
      "\"address\"\n");
  ASSERT_TRUE(read.ok()) << read.message();
  EXPECT_EQ(*read, (Names{{"a \"b\" \\ \x1b\u202e\U0001f600", ""}, {"b", "10.0.0.2"}, {"c", "fe80::1%eth0"}}));
}

TEST(ReadNodeNames, ALineForPeopleNamesNobody) {
  EXPECT_TRUE(ReadNodeNames("this host: 4 CPU ranks")->empty());
  EXPECT_TRUE(ReadNodeNames("")->empty());
}

TEST(ReadNodeNames, RefusesAnythingElseByItsLine) {
  const auto message = [](const std::string& nodes) { return ReadNodeNames("version: 1\nnodes:\n" + nodes).message(); };
  EXPECT_EQ(message("  - name: a\n"),
            "the plan's cluster: line 3: expected the names of nodes as mrs-plan writes them, got \"  - name: a\"");
  EXPECT_EQ(message("  - names: [\"a\", \"b\"]\n    addresses: [\"x\"]\n"),
            "the plan's cluster: line 4: expected the addresses of nodes as mrs-plan writes them, got \""
            "    addresses: [\\\"x\\\"]\"");
  for (const char* bad : {"  - names: [\"a\",\"b\"]\n", "  - name: \"a\n", "  - name: \"a\" x\n", "  - count: 2\n",
                          "    address: \"x\"\n", "  - name: \"\\x0\"\n", "  - name: \"\\q\"\n", "  - name: \"\\\n",
                          "  - name: \"\\Uffffffff\"\n", "  - names: []\n"}) {
    EXPECT_FALSE(ReadNodeNames(std::string("version: 1\nnodes:\n") + bad).ok()) << bad;
  }
  std::string many = "  - names: [\"n\"";
  for (int i = 0; i < 1024; ++i) many += ", \"n\"";
  EXPECT_FALSE(ReadNodeNames("version: 1\nnodes:\n" + many + "]\n").ok());
  EXPECT_FALSE(ReadNodeNames("version: 1\nnodes:\n  - name: \"" + std::string(300, 'x') + "\"\n").ok());
}

TEST(NodeText, NamesNumberNameAndAddress) {
  const std::vector<PlanNode> nodes = {{"a", "10.0.0.1", {0, 2}}, {"b\n", "", {1, 3}}};
  EXPECT_EQ(NodeText(nodes, 0), "node 0 (a at 10.0.0.1)");
  EXPECT_EQ(NodeText(nodes, 1), "node 1 (b\\x0a)");
  EXPECT_EQ(PlaceText(nodes, 0), "node 0 (a at 10.0.0.1)");
  EXPECT_EQ(RingNodes(2)[1].ranks, std::vector<uint32_t>{1});
  EXPECT_EQ(NodeText(RingNodes(2), 1), "rank 1 of the ring");
  EXPECT_EQ(PlaceText(RingNodes(2), 1), "");
  EXPECT_EQ(NodeOfRank(nodes, 2), 0u);
  EXPECT_EQ(NodeOfRank(nodes, 3), 1u);
}

}  // namespace
}  // namespace mrs
