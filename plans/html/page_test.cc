#include "plans/html/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "plans/append.h"
#include "plans/html/facts.h"
#include "plans/html/findings.h"
#include "plans/html/markup.h"
#include "plans/html/style.h"
#include "plans/reader.h"
#include "plans/testing/tiny_plan.h"
#include "plans/verify.h"
#include "plans/writer.h"

namespace mrs::html {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

OpenedPlan Opened(const plan::PlanT& plan) {
  const std::string bytes = PackPlan(plan);
  return *OpenPlanBytes(std::as_bytes(std::span(bytes)));
}

std::string PageOf(const plan::PlanT& plan) {
  const OpenedPlan opened = Opened(plan);
  return PlanToHtml(opened.plan(), opened.name());
}

// What is wrong with the page as XML, or "": tags in pairs, attributes quoted and each once, no bare '&' or '<', no
// character that XML does not allow. Only the DOCTYPE is none of XML's elements.
std::string XmlFault(std::string_view page) {
  std::vector<std::string> open;
  size_t at = page.find("<html");
  const auto entity = [&](size_t from) {
    for (const std::string_view known : {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"}) {
      if (page.substr(from).starts_with(known)) return true;
    }
    return false;
  };
  while (at < page.size()) {
    const auto byte = static_cast<unsigned char>(page[at]);
    if (byte < 0x20 && byte != '\n') return fmt::format("byte {:#x} at {}", byte, at);
    if (page[at] == '&' && !entity(at)) return fmt::format("a bare & at {}", at);
    if (page[at] != '<') {
      ++at;
      continue;
    }
    size_t end = page.find('>', at);
    if (end == page.npos) return "a tag without end";
    const std::string tag(page.substr(at, end - at + 1));
    at = end + 1;
    static const std::regex kClose("</([a-z0-9]+)>");
    static const std::regex kOpen("<([a-z0-9]+)((?: [A-Za-z0-9-]+=\"[^\"<]*\")*)(/?)>");
    std::smatch match;
    if (std::regex_match(tag, match, kClose)) {
      if (open.empty() || open.back() != match[1]) return fmt::format("{} where nothing such is open", tag);
      open.pop_back();
      continue;
    }
    if (!std::regex_match(tag, match, kOpen)) return fmt::format("no tag: {}", tag);
    std::set<std::string> names;
    const std::string attributes = match[2];
    static const std::regex kName(" ([A-Za-z0-9-]+)=\"([^\"]*)\"");
    for (std::sregex_iterator it(attributes.begin(), attributes.end(), kName); it != std::sregex_iterator(); ++it) {
      if (!names.insert((*it)[1]).second) return fmt::format("an attribute twice: {}", tag);
    }
    if (match[3] != "/") open.push_back(match[1]);
  }
  return open.empty() ? "" : fmt::format("<{}> stays open", open.back());
}

size_t Occurrences(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

TEST(Text, ShowsWhatWouldMarkUpOrHide) {
  struct Row {
    std::string_view text, shown;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"", ""},
           {"plain é 漢 😀", "plain é 漢 😀"},
           {"</script><b a='x' c=\"y\">&amp;", "&lt;/script&gt;&lt;b a=&#39;x&#39; c=&quot;y&quot;&gt;&amp;amp;"},
           {"a\n\t\x01\x7F", "a\\u{a}\\u{9}\\u{1}\\u{7f}"},
           {"\xC2\x85", "\\u{85}"},
           {"\u202Eabc\u2066", "\\u{202e}abc\\u{2066}"},
           {"a\u200Bb\uFEFF\u00AD", "a\\u{200b}b\\u{feff}\\u{ad}"},
           {"\uFFFE\uFFFF", "\\u{fffe}\\u{ffff}"},
           {"\xF4\x8F\xBF\xBF", "\\u{10ffff}"},
           {"\xF3\xA0\x81\x81", "\\u{e0041}"},
           {"\xFF\x80\xC3", "\uFFFD\uFFFD\uFFFD"},
           {"\xED\xA0\x80", "\\u{d800}"},
       }) {
    EXPECT_EQ(Text(row.text), row.shown);
  }
}

TEST(Text, CutsAtACharacterAndSaysHowMuch) {
  EXPECT_EQ(Text("abcdef", 6), "abcdef");
  EXPECT_EQ(Text("abcdefg", 6), "abcdef… (1 bytes more)");
  EXPECT_EQ(Text("é漢", 4), "é… (3 bytes more)");
}

TEST(Percent, IsShortAndNeverOfNothing) {
  EXPECT_EQ(Percent(0.5), "50%");
  EXPECT_EQ(Percent(1, 3), "33.33%");
  EXPECT_EQ(Percent(0.125), "12.5%");
  EXPECT_EQ(Percent(0), "0%");
  EXPECT_EQ(Percent(5, 0), "0%");
}

TEST(PlanToHtml, IsWellFormedForEveryLayout) {
  for (const uint32_t tp : {1u, 2u, 4u}) {
    for (const uint32_t dp : {1u, 2u}) {
      for (const uint32_t layers : {1u, 2u, 13u}) {
        const std::string page = PageOf(testing::TinyPlan({.tp = tp, .dp = dp, .layer_count = layers}));
        EXPECT_EQ(XmlFault(page), "") << "tp " << tp << " dp " << dp << " layers " << layers;
        EXPECT_THAT(page, ::testing::StartsWith("<!DOCTYPE html>\n<html lang=\"en\">"));
      }
    }
  }
}

TEST(PlanToHtml, CannotBeBrokenOutOf) {
  const std::string_view hostile =
      "</title></style></td>\"'><img src=x onerror=alert(1)><script>alert(1)</script>\x01\u202E&";
  plan::PlanT plan = testing::TinyPlan();
  plan.producer = plan.model->name = plan.model->architecture = plan.cluster->description = hostile;
  plan.model->chat_template = plan.ropes[0]->rule = hostile;
  plan.model->sampling->stop = {std::string(hostile)};
  plan.options.push_back(std::make_unique<plan::OptionT>());
  plan.options.back()->name = fmt::format("z{}", hostile);  // they are sorted
  plan.options.back()->value = hostile;
  for (auto& prediction : plan.predictions) prediction->name = prediction->unit = prediction->provenance = hostile;
  for (auto& certificate : plan.certificates) certificate->name = certificate->statement = hostile;
  // Inputs have names of their own; every other name is free.
  for (std::string& name : plan.names) {
    if (name.find('.') != name.npos) name += "<b>&\"'</td><script>alert(1)</script>\u202E";
  }
  for (auto& file : plan.files) file->name = "a<b>&\"'.safetensors";
  ASSERT_EQ(testing::Refusal(plan), "");
  const std::string page = PageOf(plan);
  EXPECT_EQ(XmlFault(page), "");
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_EQ(Occurrences(page, "</style>"), 1u);
  EXPECT_EQ(Occurrences(page, "</title>"), Occurrences(page, "<title>"));
  EXPECT_GT(Occurrences(page, "&lt;script&gt;alert(1)&lt;/script&gt;\\u{1}\\u{202e}"), 8u);
  EXPECT_GT(Occurrences(page, "&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}"), 60u);
  EXPECT_EQ(page.find('\x01'), page.npos);
}

TEST(PlanToHtml, IsTheSameBytesForTheSamePlan) {
  const plan::PlanT plan = testing::TinyPlan({.tp = 4, .layer_count = 3});
  EXPECT_EQ(PageOf(plan), PageOf(plan));
  EXPECT_NE(PageOf(plan), PageOf(testing::TinyPlan({.tp = 2, .layer_count = 3})));
}

TEST(PlanToHtml, NeedsNothingButItself) {
  const std::string page = PageOf(testing::TinyPlan());
  EXPECT_THAT(page, HasSubstr("content=\"default-src 'none'; style-src '" + StyleHash() +
                              "'; base-uri 'none'; form-action 'none'\""));
  EXPECT_THAT(page, HasSubstr("<style>" + std::string(StyleText()) + "</style>"));
  for (const std::string_view absent : {"http:", "https:", "\"//", "url(", "@import", " src=", "<script", " style="}) {
    EXPECT_THAT(page, Not(HasSubstr(std::string(absent))));
  }
  static const std::regex kHandler("<[^>]* on[a-z]+=");
  EXPECT_FALSE(std::regex_search(page, kHandler));
  static const std::regex kLink("href=\"([^\"]*)\"");
  for (std::sregex_iterator it(page.begin(), page.end(), kLink); it != std::sregex_iterator(); ++it) {
    const std::string target = (*it)[1];
    ASSERT_EQ(target[0], '#') << target;
    EXPECT_THAT(page, HasSubstr("id=\"" + target.substr(1) + "\""));
  }
}

// The SHA-256 of nothing and of "abc" are in sha256_test; base64's padding is of the digest's length, 32 bytes.
TEST(StyleHash, IsBase64OfASha256) {
  EXPECT_TRUE(std::regex_match(StyleHash(), std::regex("sha256-[A-Za-z0-9+/]{43}=")));
  EXPECT_EQ(StyleText().find_first_of("<&"), std::string_view::npos);
}

TEST(PlanToHtml, HasEveryRankStageStepAndWeight) {
  const plan::PlanT plan = testing::TinyPlan({.tp = 4, .layer_count = 3});
  const std::string page = PageOf(plan);
  const auto table = [&](std::string_view id) {
    const size_t begin = page.find("<details id=\"" + std::string(id) + "\"");
    EXPECT_NE(begin, page.npos) << id;
    return page.substr(begin, page.find("</details>", begin) - begin);
  };
  EXPECT_EQ(Occurrences(table("t-ranks"), "<tr><th scope=\"row\">"), 4u);
  EXPECT_EQ(Occurrences(table("t-memory"), "<tr><th scope=\"row\">"), 4u);
  EXPECT_EQ(Occurrences(table("t-layers"), "<tr><th scope=\"row\">"), 3u);
  EXPECT_EQ(Occurrences(table("t-groups"), "<tr><th scope=\"row\">"), plan.groups.size());
  const plan::StageT& stage = *plan.stages[0];
  const std::string steps = table("t-steps-0"), weights = table("t-weights-0");
  EXPECT_EQ(Occurrences(steps, "<tr><th scope=\"row\">"), stage.steps.size());
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    EXPECT_THAT(steps, HasSubstr(fmt::format("<th scope=\"row\">{}</th><td class=\"", i)));
    EXPECT_THAT(steps,
                HasSubstr(fmt::format(">{}</td><td><code>{}</code></td>", plan::EnumNameOpKind(stage.steps[i].op()),
                                      plan.names[stage.steps[i].name()])));
  }
  EXPECT_EQ(Occurrences(weights, "<tr><th scope=\"row\">"), stage.weights.size());
  for (const plan::Weight& weight : stage.weights) {
    EXPECT_THAT(weights, HasSubstr(fmt::format("<th scope=\"row\"><code>{}</code></th>", plan.names[weight.name()])));
    EXPECT_THAT(page, HasSubstr(fmt::format("<title>{}, ", plan.names[weight.name()])));
  }
}

TEST(PlanToHtml, SaysWhatTheFileClaimsAndWhatWasCheckedNow) {
  plan::PlanT plan = testing::TinyPlan();
  plan.certificates[0]->name = kVerifyName;
  plan.certificates[0]->statement = "its answers are right";
  const std::string page = PageOf(plan);
  EXPECT_THAT(page, HasSubstr("<b>As the file says</b> <code>plans/verify</code> <span>its answers are right</span>"));
  EXPECT_THAT(page, HasSubstr("<b>Checked now</b> <code>plans/verify</code> <span>every index, "));
}

TEST(PlanToHtml, SaysWhatWidthsAreAndWhichTimesArePredicted) {
  plan::PlanT plan = testing::TinyPlan();
  EXPECT_THAT(PageOf(plan), HasSubstr("where up to 1 token run: the smallest batch. The plan predicts no times."));
  plan.predictions.push_back(std::make_unique<plan::PredictionT>());
  plan::PredictionT& prediction = *plan.predictions.back();
  prediction.name = "step_time.decode";
  prediction.unit = "ns";
  prediction.low = 1'000'000;
  prediction.expected = 1'500'000;
  prediction.high = 2'000'000;
  prediction.provenance = "by hand";
  EXPECT_THAT(PageOf(plan), HasSubstr(" Predicted <bdi>step_time.decode</bdi>: 1.500 ms (1.000 to 2.000)."));
}

TEST(PlanToHtml, DoesWithoutBudgets) {
  plan::PlanT plan = testing::TinyPlan();
  plan.cluster->memory_bytes.clear();
  const std::string page = PageOf(plan);
  EXPECT_EQ(XmlFault(page), "");
  EXPECT_THAT(page, HasSubstr("The plan does not say what its ranks may use."));
  EXPECT_THAT(page, HasSubstr("The plan does not say what a rank may use: the widest bar is the rank that uses most."));
}

// Names may have a kilobyte each; texts for people are as long as a file.
TEST(PlanToHtml, StaysBoundedForPlansThatAreNot) {
  plan::PlanT plan = testing::TinyPlan({.layer_count = 200});
  for (std::string& name : plan.names) {
    if (name.find('.') != name.npos) name += std::string(900, 'x');
  }
  plan.model->chat_template = std::string(1 << 20, '<');
  ASSERT_EQ(testing::Refusal(plan), "");
  const std::string page = PageOf(plan);
  EXPECT_LT(page.size(), size_t{4} << 20);
  EXPECT_THAT(page, HasSubstr("bytes more)"));
}

TEST(PlanToHtml, StaysBoundedForMoreRanksThanItHasRowsFor) {
  const plan::PlanT plan = testing::TinyPlan({.tp = 4, .dp = 16'384});
  const std::string page = PageOf(plan);
  EXPECT_LT(page.size(), size_t{8} << 20);
  EXPECT_THAT(page, HasSubstr(">40537 more are not on this page; "));  // ranks: half of what is left
  EXPECT_THAT(page, HasSubstr("<code>l0.attn</code>"));
  EXPECT_THAT(page, HasSubstr(" 64512 more ranks are in the table only."));
}

TEST(PlanToHtml, KeepsTheLinesOfADescriptionOfManyLines) {
  plan::PlanT plan = testing::TinyPlan();
  plan.cluster->description = "nodes:\n  - <a>\t\n";
  const std::string page = PageOf(plan);
  EXPECT_EQ(XmlFault(page), "");
  EXPECT_THAT(page,
              HasSubstr("<dt>Cluster</dt><dd>2 CPU ranks on 1 node, described <a href=\"#cluster\">below</a></dd>"));
  EXPECT_THAT(page, HasSubstr("aria-label=\"Cluster as the plan has it\">nodes:\n  - &lt;a&gt;\\u{9}\n</pre>"));
}

TEST(Table, CountsTheRowsThatThePageHasNoRoomFor) {
  std::string out;
  uint64_t rows_left = 4;
  {
    Table table(&out, &rows_left, "t", "Rows (5)", {{"a"}, {"b", true}});
    for (int i = 0; i < 5; ++i) {
      if (table.Row()) Append(&out, "<tr><td>{}</td></tr>", i);
    }
  }
  EXPECT_THAT(out, HasSubstr("<tr><td>1</td></tr><tr><td colspan=\"2\">3 more are not on this page; "));
  EXPECT_THAT(out, Not(HasSubstr("<td>2</td>")));
}

TEST(FactsOf, CountsBytesOfEveryStepAndWeight) {
  const OpenedPlan opened = Opened(testing::TinyPlan());
  const PageFacts facts = FactsOf(opened.plan());
  ASSERT_EQ(facts.stages.size(), 1u);
  const StageFacts& stage = facts.stages[0];
  const auto weight = [&](std::string_view name) {
    return *std::ranges::find_if(stage.weights, [&](const WeightFacts& w) { return w.name == name; });
  };
  EXPECT_EQ(weight("l0.o").bytes, 4096u);  // [32, 2 chunks of 8 padded to 32] bf16
  EXPECT_EQ(weight("l0.o").padding_bytes, 4096u - 32 * 16 * 2);
  EXPECT_EQ(weight("l0.o").layer, 0);
  EXPECT_EQ(weight("l0.o").copies, 1u);
  uint64_t sum = 0;
  for (const WeightFacts& w : stage.weights) sum += w.bytes;
  EXPECT_LE(sum, stage.memory.weights);
  const auto step = *std::ranges::find_if(stage.steps, [](const StepFacts& s) { return s.name == "l0.o_sum"; });
  EXPECT_EQ(step.kind, StepKind::kCollective);
  EXPECT_EQ(step.weight_bytes, 0u);
  EXPECT_EQ(step.buffer_bytes, 2u * 32 * 4);  // one token, read and written
  EXPECT_EQ(stage.traffic.all_reduce_count, 3u);
  EXPECT_EQ(stage.traffic.all_reduce_token_bytes, 384u);
  ASSERT_EQ(facts.layers.size(), 1u);
  EXPECT_TRUE(facts.layers[0].attends);
}

TEST(FindingsOf, GiveNumbersForWhatTheyWeigh) {
  const auto findings = [](const plan::PlanT& plan) {
    const OpenedPlan opened = Opened(plan);
    std::vector<std::string> lines;
    for (const Finding& f : FindingsOf(FactsOf(opened.plan()))) {
      lines.push_back(fmt::format("{} {}: {}", static_cast<int>(f.weighing), f.id, f.text));
    }
    return lines;
  };
  plan::PlanT plan = testing::TinyPlan();
  const uint64_t used =
      plan.stages[0]->weight_arena_bytes + plan.stages[0]->kv_arena_bytes + plan.stages[0]->activation_arena_bytes;
  plan.cluster->memory_bytes = {used * 2, used + used / 20};
  EXPECT_THAT(
      findings(plan),
      ::testing::Contains("2 memory: It fits: rank 1 has least room, and uses 220 KiB of 231 KiB (95.2 %); with "
                          "the KV cache of one sequence, 208 KiB (90.0 %)."));
  EXPECT_THAT(findings(plan),
              ::testing::Contains(
                  "0 kv-capacity: The KV cache holds 4 sequences of full length (100 tokens); at most 4 run at once."));
  EXPECT_THAT(findings(plan),
              ::testing::Contains("2 alignment: 154 KiB of the weights (92.42 %) are there for alignment only."));
  EXPECT_THAT(findings(plan), ::testing::Contains("1 vocabulary-padding: The vocabulary of 40 rows is padded to 48."));
  EXPECT_THAT(findings(plan),
              ::testing::Contains("1 communication: A forward has 3 all-reduces (384 B a token in all), 1 all-gather, "
                                  "from each rank that takes part."));
  plan.cluster->memory_bytes = {used * 2, used * 2};
  EXPECT_THAT(
      findings(plan),
      ::testing::Contains("0 memory: It fits: rank 0 has least room, and uses 220 KiB of 440 KiB (50.0 %); with "
                          "the KV cache of one sequence, 208 KiB (47.3 %)."));
  // A cache that takes all there is tightens nothing; and it is the share that counts, not the bytes.
  plan.stages[0]->kv_classes[0].mutate_block_count(1600);
  plan.stages[0]->kv_arena_bytes *= 100;
  plan.cluster->memory_bytes = {used + 99 * 16384 + 99, uint64_t{1} << 40};
  EXPECT_THAT(findings(plan),
              ::testing::Contains("0 memory: It fits: rank 0 has least room, and uses 1.76 MiB of 1.76 MiB (100.0 %); "
                                  "with the KV cache of one sequence, 208 KiB (11.5 %)."));
}

TEST(GroupRanks, AreShort) {
  EXPECT_EQ(GroupRanks({0, 1, 1, plan::Axis::tp}), "0");
  EXPECT_EQ(GroupRanks({4, 4, 1, plan::Axis::tp}), "4–7");
  EXPECT_EQ(GroupRanks({1, 2, 8, plan::Axis::dp}), "1, 9");
  EXPECT_EQ(GroupRanks({0, 3, 2, plan::Axis::dp}), "0, 2, 4");
  EXPECT_EQ(GroupRanks({0, 32, 2, plan::Axis::dp}), "0, 2, 4, … 62 (32)");
}

}  // namespace
}  // namespace mrs::html
