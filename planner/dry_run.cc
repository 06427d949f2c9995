#include "planner/dry_run.h"

#include <fmt/ranges.h>

#include <map>

#include "planner/legality.h"
#include "planner/model_facts.h"
#include "planner/weight_index.h"
#include "plans/append.h"

namespace mrs::planner {
namespace {

std::string Bytes(int64_t bytes) {
  return fmt::format("{} bytes ({:.2f} GiB)", bytes, static_cast<double>(bytes) / (int64_t{1} << 30));
}

// "26 layers: 4 see all tokens, 22 a window of 512; 2 without rotation".
std::string LayerLine(const ModelSpec& model) {
  std::map<int64_t, int64_t> windows;
  int64_t unrotated = 0;
  for (const LayerSpec& layer : model.layers) {
    ++windows[layer.window];
    if (!layer.rope) ++unrotated;
  }
  std::vector<std::string> parts;
  for (const auto& [window, count] : windows) {
    parts.push_back(window == 0 ? fmt::format("{} see all tokens", count)
                                : fmt::format("{} a window of {}", count, window));
  }
  return fmt::format("{}: {}{}", model.layers.size(), fmt::join(parts, ", "),
                     unrotated == 0 ? "" : fmt::format("; {} without rotation", unrotated));
}

std::string LegalityLine(const ModelSpec& model) {
  std::vector<int64_t> legal;
  std::string refused;
  for (const TpVerdict& verdict : LegalTp(model)) {
    if (verdict.legal()) {
      legal.push_back(verdict.tp);
    } else if ((verdict.tp & (verdict.tp - 1)) == 0) {
      refused += fmt::format("; not {}: {}", verdict.tp, verdict.refusal);
    }
  }
  return fmt::format("{}{}", fmt::join(legal, ", "), refused);
}

void AddStage(const Layout& layout, const FitVerdict& verdict, size_t index, std::string& text) {
  const LayoutStage& stage = layout.stages[index];
  const RankNeed& need = verdict.needs[index];
  const int64_t tp = layout.mesh.tp;
  int64_t kv = 0;
  for (const KvClassBlocks& of_class : verdict.kv[index].classes) {
    kv += (of_class.block_count * of_class.block_bytes + 63) / 64 * 64;
  }
  Append(&text, "stage {:<6} layers {} to {} on device {}, {} rank{}; each needs {}\n", index, stage.layer_begin,
         stage.layer_end - 1, stage.device, tp, tp == 1 ? "" : "s", Bytes(need.Fixed() + kv));
  Append(&text, "  weights      {}\n  activations  {}\n  KV cache     {}\n", Bytes(need.weights),
         Bytes(need.activations), Bytes(kv));
  for (const KvClassBlocks& of_class : verdict.kv[index].classes) {
    Append(&text, "    {} layer{}, {}: {} blocks of {} tokens, {} bytes each\n", of_class.layers,
           of_class.layers == 1 ? "" : "s",
           of_class.window == 0 ? "all tokens" : fmt::format("a window of {}", of_class.window), of_class.block_count,
           kKvBlockTokens, of_class.block_bytes);
  }
  if (need.beside.workspace == 0) return;
  Append(&text, "  workspace    {}\n  graphs       {}\n  communicators {}\n", Bytes(need.beside.workspace),
         Bytes(need.beside.graphs), Bytes(need.beside.communicators));
}

}  // namespace

Result<DryRunReport> DryRun(const BuildOptions& options) {
  BuildOptions of_config = options;
  of_config.config_only = true;
  MRS_ASSIGN_OR_RETURN(const FittingFacts fitting, ReadFittingFacts(of_config));
  const ModelFacts& model = fitting.model;

  const ModelSpec& spec = model.facts.model;
  const LayerSpec& layer = spec.layers.front();
  const int64_t element_bytes = spec.config_type == ElementType::kF32 ? 4 : 2;
  std::string text;
  Append(&text, "model        {} ({}), hidden {}, {} heads over {} x {}, FFN {}, vocabulary {}, {} tokens\n", spec.name,
         spec.architecture, spec.hidden, layer.heads, layer.kv_heads, layer.head_dim, layer.ffn, spec.vocab,
         spec.max_position);
  Append(&text, "layers       {}\n", LayerLine(spec));
  Append(&text, "parameters   {}, {} bytes as {}\n", model.facts.parameter_count,
         model.facts.parameter_count * element_bytes, DtypeName(spec.config_type));
  if (!model.index.empty()) Append(&text, "index        {}\n", model.index);
  Append(&text, "legal tp     {}\n", LegalityLine(spec));
  Append(&text, "layout       tp {}, {} stage{}, for {} sequences of {} tokens, computed as {}\n", model.layout.mesh.tp,
         model.layout.mesh.stage, model.layout.mesh.stage == 1 ? "" : "s", model.facts.max_seqs, model.facts.max_len,
         model.facts.weight_dtype);
  std::vector<int64_t> tokens;
  for (const ir::BucketSize& bucket : model.layout.buckets) tokens.push_back(bucket.tokens);
  Append(&text, "numerics     {}, batches of {} tokens\n", model.facts.chain, fmt::join(tokens, ", "));
  for (const std::string& note : model.notes) Append(&text, "chosen       {}\n", note);
  for (const std::string& place : model.places) Append(&text, "place        {}\n", place);
  for (size_t stage = 0; stage < fitting.verdict.needs.size(); ++stage)
    AddStage(model.layout, fitting.verdict, stage, text);
  return DryRunReport{std::move(text), model.warnings};
}

}  // namespace mrs::planner
