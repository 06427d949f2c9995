#include "plans/diff/text_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs::diff {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(TextFacts, AreCalledByTheKeysAbove) {
  EXPECT_THAT(TextFacts("version: 1\n"
                        "nodes:\n"
                        "  - names: [\"a\", \"b\"]\n"
                        "    devices:\n"
                        "      - {kind: cuda, ordinal: 0}\n"
                        "      - {kind: cuda, ordinal: 1}\n"
                        "    memory: 2TiB\n"
                        "  - name: c\n"
                        "network: 400Gbit/s\n"),
              ElementsAre(Pair("version", "1"), Pair("nodes[0].names", "[\"a\", \"b\"]"),
                          Pair("nodes[0].devices[0]", "{kind: cuda, ordinal: 0}"),
                          Pair("nodes[0].devices[1]", "{kind: cuda, ordinal: 1}"), Pair("nodes[0].memory", "2TiB"),
                          Pair("nodes[1].name", "c"), Pair("network", "400Gbit/s")));
}

TEST(TextFacts, AnyTextHasSome) {
  EXPECT_THAT(TextFacts(""), IsEmpty());
  EXPECT_THAT(TextFacts("\n  \n"), IsEmpty());
  EXPECT_THAT(TextFacts("2 CPU ranks\non one host"), ElementsAre(Pair("", "2 CPU ranks"), Pair("#2", "on one host")));
  EXPECT_THAT(TextFacts("a: 1\na: 2\n"), ElementsAre(Pair("a", "1"), Pair("a#2", "2")));
  EXPECT_THAT(TextFacts("a:\n- x\n- - y\n  - z\nb: 1"),
              ElementsAre(Pair("a[0]", "x"), Pair("a[1][0]", "y"), Pair("a[1][1]", "z"), Pair("b", "1")));
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += std::string(static_cast<size_t>(i), ' ') + "k:\n";
  EXPECT_LT(TextFacts(deep + "end").size(), 1001u);
  EXPECT_FALSE(TextFacts(std::string(100000, '-')).empty());
  std::string dashes;
  for (int i = 0; i < 10000; ++i) dashes += "- ";
  EXPECT_EQ(TextFacts(dashes).size(), 1u);
}

}  // namespace
}  // namespace mrs::diff
