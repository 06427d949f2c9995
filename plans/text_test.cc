#include "plans/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "host/source_dir_for_test.h"
#include "plans/printable.h"
#include "plans/reader.h"
#include "plans/sha256.h"
#include "plans/testing/tiny_plan.h"
#include "plans/verify.h"
#include "plans/writer.h"

namespace mrs::testing {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;

OpenedPlan Opened(const plan::PlanT& plan) {
  const std::string bytes = PackPlan(plan);
  return *OpenPlanBytes(std::as_bytes(std::span(bytes)));
}
OpenedPlan Tiny() { return Opened(TinyPlan()); }

void CollectKeys(const json& value, std::set<std::string>* keys) {
  for (const auto& [key, member] : value.items()) {
    if (value.is_object()) keys->insert(key);
    if (member.is_structured()) CollectKeys(member, keys);
  }
}

// Field lines of the schema: "  name: type ...".
std::set<std::string> SchemaFields() {
  std::set<std::string> fields;
  std::ifstream schema(SourceDir() + "/plans/plan.fbs");
  std::string line;
  while (std::getline(schema, line)) {
    const size_t colon = line.find(':');
    if (line.rfind("  ", 0) != 0 || line[2] == '/' || colon == std::string::npos) continue;
    const std::string name = line.substr(2, colon - 2);
    if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos) fields.insert(name);
  }
  return fields;
}

TEST(PlanToJson, HasEveryFieldOfTheSchema) {
  plan::PlanT plan = TinyPlan();
  const std::string bytes = PackPlan(plan);
  const OpenedPlan opened = *OpenPlanBytes(std::as_bytes(std::span(bytes)));
  const json parsed = json::parse(PlanToJson(opened.plan(), opened.name()));
  std::set<std::string> keys;
  CollectKeys(parsed, &keys);
  // Of structs that no plan may hold yet.
  const std::set<std::string> unused = {"approximate", "factor", "original",  "beta",
                                        "chunk_heads", "total",  "peer_stage"};
  const std::set<std::string> fields = SchemaFields();
  EXPECT_GT(fields.size(), 150u);
  for (const std::string& field : fields) {
    EXPECT_TRUE(keys.contains(field) || unused.contains(field)) << field;
  }
}

TEST(PlanToJson, GivesValuesByTheirNames) {
  const OpenedPlan opened = Tiny();
  const json parsed = json::parse(PlanToJson(opened.plan(), opened.name()));
  EXPECT_EQ(parsed["sha256"], opened.name());
  EXPECT_EQ(parsed["numerics"]["chain"], "pair2");
  EXPECT_EQ(parsed["model"]["chat_template"], "{{ \"hi\" }}\n");
  EXPECT_EQ(parsed["model"]["bos"], 1);
  EXPECT_EQ(parsed["model"]["pad"], -1);
  EXPECT_EQ(parsed["model"]["has_tokenizer"], true);
  EXPECT_EQ(parsed["files"][0]["header_sha256"], Hex(std::vector<uint8_t>(32, 9)));
  EXPECT_EQ(parsed["stages"][0]["steps"][10]["op"], "attention");
  EXPECT_EQ(parsed["stages"][0]["sources"][0]["rows"]["axis"], "tp");
  EXPECT_EQ(parsed["stages"][0]["placements"].size(), 70u);
  EXPECT_FLOAT_EQ(parsed["stages"][0]["attentions"][0]["scale"], 0.35f);
}

TEST(PlanToJson, StaysValidForAnyText) {
  plan::PlanT plan = TinyPlan();
  plan.model->chat_template = "\x01 \t \" \\ \x7F \xC3\xA9 \xF0\x9F\x98\x80 </script>";
  const std::string bytes = PackPlan(plan);
  const OpenedPlan opened = *OpenPlanBytes(std::as_bytes(std::span(bytes)));
  const json parsed = json::parse(PlanToJson(opened.plan(), opened.name()));
  EXPECT_EQ(parsed["model"]["chat_template"], plan.model->chat_template);
}

TEST(PlanToText, ShowsAStepOnOneLine) {
  const OpenedPlan opened = Tiny();
  const std::string text = PlanToText(opened.plan(), opened.name());
  EXPECT_THAT(text, HasSubstr("plan " + opened.name() + "\nformat 3.1, by \"by hand\"\n"));
  EXPECT_THAT(
      text,
      HasSubstr("  step 12 all_reduce 'l0.o_sum' (l0.o.out f32 [tokens, 32]) -> (l0.o_sum.out f32 [tokens, "
                "32]) {\"row_elements\":32,\"group\":0,\"order\":1,\"dtype\":\"f32\",\"rows\":\"tokens\",\"algorithm\":"
                "\"halving_doubling\"} layer 0 after 11\n"));
  EXPECT_THAT(text, HasSubstr("  weight 8 'l0.o': packed bf16 [32, 2 of 4 chunks of 8] at 51520, 4096 bytes\n"
                              "    row 0 <- 'l0.o.tensor' bf16 [32, 32] rows [0, +32) columns [0 + 16 * tp, +16), "
                              "file 0 at 7816\n"));
  EXPECT_EQ(text, PlanToText(Tiny().plan(), opened.name()));
}

TEST(PlanToText, SaysWhichStepsAreOneLaunch) {
  const OpenedPlan opened = Opened(TinyPlan({.fused = true, .joined = true}));
  const std::string text = PlanToText(opened.plan(), opened.name());
  const std::string said = "in one launch with the step before";
  const size_t first = text.find(said), last = text.rfind(said);
  EXPECT_THAT(text.substr(0, first), EndsWith(" layer 0 after 4, "));                 // rope_append
  EXPECT_THAT(text.substr(first, last - first), EndsWith(" layer 0 after 8, "));      // add_norm
  EXPECT_EQ(text.substr(first + 1, last - first - 1).find(said), std::string::npos);  // and no other
}

TEST(PlanToText, SaysWhatTheFileClaimsAndWhatWasCheckedNow) {
  plan::PlanT plan = TinyPlan();
  EXPECT_THAT(
      PlanToText(Opened(plan).plan(), ""),
      HasSubstr("certificate \"by hand\": \"nothing was proved\", as the file says; mrs-plan verify PLAN --model "
                "DIR checks it again\nchecked now: plans/verify: \"every index, "));
  plan.certificates[0]->name = kVerifyName;
  plan.certificates[0]->statement = "its answers are right";
  EXPECT_THAT(PlanToText(Opened(plan).plan(), ""),
              HasSubstr("certificate \"plans/verify\": \"its answers are right\", as the file says; mrs-plan verify "
                        "PLAN --model DIR checks it again\nchecked now: plans/verify: \"every index, "));
  plan.certificates[0]->statement = kVerifyStatement;
  EXPECT_THAT(PlanToText(Opened(plan).plan(), ""),
              EndsWith("the same collectives; it fits in memory\", checked again now\n"));
}

TEST(Printable, GivesWhatIsNotSeenByItsBytes) {
  struct Row {
    std::string_view text, shown;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"", ""},
           {"plain \u00E9 \u6F22 \U0001F600", "plain \u00E9 \u6F22 \U0001F600"},
           {"a\n\"b\\\x7F", "a\\x0a\\\"b\\\\\\x7f"},
           {"\u0080\u009B2J\u009F\u00A0", "\\xc2\\x80\\xc2\\x9b2J\\xc2\\x9f\u00A0"},
           {"\u200E\u200F", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f"},
           {"\u202Aa\u202E", "\\xe2\\x80\\xaaa\\xe2\\x80\\xae"},
           {"\u2066a\u2069", "\\xe2\\x81\\xa6a\\xe2\\x81\\xa9"},
           {"a\u200Bb\uFEFF", "a\\xe2\\x80\\x8bb\\xef\\xbb\\xbf"},
           {"\xF3\xA0\x81\x81", "\\xf3\\xa0\\x81\\x81"},
           {"\x9B\x32J", "\\x9b2J"},
           {"\xE0\x80\x9B", "\\xe0\\x80\\x9b"},
           {"\xFF\xE9\xC3", "\xFF\xE9\xC3"},
       }) {
    EXPECT_EQ(Printable(row.text), row.shown);
  }
}

TEST(PlanToText, KeepsHostileTextOnItsLine) {
  plan::PlanT plan = TinyPlan();
  plan.model->name = "a\nplan \x1B[2J\"";
  const std::string bytes = PackPlan(plan);
  const OpenedPlan opened = *OpenPlanBytes(std::as_bytes(std::span(bytes)));
  EXPECT_THAT(PlanToText(opened.plan(), opened.name()), HasSubstr("model \"a\\x0aplan \\x1b[2J\\\"\" "));
  EXPECT_THAT(PlanSummary(opened.plan(), opened.name()), HasSubstr("a\\x0aplan \\x1b[2J\\\""));
}

TEST(PlanSummary, SaysModelLayoutMemoryAndCollectives) {
  const OpenedPlan opened = Tiny();
  EXPECT_EQ(PlanSummary(opened.plan(), opened.name()), "plan         " + opened.name() + R"(
model        tiny (LlamaForCausalLM), 12345 parameters, 1 layers, hidden 32, 4 heads (2 KV) of 8
layout       2 ranks: tp 2, dp 1, 1 stage
numerics     pair2, canonical sums, weights bf16, revision 1
answers      temperature 1, end at token 2
limits       100 tokens a sequence, 4 sequences at once
memory       220 KiB a rank: weights 167 KiB, KV 16.0 KiB, activations 37.1 KiB
batches      1, 32 tokens
program      27 steps, 35 buffers, 16 weights
collectives  3 all-reduce (384 B a token), 1 all-gather
KV cache     16 blocks of 32 tokens, 1.00 KiB each, for 512 tokens in all
predicted    weights: 170688 bytes (170688 to 170688), sum of the weights
certificates by hand (as the file says)
)");
}

TEST(PlanSummary, SaysHowAnswersAreDrawnAndEnd) {
  const auto line = [](const plan::PlanT& plan) {
    const std::string bytes = PackPlan(plan);
    const OpenedPlan opened = *OpenPlanBytes(std::as_bytes(std::span(bytes)));
    const std::string summary = PlanSummary(opened.plan(), opened.name());
    const size_t begin = summary.find("answers      ") + 13;
    return summary.substr(begin, summary.find('\n', begin) - begin);
  };
  plan::PlanT plan = TinyPlan();
  plan.model->eos = {2, 5};
  plan.model->sampling->temperature = 0.5f;
  plan.model->sampling->top_p = 0.75f;
  plan.model->sampling->top_k = 20;
  plan.model->sampling->min_p = 0.125f;
  plan.model->sampling->max_tokens = 64;
  EXPECT_EQ(line(plan), "temperature 0.5, top_p 0.75, top_k 20, min_p 0.125, at most 64 tokens, end at tokens 2, 5");
  plan.model->eos = {};
  plan.model->sampling->temperature = 0;
  plan.model->sampling->max_tokens = 0;
  EXPECT_EQ(line(plan), "greedy, no token ends one");
  plan.model->eos = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(line(plan), "greedy, end at tokens 0, 1, 2, 3, 4, 5, 6, 7, ...");
}

TEST(PlanToText, ShowsSamplingAndTheTokensOfTheTemplate) {
  plan::PlanT plan = TinyPlan();
  plan::SamplingDefaultsT& sampling = *plan.model->sampling;
  sampling.min_p = 0.25f;
  sampling.presence_penalty = 0.5f;
  sampling.frequency_penalty = -1;
  sampling.max_tokens = 9;
  sampling.stop = {"a\nb"};
  plan.model->template_tokens[0]->name = "pad_token";
  plan.model->template_tokens[0]->text = "<pad>";
  const std::string bytes = PackPlan(plan);
  const OpenedPlan opened = *OpenPlanBytes(std::as_bytes(std::span(bytes)));
  EXPECT_THAT(PlanToText(opened.plan(), opened.name()),
              HasSubstr("  sampling temperature 1, top_p 1, top_k 0, min_p 0.25\n"
                        "  penalties repetition 1, presence 0.5, frequency -1\n"
                        "  max_tokens 9\n"
                        "  stop \"a\\x0ab\"\n"));
  EXPECT_THAT(PlanToText(opened.plan(), opened.name()), HasSubstr("  template \"pad_token\" \"<pad>\"\n"));
  const json parsed = json::parse(PlanToJson(opened.plan(), opened.name()));
  EXPECT_EQ(parsed["model"]["sampling"]["stop"], json::array({"a\nb"}));
  EXPECT_EQ(parsed["model"]["template_tokens"][0]["text"], "<pad>");
}

TEST(HumanBytes, KeepsThreeDigits) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.50 KiB");
  EXPECT_EQ(HumanBytes(uint64_t{141} << 30), "141 GiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16384 PiB");
}

}  // namespace
}  // namespace mrs::testing
