#include "planner/emit_plan.h"

#include "ir/program.h"
#include "ir/verify.h"
#include "llvm/ADT/StringExtras.h"
#include "planner/emit_stage.h"
#include "planner/passes/layout_attr.h"
#include "planner/plan_facts.h"
#include "plans/contract.h"
#include "plans/encoding.h"
#include "plans/sha256.h"

namespace mrs::planner {
namespace {

std::vector<uint8_t> Bytes(const std::string& raw) { return {raw.begin(), raw.end()}; }

std::unique_ptr<plan::FileT> File(const CheckpointFile& file) {
  auto out = std::make_unique<plan::FileT>();
  out->name = file.name;
  out->size_bytes = file.size_bytes;
  out->header_bytes = file.header_bytes;
  out->header_sha256 = Bytes(file.header_sha256);
  return out;
}

std::unique_ptr<plan::ModelT> Model(const PlanFacts& facts) {
  const ModelSpec& m = facts.model;
  auto out = std::make_unique<plan::ModelT>();
  out->name = m.name;
  out->architecture = m.architecture;
  out->fingerprint = Bytes(llvm::fromHex(facts.model_fingerprint));
  out->parameter_count = facts.parameter_count;
  out->hidden = m.hidden;
  out->layer_count = m.layers.size();
  out->heads = m.layers.front().heads;
  out->kv_heads = m.layers.front().kv_heads;
  out->head_dim = m.layers.front().head_dim;
  out->ffn = m.layers.front().ffn;
  out->vocab = m.vocab;
  out->vocab_padded = facts.vocab_padded;
  out->max_position = m.max_position;
  out->bos = m.bos;
  out->eos = m.eos;
  out->pad = m.pad;
  out->chat_template = m.chat_template;
  for (const auto& [name, text] : m.template_tokens) {
    auto token = std::make_unique<plan::TemplateTokenT>();
    token->name = name;
    token->text = text;
    out->template_tokens.push_back(std::move(token));
  }
  out->has_tokenizer = facts.model.tokenizer.has_value();
  if (facts.model.tokenizer) out->tokenizer = File(*facts.model.tokenizer);
  out->sampling = std::make_unique<plan::SamplingDefaultsT>();
  out->sampling->temperature = m.sampling.temperature;
  out->sampling->top_p = m.sampling.top_p;
  out->sampling->top_k = m.sampling.top_k;
  out->sampling->repetition_penalty = m.sampling.repetition_penalty;
  out->sampling->min_p = m.sampling.min_p;
  out->sampling->presence_penalty = m.sampling.presence_penalty;
  out->sampling->frequency_penalty = m.sampling.frequency_penalty;
  out->sampling->max_tokens = m.sampling.max_tokens;
  out->sampling->stop = m.sampling.stop;
  return out;
}

std::unique_ptr<plan::ClusterT> Cluster(const PlanFacts& facts) {
  auto out = std::make_unique<plan::ClusterT>();
  out->description = facts.cluster;
  // Of canonical text it is cluster::Fingerprint, so that a plan can be held against a cluster file.
  const auto hash = Sha256(std::as_bytes(std::span(facts.cluster)));
  out->fingerprint.assign(hash.begin(), hash.end());
  for (const RankPlace& rank : facts.ranks) out->memory_bytes.push_back(rank.memory);
  return out;
}

std::unique_ptr<plan::NumericsT> Numerics(const PlanFacts& facts) {
  auto out = std::make_unique<plan::NumericsT>();
  out->chain = facts.chain == "pair2"  ? plan::Chain::pair2
               : facts.chain == "fast" ? plan::Chain::fast
                                       : plan::Chain::block32;
  out->revision = contract::kNumericsRevision;
  out->reduction = facts.reduction == "rank_order" ? plan::Reduction::rank_order : plan::Reduction::canonical;
  out->weight_dtype = facts.weight_dtype == "bf16" ? plan::DType::bf16 : plan::DType::f32;
  return out;
}

// Bytes are exact: they are the plan's own sums.
std::unique_ptr<plan::PredictionT> ExactBytes(const std::string& name, uint64_t bytes) {
  auto out = std::make_unique<plan::PredictionT>();
  out->name = name;
  out->unit = "bytes";
  out->low = out->expected = out->high = static_cast<int64_t>(bytes);
  out->provenance = "memory plan, per rank";
  return out;
}

}  // namespace

Result<plan::PlanT> EmitPlan(mlir::ModuleOp module) {
  if (mlir::failed(ir::VerifyFinal(module))) return Refuse("the module is not a finished plan; see the error above");
  MRS_ASSIGN_OR_RETURN(const PlanFacts facts, ReadFacts(module));
  const auto layout = ReadLayout(module);
  if (mlir::failed(layout)) return Refuse("the module has no layout; see the error above");
  const ir::Mesh mesh = ir::MeshOf(module);
  if (mesh != layout->mesh) return Refuse("mrs.mesh is another mesh than mrs.layout has; run mrs-apply-layout");
  if (mesh.ep != 1 || mesh.dp != 1) {
    return Refuse("the mesh has ep {} and dp {}: a plan has neither experts nor replicas yet", mesh.ep, mesh.dp);
  }
  if (std::cmp_not_equal(facts.ranks.size(), mesh.RankCount())) {
    return Refuse("mrs.ranks says where {} ranks are, the mesh has {}; say it of each", facts.ranks.size(),
                  mesh.RankCount());
  }
  plan::PlanT plan;
  plan.format_major = contract::kFormatMajor;
  plan.format_minor = contract::kFormatMinor;
  plan.producer = "mrs-plan " MRS_VERSION;
  plan.model = Model(facts);
  plan.cluster = Cluster(facts);
  plan.numerics = Numerics(facts);
  for (const auto& [name, value] : facts.options) {
    auto option = std::make_unique<plan::OptionT>();
    option->name = name;
    option->value = value;
    plan.options.push_back(std::move(option));
  }
  plan.max_len = facts.max_len;
  plan.max_seqs = facts.max_seqs;
  plan.tp = mesh.tp;
  plan.ep = 1;
  plan.dp = 1;
  for (uint32_t s = 0; s < mesh.stage; ++s) {
    for (uint32_t c = 0; c < plan.tp; ++c) {
      const RankPlace& place = facts.ranks[uint64_t{s} * plan.tp + c];
      const auto kind = place.kind == "cuda" ? plan::DeviceKind::cuda : plan::DeviceKind::cpu;
      plan.ranks.emplace_back(c, 0, s, 0, place.device, place.node, kind);
    }
    plan.groups.emplace_back(s * plan.tp, plan.tp, 1, plan::Axis::tp);
  }
  for (const CheckpointFile& file : facts.files) plan.files.push_back(File(file));
  for (const RopeSpec& rope : facts.model.ropes) {
    auto out = std::make_unique<plan::RopeT>();
    out->inv_freq = rope.inv_freq;
    out->attention_factor = rope.attention_factor;
    out->rule = rope.rule;
    plan.ropes.push_back(std::move(out));
  }
  plan.encodings = EncodingsFor(plan.numerics->weight_dtype, plan.numerics->chain);
  NameList names(&plan.names);
  for (mlir::func::FuncOp program : ir::ProgramsOf(module)) {
    MRS_RETURN_IF_ERROR(EmitStage(program, &names, &plan));
    const plan::StageT& stage = *plan.stages.back();
    const std::string of = mesh.stage == 1 ? "" : fmt::format("stage {} ", plan.stages.size() - 1);
    plan.predictions.push_back(ExactBytes(of + "weights", stage.weight_arena_bytes));
    plan.predictions.push_back(ExactBytes(of + "activations", stage.activation_arena_bytes));
    plan.predictions.push_back(ExactBytes(of + "kv", stage.kv_arena_bytes));
    if (stage.workspace_bytes == 0) continue;
    plan.predictions.push_back(ExactBytes(of + "workspace", stage.workspace_bytes));
    plan.predictions.push_back(ExactBytes(of + "graphs", stage.graphs_bytes));
    plan.predictions.push_back(ExactBytes(of + "communicators", stage.communicators_bytes));
  }
  return plan;
}

}  // namespace mrs::planner
