#include "formats/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <string>

#include "host/source_dir_for_test.h"

namespace {
thread_local int64_t allocations_left = -1;  // -1: as many as there are
}

[[gnu::noinline]] void* operator new(size_t bytes) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace mrs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string ErrorOf(const std::string& text, const JsonLimits& limits = {}) {
  const Result<Json> parsed = ParseJson(text, "x.json", limits);
  return parsed.ok() ? "accepted" : parsed.message();
}

TEST(ParseJson, KeepsTheOrderOfKeys) {
  const Result<Json> parsed = ParseJson(R"({"z": 1, "a": [1.5, null, true], "m": {"é": "\u00e9\ud83d\ude00"}})", "x");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(DumpJson(*parsed), "{\"z\":1,\"a\":[1.5,null,true],\"m\":{\"é\":\"é😀\"}}");
}

TEST(ParseJson, NamesThePlaceOfASyntaxError) {
  EXPECT_THAT(ErrorOf("{\"a\": 1,\n \"b\" 2}"), HasSubstr("x.json: line 2, column 6: syntax error"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("x.json: line 1, column 1: "));
  EXPECT_THAT(ErrorOf("{} {}"), HasSubstr("line 1, column 4"));
  EXPECT_THAT(ErrorOf("[1,]"), HasSubstr("line 1, column 4"));
}

TEST(ParseJson, RefusesPythonLiteralsByName) {
  EXPECT_EQ(ErrorOf("{\"a\": NaN}"),
            "x.json: line 1, column 7: NaN is Python, not JSON; write a JSON value in its place");
  EXPECT_THAT(ErrorOf("[-Infinity]"), HasSubstr(": -Infinity is Python"));
  EXPECT_THAT(ErrorOf("[Infinity]"), HasSubstr(": Infinity is Python"));
  EXPECT_THAT(ErrorOf("[True]"), HasSubstr(": True is Python"));
}

TEST(ParseJson, ReadsNumbersOfPythonWhereAsked) {
  JsonLimits python;
  python.python_numbers = true;
  const std::string text = R"({"time_step_limit": [0.0, Infinity], "NaN": "NaN \" Infinity", "a": {"b":NaN},
      "c": -Infinity, "d": 0.0, "e": 0.000000, "f": -0.000000})";
  const Result<Json> parsed = ParseJson(text, "x.json", python);
  ASSERT_TRUE(parsed.ok()) << parsed.message();
  EXPECT_EQ((*parsed)["time_step_limit"][0], 0.0);
  EXPECT_EQ((*parsed)["time_step_limit"][1], std::numeric_limits<double>::infinity());
  EXPECT_EQ((*parsed)["NaN"], "NaN \" Infinity");
  EXPECT_TRUE(std::isnan((*parsed)["a"]["b"].get<double>()));
  EXPECT_EQ((*parsed)["c"], -std::numeric_limits<double>::infinity());
  for (const char* key : {"d", "e", "f"}) EXPECT_EQ((*parsed)[key], 0.0) << key;
  EXPECT_EQ(DescribeJson((*parsed)["a"]["b"]), "NaN");
  EXPECT_EQ(DescribeJson((*parsed)["c"]), "-Infinity");
  EXPECT_EQ(GetInt(*parsed, "c", "x.json").message(), "x.json: 'c': expected an integer, got -Infinity");
  EXPECT_TRUE(std::isinf(ParseJson("Infinity", "x", python)->get<double>()));
  for (const char* bad : {"[NaNs]", "[1NaN]", "[-NaN]", "[NaN.0]", "[--Infinity]", "[+Infinity]", "[Infinity1]",
                          "[nan]", "[inf]", "{NaN: 1}", "[NaN NaN]"}) {
    EXPECT_FALSE(ParseJson(bad, "x", python).ok()) << bad;
  }
  EXPECT_THAT(ErrorOf("[NaN,\n Infinity x]", python), HasSubstr("line 2, column 11"));
}

TEST(ParseJson, RefusesBytesThatAreNotUtf8) {
  EXPECT_THAT(ErrorOf("[\"\xff\"]"), HasSubstr("ill-formed UTF-8"));
  EXPECT_THAT(ErrorOf("[\"\xc3\xa9\xff\"]"), HasSubstr("last read: '\"\\xc3\\xa9\\xff'"));  // the error itself is text
  EXPECT_THAT(ErrorOf("[\"\xc0\x80\"]"), HasSubstr("ill-formed UTF-8"));
  EXPECT_THAT(ErrorOf("[\"\\ud800\"]"), HasSubstr("surrogate"));
  EXPECT_THAT(ErrorOf(std::string("{}\0{", 4)), HasSubstr("column 3: a NUL byte is not JSON"));
}

TEST(ParseJson, RefusesDuplicateKeysInSmallAndLargeObjects) {
  EXPECT_EQ(ErrorOf("{\"a\": 1, \"a\": 2}"), "x.json: line 1, column 12: the key \"a\" appears twice in one object");
  std::string large = "{\"key0\": 0";
  for (int i = 1; i < 1000; ++i) large += ", \"key" + std::to_string(i) + "\": 1";
  ASSERT_TRUE(ParseJson(large + "}", "x").ok());
  EXPECT_THAT(ErrorOf(large + ", \"key777\": 5}"), HasSubstr("the key \"key777\" appears twice"));
  JsonLimits python;
  python.refuse_duplicate_keys = false;
  const Result<Json> last = ParseJson(large + ", \"key777\": 5}", "x", python);
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(last->size(), 1000u);
  EXPECT_EQ(last->at("key777"), 5);
}

TEST(ParseJson, HoldsItsLimits) {
  EXPECT_THAT(ErrorOf(std::string(1 << 20, '[')), HasSubstr("column 65: nested deeper than 64 levels"));
  EXPECT_EQ(ErrorOf(std::string(64, '[') + std::string(64, ']')), "accepted");
  JsonLimits limits;
  limits.max_values = 3;
  EXPECT_EQ(ErrorOf("[1,2]", limits), "accepted");
  EXPECT_THAT(ErrorOf("[1,2,3]", limits), HasSubstr("more than 3 values"));
  limits = {};
  limits.max_keys = 2;
  EXPECT_EQ(ErrorOf(R"({"a":{"b":1,"c":2}})", limits), "accepted");
  // Where the third key ends, whatever comes after it.
  EXPECT_EQ(ErrorOf(R"({"a":1,"b":2,"c":3,)" + std::string(1000, '!'), limits),
            "x.json: line 1, column 16: more than 2 keys in one object");
  limits.max_bytes = 4;
  EXPECT_EQ(ErrorOf("[1,2]", limits), "x.json: 5 bytes of JSON, at most 4 are accepted");
}

TEST(ParseJson, StopsWhenNobodyWantsItAnyMore) {
  std::atomic<bool> stop = true;
  JsonLimits limits;
  limits.stop = &stop;
  for (const char* text : {"[1,2,!", "{\"a\":!", "1"}) {  // not read as far as the fault
    const Result<Json> parsed = ParseJson(text, "x.json", limits);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().kind, ErrorKind::kCancelled);
    EXPECT_EQ(parsed.message(), "x.json: is not needed any more");
  }
  stop = false;
  EXPECT_TRUE(ParseJson("[1]", "x.json", limits).ok());
}

// Each allocation on the way fails once; none of them makes it a fault of the text, and nothing is thrown.
TEST(ParseJson, ToldApartWithoutMemoryFromAFaultOfTheText) {
  const std::string good = R"({"a long key of a request":["a long string of a request",{"b":1}]})";
  for (const std::string& text : {good, good + "]"}) {
    int64_t failed = 0;
    for (;; ++failed) {
      allocations_left = failed;
      const Result<Json> parsed = ParseJson(text, "x.json");
      const bool was_reached = allocations_left == 0;
      allocations_left = -1;
      if (parsed.ok() || parsed.error().kind != ErrorKind::kUnavailable) {
        EXPECT_EQ(parsed.ok(), text == good);
        break;
      }
      EXPECT_EQ(parsed.message(), "out of memory");
      ASSERT_TRUE(was_reached);
    }
    EXPECT_GT(failed, 5);
  }
}

TEST(ParseJson, ErrorsShowWhatIsNotSeen) {
  EXPECT_THAT(ErrorOf("[0\x7f]"), HasSubstr("last read: '0\\x7f'"));
  EXPECT_THAT(ErrorOf("[\"\u202e\u0085\xc3\xa9\x01"),
              HasSubstr("last read: '\"\\xe2\\x80\\xae\\xc2\\x85\xc3\xa9<U+0001>'"));
  EXPECT_EQ(DescribeJson(Json("\u200b\u00e9")), "\"\\xe2\\x80\\x8b\u00e9\"");
}

TEST(ParseJson, SurvivesHugeNumbers) {
  EXPECT_THAT(ErrorOf("[1e999]"), HasSubstr("column 6: number overflow parsing '1e999'"));
  EXPECT_THAT(ErrorOf(std::string(size_t{1} << 20, '7')), AllOf(HasSubstr("777...777"), SizeIs(::testing::Lt(400u))));
  const Result<Json> parsed = ParseJson("{\"n\": 1000000000000000019884624838656, \"u\": 18446744073709551615}", "x");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(GetInt(*parsed, "n", "x", 1).message(), "x: 'n': expected a positive integer, got 1e+30");
  EXPECT_THAT(GetInt(*parsed, "u", "x").message(), HasSubstr("expected an integer, got 18446744073709551615"));
  EXPECT_TRUE(GetDouble(*parsed, "n", "x").ok());
}

TEST(Getters, SayWhatWasExpectedAndWhatWasFound) {
  const Json json = *ParseJson(R"({"s": "abc", "i": 7, "d": 1.5, "b": true, "nil": null, "l": [1], "o": {}})", "x");
  EXPECT_EQ(*GetInt(json, "i", "x"), 7);
  EXPECT_EQ(*GetDouble(json, "i", "x"), 7.0);
  EXPECT_EQ(*GetString(json, "s", "x"), "abc");
  EXPECT_TRUE(*GetBool(json, "b", "x"));
  EXPECT_EQ((*GetArray(json, "l", "x"))->size(), 1u);
  EXPECT_EQ(GetInt(json, "s", "c.json", 1).message(), "c.json: 's': expected a positive integer, got \"abc\"");
  EXPECT_EQ(GetInt(json, "i", "c.json", 0, 5).message(), "c.json: 'i': expected an integer from 0 to 5, got 7");
  EXPECT_EQ(GetInt(json, "d", "c.json").message(), "c.json: 'd': expected an integer, got 1.5");
  EXPECT_EQ(GetBool(json, "i", "c.json").message(), "c.json: 'i': expected true or false, got 7");
  EXPECT_EQ(GetString(json, "q", "c.json").message(), "c.json: 'q' is missing; expected a string");
  EXPECT_EQ(GetString(json, "nil", "c.json").message(), "c.json: 'nil' is missing; expected a string");
  EXPECT_EQ(GetArray(json, "o", "c.json").message(), "c.json: 'o': expected an array, got an object of 0 keys");
  EXPECT_EQ(GetInt(Json(5), "i", "c.json").message(), "c.json: expected an object with 'i', got 5");
}

TEST(Getters, FallBackOnlyWhenAbsentOrNull) {
  const Json json = *ParseJson(R"({"s": "abc", "nil": null})", "x");
  EXPECT_EQ(*GetIntOr(json, "q", "x", 3), 3);
  EXPECT_EQ(*GetIntOr(json, "nil", "x", 3), 3);
  EXPECT_FALSE(GetIntOr(json, "s", "x", 3).ok());
  EXPECT_EQ(*GetObjectOrNull(json, "q", "x"), nullptr);
  EXPECT_FALSE(GetObjectOrNull(json, "s", "x").ok());
  EXPECT_FALSE(GetIntOr(Json("text"), "q", "x", 3).ok());
}

TEST(ReadFile, RefusesWhatIsNoFileOrTooLarge) {
  EXPECT_THAT(ReadFile("/nonexistent/x", 10).message(), HasSubstr("/nonexistent/x: cannot be opened: No such file"));
  EXPECT_EQ(ReadFile("/", 10).message(), "/: is a directory, expected a file");
  const std::string self = SourceDir() + "/formats/json_test.cc";
  EXPECT_THAT(ReadFile(self, 10).message(), HasSubstr("at most 10 are accepted"));
  EXPECT_THAT(*ReadFile(self, 1 << 20), HasSubstr("RefusesWhatIsNoFileOrTooLarge"));
}

}  // namespace
}  // namespace mrs
