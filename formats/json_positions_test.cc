#include "formats/json_positions.h"

#include <gtest/gtest.h>

#include <vector>

#include "formats/json.h"

namespace mrs {
namespace {

// The text of the value that the path leads to, or "nothing".
std::string At(std::string_view text, std::vector<JsonStep> path) {
  const std::optional<JsonSpan> span = FindJsonSpan(text, path);
  return span ? std::string(text.substr(span->begin, span->end - span->begin)) : "nothing";
}

TEST(FindJsonSpan, LeadsToEveryKindOfValue) {
  constexpr std::string_view kText = R"( {"a": {"b": [7, "x]\"}", {"c": null}], "d" : -1.5e3 }, "e":true,"f":[]} )";
  EXPECT_EQ(At(kText, {}), kText.substr(1, kText.size() - 2));
  EXPECT_EQ(At(kText, {{"a"}, {"b"}, {.index = 0}}), "7");
  EXPECT_EQ(At(kText, {{"a"}, {"b"}, {.index = 1}}), R"("x]\"}")");
  EXPECT_EQ(At(kText, {{"a"}, {"b"}, {.index = 2}, {"c"}}), "null");
  EXPECT_EQ(At(kText, {{"a"}, {"d"}}), "-1.5e3");
  EXPECT_EQ(At(kText, {{"e"}}), "true");
  EXPECT_EQ(At(kText, {{"f"}}), "[]");
}

TEST(FindJsonSpan, SaysWhereTheKeyIs) {
  const std::vector<JsonStep> path = {{"b"}};
  const std::optional<JsonSpan> span = FindJsonSpan(R"({"a": 1, "b": 22})", path);
  ASSERT_TRUE(span.has_value());
  EXPECT_EQ(span->key_begin, 9U);
  EXPECT_EQ(span->key_end, 12U);
  EXPECT_EQ(span->begin, 14U);
  EXPECT_EQ(span->end, 16U);
}

TEST(FindJsonSpan, ReadsEscapedKeysAndTakesTheFirstOfTwo) {
  EXPECT_EQ(At(R"({"r\u0061nk": 1})", {{"rank"}}), "1");
  EXPECT_EQ(At(R"({"a": 1, "a": 2})", {{"a"}}), "1");
  EXPECT_EQ(At("\xEF\xBB\xBF{\"a\": 1}", {{"a"}}), "1");
  EXPECT_EQ(At(R"({"a": NaN, "b": -Infinity})", {{"b"}}), "-Infinity");
}

TEST(FindJsonSpan, GivesNothingWhereAStepLeadsNowhere) {
  for (const char* text : {"", "  ", "1", "[]", "{}", R"({"b": 1})", R"({"a")", R"({"a":)", "{", "[1", R"({"a" 1})"}) {
    EXPECT_EQ(At(text, {{"a"}, {"b"}}), "nothing") << text;
    EXPECT_EQ(At(text, {{.index = 3}}), "nothing") << text;
  }
}

TEST(FindJsonSpan, IsBoundedByTheTextHoweverDeep) {
  const std::string deep = std::string(1 << 20, '[');
  EXPECT_EQ(At(deep, {{.index = 0}, {.index = 0}}).size(), deep.size() - 2);
  EXPECT_EQ(At(R"({"a": "unclosed)", {{"a"}}), R"("unclosed)");
  EXPECT_EQ(At(R"({"a": "\)", {{"a"}}), R"("\)");
}

TEST(PlaceOf, CountsCharacters) {
  EXPECT_EQ(PlaceOf("ab\ncd", 0), (TextPlace{1, 1}));
  EXPECT_EQ(PlaceOf("ab\ncd", 3), (TextPlace{2, 1}));
  EXPECT_EQ(PlaceOf("ab\ncd", 99), (TextPlace{2, 3}));
  EXPECT_EQ(PlaceOf("\xC3\xA4\xC3\xB6x", 4), (TextPlace{1, 3}));
}

TEST(SplitPlace, TellsPlaceAndMessageApart) {
  const std::string text = "{\n  \"\xC3\xA4\": 1, }\n}";
  const Result<Json> refused = ParseJson(text, "a.json");
  ASSERT_FALSE(refused.ok());
  const PlacedMessage split = SplitPlace(refused.message(), "a.json", text);
  EXPECT_EQ(split.place, (TextPlace{2, 11}));  // byte 12 of the line
  EXPECT_EQ(split.message, "syntax error while parsing object key - unexpected '}'; expected string literal");
  const PlacedMessage none = SplitPlace("a.json: is empty", "a.json", "");
  EXPECT_EQ(none.place, (TextPlace{0, 0}));
  EXPECT_EQ(none.message, "is empty");
  const PlacedMessage past = SplitPlace("line 18446744073709551615, column 18446744073709551615: no", "", "x");
  EXPECT_EQ(past.place, (TextPlace{1, 2}));
}

}  // namespace
}  // namespace mrs
