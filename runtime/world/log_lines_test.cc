// A node's log at the head: so much of it, and no more.
#include "runtime/world/log_lines.h"

#include <gtest/gtest.h>

#include "runtime/world/node_lines.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using Lines = std::vector<std::string>;

const LogBudget::Time kStart = LogBudget::Time() + std::chrono::hours(1);

// How many of many lines of this size get through within so many milliseconds, one each.
int Passed(size_t bytes, int ms) {
  LogBudget budget;
  int passed = 0;
  for (int i = 0; i <= ms; ++i) passed += budget.Take(bytes, kStart + milliseconds(i)) ? 1 : 0;
  return passed;
}

TEST(LogBudget, BoundsLinesAndBytes) {
  EXPECT_EQ(Passed(10, 50), 51);            // a burst
  EXPECT_EQ(Passed(10, 10000), 100 + 400);  // then 40 lines a second
  EXPECT_EQ(Passed(1024, 10000), 16 + 80);  // or 8 KiB
  EXPECT_EQ(Passed(0, 10000), 100 + 400);
  EXPECT_EQ(Passed(100000, 10000), 0);
  LogBudget budget;
  for (int i = 0; i < 200; ++i) budget.Take(1, kStart);
  EXPECT_FALSE(budget.Take(1, kStart - std::chrono::hours(1)));  // a clock that went back gives nothing
  EXPECT_TRUE(budget.Take(1, kStart + std::chrono::hours(1)));
}

TEST(LogLines, CountsWhatIsTooMuch) {
  LogLines lines;
  EXPECT_TRUE(lines.empty());
  for (int i = 0; i < 150; ++i) EXPECT_EQ(lines.Add({.rank = 3, .text = "x"}, kStart), i < 100);
  const wire::Log log = lines.Take();
  EXPECT_EQ(log.lines.size(), 100u);
  EXPECT_EQ(log.dropped, 50u);
  EXPECT_TRUE(lines.empty());
}

TEST(LineSplitter, CutsAsTheBytesCome) {
  const std::string large(wire::kMaxLogText + 5, 'x');
  const struct {
    Lines parts, lines;
  } cases[] = {
      {{"a\nb\n"}, {"a", "b"}},
      {{"a", "b\nc"}, {"ab", "c"}},
      {{"", "\n\n", "a\n\n"}, {"a"}},
      {{large + "\nz\n"}, {large.substr(0, wire::kMaxLogText), "xxxxx", "z"}},
      {{large.substr(5), "\n"}, {large.substr(5)}},
      {{large.substr(5), "yy"}, {large.substr(5), "yy"}},
  };
  for (const auto& [parts, lines] : cases) {
    LineSplitter splitter;
    Lines got;
    for (const std::string& part : parts) {
      for (std::string& line : splitter.Add(part)) got.push_back(std::move(line));
    }
    for (std::string& line : splitter.End()) got.push_back(std::move(line));
    EXPECT_EQ(got, lines);
  }
}

TEST(NodeLines, SayWhoSaidIt) {
  const std::vector<PlanNode> nodes = {{"a", "", {0}}, {"b\n", "", {1, 2}}, {"", "", {3}}};
  EXPECT_EQ(TextOf(nodes, 1, {.lines = {{std::nullopt, "mrs-exec: x"}, {2, "\x1b[31m\xff\"ü"}}, .dropped = 7}),
            (Lines{"[node 1 b\\x0a] mrs-exec: x\n", "[node 1 b\\x0a, rank 2] \\x1b[31m\xff\\\"ü\n",
                   "[node 1 b\\x0a] 7 lines more, which are in its own log\n"}));
  EXPECT_EQ(TextOf(nodes, 2, {.lines = {}, .dropped = 1}), Lines{"[node 2] 1 line more, which is in its own log\n"});
}

TEST(NodeWire, ALogOfAnyBytesRoundTrips) {
  wire::Log log{.lines = {{std::nullopt, std::string("\0\xff\n", 3)}, {4095, ""}}, .dropped = 9};
  const std::string message = wire::Encode(log);
  std::vector<uint64_t> words(message.size() / 8 + 1);
  std::memcpy(words.data(), message.data() + wire::kHeaderBytes, message.size() - wire::kHeaderBytes);
  const auto body = std::as_bytes(std::span(words)).first(message.size() - wire::kHeaderBytes);
  const Result<wire::Log> back = wire::DecodeLog(body);
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_EQ(back->lines, log.lines);
  EXPECT_EQ(back->dropped, 9u);
  for (size_t i = 0; i < body.size(); ++i) EXPECT_FALSE(wire::DecodeLog(body.first(i)).ok());
}

}  // namespace
}  // namespace mrs
