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
  const std::vector<std::string> stops = {"aab", "abaa", "é!", "b b"};
  for (const std::string whole : {"aaaab", "ababaab", "xéé!y", "ab b ab", "abab", "aba", "ééé", ""}) {
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

TEST(StopScanner, WithoutStopsPassesEverything) {
  StopScanner scanner({""});
  EXPECT_EQ(scanner.Push("abc"), "abc");
  EXPECT_EQ(scanner.Finish(), "");
}

}  // namespace
}  // namespace mrs
