#include "planner/model_facts.h"

#include <algorithm>
#include <filesystem>

#include <fmt/ranges.h>

#include "formats/json.h"
#include "llvm/ADT/StringExtras.h"
#include "planner/build_graph.h"
#include "planner/choose_numerics.h"
#include "planner/cluster/cluster_file.h"
#include "planner/decision.h"
#include "planner/index_check.h"
#include "planner/legality.h"
#include "planner/memory_default.h"
#include "planner/model_config.h"
#include "planner/model_tensors.h"
#include "planner/passes/layout_attr.h"
#include "planner/placement.h"
#include "planner/rules.h"
#include "planner/ways_out.h"
#include "planner/weight_index.h"
#include "plans/contract.h"
#include "plans/sha256.h"

namespace mrs::planner {
namespace {

Status CheckOptions(const BuildOptions& options) {
  auto one_of = [](const char* option, const std::string& value, std::initializer_list<const char*> allowed) -> Status {
    for (const char* name : allowed) {
      if (value == name) return Status();
    }
    return Error{ErrorKind::kUsage, fmt::format("{} {}: expected one of {}", option, value, fmt::join(allowed, ", "))};
  };
  MRS_RETURN_IF_ERROR(one_of("--numerics", options.numerics, {"auto", "pair2", "block32", "fast"}));
  MRS_RETURN_IF_ERROR(one_of("--dtype", options.dtype, {"auto", "f32", "bf16"}));
  MRS_RETURN_IF_ERROR(one_of("--reduction", options.reduction, {"canonical", "rank_order"}));
  if (options.max_seqs < 1 || options.max_seqs > 4096) {
    return BrokenRule<RuleId::kMaxSeqs>("", options.max_seqs);
  }
  if (options.max_batched_tokens && (*options.max_batched_tokens < 1 || *options.max_batched_tokens > 65536)) {
    return Refuse("--max-batched-tokens {}: expected 1 to 65536 tokens in one forward", *options.max_batched_tokens);
  }
  if (options.memory && *options.memory > contract::kMaxArenaBytes) {
    return BrokenRule<RuleId::kMemoryRange>("", *options.memory, contract::kMaxArenaBytes);
  }
  return Status();
}

// Fast numerics are of GPUs, and of matrices that tensor cores multiply.
Status CheckFast(const PlanFacts& facts) {
  if (facts.chain != "fast") return Status();
  for (size_t rank = 0; rank < facts.ranks.size(); ++rank) {
    if (facts.ranks[rank].kind == "cuda") continue;
    return Refuse(
        "--numerics fast: its products are those of GPUs' tensor cores, and rank {} is a CPU's; plan for GPUs (--gpus, "
        "--cluster), or with --numerics pair2",
        rank);
  }
  if (facts.weight_dtype == "bf16") return Status();
  return Refuse("--numerics fast: its matrices are bf16, and these would be {}; say --dtype bf16 or --numerics pair2",
                facts.weight_dtype);
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

// What planning asks, of a spec that stays where it is.
Subject SubjectOf(const BuildOptions& options, const ModelSpec& spec, bool bf16) {
  Subject subject = {.spec = &spec,
                     .bf16 = bf16,
                     .cluster = options.cluster ? &*options.cluster : nullptr,
                     .of_file = options.cluster_of_file,
                     .unbounded = options.config_only};
  subject.takes_devices =
      options.cluster &&
      (options.cluster_of_file || options.cluster->nodes.front().devices.front().kind != cluster::DeviceKind::kCpu);
  if (const auto host = HostMemoryBytes()) subject.host_memory = *host;
  return subject;
}

Wish WishOf(const BuildOptions& options) {
  Wish wish = {.tp = options.tp,
               .device_layers = options.device_layers,
               .max_len = options.max_len,
               .max_seqs = options.max_seqs,
               .max_batched_tokens = options.max_batched_tokens,
               .dtype = options.dtype,
               .memory = options.memory,
               .devices = options.devices,
               .cuda_visible = options.cuda_visible,
               .local_world = options.local_world,
               .no_nccl = options.no_nccl,
               .collectives = options.collectives,
               .any_world = options.any_world,
               .solve = options.solve};
  if (options.pp != 0) wish.pp = options.pp;
  return wish;
}

// Flags and layout of a plan that there is, for a cluster of any size.
Status LayoutAsPlanned(const BuildOptions& options, ModelFacts* model) {
  model->flags = {.tp = options.tp.value_or(1),
                  .pp = options.pp,
                  .device_layers = options.device_layers,
                  .max_seqs = options.max_seqs,
                  .max_batched_tokens = options.max_batched_tokens.value_or(0),
                  .device_count = static_cast<int64_t>(contract::kMaxRanks)};
  MRS_ASSIGN_OR_RETURN(model->layout, DecideLayout(model->flags, ReadsOfAToken(model->facts.model)));
  return CheckLayout(model->facts.model, model->layout);
}

// Where each rank is, and what it may use there.
std::vector<RankPlace> PlacesOf(const cluster::Cluster* cluster, const ModelFacts& model) {
  const int64_t tp = model.layout.mesh.tp;
  std::vector<RankPlace> ranks;
  for (const LayoutStage& stage : model.layout.stages) {
    for (int64_t device = stage.device * tp; device < (stage.device + 1) * tp; ++device) {
      if (cluster != nullptr) {
        const VisibleDevice& at = model.devices[device];
        const cluster::Device& of = cluster->nodes[at.node].devices[at.device];
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

// The model's tensors: whether they are all there, and their type.
struct Tensors {
  Checkpoint checkpoint;
  TensorReport report;
  std::vector<std::string> warnings;
};

Result<Tensors> ReadTensors(const BuildOptions& options, ModelSpec& spec) {
  Tensors tensors;
  if (options.config_only) {
    tensors.checkpoint = ImaginedCheckpoint(spec, spec.config_type);
  } else {
    MRS_ASSIGN_OR_RETURN(tensors.checkpoint, ReadCheckpoint(options.model_dir));
  }
  ResolveTiedHead(spec, tensors.checkpoint, &tensors.warnings);
  MRS_ASSIGN_OR_RETURN(tensors.report, CheckTensors(spec, tensors.checkpoint));
  tensors.warnings.insert(tensors.warnings.end(), tensors.report.warnings.begin(), tensors.report.warnings.end());
  return tensors;
}

// The options with what --solve asks for.
Result<BuildOptions> Solved(const BuildOptions& options, std::vector<std::string>* notes) {
  BuildOptions solved = options;
  if (options.solve.empty()) return solved;
  MRS_ASSIGN_OR_RETURN(const ModelFacts model, ReadModelFacts(options));
  const PlanFacts& facts = model.facts;
  const Decider decider(SubjectOf(options, facts.model, model.auto_bf16));
  const Wish& wish = model.wish;
  if (options.config_only && !options.memory && decider.ClusterOf(wish) == nullptr) {
    return Error{
        ErrorKind::kUsage,
        fmt::format(
            "--solve {}: with --dry-run, say what a rank may use: --memory BYTES, or --gpus, --cpus or --cluster",
            options.solve)};
  }
  solved.solve.clear();
  if (options.solve == "max-len") {
    solved.max_len = SolveMaxLen(decider, wish);
    if (!solved.max_len) return RefusalOf(decider, wish);
    notes->push_back(fmt::format("--max-len {}, the most of which one sequence fits{}", *solved.max_len,
                                 *solved.max_len == facts.model.longest ? ": all that the model was made for" : ""));
    return solved;
  }
  const std::optional<int64_t> most = SolveMaxSeqs(decider, wish);
  if (!most) return RefusalOf(decider, wish);
  solved.max_seqs = *most;
  // Larger batches would take memory that all at once need.
  if (facts.chain == "fast" && !wish.max_batched_tokens) solved.max_batched_tokens = std::max(kBatchedTokens, *most);
  notes->push_back(
      fmt::format("--max-seqs {}, the most that may have {} tokens all at once", solved.max_seqs, facts.max_len));
  return solved;
}

}  // namespace

Result<FittingFacts> ReadFittingFacts(const BuildOptions& options) {
  std::vector<std::string> notes;
  MRS_ASSIGN_OR_RETURN(const BuildOptions solved, Solved(options, &notes));
  FittingFacts result;
  MRS_ASSIGN_OR_RETURN(result.model, ReadModelFacts(solved));
  result.model.notes.insert(result.model.notes.end(), notes.begin(), notes.end());
  const Decider decider(SubjectOf(solved, result.model.facts.model, result.model.auto_bf16));
  const Wish& wish = result.model.wish;
  if (!decider.Plans(wish)) return RefusalOf(decider, wish);
  MRS_ASSIGN_OR_RETURN(Decision decision, decider.Decide(wish));
  result.verdict = std::move(decision.verdict);
  return result;
}

Result<ModelFacts> ReadModelFacts(const BuildOptions& options) {
  ModelFacts result;
  PlanFacts& facts = result.facts;
  const ModelOptions of_model{.name = options.name, .max_len = options.max_len, .layout_alone = options.config_only};
  MRS_ASSIGN_OR_RETURN(facts.model, ReadModelConfig(options.model_dir, of_model, &result.warnings));
  MRS_RETURN_IF_ERROR(CheckOptions(options));
  std::error_code no_folder;
  if (options.config_only && std::filesystem::is_directory(options.model_dir, no_folder)) {
    MRS_ASSIGN_OR_RETURN(const std::optional<IndexReport> index, CheckWithoutHeaders(options.model_dir, facts.model));
    if (index) {
      result.index = index->text;
      result.warnings.insert(result.warnings.end(), index->warnings.begin(), index->warnings.end());
    }
  }
  // Headers say whether --dtype auto is bf16, on which a layout by memory depends; that they are bad is said after
  // what is wrong with the layout.
  auto tensors = ReadTensors(options, facts.model);
  result.auto_bf16 = (tensors ? tensors->report.matrix_type : facts.model.config_type) == ElementType::kBf16;
  const Decider decider(SubjectOf(options, facts.model, result.auto_bf16));
  std::optional<Decision> decision;
  result.wish = WishOf(options);
  if (options.as_planned) {
    MRS_RETURN_IF_ERROR(LayoutAsPlanned(options, &result));
    facts.chain = options.numerics;
  } else {
    ChosenNumerics numerics = ChooseNumerics(decider, result.wish, options.numerics);
    result.wish.max_batched_tokens = numerics.max_batched_tokens;
    facts.chain = std::move(numerics.chain);
    auto placed = decider.Place(StartOf(result.wish));
    if (!placed) return RefusalOf(decider, result.wish);
    decision = *std::move(placed);
    result.flags = decision->flags;
    result.budget = decision->budget;
    result.layout = decision->layout;
    if (!decision->chosen.empty()) result.notes.push_back(decision->chosen);
    if (!decision->talk_chosen.empty()) result.notes.push_back(decision->talk_chosen);
    result.notes.insert(result.notes.end(), numerics.because.begin(), numerics.because.end());
    if (decision->cluster != nullptr) {
      result.places = PlacementLines(*decision->cluster, decision->devices, result.layout);
    }
    result.devices = std::move(decision->devices);
  }
  for (std::string& warning : LayoutWarnings(result.layout, /*node_of_device=*/{})) {
    result.warnings.push_back(std::move(warning));
  }
  if (!tensors) return tensors.error();
  result.checkpoint = std::move(tensors->checkpoint);
  result.warnings.insert(result.warnings.end(), tensors->warnings.begin(), tensors->warnings.end());
  facts.files = result.checkpoint.files;
  facts.model_fingerprint = Fingerprint(facts.model, result.checkpoint);
  facts.parameter_count = CountParameters(facts.model);
  facts.vocab_padded = PaddedVocab(facts.model.vocab);
  facts.reduction = options.reduction;
  facts.weight_dtype = options.dtype != "auto" ? options.dtype : result.auto_bf16 ? "bf16" : "f32";
  facts.max_len = PlannedLength(options.max_len, facts.model.max_position);
  facts.max_seqs = options.max_seqs;
  if (options.as_planned) {
    facts.ranks = options.as_planned->ranks;
    if (!options.collectives.empty()) facts.collectives = options.collectives;
    facts.cluster = options.as_planned->cluster;
  } else {
    const int64_t ranks = result.layout.mesh.RankCount();
    facts.ranks = PlacesOf(decision->cluster, result);
    facts.collectives = CollectivesName(result.budget.collectives);
    facts.cluster = decision->cluster != nullptr
                        ? cluster::CanonicalText(*decision->cluster)
                        : fmt::format("{} CPU rank{} on one host", ranks, ranks == 1 ? "" : "s");
  }
  MRS_RETURN_IF_ERROR(CheckFast(facts));
  // Of a plan that there is, as it says: those of before have none.
  const bool talks = facts.ranks.size() > 1 && facts.ranks.front().kind == "cuda";
  if (!talks && !options.as_planned && !options.collectives.empty()) {
    result.warnings.push_back(fmt::format(
        "--collectives {}: the plan has one GPU, which exchanges nothing; it is left out", options.collectives));
  }
  if (talks && (!options.as_planned || !options.collectives.empty())) {
    facts.options.emplace_back("collectives", facts.collectives);
  }
  if (result.layout.mesh.stage > 1) facts.options.emplace_back("device-layers", DeviceLayers(result.layout));
  facts.options.emplace_back("dtype", facts.weight_dtype);
  if (const int64_t tokens = result.flags.max_batched_tokens; tokens != 0) {
    facts.options.emplace_back("max-batched-tokens", std::to_string(tokens));
  }
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
