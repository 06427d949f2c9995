#include "planner/erasure.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "ir/dialect.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/TypeSwitch.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "planner/same_facts.h"
#include "plans/printable.h"

namespace mrs::planner {
namespace {

std::string Str(const auto& value) { return fmt::format("{}", value); }

constexpr uint64_t kVocabChunks = 16;  // a record has one log-sum-exp partial for each of 16 parts of the vocabulary

// ---- The unsharded graph ----------------------------------------------------------------------------------------

ir::TensorType TypeOf(mlir::Value value) { return mlir::cast<ir::TensorType>(value.getType()); }

std::string ElementOf(mlir::Value value) {
  const mlir::Type element = TypeOf(value).getElementType();
  return element.isF32() ? "f32" : element.isBF16() ? "bf16" : "other";
}

// C of a sum over `units` parts of K that no rank cuts: the largest power of two that divides them, at most 16.
uint64_t CanonicalParts(uint64_t units) { return std::min<uint64_t>(16, units & (~units + 1)); }

class GraphReader {
 public:
  explicit GraphReader(UnshardedModel* model) : model_(model), means_(model->terms) {}

  Status Read(mlir::ModuleOp module) {
    auto functions = llvm::to_vector(module.getOps<mlir::func::FuncOp>());
    if (functions.size() != 1 || functions[0].getBody().getBlocks().size() != 1) {
      return Refuse("erasure: the unsharded graph is one function of one block");
    }
    for (mlir::Operation& op : functions[0].getBody().front()) {
      for (mlir::Value value : op.getResults()) {
        auto type = mlir::dyn_cast<ir::TensorType>(value.getType());
        if (!type || type.isSharded() || type.getPartial()) return Wrong(&op, "its result is not whole on one rank");
      }
      MRS_RETURN_IF_ERROR(ReadOp(&op));
    }
    if (outputs_ != std::set<std::string>{"candidates", "all_logits"}) {
      return Refuse("erasure: the outputs of the unsharded graph are {}, expected all_logits and candidates",
                    outputs_.empty() ? "none" : fmt::format("{}", fmt::join(outputs_, ", ")));
    }
    return Status();
  }

 private:
  static Error Wrong(mlir::Operation* op, std::string_view what) {
    return Refuse("erasure: '{}' ({}) of the unsharded graph: {}", ir::NameOf(op).str(),
                  op->getName().getStringRef().str(), what);
  }
  TermId Of(mlir::Value value) const { return terms_.lookup(value); }
  void Is(mlir::Value value, TermId term) {
    terms_[value] = term;
    model_->names.try_emplace(term, ir::NameOf(value.getDefiningOp()).str());
  }

  Status ReadWeight(ir::WeightOp op) {
    std::vector<SourceTensor> sources;
    for (mlir::Attribute attribute : op.getSources()) {
      auto source = mlir::dyn_cast<mlir::DictionaryAttr>(attribute);
      const auto number = [&](llvm::StringRef key) {
        auto value = source ? source.getAs<mlir::IntegerAttr>(key) : nullptr;
        return value && value.getType().isInteger(64) ? value.getInt() : -1;
      };
      auto tensor = source ? source.getAs<mlir::StringAttr>("tensor") : nullptr;
      auto dtype = source ? source.getAs<mlir::StringAttr>("dtype") : nullptr;
      if (!tensor || !dtype || std::min({number("file"), number("offset"), number("rows"), number("columns")}) < 0) {
        return Wrong(op, "a source is {columns, dtype, file, offset, rows, tensor}");
      }
      sources.push_back({tensor.str(), dtype.str(), static_cast<uint64_t>(number("file")),
                         static_cast<uint64_t>(number("offset")), static_cast<uint64_t>(number("rows")),
                         static_cast<uint64_t>(number("columns"))});
    }
    const auto shape = TypeOf(op.getResult()).getShape();
    const size_t n_dims = op.getNDims();
    if (op.getLocal() || n_dims > shape.size()) return Wrong(op, "is localized, or has more rows than dimensions");
    const bool vector = n_dims == shape.size();
    Is(op.getResult(),
       means_.Weight(ElementOf(op.getResult()), llvm::product_of(shape.take_front(n_dims)),
                     vector ? 0 : llvm::product_of(shape.drop_front(n_dims)), vector ? 0 : op.getChunks(), sources));
    return Status();
  }

  // K of what attention leaves is cut between heads, of what the MLP's first half leaves anywhere, and else not at all.
  Status ReadMatmul(ir::MatmulOp op) {
    const std::string_view of = means_[Of(op.getX())].op;
    const auto k = TypeOf(op.getX()).getShape().drop_front();
    const uint64_t units = of == "attention" ? k.front() : of == "silu_mul" ? llvm::product_of(k) : 1;
    for (auto [part, weight] : llvm::enumerate(op.getWeights())) {
      auto matrix = weight.getDefiningOp<ir::WeightOp>();
      if (!matrix || static_cast<uint64_t>(matrix.getChunks()) != CanonicalParts(units)) {
        return Wrong(op, fmt::format("K is summed in {} canonical chunks, the rule gives {}",
                                     matrix ? matrix.getChunks() : 0, CanonicalParts(units)));
      }
      const TermId bias = op.getBiases().empty() ? means_.NoBias() : Of(op.getBiases()[part]);
      Is(op.getResult(part), means_.Matmul(Of(op.getX()), Of(weight), bias));
    }
    return Status();
  }

  Status ReadOp(mlir::Operation* op) {
    const auto one = [&](TermId term) {
      Is(op->getResult(0), term);
      return Status();
    };
    return llvm::TypeSwitch<mlir::Operation*, Status>(op)
        .Case([&](ir::InputOp x) { return one(means_.Input(x.getName().str())); })
        .Case([&](ir::WeightOp x) { return ReadWeight(x); })
        .Case([&](ir::EmbedOp x) { return one(means_.Embed(Of(x.getIds()), Of(x.getTable()), x.getVocabValid())); })
        .Case([&](ir::RopeAnglesOp x) { return one(means_.RopeAngles(Of(x.getPositions()), x.getRope())); })
        .Case([&](ir::RmsNormOp x) {
          return one(means_.RmsNorm(Of(x.getX()), Of(x.getWeight()), TypeOf(x.getX()).getShape().back(),
                                    x.getEps().convertToFloat(), ElementOf(x.getResult())));
        })
        .Case([&](ir::MatmulOp x) { return ReadMatmul(x); })
        .Case([&](ir::RopeOp x) {
          return one(means_.Rope(Of(x.getX()), Of(x.getCosSin()), x.getRope(), TypeOf(x.getX()).getShape().back(),
                                 ElementOf(x.getResult())));
        })
        .Case([&](ir::KvAppendOp x) {
          const uint64_t dim = TypeOf(x.getCache()).getShape().back();
          return one(means_.KvAppend(Of(x.getK()), Of(x.getV()), Of(x.getSlots()), x.getKvClass(), x.getKvLayer(),
                                     /*window=*/0, dim, dim, ElementOf(x.getCache())));
        })
        .Case([&](ir::AttentionOp x) {
          return one(means_.Attention(Of(x.getQ()), Of(x.getCache()), Of(x.getSequence()), Of(x.getPositions()),
                                      Of(x.getBlockTable()), TypeOf(x.getQ()).getShape().back(),
                                      x.getScale().convertToFloat(), ElementOf(x.getResult())));
        })
        .Case([&](ir::SiluMulOp x) {
          return one(means_.SiluMul(Of(x.getGate()), Of(x.getUp()), ElementOf(x.getResult())));
        })
        .Case([&](ir::AddOp x) { return one(means_.Add(Of(x.getA()), Of(x.getB()))); })
        .Case([&](ir::AddBiasOp x) { return one(means_.AddBias(Of(x.getA()), Of(x.getBias()))); })
        .Case([&](ir::SelectRowsOp x) { return one(means_.SelectRows(Of(x.getX()), Of(x.getRows()))); })
        .Case([&](ir::TopCandidatesOp x) {
          const auto record = mlir::cast<ir::CandidatesType>(TypeOf(x.getResult()).getElementType());
          return one(means_.TopCandidates(Of(x.getLogits()), record.getK(),
                                          TypeOf(x.getLogits()).getShape().back() / kVocabChunks, x.getVocabValid()));
        })
        .Case([&](ir::OutputOp x) {
          (x.getVariant() == "candidates" ? model_->candidates : model_->all_logits) = Of(x.getX());
          outputs_.insert(x.getVariant().str());
          return Status();
        })
        .Case([&](mlir::func::ReturnOp) { return Status(); })
        .Default(
            [&](mlir::Operation*) { return Status(Wrong(op, "its meaning is not stated in the erasure checker")); });
  }

  UnshardedModel* model_;
  Terms& means_;
  llvm::DenseMap<mlir::Value, TermId> terms_;
  std::set<std::string> outputs_;
};

// ---- The plan's bytes -------------------------------------------------------------------------------------------

template <typename T>
std::span<const T> View(const flatbuffers::Vector<const T*>* vector) {
  return {reinterpret_cast<const T*>(vector->Data()), vector->size()};
}

// The size of a whole dimension of which `slice` is each rank's part; ranks that hold the same part count once.
uint64_t Whole(const plan::Slice& slice, uint32_t tp) {
  return slice.axis() != plan::Axis::tp ? slice.size() : slice.size() * (tp / std::max<uint64_t>(slice.every(), 1));
}

// Replays the one stage of a plan, one variant after the other.
class Replay {
 public:
  Replay(UnshardedModel* model, const plan::Plan& plan)
      : means_(model->terms), plan_(plan), stage_(*plan.stages()->Get(0)), weights_(stage_.weights()->size()) {}

  // The term of what the variant leaves in `output`, from nothing but the inputs.
  Result<TermId> Run(plan::Variant variant, uint32_t output) {
    values_.assign(stage_.buffers()->size(), std::nullopt);
    caches_.clear();
    for (uint32_t i = 0; i < values_.size(); ++i) {
      const plan::Buffer& buffer = *stage_.buffers()->Get(i);
      if (buffer.input()) values_[i] = means_.Input(plan_.names()->Get(buffer.name())->str());
    }
    for (uint32_t i = 0; i < stage_.steps()->size(); ++i) {
      const plan::Step& step = *stage_.steps()->Get(i);
      if (step.variant() == plan::Variant::always || step.variant() == variant) MRS_RETURN_IF_ERROR(RunStep(i, step));
    }
    if (!values_[output]) return Refuse("erasure: variant {} leaves nothing", plan::EnumNameVariant(variant));
    return *values_[output];
  }
  // The step that first made the term; `otherwise` where it is no step's.
  std::string Label(TermId term, const std::string& otherwise) const {
    const auto found = makers_.find(term);
    return found == makers_.end() ? otherwise : StepLabel(found->second);
  }

 private:
  std::string StepLabel(uint32_t index) const {
    return fmt::format("stage 0 step {} '{}'", index,
                       Printable(plan_.names()->Get(stage_.steps()->Get(index)->name())->string_view()));
  }

  TermId WeightTerm(uint32_t index) {
    if (weights_[index]) return *weights_[index];
    const plan::Weight& weight = *stage_.weights()->Get(index);
    auto parts = View(stage_.sources()).subspan(weight.source_begin(), weight.source_count());
    std::vector<plan::WeightSource> ordered(parts.begin(), parts.end());
    std::ranges::stable_sort(ordered, {}, &plan::WeightSource::dest_row);
    std::vector<SourceTensor> sources;
    uint64_t rows = 0;
    for (const plan::WeightSource& s : ordered) {
      sources.push_back({plan_.names()->Get(s.name())->str(), plan::EnumNameDType(s.dtype()), s.file(), s.file_offset(),
                         s.tensor_rows(), s.tensor_columns()});
      rows += Whole(s.rows(), plan_.tp());
    }
    weights_[index] =
        means_.Weight(plan::EnumNameDType(weight.dtype()), rows, weight.chunk_k() * weight.chunk_count_global(),
                      weight.chunk_count_global(), sources);
    return *weights_[index];
  }

  Status RunStep(uint32_t index, const plan::Step& step) {
    using plan::OpKind;
    const auto refs = View(stage_.refs()).subspan(step.operand_begin(), step.operand_count() + step.result_count());
    const auto results = refs.subspan(step.operand_count());
    std::vector<TermId> in;
    for (const plan::Ref& ref : refs.first(step.operand_count())) {
      if (ref.space() == plan::RefSpace::none) {
        in.push_back(means_.NoBias());
      } else if (ref.space() == plan::RefSpace::weight) {
        in.push_back(WeightTerm(ref.index()));
      } else if (values_[ref.index()]) {
        in.push_back(*values_[ref.index()]);
      } else {
        return Refuse("erasure: {}: reads a buffer that nothing has written", StepLabel(index));
      }
    }
    const auto set = [&](size_t result, TermId term) {
      values_[results[result].index()] = term;
      makers_.try_emplace(term, index);
      return Status();
    };
    const auto type = [&] { return plan::EnumNameDType(stage_.buffers()->Get(results[0].index())->dtype()); };
    const uint32_t a = step.attr();
    switch (step.op()) {
      case OpKind::embed:
        return set(0, means_.Embed(in[0], in[1], stage_.embeds()->Get(a)->vocab_valid()));
      case OpKind::rope_angles:
        return set(0, means_.RopeAngles(in[0], a));
      case OpKind::rms_norm: {
        const plan::NormAttr& attr = *stage_.norms()->Get(a);
        return set(0, means_.RmsNorm(in[0], in[1], attr.width(), attr.eps(), type()));
      }
      case OpKind::matmul:
        for (size_t part = 0; part < results.size(); ++part) {
          MRS_RETURN_IF_ERROR(set(part, means_.Matmul(in[0], in[1 + 2 * part], in[2 + 2 * part])));
        }
        return Status();
      case OpKind::rope: {
        const plan::HeadsAttr& attr = *stage_.heads()->Get(a);
        return set(0, means_.Rope(in[0], in[1], attr.rope(), attr.head_dim(), type()));
      }
      case OpKind::kv_append: {
        const plan::AttentionAttr& attr = *stage_.attentions()->Get(a);
        const plan::KvClass& kv = *plan_.kv_classes()->Get(attr.kv_class());
        const TermId cache = means_.KvAppend(in[0], in[1], in[2], attr.kv_class(), attr.kv_layer(), kv.window(),
                                             kv.k_dim(), kv.v_dim(), plan::EnumNameDType(kv.dtype()));
        caches_[{attr.kv_class(), attr.kv_layer()}] = cache;
        makers_.try_emplace(cache, index);
        return Status();
      }
      case OpKind::attention: {
        const plan::AttentionAttr& attr = *stage_.attentions()->Get(a);
        const auto cache = caches_.find({attr.kv_class(), attr.kv_layer()});
        if (cache == caches_.end()) return Refuse("erasure: {}: nothing was appended to its cache", StepLabel(index));
        return set(0,
                   means_.Attention(in[0], cache->second, in[1], in[2], in[3], attr.head_dim(), attr.scale(), type()));
      }
      case OpKind::silu_mul:
        return set(0, means_.SiluMul(in[0], in[1], type()));
      case OpKind::add:
        return set(0, means_.Add(in[0], in[1]));
      case OpKind::add_bias:
        return set(0, means_.AddBias(in[0], in[1]));
      case OpKind::select_rows:
        return set(0, means_.SelectRows(in[0], in[1]));
      case OpKind::top_candidates: {
        const plan::TopCandidatesAttr& attr = *stage_.candidates()->Get(a);
        return set(0, means_.TopCandidates(in[0], attr.k(), attr.chunk_size(), attr.vocab_valid()));
      }
      case OpKind::all_reduce:
        return set(0, in[0]);
      case OpKind::all_gather:
        return set(0, means_.Gathered(in[0]));
      default:
        return Refuse("erasure: {}: the meaning of {} is not stated in the erasure checker", StepLabel(index),
                      plan::EnumNameOpKind(step.op()));
    }
  }

  Terms& means_;
  const plan::Plan& plan_;
  const plan::Stage& stage_;
  std::vector<std::optional<TermId>> weights_, values_;     // by weight, by buffer
  std::map<std::pair<uint32_t, uint32_t>, TermId> caches_;  // by class and layer
  std::unordered_map<TermId, uint32_t> makers_;             // the step that first made a term
};

// ---- The two held against each other ----------------------------------------------------------------------------

// Walks down from two terms that differ to the step where the plan leaves the model.
Error Blame(const UnshardedModel& model, const Replay& replay, plan::Variant output, TermId plan, TermId graph) {
  const Terms& terms = model.terms;
  std::string name = fmt::format("output {}", plan::EnumNameVariant(output)), step = name;
  while (true) {
    step = replay.Label(plan, step);
    if (const auto found = model.names.find(graph); found != model.names.end()) name = found->second;
    const Term &p = terms[plan], &g = terms[graph];
    if (p.op != g.op) return Refuse("erasure: {}: computes {}, expected {} as '{}'", step, p.op, g.op, name);
    for (size_t i = 0; i < p.fields.size(); ++i) {
      if (p.fields[i] == g.fields[i]) continue;
      return Refuse("erasure: {}: {} of its {} is {}, expected {} as in '{}'", step, p.fields[i].name, p.op,
                    Printable(p.fields[i].value), Printable(g.fields[i].value), name);
    }
    if (p.args.size() != g.args.size()) {
      return Refuse("erasure: {}: its {} has {} parts, expected {} as in '{}'", step, p.op, p.args.size(),
                    g.args.size(), name);
    }
    const auto [of_plan, of_graph] = terms.FirstDifferentArgs(plan, graph);
    const auto read = model.names.find(of_plan), expected = model.names.find(of_graph);
    if (read != model.names.end() && expected != model.names.end()) {
      return Refuse("erasure: {}: reads '{}', expected '{}' as '{}' does", step, read->second, expected->second, name);
    }
    if (terms[of_plan].op != terms[of_graph].op) {
      return Refuse("erasure: {}: reads what a {} leaves, expected that of {} '{}'", step, terms[of_plan].op,
                    terms[of_graph].op, expected != model.names.end() ? expected->second : name);
    }
    plan = of_plan;
    graph = of_graph;
  }
}

}  // namespace

Result<UnshardedModel> ReadUnsharded(mlir::ModuleOp module) {
  UnshardedModel model;
  model.facts = module->getAttrDictionary();
  MRS_RETURN_IF_ERROR(GraphReader(&model).Read(module));
  return model;
}

Status CheckErasure(UnshardedModel& model, const plan::Plan& plan) {
  if (plan.stages()->size() != 1 || plan.ropes()->size() != 1) {
    return Refuse("erasure: {} stages and {} ropes, expected one of each", plan.stages()->size(), plan.ropes()->size());
  }
  if (plan.numerics()->reduction() != plan::Reduction::canonical) {
    return Refuse(
        "erasure: sums over the ranks are in {}, so that they depend on how many ranks there are; expected {}",
        plan::EnumNameReduction(plan.numerics()->reduction()), plan::EnumNameReduction(plan::Reduction::canonical));
  }
  MRS_RETURN_IF_ERROR(CheckSameFacts(model.facts, plan));
  Replay replay(&model, plan);
  const auto check = [&](plan::Variant variant, uint32_t output, TermId expected) -> Status {
    MRS_ASSIGN_OR_RETURN(const TermId left, replay.Run(variant, output));
    if (plan.tp() > 1) expected = model.terms.Gathered(expected);
    if (left != expected) return Blame(model, replay, variant, left, expected);
    return Status();
  };
  const plan::Stage& stage = *plan.stages()->Get(0);
  MRS_RETURN_IF_ERROR(check(plan::Variant::candidates, stage.candidates_buffer(), model.candidates));
  return check(plan::Variant::all_logits, stage.logits_buffer(), model.all_logits);
}

}  // namespace mrs::planner
