#include "formats/ring_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mrs {
namespace {

// mistral.rs, docs/src/content/docs/guides/perf/distributed-inference.mdx.
constexpr std::string_view kDocumented = R"({
  "master_ip": "10.0.0.1",
  "master_port": 9000,
  "port": 9001,
  "right_port": 9002,
  "right_ip": "10.0.0.2",
  "rank": 0,
  "world_size": 2
})";

std::string With(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}
std::string With(const std::string& from, const std::string& to) { return With(std::string(kDocumented), from, to); }

TEST(RingRankConfig, ReadsWhatTheDocumentationShows) {
  const Result<RingRankConfig> config = ParseRingConfig(kDocumented, "ring_0.json");
  ASSERT_TRUE(config.ok()) << config.message();
  const RingRankConfig expected{.master_ip = "10.0.0.1",
                                .master_port = 9000,
                                .port = 9001,
                                .right_port = 9002,
                                .right_ip = "10.0.0.2",
                                .rank = 0,
                                .world_size = 2};
  EXPECT_EQ(*config, expected);
}

TEST(RingRankConfig, TakesWhatMayBeLeftOut) {
  // mistral.rs, ring_configs/ring_1.json
  const Result<RingRankConfig> config = ParseRingConfig(
      R"({"master_ip": "0.0.0.0", "master_port": 1234, "port": 12346, "right_port": 12345, "rank": 1, "world_size": 2})",
      "ring_1.json");
  ASSERT_TRUE(config.ok()) << config.message();
  EXPECT_EQ(config->right_ip, std::nullopt);
  EXPECT_TRUE(ParseRingConfig(With("\"10.0.0.1\"", "null"), "r").ok());  // rank 0 need not say where it is
  for (const char* address : {"\"node-7.rack_2.example\"", "\"[fe80::1]\"", "\"localhost\"", "\"10.0.0.255\""}) {
    EXPECT_TRUE(ParseRingConfig(With("\"10.0.0.2\"", address), "r").ok()) << address;
  }
}

TEST(RingRankConfig, TheMasterMayBeKnownFromElsewhere) {
  const std::string text = R"({"port": 9001, "right_port": 9002, "right_ip": "10.0.0.1", "rank": 1, "world_size": 2})";
  const Result<RingRankConfig> config = ParseRingConfig(text, "r", {.master = false});
  ASSERT_TRUE(config.ok()) << config.message();
  EXPECT_EQ(config->master_port, 0);
  EXPECT_EQ(ParseRingConfig(text, "r").message(),
            "r: line 1, column 1: 'master_port' is missing; expected a whole number from 1 to 65535: on which rank 0 "
            "hands requests to the others");
  // What stands there is held to the same, needed or not.
  EXPECT_EQ(ParseRingConfig(With(text, "{", "{\"master_port\": 0, "), "r", {.master = false}).message(),
            "r: line 1, column 17: 'master_port': expected a whole number from 1 to 65535, got 0");
}

TEST(RingRankConfig, RefusesWithThePlace) {
  struct Case {
    std::string from, to, refusal;
  };
  const std::vector<Case> cases = {
      {"9001", "70000", "line 4, column 11: 'port': expected a whole number from 1 to 65535, got 70000"},
      {"9001", "0", "line 4, column 11: 'port': expected a whole number from 1 to 65535, got 0"},
      {"9001", "-1", "line 4, column 11: 'port': expected a whole number from 1 to 65535, got -1"},
      {"9001", "9001.0", "line 4, column 11: 'port': expected a whole number from 1 to 65535, got 9001.0"},
      {"9001", "\"9001\"", "line 4, column 11: 'port': expected a whole number from 1 to 65535, got \"9001\""},
      {"9000", "18446744073709551617",
       "line 3, column 18: 'master_port': expected a whole number from 1 to 65535, got 1.8446744073709552e+19"},
      {"  \"port\": 9001,\n", "",
       "line 1, column 1: 'port' is missing; expected a whole number from 1 to 65535: on which this rank hears its "
       "left "
       "neighbour"},
      {"\"rank\": 0", "\"rank\": null",
       "line 7, column 11: 'rank' is missing; expected a whole number from 0 to 65535: which rank this is, from 0"},
      {"\"10.0.0.2\"", "7", "line 6, column 15: 'right_ip': expected a string, got 7"},
      {"10.0.0.2", "",
       "line 6, column 15: 'right_ip': \"\" is empty; leave it out, or give a host name or an IP address"},
      {"10.0.0.2", "10.0.0.256",
       "line 6, column 15: 'right_ip': \"10.0.0.256\" is no IPv4 address: four numbers from 0 to 255"},
      {"10.0.0.2", "10.0.2",
       "line 6, column 15: 'right_ip': \"10.0.2\" is no IPv4 address: four numbers from 0 to 255"},
      {"10.0.0.2", "10.0.0.2.3",
       "line 6, column 15: 'right_ip': \"10.0.0.2.3\" is no IPv4 address: four numbers from 0 to 255"},
      {"10.0.0.2", "10.0.0.2:9002",
       "line 6, column 15: 'right_ip': \"10.0.0.2:9002\" has a port in it; the ports are fields of their own"},
      {"10.0.0.2", "fe80::2",
       "line 6, column 15: 'right_ip': \"fe80::2\" is an IPv6 address, which stands in brackets before a port: "
       "[fe80::2]"},
      {"10.0.0.2", "tcp://10.0.0.2", "line 6, column 15: 'right_ip': \"tcp://10.0.0.2\" is a URL; give the host alone"},
      {"10.0.0.2", "the other one",
       "line 6, column 15: 'right_ip': \"the other one\" is neither a host name nor an IP address"},
      {"\"world_size\": 2", "\"world_size\": 3",
       "line 8, column 17: 'world_size' 3 is no power of two, as the ring backend needs it; the nearest are 2 and 4"},
      {"\"world_size\": 2", "\"world_size\": 1", "line 8, column 17: 'world_size' 1: a ring has at least 2 ranks"},
      {"\"rank\": 0", "\"rank\": 2", "line 7, column 11: 'rank' 2: the ranks of a world of 2 are 0 to 1"},
      {"9001", "9000",
       "line 4, column 11: 'port' 9000 is 'master_port', too; rank 0 listens on both, so they must differ"},
      {"\"world_size\": 2", "\"world_size\": 2,",
       "line 9, column 1: syntax error while parsing object key - unexpected '}'; expected string literal"},
      {"\"world_size\"", "\"rank\"", "line 8, column 8: the key \"rank\" appears twice in one object"},
  };
  for (const Case& row : cases) {
    const Result<RingRankConfig> refused = ParseRingConfig(With(row.from, row.to), "ring_0.json");
    ASSERT_FALSE(refused.ok()) << row.to;
    EXPECT_EQ(refused.message(), "ring_0.json: " + row.refusal);
  }
}

TEST(RingRankConfig, RefusesOtherRanksWithoutAMaster) {
  const std::string text = With(With("\"rank\": 0", "\"rank\": 1"), "  \"master_ip\": \"10.0.0.1\",\n", "");
  const Result<RingRankConfig> refused = ParseRingConfig(text, "r");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.message(),
            "r: line 6, column 11: 'master_ip' is missing: rank 1 is not the master, and must say where rank 0 is");
}

TEST(RingRankConfig, RefusesARankThatIsItsOwnNeighbour) {
  const std::string text = With(With("  \"right_ip\": \"10.0.0.2\",\n", ""), "9002", "9001");
  const Result<RingRankConfig> refused = ParseRingConfig(text, "r");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(
      refused.message(),
      "r: line 5, column 17: 'right_port' 9001 is this rank's own 'port', on this host: it would be its own right "
      "neighbour");
}

TEST(RingRankConfig, RefusesWhatIsNoObjectAndWhatIsTooBig) {
  EXPECT_EQ(ParseRingConfig("[]", "r").message(),
            "r: line 1, column 1: expected an object with 'rank' and 'world_size', got an array of 0 values");
  EXPECT_EQ(ParseRingConfig(std::string(kMaxRingBytes + 1, ' '), "r").message(),
            "r: 65537 bytes of JSON, at most 65536 are accepted");
  EXPECT_EQ(
      ReadRingConfig("/nonexistent/ring.json").message(),
      "/nonexistent/ring.json: cannot be opened: No such file or directory; RING_CONFIG names a file for each rank");
}

TEST(RingRankConfig, FindsAllFaultsInTheOrderOfTheText) {
  const RingReading reading = ReadRing(With(With("9001", "0"), "\"rank\": 0", "\"rank\": -1"));
  ASSERT_EQ(reading.faults.size(), 2U);
  EXPECT_FALSE(reading.whole());
  EXPECT_EQ(reading.faults[0].begin, (TextPlace{4, 11}));
  EXPECT_EQ(reading.faults[0].end, (TextPlace{4, 12}));
  EXPECT_EQ(reading.faults[1].begin, (TextPlace{7, 11}));
}

TEST(RingRankConfig, WarnsOfKeysThatAreNone) {
  const std::string text = With("\"right_ip\"", "\"righ_ip\"");
  const RingReading reading = ReadRing(text);
  ASSERT_EQ(reading.faults.size(), 1U);
  EXPECT_EQ(reading.faults[0].message,
            "\"righ_ip\" is no key of RING_CONFIG, so mistral.rs passes over it; did you mean 'right_ip'?");
  EXPECT_EQ(reading.faults[0].begin, (TextPlace{6, 3}));
  EXPECT_EQ(reading.faults[0].end, (TextPlace{6, 12}));
  EXPECT_EQ(reading.faults[0].replacement, "\"right_ip\"");
  EXPECT_TRUE(ParseRingConfig(text, "r").ok());  // mistral.rs runs it, too
  EXPECT_EQ(ReadRing(With("{\n", "{\"comment\": 1,\n")).faults[0].message,
            "\"comment\" is no key of RING_CONFIG, so mistral.rs passes over it");
}

}  // namespace
}  // namespace mrs
