#include "planner/model_facts.h"

#include <algorithm>
#include <filesystem>

#include <fmt/ranges.h>

#include "formats/json.h"
#include "llvm/ADT/StringExtras.h"
#include "planner/build_graph.h"
#include "planner/cluster/cluster_file.h"
#include "planner/index_check.h"
#include "planner/legality.h"
#include "planner/memory_default.h"
#include "planner/model_config.h"
#include "planner/model_tensors.h"
#include "planner/passes/layout_attr.h"
#include "planner/placement.h"
#include "planner/rules.h"
#include "planner/weight_index.h"
#include "plans/contract.h"
#include "plans/sha256.h"

namespace mrs::planner {
namespace {

// pair2 runs natively on AVX-512 BF16, AMX hosts included; block32 has no tiles yet, so it is emulated everywhere.
constexpr const char* kNativeChain = "pair2";

Status CheckOptions(const BuildOptions& options, const ModelSpec& model) {
  auto one_of = [](const char* option, const std::string& value, std::initializer_list<const char*> allowed) -> Status {
    for (const char* name : allowed) {
      if (value == name) return Status();
    }
    return Error{ErrorKind::kUsage, fmt::format("{} {}: expected one of {}", option, value, fmt::join(allowed, ", "))};
  };
  MRS_RETURN_IF_ERROR(one_of("--numerics", options.numerics, {"auto", "pair2", "block32"}));
  MRS_RETURN_IF_ERROR(one_of("--dtype", options.dtype, {"auto", "f32", "bf16"}));
  MRS_RETURN_IF_ERROR(one_of("--reduction", options.reduction, {"canonical", "rank_order"}));
  if (options.max_len && (*options.max_len < 1 || *options.max_len > model.longest)) {
    return BrokenRule<RuleId::kMaxLen>("", *options.max_len, model.longest,
                                       model.longest > model.max_position ? " and its RoPE scaling" : "");
  }
  if (options.max_seqs < 1 || options.max_seqs > 4096) {
    return BrokenRule<RuleId::kMaxSeqs>("", options.max_seqs);
  }
  if (options.memory && *options.memory > contract::kMaxArenaBytes) {
    return BrokenRule<RuleId::kMemoryRange>("", *options.memory, contract::kMaxArenaBytes);
  }
  return Status();
}

std::string Describe(const LayerSpec& m, const ModelSpec& model) {
  return fmt::format(
      "heads {}/{}x{} window {} rope {}{} bias {}{}{} qk_norm {} scale {} cap {} grows {} {} ffn {} activation {} "
      "parallel {} residual {}\n",
      m.heads, m.kv_heads, m.head_dim, m.window, m.rope ? model.ropes[*m.rope].rule : "none",
      m.interleaved ? " interleaved" : "", m.qkv_bias, m.o_bias, m.mlp_bias, static_cast<int>(m.qk_norm), m.score_scale,
      m.score_cap, m.query_scaling.beta, m.query_scaling.original, m.ffn, static_cast<int>(m.activation), m.parallel,
      m.residual_multiplier);
}

// The computation's identity: facts of the config, and every tensor's name, type and shape. No path, no clock.
std::string Fingerprint(const ModelSpec& m, const Checkpoint& checkpoint) {
  std::string text =
      fmt::format("{} hidden {} layers {} vocab {} norm {} eps {} tied {} embedding {} logits {} cap {}\n",
                  m.architecture, m.hidden, m.layers.size(), m.vocab, static_cast<int>(m.norm), m.norm_eps,
                  m.tied_embeddings, m.embedding_multiplier, m.logits_scaling, m.logit_cap);
  for (size_t layer = 0; layer < m.layers.size(); ++layer) {
    if (layer == 0 || m.layers[layer] != m.layers[layer - 1]) {
      text += fmt::format("from {} {}", layer, Describe(m.layers[layer], m));
    }
  }
  for (const RopeSpec& rope : m.ropes) text += fmt::format("{}\n", fmt::join(rope.inv_freq, " "));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    text += fmt::format("{} {} {}\n", name, static_cast<int>(tensor.dtype), fmt::join(tensor.shape, "x"));
  }
  return Hex(Sha256(std::as_bytes(std::span(text))));
}

Result<Budget> BudgetOfHost(const BuildOptions& options) {
  Budget budget;
  if (options.memory) {
    budget.each = static_cast<int64_t>(*options.memory);
  } else if (options.config_only) {
    budget.each = static_cast<int64_t>(contract::kMaxArenaBytes);  // what it needs is what is asked
  } else {
    MRS_ASSIGN_OR_RETURN(budget.shared, HostMemoryBytes());
  }
  return budget;
}

// Flags and budget of a plan for CPU ranks of this host, or for the devices of a cluster.
Status ChooseLayout(const BuildOptions& options, ModelFacts* model) {
  const ModelSpec& spec = model->facts.model;
  model->flags = {.tp = options.tp.value_or(1),
                  .pp = options.pp,
                  .device_layers = options.device_layers,
                  .max_seqs = options.max_seqs};
  if (options.as_planned) {
    model->flags.device_count = static_cast<int64_t>(contract::kMaxRanks);  // of a cluster of any size
    return Status();
  }
  if (!options.cluster) {
    MRS_ASSIGN_OR_RETURN(model->budget, BudgetOfHost(options));
    return Status();
  }
  DeviceChoice choice = {.flag = options.devices,
                         .cuda_visible = options.cuda_visible,
                         .per_node_ranks = options.local_world,
                         .memory = options.memory};
  if (const auto host = HostMemoryBytes()) choice.host_memory = *host;
  MRS_ASSIGN_OR_RETURN(const std::vector<VisibleDevice> devices, ChooseDevices(*options.cluster, choice));
  LayoutWish wish = {
      .tp = options.tp,
      .device_layers = options.device_layers,
      .max_seqs = options.max_seqs,
      .max_len = PlannedLength(options.max_len, spec.max_position),
      .bf16 = options.dtype == "bf16" || (options.dtype == "auto" && spec.config_type == ElementType::kBf16),
      .nccl = options.no_nccl.empty(),
      .no_nccl_because = options.no_nccl,
      .any_world = options.any_world};
  if (options.pp != 0) wish.pp = options.pp;
  MRS_ASSIGN_OR_RETURN(Placement placed, Place(spec, *options.cluster, devices, wish));
  model->flags = placed.flags;
  model->budget = placed.budget;
  if (!placed.chosen.empty()) {
    model->notes.push_back(placed.chosen);
    model->choose = [cluster = *options.cluster, devices, wish, flags = placed.flags](
                        const ModelSpec& of, int64_t max_len, int64_t max_seqs) {
      LayoutWish other = wish;
      other.max_len = max_len;
      other.max_seqs = max_seqs;
      const auto chosen = Place(of, cluster, devices, other);
      return chosen ? chosen->flags : flags;  // the default is legal or not whatever the limits are
    };
  }
  MRS_ASSIGN_OR_RETURN(const Layout layout, DecideLayout(placed.flags, ReadsOfAToken(spec)));
  MRS_RETURN_IF_ERROR(CheckLayout(spec, layout));
  if (std::cmp_less(placed.ranks.size(), layout.mesh.RankCount())) {
    return BrokenRule<RuleId::kDevices>("", layout.mesh.RankCount(), layout.mesh.tp, layout.mesh.stage, devices.size());
  }
  model->places = PlacementLines(*options.cluster, placed, layout);
  model->devices = std::move(placed.ranks);
  return Status();
}

// Where each rank is, and what it may use there.
std::vector<RankPlace> PlacesOf(const BuildOptions& options, const ModelFacts& model) {
  const int64_t tp = model.layout.mesh.tp;
  std::vector<RankPlace> ranks;
  for (const LayoutStage& stage : model.layout.stages) {
    for (int64_t device = stage.device * tp; device < (stage.device + 1) * tp; ++device) {
      if (options.cluster) {
        const VisibleDevice& at = model.devices[device];
        const cluster::Device& of = options.cluster->nodes[at.node].devices[at.device];
        ranks.push_back({of.kind == cluster::DeviceKind::kCuda ? "cuda" : "cpu", at.node, of.ordinal, at.usable_bytes});
        continue;
      }
      const auto count = static_cast<uint64_t>(model.layout.mesh.RankCount());
      const uint64_t memory = model.budget.each ? static_cast<uint64_t>(*model.budget.each)
                                                : DefaultMemoryPerRank(*model.budget.shared, count);
      ranks.push_back({"cpu", 0, device, static_cast<int64_t>(std::min(memory, contract::kMaxArenaBytes))});
    }
  }
  return ranks;
}

FitQuestion QuestionOf(const BuildOptions& options, const ModelFacts& model) {
  const PlanFacts& facts = model.facts;
  std::function<LayoutFlags(int64_t, int64_t)> choose;
  if (model.choose) {
    choose = [&](int64_t max_len, int64_t max_seqs) { return model.choose(facts.model, max_len, max_seqs); };
  }
  return {.spec = &facts.model,
          .bf16 = facts.weight_dtype == "bf16",
          .flags = model.flags,
          .max_len = facts.max_len,
          .longest = std::min(facts.model.longest, static_cast<int64_t>(contract::kMaxLen)),
          .budget = model.budget,
          .any_world = options.any_world,
          .choose = choose,
          .most_tp = model.budget.cuda && !options.no_nccl.empty() ? 1 : kMaxChunks};
}

// The options with what --solve asks for.
Result<BuildOptions> Solved(const BuildOptions& options, std::vector<std::string>* notes) {
  BuildOptions solved = options;
  solved.solve.clear();
  if (options.solve.empty()) return solved;
  if (options.config_only && !options.memory && !options.cluster) {
    return Error{
        ErrorKind::kUsage,
        fmt::format(
            "--solve {}: with --dry-run, say what a rank may use: --memory BYTES, or --gpus, --cpus or --cluster",
            options.solve)};
  }
  MRS_ASSIGN_OR_RETURN(const ModelFacts model, ReadModelFacts(solved));
  const FitQuestion question = QuestionOf(solved, model);
  if (options.solve == "max-len") {
    MRS_ASSIGN_OR_RETURN(solved.max_len, SolveMaxLen(question));
    notes->push_back(fmt::format("--max-len {}, the most of which one sequence fits{}", *solved.max_len,
                                 *solved.max_len == question.longest ? ": all that the model was made for" : ""));
    return solved;
  }
  MRS_ASSIGN_OR_RETURN(solved.max_seqs, SolveMaxSeqs(question));
  notes->push_back(
      fmt::format("--max-seqs {}, the most that may have {} tokens all at once", solved.max_seqs, model.facts.max_len));
  return solved;
}

}  // namespace

Result<FittingFacts> ReadFittingFacts(const BuildOptions& options) {
  std::vector<std::string> notes;
  MRS_ASSIGN_OR_RETURN(const BuildOptions solved, Solved(options, &notes));
  FittingFacts result;
  MRS_ASSIGN_OR_RETURN(result.model, ReadModelFacts(solved));
  result.model.notes.insert(result.model.notes.end(), notes.begin(), notes.end());
  const FitQuestion question = QuestionOf(solved, result.model);
  MRS_ASSIGN_OR_RETURN(result.verdict, Judge(question));
  if (!result.verdict.fits()) return DoesNotFit(question, result.verdict);
  return result;
}

Result<ModelFacts> ReadModelFacts(const BuildOptions& options) {
  ModelFacts result;
  PlanFacts& facts = result.facts;
  const ModelOptions of_model{.name = options.name, .max_len = options.max_len, .file_alone = options.config_only};
  MRS_ASSIGN_OR_RETURN(facts.model, ReadModelConfig(options.model_dir, of_model, &result.warnings));
  MRS_RETURN_IF_ERROR(CheckOptions(options, facts.model));
  std::error_code no_folder;
  if (options.config_only && std::filesystem::is_directory(options.model_dir, no_folder)) {
    MRS_ASSIGN_OR_RETURN(const std::optional<IndexReport> index, CheckWithoutHeaders(options.model_dir, facts.model));
    if (index) {
      result.index = index->text;
      result.warnings.insert(result.warnings.end(), index->warnings.begin(), index->warnings.end());
    }
  }
  MRS_RETURN_IF_ERROR(ChooseLayout(options, &result));
  MRS_ASSIGN_OR_RETURN(result.layout, DecideLayout(result.flags, ReadsOfAToken(facts.model)));
  MRS_RETURN_IF_ERROR(CheckLayout(facts.model, result.layout));
  for (std::string& warning : LayoutWarnings(result.layout, /*node_of_device=*/{})) {
    result.warnings.push_back(std::move(warning));
  }
  if (options.config_only) {
    result.checkpoint = ImaginedCheckpoint(facts.model, facts.model.config_type);
  } else {
    MRS_ASSIGN_OR_RETURN(result.checkpoint, ReadCheckpoint(options.model_dir));
  }
  ResolveTiedHead(facts.model, result.checkpoint, &result.warnings);
  MRS_ASSIGN_OR_RETURN(const TensorReport report, CheckTensors(facts.model, result.checkpoint));
  result.warnings.insert(result.warnings.end(), report.warnings.begin(), report.warnings.end());
  facts.files = result.checkpoint.files;
  facts.model_fingerprint = Fingerprint(facts.model, result.checkpoint);
  facts.parameter_count = CountParameters(facts.model);
  facts.vocab_padded = PaddedVocab(facts.model.vocab);
  facts.chain = options.numerics != "auto" ? options.numerics : kNativeChain;
  facts.reduction = options.reduction;
  facts.weight_dtype = options.dtype != "auto"                    ? options.dtype
                       : report.matrix_type == ElementType::kBf16 ? "bf16"
                                                                  : "f32";
  facts.max_len = PlannedLength(options.max_len, facts.model.max_position);
  facts.max_seqs = options.max_seqs;
  if (options.as_planned) {
    facts.ranks = options.as_planned->ranks;
    facts.cluster = options.as_planned->cluster;
  } else {
    const int64_t ranks = result.layout.mesh.RankCount();
    facts.ranks = PlacesOf(options, result);
    facts.nccl = result.budget.nccl;
    facts.cluster = options.cluster ? cluster::CanonicalText(*options.cluster)
                                    : fmt::format("{} CPU rank{} on one host", ranks, ranks == 1 ? "" : "s");
  }
  if (result.layout.mesh.stage > 1) facts.options.emplace_back("device-layers", DeviceLayers(result.layout));
  facts.options.emplace_back("dtype", facts.weight_dtype);
  facts.options.emplace_back("max-len", std::to_string(facts.max_len));
  facts.options.emplace_back("max-seqs", std::to_string(facts.max_seqs));
  const int64_t memory = facts.ranks.front().memory;
  if (std::all_of(facts.ranks.begin(), facts.ranks.end(), [&](const RankPlace& r) { return r.memory == memory; })) {
    facts.options.emplace_back("memory", std::to_string(memory));
  }
  facts.options.emplace_back("numerics", facts.chain);
  facts.options.emplace_back("reduction", facts.reduction);
  facts.options.emplace_back("tp", std::to_string(result.flags.tp));
  return result;
}

mlir::OwningOpRef<mlir::ModuleOp> UnshardedModule(mlir::MLIRContext& context, const ModelFacts& model) {
  auto module = BuildGraph(context, model.facts, model.checkpoint);
  WriteLayout(model.layout, *module);
  return module;
}

}  // namespace mrs::planner
