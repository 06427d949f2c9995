#include "plans/json_writer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mrs {
namespace {

TEST(JsonWriter, NestsAndSeparates) {
  JsonWriter json;
  json.Begin('{').Key("a").Begin('[').Value(1).Value("x").Null().End().Key("b").Begin('{').End();
  json.Key("c").Value(true).Key("d").Line().Raw("{\"e\":2}").End();
  EXPECT_EQ(json.Take(), "{\"a\":[1,\"x\",null],\"b\":{},\"c\":true,\"d\":\n{\"e\":2}}");
}

TEST(JsonWriter, EscapesWhateverTextHolds) {
  for (const std::string& text :
       {std::string("\"\\\n\t\x01"), std::string("a\0b", 3), std::string("\xF0\x9F\x98\x80 ü €")}) {
    JsonWriter json;
    json.Value(text);
    EXPECT_EQ(nlohmann::json::parse(json.Take()), text);
  }
}

// Overlong, cut off, surrogate, past U+10FFFF, a tail alone: each byte is one U+FFFD.
TEST(JsonWriter, BytesThatAreNoTextAreMarked) {
  const std::pair<std::string, size_t> cases[] = {{"\xC0\x80", 2},         {"\xE2\x82", 2}, {"\xED\xA0\x80", 3},
                                                  {"\xF4\x90\x80\x80", 4}, {"\x80", 1},     {"\xFF", 1}};
  for (const auto& [text, count] : cases) {
    JsonWriter json;
    json.Value("<" + text + ">");
    std::string expected = "\"<";
    for (size_t i = 0; i < count; ++i) expected += "\\ufffd";
    EXPECT_EQ(json.Take(), expected + ">\"");
  }
}

}  // namespace
}  // namespace mrs
