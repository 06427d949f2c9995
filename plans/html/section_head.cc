// Header and footer facts: which model, which plan, how it adds, for which cluster; and what the plan was made from.
#include <algorithm>
#include <set>
#include <vector>

#include "plans/append.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/html/timeline.h"
#include "plans/sha256.h"
#include "plans/text.h"

namespace mrs::html {
namespace {

void Fact(std::string* out, std::string_view what, const std::string& markup) {
  Append(out, "<div><dt>{}</dt><dd>{}</dd></div>\n", what, markup);
}

std::string TextOf(const flatbuffers::String* text, size_t max_bytes = 96) {
  return Text(text->string_view(), max_bytes);
}

// A line says it itself; of a whole file, which section_cluster.cc shows, only what its ranks are.
std::string ClusterFact(const PageFacts& facts) {
  const std::string_view description = facts.plan->cluster()->description()->string_view();
  if (description.find('\n') == description.npos) return fmt::format("<bdi>{}</bdi>", Text(description, 240));
  uint64_t cuda = 0;
  std::set<uint32_t> nodes;
  for (const RankFacts& rank : facts.ranks) {
    cuda += rank.at.kind() == plan::DeviceKind::cuda ? 1 : 0;
    nodes.insert(rank.at.node());
  }
  const uint64_t cpu = facts.ranks.size() - cuda;
  std::vector<std::string> kinds;
  if (cpu > 0) kinds.push_back(Count(cpu, "CPU rank"));
  if (cuda > 0) kinds.push_back(Count(cuda, "CUDA rank"));
  return fmt::format("{} on {}, described <a href=\"#cluster\">below</a>", fmt::join(kinds, " and "),
                     Count(nodes.size(), "node"));
}

}  // namespace

void AppendText(std::string_view id, std::string_view title, std::string_view text, std::string* out) {
  if (text.empty()) return;
  Append(out,
         "<details id=\"{}\"><summary>{} ({} bytes)</summary><pre tabindex=\"0\" role=\"region\" "
         "aria-label=\"{}\">{}</pre></details>\n",
         id, title, text.size(), title, Lines(text, 64 << 10));
}

namespace {

void AppendFile(std::string_view what, const plan::File& file, std::string* out) {
  Append(out,
         "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td "
         "class=\"n\">{}</td><td><code>{}</code></td></tr>\n",
         what, TextOf(file.name()), file.size_bytes(), file.header_bytes(),
         Hex({file.header_sha256()->data(), file.header_sha256()->size()}));
}

std::string Answers(const plan::Model& model) {
  const plan::SamplingDefaults& sampling = *model.sampling();
  std::string text = sampling.temperature() == 0
                         ? "greedy"
                         : fmt::format("temperature {}, top_p {}, top_k {}, min_p {}", sampling.temperature(),
                                       sampling.top_p(), sampling.top_k(), sampling.min_p());
  Append(&text, "; penalties: repetition {}, presence {}, frequency {}", sampling.repetition_penalty(),
         sampling.presence_penalty(), sampling.frequency_penalty());
  if (sampling.max_tokens() > 0) Append(&text, "; at most {} tokens", sampling.max_tokens());
  for (const flatbuffers::String* stop : *sampling.stop()) Append(&text, "; stop <code>{}</code>", TextOf(stop));
  return text;
}

}  // namespace

void BeginSection(std::string* out, std::string_view id, std::string_view title) {
  Append(out, "<section id=\"{0}\" aria-labelledby=\"h-{0}\"><h2 id=\"h-{0}\">{1}</h2>\n", id, title);
}

void EndSection(std::string* out) { *out += "</section>\n"; }

std::string RankNumbers(const PageFacts& facts, uint32_t stage) {
  std::vector<uint32_t> numbers;
  for (const RankFacts& rank : facts.ranks) {
    if (rank.at.stage() == stage) numbers.push_back(rank.rank);
  }
  const std::string text = Ranges(numbers);
  return text.size() > 60 ? fmt::format("{} to {} ({})", numbers.front(), numbers.back(), numbers.size()) : text;
}

void AppendHead(const PageFacts& facts, std::string_view name, std::string* out) {
  const plan::Plan& plan = *facts.plan;
  const plan::Model& model = *plan.model();
  Append(out, "<header><p class=\"kind\">mrs execution plan</p>\n<h1><bdi>{}</bdi></h1>\n", TextOf(model.name()));
  Append(out, "<p class=\"hash\"><span>sha256</span> <code>{}</code></p>\n", Text(name));
  *out += "<dl class=\"facts\">\n";
  Fact(out, "Model",
       fmt::format("<bdi>{}</bdi>, <b>{}</b> parameters", TextOf(model.architecture()),
                   HumanCount(model.parameter_count())));
  Fact(out, "Shape",
       fmt::format("{}, hidden {}, ffn {}, {} ({} KV) of {}, vocabulary {}", Count(model.layer_count(), "layer"),
                   model.hidden(), model.ffn(), Count(model.heads(), "head"), model.kv_heads(), model.head_dim(),
                   model.vocab()));
  std::string layout = fmt::format("<b>{}</b>: {}, tensor parallel {}", Count(facts.ranks.size(), "rank"),
                                   Count(facts.stages.size(), "stage"), plan.tp());
  if (plan.dp() > 1) Append(&layout, ", {} replicas", plan.dp());
  if (plan.ep() > 1) Append(&layout, ", expert parallel {}", plan.ep());
  Fact(out, "Layout", layout);
  Fact(out, "Numerics", NumericsText(*plan.numerics()));
  Fact(out, "Limits",
       fmt::format("{} tokens a sequence, {} at once", plan.max_len(), Count(plan.max_seqs(), "sequence")));
  Fact(out, "Cluster", ClusterFact(facts));
  Fact(out, "Made by",
       fmt::format("<bdi>{}</bdi>, format {}.{}", TextOf(plan.producer()), plan.format_major(), plan.format_minor()));
  *out += "</dl></header>\n";
}

void AppendInputs(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  const plan::Plan& plan = *facts.plan;
  const plan::Model& model = *plan.model();
  BeginSection(out, "inputs", "Made from");
  *out += "<dl class=\"facts\">\n";
  Fact(out, "Model fingerprint",
       fmt::format("<code>{}</code>", Hex({model.fingerprint()->data(), model.fingerprint()->size()})));
  Fact(out, "Cluster fingerprint",
       fmt::format("<code>{}</code>",
                   Hex({plan.cluster()->fingerprint()->data(), plan.cluster()->fingerprint()->size()})));
  Fact(out, "Answers, unless asked otherwise", Answers(model));
  Fact(out, "An answer ends at",
       model.eos()->size() == 0 ? "no token" : fmt::format("token {}", fmt::join(*model.eos(), ", ")));
  constexpr uint32_t kMaxRopes = 16;
  for (uint32_t i = 0; i < std::min(plan.ropes()->size(), kMaxRopes); ++i) {
    const plan::Rope* const rope = plan.ropes()->Get(i);
    Fact(out, "RoPE",
         fmt::format("<bdi>{}</bdi>, {}, attention factor {}", TextOf(rope->rule(), 240),
                     fmt::format("{} frequencies", rope->inv_freq()->size()), rope->attention_factor()));
  }
  *out += "</dl>\n";
  if (plan.options()->size() > 0) {
    Table table(out, rows_left, "t-options", fmt::format("Options ({})", plan.options()->size()),
                {{"option"}, {"value"}});
    for (const plan::Option* option : *plan.options()) {
      if (!table.Row()) continue;
      Append(out, "<tr><td><code>{}</code></td><td><code>{}</code></td></tr>\n", TextOf(option->name()),
             TextOf(option->value(), 400));
    }
  }
  const size_t file_count = plan.files()->size() + (model.tokenizer() != nullptr ? 1 : 0);
  if (file_count > 0) {
    Table table(out, rows_left, "t-files", fmt::format("Files ({})", file_count),
                {{"kind"}, {"name"}, {"bytes", true}, {"header bytes", true}, {"SHA-256 of the header"}});
    for (const plan::File* file : *plan.files()) {
      if (table.Row()) AppendFile("weights", *file, out);
    }
    if (model.tokenizer() != nullptr && table.Row()) AppendFile("tokenizer", *model.tokenizer(), out);
  }
  AppendText("t-template", "Chat template", model.chat_template()->string_view(), out);
  EndSection(out);
}

}  // namespace mrs::html
