#include "formats/model_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>

namespace {
thread_local int64_t held_bytes = 0, most_held_bytes = 0;
}

[[gnu::noinline]] void* operator new(size_t bytes) {
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  held_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  most_held_bytes = std::max(most_held_bytes, held_bytes);
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  if (memory != nullptr) held_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace mrs {
namespace {

using ::testing::EndsWith;
using ::testing::Lt;
using ::testing::SizeIs;

std::string ErrorOf(const std::string& text) {
  const Result<Json> parsed = ParseModelJson(text, "x.json");
  return parsed.ok() ? "accepted" : parsed.message();
}

TEST(FindLongToken, MeasuresStringsAndWhatIsBetween) {
  const auto find = [](std::string_view text) { return FindLongToken(text, 6); };
  for (const char* text :
       {"", "{}", R"({"abcd": ["ab\\", 123456, "\"",    "[[[[" ]})", "           ", "[[[[[[[[,,,,,,,"}) {
    EXPECT_EQ(find(text), std::string_view::npos) << text;
  }
  EXPECT_EQ(find(R"([ "abcde"])"), 2u);
  EXPECT_EQ(find(R"(["","","\"\"\""])"), 7u);
  EXPECT_EQ(find("[0,1234567]"), 3u);
  EXPECT_EQ(find(R"({"a": "[{]},:,1)"), 6u);  // has no end
  EXPECT_EQ(find(R"({"a": "[{]}:\)"), 6u);
  EXPECT_EQ(find("nonsense"), 0u);
}

TEST(ParseModelJson, SaysWhereATokenIsTooLong) {
  const std::string why = ": a string or number of more than 8388608 bytes, or one without an end";
  const std::string most(kMaxModelTokenBytes - 2, 'x');
  EXPECT_EQ(ErrorOf("[\"" + most + "\"]"), "accepted");
  EXPECT_EQ(ErrorOf("[\"\u00e9\",\n \"" + most + "x\"]"), "x.json: line 2, column 2" + why);
  EXPECT_EQ(ErrorOf("[\"\u00e9\", \"" + most + "x\"]"), "x.json: line 1, column 8" + why);  // in bytes
  EXPECT_EQ(ErrorOf("[" + std::string(kMaxModelTokenBytes + 1, '7')), "x.json: line 1, column 2" + why);
  EXPECT_THAT(ErrorOf("{\"a\" 1}"), EndsWith("expected ':'"));  // the rest is as with any JSON
}

// The parser keeps what it reads last several times over, and its message quotes all of it.
TEST(ParseModelJson, KeepsNoLongStringManyTimes) {
  const std::string inside(kMaxModelTokenBytes - 8, 'x'), past(4 * kMaxModelTokenBytes, 'x');
  for (const std::string& text :
       {"{\"a\": \"" + past, "{\"a\": \"" + past + "\"}", "[" + std::string(4 * kMaxModelTokenBytes, '7'),
        "[\"" + inside, "[\"" + inside + "\x01", "{\"a\" \"" + inside + "\"}"}) {
    SCOPED_TRACE(text.substr(0, 10));
    const int64_t before = held_bytes;
    most_held_bytes = before;
    EXPECT_THAT(ErrorOf(text), SizeIs(Lt(800u)));
    EXPECT_LT(most_held_bytes - before, static_cast<int64_t>(12 * kMaxModelTokenBytes));
  }
}

}  // namespace
}  // namespace mrs
