#include "planner/dry_run.h"

#include <fmt/ranges.h>

#include <iterator>
#include <map>

#include "ir/program.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "planner/compiler.h"
#include "planner/legality.h"
#include "planner/model_facts.h"
#include "planner/passes/passes.h"
#include "planner/weight_index.h"

namespace mrs::planner {
namespace {

std::string Bytes(int64_t bytes) {
  return fmt::format("{} bytes ({:.2f} GiB)", bytes, static_cast<double>(bytes) / (int64_t{1} << 30));
}

int64_t NumberOf(mlir::DictionaryAttr of, llvm::StringRef name) {
  auto number = of ? of.getAs<mlir::IntegerAttr>(name) : nullptr;
  return number ? number.getInt() : 0;
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

void AddStage(mlir::func::FuncOp program, const LayoutStage& stage, size_t index, int64_t tp, std::string& text) {
  auto out = std::back_inserter(text);
  const auto arenas = program->getAttrOfType<mlir::DictionaryAttr>("mrs.arenas");
  const int64_t weights = NumberOf(arenas, "weights"), activations = NumberOf(arenas, "activations");
  const int64_t kv = NumberOf(arenas, "kv");
  fmt::format_to(out, "stage {:<6} layers {} to {} on device {}, {} rank{}; each needs {}\n", index, stage.layer_begin,
                 stage.layer_end - 1, stage.device, tp, tp == 1 ? "" : "s", Bytes(weights + activations + kv));
  fmt::format_to(out, "  weights      {}\n  activations  {}\n  KV cache     {}\n", Bytes(weights), Bytes(activations),
                 Bytes(kv));
  auto classes = program->getAttrOfType<mlir::ArrayAttr>("mrs.kv");
  for (mlir::Attribute attribute : classes ? classes.getValue() : llvm::ArrayRef<mlir::Attribute>()) {
    auto of_class = mlir::dyn_cast<mlir::DictionaryAttr>(attribute);
    const int64_t window = NumberOf(of_class, "window");
    fmt::format_to(out, "    {} layer{}, {}: {} blocks of {} tokens, {} bytes each\n", NumberOf(of_class, "layers"),
                   NumberOf(of_class, "layers") == 1 ? "" : "s",
                   window == 0 ? "all tokens" : fmt::format("a window of {}", window),
                   NumberOf(of_class, "block_count"), NumberOf(of_class, "block_tokens"),
                   NumberOf(of_class, "block_bytes"));
  }
}

}  // namespace

Result<DryRunReport> DryRun(const BuildOptions& options) {
  BuildOptions of_config = options;
  of_config.config_only = true;
  MRS_ASSIGN_OR_RETURN(const ModelFacts model, ReadModelFacts(of_config));
  Compiler compiler;
  auto module = UnshardedModule(compiler.context(), model);
  mlir::PassManager manager(&compiler.context());
  manager.enableVerifier(false);
  AddPlanPipeline(manager);
  if (mlir::failed(manager.run(*module)) || mlir::failed(mlir::verify(*module))) return compiler.Failure();

  const ModelSpec& spec = model.facts.model;
  const LayerSpec& layer = spec.layers.front();
  const int64_t element_bytes = spec.config_type == ElementType::kF32 ? 4 : 2;
  std::string text;
  auto out = std::back_inserter(text);
  fmt::format_to(out, "model        {} ({}), hidden {}, {} heads over {} x {}, FFN {}, vocabulary {}, {} tokens\n",
                 spec.name, spec.architecture, spec.hidden, layer.heads, layer.kv_heads, layer.head_dim, layer.ffn,
                 spec.vocab, spec.max_position);
  fmt::format_to(out, "layers       {}\n", LayerLine(spec));
  fmt::format_to(out, "parameters   {}, {} bytes as {}\n", model.facts.parameter_count,
                 model.facts.parameter_count * element_bytes, DtypeName(spec.config_type));
  fmt::format_to(out, "legal tp     {}\n", LegalityLine(spec));
  fmt::format_to(out, "layout       tp {}, {} stage{}, for {} sequences of {} tokens, computed as {}\n",
                 model.layout.mesh.tp, model.layout.mesh.stage, model.layout.mesh.stage == 1 ? "" : "s",
                 model.facts.max_seqs, model.facts.max_len, model.facts.weight_dtype);
  const auto programs = ir::ProgramsOf(*module);
  for (size_t i = 0; i < programs.size(); ++i) {
    AddStage(programs[i], model.layout.stages[i], i, model.layout.mesh.tp, text);
  }
  return DryRunReport{std::move(text), model.warnings};
}

}  // namespace mrs::planner
