// PlanToText: the plan in full, in the order of plan.fbs, one line a fact. The same plan gives the same text.
#include "plans/text.h"

#include <algorithm>

#include "plans/append.h"
#include "plans/printable.h"
#include "plans/sha256.h"
#include "plans/text_program.h"
#include "plans/verify.h"
#include "plans/verify/context.h"
#include "plans/weight_digests.h"

namespace mrs {
namespace {

using verify::View;

std::string HexOf(const flatbuffers::Vector<uint8_t>& bytes) { return Hex({bytes.data(), bytes.size()}); }

std::string Quoted(const flatbuffers::String* text) { return fmt::format("\"{}\"", Printable(text->string_view())); }

void AppendModel(const plan::Model& model, std::string* out) {
  AppendLine(out, "model {} {}", Quoted(model.name()), Quoted(model.architecture()));
  AppendLine(out, "  fingerprint {}", HexOf(*model.fingerprint()));
  AppendLine(out, "  parameters {}, layers {}, hidden {}, ffn {}", model.parameter_count(), model.layer_count(),
             model.hidden(), model.ffn());
  AppendLine(out, "  heads {}, kv_heads {}, head_dim {}", model.heads(), model.kv_heads(), model.head_dim());
  AppendLine(out, "  vocab {}, padded {}, max_position {}", model.vocab(), model.vocab_padded(), model.max_position());
  AppendLine(out, "  bos {}, eos [{}], pad {}", model.bos(), fmt::join(*model.eos(), ", "), model.pad());
  const plan::SamplingDefaults& sampling = *model.sampling();
  AppendLine(out, "  sampling temperature {}, top_p {}, top_k {}, min_p {}", sampling.temperature(), sampling.top_p(),
             sampling.top_k(), sampling.min_p());
  AppendLine(out, "  penalties repetition {}, presence {}, frequency {}", sampling.repetition_penalty(),
             sampling.presence_penalty(), sampling.frequency_penalty());
  AppendLine(out, "  max_tokens {}", sampling.max_tokens());
  for (const flatbuffers::String* stop : *sampling.stop()) AppendLine(out, "  stop {}", Quoted(stop));
  AppendLine(out, "  chat_template {}", Quoted(model.chat_template()));
  for (const plan::TemplateToken* token : *model.template_tokens()) {
    AppendLine(out, "  template {} {}", Quoted(token->name()), Quoted(token->text()));
  }
}

void AppendFile(std::string_view what, const plan::File& file, std::string* out) {
  AppendLine(out, "{} {} {} bytes, header {} bytes {}", what, Quoted(file.name()), file.size_bytes(),
             file.header_bytes(), HexOf(*file.header_sha256()));
}

void AppendWorld(const plan::Plan& plan, std::string* out) {
  AppendLine(out, "cluster {} {}", Quoted(plan.cluster()->description()), HexOf(*plan.cluster()->fingerprint()));
  const auto& memory = *plan.cluster()->memory_bytes();
  const auto ranks = View(plan.ranks());
  for (size_t i = 0; i < ranks.size(); ++i) {
    const plan::Rank& rank = ranks[i];
    AppendLine(out, "rank {}: tp {}, ep {}, stage {}, dp {}; node {}, {} {}, memory {}", i, rank.tp(), rank.ep(),
               rank.stage(), rank.dp(), rank.node(), plan::EnumNameDeviceKind(rank.kind()), rank.device(),
               i < memory.size() ? fmt::format("{} bytes", memory.Get(static_cast<uint32_t>(i))) : "not given");
  }
  const auto groups = View(plan.groups());
  for (size_t i = 0; i < groups.size(); ++i) {
    AppendLine(out, "group {}: {}, {} ranks from {} by {}", i, plan::EnumNameAxis(groups[i].axis()), groups[i].count(),
               groups[i].first(), groups[i].stride());
  }
}

// What OpenPlan has just checked, in the words of the check: a file may say anything under its name.
bool WasCheckedNow(const plan::Certificate* c) {
  return c->name()->string_view() == kVerifyName && c->statement()->string_view() == kVerifyStatement;
}

void AppendTables(const plan::Plan& plan, std::string* out) {
  for (uint32_t i = 0; i < plan.files()->size(); ++i)
    AppendFile(fmt::format("file {}:", i), *plan.files()->Get(i), out);
  if (plan.model()->tokenizer() != nullptr) AppendFile("tokenizer:", *plan.model()->tokenizer(), out);
  for (uint32_t i = 0; i < plan.ropes()->size(); ++i) {
    const plan::Rope& rope = *plan.ropes()->Get(i);
    AppendLine(out, "rope {}: {}, attention_factor {}", i, Quoted(rope.rule()), rope.attention_factor());
    AppendLine(out, "  inv_freq [{}]", fmt::join(*rope.inv_freq(), ", "));
  }
  for (uint32_t i = 0; i < plan.encodings()->size(); ++i) {
    const plan::Encoding& e = *plan.encodings()->Get(i);
    AppendLine(out, "encoding {}: {}, rows by {}, K by {}, {} bytes for {} elements", i,
               plan::EnumNameEncodingKind(e.kind()), e.row_multiple(), e.k_multiple(), e.block_bytes(),
               e.block_elements());
  }
}

}  // namespace

std::string PlanToText(const plan::Plan& plan, std::string_view name) {
  std::string text;
  std::string* out = &text;
  AppendLine(out, "plan {}", name);
  AppendLine(out, "format {}.{}, by {}", plan.format_major(), plan.format_minor(), Quoted(plan.producer()));
  AppendModel(*plan.model(), out);
  AppendLine(out, "numerics {}, revision {}, reduction {}, weights {}", plan::EnumNameChain(plan.numerics()->chain()),
             plan.numerics()->revision(), plan::EnumNameReduction(plan.numerics()->reduction()),
             plan::EnumNameDType(plan.numerics()->weight_dtype()));
  for (const plan::Option* option : *plan.options()) {
    AppendLine(out, "option {} {}", Quoted(option->name()), Quoted(option->value()));
  }
  AppendLine(out, "max_len {}, max_seqs {}, tp {}, ep {}, dp {}", plan.max_len(), plan.max_seqs(), plan.tp(), plan.ep(),
             plan.dp());
  if (plan.digest_kind() != plan::DigestKind::none)
    AppendLine(out, "digests of weights: {}", DigestName(plan.digest_kind()));
  AppendWorld(plan, out);
  AppendTables(plan, out);
  verify::Budget budget;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) AppendStage(verify::StageView(plan, s, &budget), out);
  for (const plan::Prediction* p : *plan.predictions()) {
    AppendLine(out, "prediction {}: {} [{}, {}] {}, {}", Quoted(p->name()), p->expected(), p->low(), p->high(),
               p->unit()->string_view(), Quoted(p->provenance()));
  }
  for (const plan::Certificate* c : *plan.certificates()) {
    AppendLine(
        out, "certificate {}: {}, {}", Quoted(c->name()), Quoted(c->statement()),
        WasCheckedNow(c) ? "checked again now" : "as the file says; mrs-plan verify PLAN --model DIR checks it again");
  }
  if (!std::ranges::any_of(*plan.certificates(), WasCheckedNow)) {
    AppendLine(out, "checked now: {}: \"{}\"", kVerifyName, kVerifyStatement);
  }
  return text;
}

}  // namespace mrs
