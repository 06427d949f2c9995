// What decides in this folder, without files; whole runs are tests/planner/check_cases.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "planner/check/find_inputs.h"
#include "planner/check/message_place.h"
#include "planner/check/ring_hosts.h"
#include "planner/check/run_check.h"
#include "planner/check/write_report.h"

namespace mrs::check {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

TEST(KindOf, GoesByContent) {
  const auto kind = [](std::string_view start, std::string_view name) { return KindOf(start, name, false); };
  EXPECT_EQ(kind(R"({"master_port": 1, "port": 2, "rank": 0, "world_size": 2})", "anything.txt"), ContentKind::kRing);
  EXPECT_EQ(kind(R"( {"right_port": 1, "rank": )", "cut_short"), ContentKind::kRing);
  EXPECT_EQ(kind(R"(text = {"right_port": 1, "rank": 0})", "a.py"), ContentKind::kNothing);
  EXPECT_EQ(kind(R"({"rank": 0, "world_size": 2, "port": 3})", "torchrun.json"), ContentKind::kNothing);
  EXPECT_EQ(kind(R"({"hidden_size": 1, "num_hidden_layers": 2, "vocab_size": 3})", "a"), ContentKind::kModelConfig);
  EXPECT_EQ(kind(R"({"hidden_size": 1})", "a"), ContentKind::kNothing);
  EXPECT_EQ(kind(R"({"hidden_size": 1})", "config.json"), ContentKind::kModelConfig);
  EXPECT_EQ(kind("\xEF\xBB\xBF{\"hidden_size\": 1}", "config.json"), ContentKind::kModelConfig);
  EXPECT_EQ(kind(R"({"what": "hidden_size"})", "config.json"), ContentKind::kNothing);
  EXPECT_EQ(kind(std::string_view("\x20\0\0\0MRSP", 8), "a"), ContentKind::kPlan);
  EXPECT_EQ(kind(std::string_view("\x20\0\0\0MRS", 7), "a"), ContentKind::kNothing);
  EXPECT_EQ(kind("", "a.mrsplan"), ContentKind::kPlan);
  EXPECT_EQ(kind("# a cluster\nnodes:\n  - gpus: 8xH100-SXM\n", "a"), ContentKind::kCluster);
  EXPECT_EQ(kind("name: a\nnodes:\n- name: b\n  devices: [{model: L4}]\n", "a"), ContentKind::kCluster);
  EXPECT_EQ(kind("nodes:\n  - {ranks: 3, address: cpu-host}\n", "a"), ContentKind::kCluster);
  EXPECT_EQ(kind(R"({"nodes": [{"gpus": "8xH100"}]})", "a"), ContentKind::kCluster);
  EXPECT_EQ(kind("nodes:\n  - role: worker\n", "a.yaml"), ContentKind::kNothing);
  EXPECT_EQ(kind("gpus: 1\nnodes:\n", "a.yaml"), ContentKind::kNothing);
  EXPECT_EQ(kind("apiVersion: x/v1\nnodes:\n  - gpus: 1\n", "a.yaml"), ContentKind::kNothing);
  EXPECT_EQ(kind("x:\n  nodes: 1\n", "a"), ContentKind::kNothing);
  EXPECT_EQ(kind("", "a"), ContentKind::kNothing);
}

TEST(KindOf, TakesWhatWasNamedAtItsWord) {
  EXPECT_EQ(KindOf(R"({"rank": 0, "world_size": 2})", "a", true), ContentKind::kRing);
  EXPECT_EQ(KindOf(R"("rank": 0, "world_size": 2})", "a", true), ContentKind::kRing);
  EXPECT_EQ(KindOf("{}", "config.json", true), ContentKind::kModelConfig);
  EXPECT_EQ(KindOf("{}", "a.json", true), ContentKind::kNothing);
  EXPECT_EQ(KindOf("node:\n", "a.yaml", true), ContentKind::kCluster);
  EXPECT_EQ(KindOf("nodes:\n", "a", true), ContentKind::kCluster);
}

using Groups = std::vector<std::vector<size_t>>;

TEST(GroupRings, PutsTogetherWhatIsOneRing) {
  const auto source = [](std::string path, std::string folder, uint32_t rank) {
    return RingSource{std::move(path), std::move(folder), true, rank};
  };
  EXPECT_EQ(GroupRings({}), Groups{});
  EXPECT_EQ(GroupRings({source("a/x.json", "", 0), source("b/y.json", "", 1)}), (Groups{{0, 1}}));
  EXPECT_EQ(GroupRings({source("d/a.json", "d", 0), source("d/b.json", "d", 1), source("e/a.json", "e", 0)}),
            (Groups{{0, 1}, {2}}));
  EXPECT_EQ(GroupRings({source("d/p_0.json", "d", 0), source("d/t_0.json", "d", 0), source("d/p_1.json", "d", 1),
                        source("d/t_1.json", "d", 1)}),
            (Groups{{0, 2}, {1, 3}}));
  // One file too few for two rings: a rank stands twice.
  EXPECT_EQ(GroupRings({source("d/p_0.json", "d", 0), source("d/p_1.json", "d", 1), source("d/t_0.json", "d", 0)}),
            (Groups{{0, 1, 2}}));
  EXPECT_EQ(GroupRings({source("n/0/ring.json", "n/0", 0), source("n/1/ring.json", "n/1", 1),
                        source("m/0/ring.json", "m/0", 0)}),
            (Groups{{0, 1}, {2}}));
}

TEST(RingHosts, JoinsAndKeepsApart) {
  RingHosts hosts(4);
  hosts.Put(0, "10.0.0.1");
  hosts.Put(1, "10.0.0.2");
  EXPECT_FALSE(hosts.Join(0, 1));
  EXPECT_TRUE(hosts.Join(1, 2));
  EXPECT_EQ(hosts.AddressOf(2), "10.0.0.2");
  EXPECT_FALSE(hosts.Join(2, 0));
  hosts.Put(3, "10.0.0.1");
  EXPECT_EQ(hosts.HostOf(3), hosts.HostOf(0));
  EXPECT_NE(hosts.HostOf(3), hosts.HostOf(2));
  EXPECT_TRUE(SurelyDiffer("a.example", "b.example"));
  EXPECT_FALSE(SurelyDiffer("A.example", "a.EXAMPLE"));
  EXPECT_FALSE(SurelyDiffer("a.example", "10.0.0.1"));
  EXPECT_FALSE(SurelyDiffer("[fe80::1]", "[fe80:0::1]"));
}

TEST(PlaceOfMessage, FollowsTheKeysOfTheMessage) {
  constexpr std::string_view kText =
      "{\"architectures\": [\"X\"],\n"
      " \"rope_scaling\": {\"factor\": 2},\n"
      " \"layer_types\": [\"a\",\n"
      "  \"b\"],\n"
      " \"chat_template\": \"\"}";
  const auto at = [&](std::string_view message) { return PlaceOfMessage("f", kText, message).begin; };
  EXPECT_EQ(at("architecture \"X\" is not supported yet"), (TextPlace{1, 2}));
  EXPECT_EQ(at("rope_scaling: 'factor': expected layer_types"), (TextPlace{2, 19}));
  EXPECT_EQ(at("layer_types[1] \"b\" is not supported yet"), (TextPlace{4, 3}));
  EXPECT_EQ(at("layer_types[9999999999999999999999] is odd"), (TextPlace{3, 2}));
  EXPECT_EQ(at("chat template: line 1: no"), (TextPlace{5, 2}));
  EXPECT_EQ(at("'hidden_size' is missing; expected a positive integer"), (TextPlace{1, 1}));
  EXPECT_EQ(at("'unclosed"), (TextPlace{1, 1}));
  EXPECT_EQ(PlaceOfMessage("f", "no json", "factor").begin, (TextPlace{0, 0}));
}

TEST(FileOfMessage, TellsTheFile) {
  EXPECT_EQ(FileOfMessage("m", "config.json: 'a': no").path, "m/config.json");
  EXPECT_EQ(FileOfMessage("m", "m/x.safetensors: short").name, "x.safetensors");
  EXPECT_EQ(FileOfMessage("m", "m: has neither").rest, "has neither");
  EXPECT_EQ(FileOfMessage("m", "checkpoint: tensor 'a'").name, "checkpoint");
  EXPECT_EQ(FileOfMessage("m", "something else").path, "m");
}

TEST(ExitCode, GoesByTheWorst) {
  Report report;
  EXPECT_EQ(ExitCode(report, false), 0);
  report.diagnostics.push_back(Finding("ring.alone", WholeOf("a"), "x"));
  EXPECT_EQ(ExitCode(report, false), 0);
  report.diagnostics.push_back(Finding("ring.unknown-key", WholeOf("a"), "x"));
  EXPECT_EQ(ExitCode(report, false), 1);
  EXPECT_EQ(ExitCode(report, true), 0);
  report.diagnostics.push_back(Finding("ring.field", WholeOf("a"), "x"));
  EXPECT_EQ(ExitCode(report, true), 1);
  report.diagnostics.push_back(Finding("check.unreadable", WholeOf("a"), "x"));
  EXPECT_EQ(ExitCode(report, true), 2);
}

TEST(JunitReport, HoldsNothingThatXmlCannot) {
  Report report;
  report.diagnostics.push_back(Finding("ring.field", WholeOf("a\uFFFEb"), "x\uFFFF\x01\n<\u00E9\uFFFD\U0001FFFE"));
  const std::string text = JunitReport(report, {});
  EXPECT_THAT(text, HasSubstr("name=\"a\\xef\\xbf\\xbeb\""));
  EXPECT_THAT(text, HasSubstr("message=\"x\\xef\\xbf\\xbf\\x01&#10;&lt;\u00E9\uFFFD\U0001FFFE\""));
  EXPECT_THAT(text, Not(AnyOf(HasSubstr("\uFFFE"), HasSubstr("\uFFFF"))));
}

TEST(TextReport, HoldsNothingThatATerminalTakesForACommand) {
  const std::string path = testing::TempDir() + "/hidden_controls.json";
  std::ofstream(path) << "{\"a\u009B2J\": 1}\n{\"\u202Eb\": 1}\n{\"\u00E9\": 1}\n";
  Report report;
  for (const int line : {1, 2, 3}) {
    report.diagnostics.push_back(
        Finding("ring.field", {path, {line, 2}, {line, 3}}, "x\u009B2J\u202E\u2066\u200F\x9B\ty\u00E9"));
  }
  const std::string text = TextReport(report, {});
  EXPECT_THAT(text, HasSubstr("x\\xc2\\x9b2J\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x80\\x8f\uFFFD y\u00E9"));
  EXPECT_THAT(text, HasSubstr("    3 | {\"\u00E9\": 1}\n      |  ^\n"));
  EXPECT_THAT(text, Not(AnyOf(HasSubstr(" 1 | "), HasSubstr(" 2 | "), HasSubstr("\u009B"), HasSubstr("\u202E"))));
}

}  // namespace
}  // namespace mrs::check
