#include "runtime/engine/stop_scanner.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mrs {
namespace {

TEST(StopScanner, FindsStopsAcrossPartsAndHoldsBackNoMoreThanNeeded) {
  StopScanner scanner({"###", "END"});
  EXPECT_EQ(scanner.Push("a#"), "a");
  EXPECT_EQ(scanner.Push("#b"), "##b");
  EXPECT_EQ(scanner.Push("E"), "");
  EXPECT_EQ(scanner.Push("EN"), "E");
  EXPECT_EQ(scanner.Push("D and more"), "");
  EXPECT_TRUE(scanner.stopped());
  EXPECT_EQ(scanner.matched(), "END");
  EXPECT_EQ(scanner.Push("x"), "");
}

TEST(StopScanner, AgreesWithASearchOfTheWholeForEveryCut) {
  const std::vector<std::string> stops = {"aab", "abaa", "é!", "b b", "the☃", "he"};
  for (const std::string whole :
       {"aaaab", "ababaab", "xéé!y", "ab b ab", "abab", "aba", "ééé", "", "the☃", "tthe", "th☃"}) {
    size_t first_end = std::string::npos;
    size_t first_begin = std::string::npos;
    for (const std::string& stop : stops) {
      const size_t at = whole.find(stop);
      if (at != whole.npos && at + stop.size() < first_end) {
        first_end = at + stop.size();
        first_begin = at;
      }
    }
    for (size_t cut = 0; cut <= whole.size(); ++cut) {
      StopScanner scanner(stops);
      std::string out = scanner.Push(whole.substr(0, cut));
      out += scanner.Push(whole.substr(cut));
      EXPECT_EQ(scanner.stopped(), first_end != std::string::npos) << whole;
      if (!scanner.stopped()) out += scanner.Finish();
      EXPECT_EQ(out, whole.substr(0, first_begin)) << whole << " cut at " << cut;
    }
  }
}

// The shorter one ends first, wherever in the longer one it stands.
TEST(StopScanner, SeesAStopInsideALongerOne) {
  StopScanner scanner({"the☃", "he"});
  EXPECT_EQ(scanner.Push("the"), "t");
  EXPECT_TRUE(scanner.stopped());
  EXPECT_EQ(scanner.matched(), "he");
  // Of two that end together, the longer one began first.
  StopScanner together({"bc", "abc", "c"});
  EXPECT_EQ(together.Push("xabc"), "x");
  EXPECT_EQ(together.matched(), "abc");
}

// 64 strings of 64 bytes watched by 256 prompts: one automaton of at most a node a byte, and none before it is needed.
TEST(StopStrings, BuildOneAutomatonForAllThatShareThem) {
  std::vector<std::string> texts;
  for (int i = 0; i < 64; ++i) texts.push_back(std::string(63, 'a') + static_cast<char>('A' + i));
  const StopStrings stops = texts;
  std::vector<StopScanner> scanners(256, StopScanner(stops));
  EXPECT_FALSE(stops.is_built());
  for (StopScanner& scanner : scanners) EXPECT_EQ(scanner.Push("xa"), "x");
  EXPECT_TRUE(stops.is_built());
  const StopStrings copy = stops;
  EXPECT_EQ(&copy.automaton(), &stops.automaton());
  EXPECT_EQ(stops.automaton().state_count(), 1u + 63u + 64u);
}

TEST(StopScanner, WithoutStopsPassesEverything) {
  StopScanner scanner({""});
  EXPECT_EQ(scanner.Push("abc"), "abc");
  EXPECT_EQ(scanner.Finish(), "");
}

}  // namespace
}  // namespace mrs
