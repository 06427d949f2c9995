// Against what Jinja2, set up as in transformers, makes of the same templates (golden/make_golden.py).
#include "formats/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "formats/json.h"
#include "host/source_dir_for_test.h"

namespace mrs::text {
namespace {

using ::testing::HasSubstr;

Json Golden() {
  const std::string path = SourceDir() + "/formats/text/golden/templates.json";
  const Result<std::string> text = ReadFile(path, 1 << 20);
  EXPECT_TRUE(text.ok()) << text.message();
  Result<Json> json = ParseJson(*text, "templates.json");
  EXPECT_TRUE(json.ok()) << json.message();
  return *std::move(json);
}

RenderOptions At2026() {
  std::tm now{};
  now.tm_year = 126;
  now.tm_mon = 2;
  now.tm_mday = 7;
  now.tm_hour = 14;
  now.tm_min = 5;
  now.tm_sec = 9;
  now.tm_wday = 6;
  now.tm_yday = 65;
  RenderOptions options;
  options.now = now;
  return options;
}

Result<std::string> RenderText(const std::string& text, const Json& context, const RenderOptions& options = {}) {
  MRS_ASSIGN_OR_RETURN(const ChatTemplate chat, ParseTemplate(text));
  return Render(chat, context, options);
}

std::string ErrorOf(const std::string& text, const Json& context = Json::object(), const RenderOptions& options = {}) {
  const Result<std::string> rendered = RenderText(text, context, options);
  return rendered.ok() ? "rendered: " + *rendered : rendered.message();
}

void ExpectCase(const std::string& text, const Json& context, const Json& expected) {
  const Result<std::string> rendered = RenderText(text, context, At2026());
  if (expected.contains("text")) {
    ASSERT_TRUE(rendered.ok()) << rendered.message() << "\nin: " << text;
    EXPECT_EQ(*rendered, expected["text"].get<std::string>()) << text;
  } else {
    ASSERT_FALSE(rendered.ok()) << "rendered: " << *rendered << "\nin: " << text;
    if (expected["raised"].is_string()) {
      EXPECT_EQ(rendered.message(), "chat template: " + expected["raised"].get<std::string>());
    }
  }
}

TEST(ChatTemplateGolden, FamiliesRenderAsInTransformers) {
  const Json golden = Golden();
  for (const Json& one : golden["cases"]) {
    ExpectCase(golden["families"][one["template"].get<std::string>()].get<std::string>(), one["context"], one);
  }
}

TEST(ChatTemplateGolden, FeaturesRenderAsInTransformers) {
  const Json golden = Golden();
  for (const Json& one : golden["features"]) ExpectCase(one["template"].get<std::string>(), golden["context"], one);
}

// Judged as vLLM's _detect_content_format does.
TEST(ReadsContentInParts, WhereALoopOverMessagesHoldsALoopOverContent) {
  const auto parts = [](const std::string& text) {
    const Result<ChatTemplate> chat = ParseTemplate(text);
    EXPECT_TRUE(chat.ok()) << chat.message();
    return ReadsContentInParts(*chat);
  };
  const auto in_loop = [](const std::string& body) { return "{% for m in messages %}" + body + "{% endfor %}"; };
  const std::string loop = "{% for p in m.content %}{{ p.text }}{% endfor %}";
  EXPECT_TRUE(parts(in_loop(loop)));
  EXPECT_TRUE(parts(in_loop("{% for p in m['content'] %}{{ p['text'] }}{% endfor %}")));
  EXPECT_TRUE(parts(in_loop("{% for p in m.content | reverse %}{{ p.text }}{% endfor %}")));
  EXPECT_TRUE(parts(in_loop("{% for p in m.content[1:] %}{{ p.text }}{% endfor %}")));
  EXPECT_TRUE(parts(in_loop("{% if m.content is string %}{{ m.content }}{% else %}" + loop + "{% endif %}")));
  EXPECT_TRUE(parts("{% for m in messages[1:] %}" + loop + "{% endfor %}"));
  EXPECT_TRUE(parts("{% for m in messages | list %}" + loop + "{% endfor %}"));
  EXPECT_TRUE(
      parts("{% set rest = messages[1:] %}{% set most = rest | list %}{% for m in most %}" + loop + "{% endfor %}"));
  EXPECT_TRUE(parts("{% macro all() %}" + in_loop(loop) + "{% endmacro %}{{ all() }}"));
  EXPECT_TRUE(parts(in_loop("{% if m.role == 'user' %}{% else %}" + loop + "{% endif %}")));
  // The loops need not be one in the other: names count, not scopes.
  EXPECT_TRUE(parts(in_loop("") + loop));

  EXPECT_FALSE(parts(in_loop("{{ m.content }}")));
  EXPECT_FALSE(parts(in_loop("{{ m['content'] | trim }}")));
  EXPECT_FALSE(parts(in_loop("{% for p in m.tool_calls %}{{ p.text }}{% endfor %}")));
  EXPECT_FALSE(parts(in_loop("{% for p in m['contents'] %}{{ p }}{% endfor %}")));
  EXPECT_FALSE(parts("{% for d in documents %}{% for p in d.content %}{{ p }}{% endfor %}{% endfor %}"));
  EXPECT_FALSE(parts("{% for p in messages[0].content %}{{ p.text }}{% endfor %}"));  // one message by its number
  EXPECT_FALSE(parts(in_loop("{% set c = m.content %}{% for p in c %}{{ p }}{% endfor %}")));
  EXPECT_FALSE(parts(in_loop("{% for a, b in m.content %}{{ a }}{% endfor %}")));
  EXPECT_FALSE(parts("{% set ns = namespace(x=0) %}{% set ns.x = messages %}" + in_loop(loop)));  // vLLM gives up
  EXPECT_FALSE(parts("{{ messages }}"));
  EXPECT_FALSE(parts(""));
}

TEST(ParseTemplate, RefusesByNameAndLineWhatIsNotOfTheCore) {
  EXPECT_EQ(ErrorOf("a\n{% include 'x' %}"),
            "chat template: line 2: the tag 'include' is not supported; supported: if, for, set, macro, break, "
            "continue, raw, generation");
  EXPECT_THAT(ErrorOf("\n\n{{ x|pprint }}"),
              HasSubstr("line 3: the filter 'pprint' is not supported; supported: abs,"));
  EXPECT_THAT(ErrorOf("{{ x is filter }}"), HasSubstr("line 1: the test 'filter' is not supported; supported: "));
  EXPECT_THAT(ErrorOf("{{ 2 ** 3 }}"), HasSubstr("the operator '**' is not supported"));
  EXPECT_THAT(ErrorOf("{{ 'a'.zfill(3) }}"), HasSubstr("the method 'zfill' of a string is not supported"));
  EXPECT_THAT(ErrorOf("{% for x in y recursive %}{% endfor %}"), HasSubstr("a recursive loop is not supported"));
  EXPECT_THAT(ErrorOf("{{ strftime_now('%Y') }}"), HasSubstr("'strftime_now' is undefined, so it cannot be called"));
  EXPECT_THAT(ErrorOf("{{ 'a'|trim(nope=1) }}"), HasSubstr("trim: one of the arguments (nope)"));
}

TEST(ParseTemplate, NamesTheLineOfAMistake) {
  EXPECT_EQ(ErrorOf("x\n{% if a %}"), "chat template: line 2: the template ends without 'endif'");
  EXPECT_EQ(ErrorOf("x\n{{ a "), "chat template: line 2: '{{' without its '}}'");
  EXPECT_EQ(ErrorOf("{% endif %}"), "chat template: line 1: 'endif' closes nothing here");
  EXPECT_EQ(ErrorOf("{{ 'abc }}"), "chat template: line 1: a string without its closing quote");
  EXPECT_EQ(ErrorOf("{# a"), "chat template: line 1: a comment without its '#}'");
  EXPECT_EQ(ErrorOf("{{ a b }}"), "chat template: line 1: expected '}}', got 'b'");
  EXPECT_EQ(ErrorOf("{{ ) }}"), "chat template: line 1: unexpected ')'");
  EXPECT_EQ(ErrorOf("{% break %}"), "chat template: line 1: 'break' outside a loop");
  EXPECT_EQ(ErrorOf("a\n\n{{ 1 + x.y }}"), "chat template: line 3: 'x' is undefined");
}

TEST(Render, RaisesWhatTheTemplateSays) {
  EXPECT_EQ(ErrorOf("{{ raise_exception('roles must alternate') }}"), "chat template: roles must alternate");
}

TEST(Render, AChainComparesEachWithTheNext) {
  for (const auto& [chain, holds] :
       {std::pair("1 < 3 < 2", false), std::pair("1 < 3 > 2", true), std::pair("3 > 1 < 2", true),
        std::pair("3 > 1 > 2", false), std::pair("1 == 1 != 2", true), std::pair("2 in [2] in [[2], 3]", true),
        std::pair("1 < 2 < 3 < 3", false)}) {
    EXPECT_EQ(ErrorOf("{{ " + std::string(chain) + " }}"), holds ? "rendered: True" : "rendered: False") << chain;
  }
}

TEST(Render, HoldsItsBudgets) {
  RenderOptions options;
  const std::atomic<bool> stop = true;
  options.stop = &stop;
  EXPECT_THAT(Render(*ParseTemplate("{{ 1 }}"), Json::object(), options).message(),
              HasSubstr("is not needed any more"));
  options.stop = nullptr;
  options.max_steps = 1000;
  EXPECT_THAT(ErrorOf("{% for i in range(100000) %}{% endfor %}", Json::object(), options),
              HasSubstr("takes more steps than a rendering may"));
  options = {};
  options.max_output_bytes = 100;
  EXPECT_THAT(ErrorOf("{% for i in range(100) %}xx{% endfor %}", Json::object(), options),
              HasSubstr("writes more than 100 bytes"));
  EXPECT_THAT(ErrorOf("{{ 'ab' * 1000000000 }}"), HasSubstr("a string of more than"));
  EXPECT_THAT(ErrorOf("{{ [1] * 1000000000 }}"), HasSubstr("a list of more than"));
  EXPECT_THAT(ErrorOf("{{ range(1000000) }}"), HasSubstr("a range of 1000000 values, at most 100000"));
  const std::string doubling =
      "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
  EXPECT_THAT(ErrorOf(doubling), HasSubstr("more"));
  const std::string dag =
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  EXPECT_THAT(ErrorOf(dag), HasSubstr("holds more than"));
  const std::string nest = "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x] %}{% endfor %}";
  EXPECT_THAT(ErrorOf(nest), HasSubstr("nested deeper than 80 levels"));
  EXPECT_THAT(ErrorOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("nested deeper than 400 calls"));
}

TEST(Render, SurvivesDeepNesting) {
  const auto repeat = [](const std::string& text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  };
  EXPECT_THAT(ErrorOf("{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}"), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf("{{ " + repeat("[", 100000) + repeat("]", 100000) + " }}"), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf("{{ " + repeat("not ", 100000) + "1 }}"), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf("{{ " + repeat("-", 100000) + "1 }}"), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf("{{ 1" + repeat("+1", 100000) + " }}"), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf("{{ x" + repeat(".x", 100000) + " }}"), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf("{{ x" + repeat("|trim", 100000) + " }}"), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf(repeat("{% if 1 %}", 50000)), HasSubstr("nested too deep"));
  EXPECT_THAT(ErrorOf("{{ 1 " + repeat("if 1 else 1 ", 50000) + " }}"), HasSubstr("nested too deep"));
}

}  // namespace
}  // namespace mrs::text
