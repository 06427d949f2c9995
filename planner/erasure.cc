#include "planner/erasure.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "planner/same_facts.h"
#include "plans/printable.h"
#include "plans/step_view.h"

namespace mrs::planner {
namespace {

// ---- The plan's bytes -------------------------------------------------------------------------------------------

template <typename T>
std::span<const T> View(const flatbuffers::Vector<const T*>* vector) {
  return {reinterpret_cast<const T*>(vector->Data()), vector->size()};
}

// The size of a whole dimension of which `slice` is each rank's part; ranks that hold the same part count once.
uint64_t Whole(const plan::Slice& slice, uint32_t tp) {
  return slice.axis() != plan::Axis::tp ? slice.size() : slice.size() * (tp / std::max<uint64_t>(slice.every(), 1));
}

// Replays the stages of a plan one after the other.
class Replay {
 public:
  Replay(UnshardedModel* model, const plan::Plan& plan)
      : means_(model->terms), plan_(plan), weights_(plan.stages()->size()) {}

  // The term of what the variant leaves in the last stage's output, from nothing but the inputs.
  Result<TermId> Run(plan::Variant variant) {
    sent_.clear();
    for (index_ = 0; index_ < plan_.stages()->size(); ++index_) MRS_RETURN_IF_ERROR(RunStage(variant));
    const uint32_t output =
        variant == plan::Variant::candidates ? stage_->candidates_buffer() : stage_->logits_buffer();
    if (output >= values_.size() || !values_[output]) {
      return Refuse("erasure: variant {} leaves nothing", plan::EnumNameVariant(variant));
    }
    return *values_[output];
  }
  // The step that first made the term; `otherwise` where it is no step's.
  std::string Label(TermId term, const std::string& otherwise) const {
    const auto found = makers_.find(term);
    return found == makers_.end() ? otherwise : StepLabel(found->second.first, found->second.second);
  }

 private:
  std::string StepLabel(uint32_t stage, uint32_t step) const {
    const uint32_t name = plan_.stages()->Get(stage)->steps()->Get(step)->name();
    return fmt::format("stage {} step {} '{}'", stage, step, Printable(plan_.names()->Get(name)->string_view()));
  }

  Status RunStage(plan::Variant variant) {
    stage_ = plan_.stages()->Get(index_);
    weights_[index_].resize(stage_->weights()->size());
    values_.assign(stage_->buffers()->size(), std::nullopt);
    caches_.clear();
    // A class is its window: else one's slots could be taken for another's.
    KvWindows windows;
    std::map<uint64_t, uint32_t> class_of;
    for (uint32_t i = 0; i < stage_->kv_classes()->size(); ++i) {
      windows[i] = stage_->kv_classes()->Get(i)->window();
      const auto [found, added] = class_of.try_emplace(windows[i], i);
      if (added) continue;
      return Refuse("erasure: stage {}: KV classes {} and {} both have window {}, expected one class", index_,
                    found->second, i, windows[i]);
    }
    for (uint32_t i = 0; i < values_.size(); ++i) {
      const plan::Buffer& buffer = *stage_->buffers()->Get(i);
      if (buffer.input()) values_[i] = means_.Input(plan_.names()->Get(buffer.name())->str(), windows);
    }
    for (step_ = 0; step_ < stage_->steps()->size(); ++step_) {
      const plan::Step& step = *stage_->steps()->Get(step_);
      if (step.variant() == plan::Variant::always || step.variant() == variant) MRS_RETURN_IF_ERROR(RunStep(step));
    }
    return Status();
  }

  TermId WeightTerm(uint32_t index) {
    std::optional<TermId>& known = weights_[index_][index];
    if (known) return *known;
    const plan::Weight& weight = *stage_->weights()->Get(index);
    auto parts = View(stage_->sources()).subspan(weight.source_begin(), weight.source_count());
    std::vector<plan::WeightSource> ordered(parts.begin(), parts.end());
    std::ranges::stable_sort(ordered, {}, &plan::WeightSource::dest_row);
    std::vector<SourceTensor> sources;
    uint64_t rows = 0;
    for (const plan::WeightSource& s : ordered) {
      sources.push_back({plan_.names()->Get(s.name())->str(), plan::EnumNameDType(s.dtype()), s.file(), s.file_offset(),
                         s.tensor_rows(), s.tensor_columns(), s.row_begin(), s.row_count(),
                         plan::EnumNameTransform(s.transform())});
      rows += Whole(s.rows(), plan_.tp());
    }
    known = means_.Weight(plan::EnumNameDType(weight.dtype()), rows, weight.chunk_k() * weight.chunk_count_global(),
                          weight.chunk_count_global(), sources);
    return *known;
  }

  // What a step reads.
  TermId In(plan::BufferRef buffer) const { return *values_[buffer.index]; }
  TermId In(plan::WeightRef weight) { return WeightTerm(weight.index); }
  std::string TypeOf(plan::BufferRef buffer) const {
    return plan::EnumNameDType(stage_->buffers()->Get(buffer.index)->dtype());
  }
  // What it leaves.
  Status Set(plan::BufferRef buffer, TermId term) {
    values_[buffer.index] = term;
    makers_.try_emplace(term, std::pair(index_, step_));
    return Status();
  }

  Status RunStep(const plan::Step& step) {
    const auto refs = View(stage_->refs()).subspan(step.operand_begin(), step.operand_count());
    for (const plan::Ref& ref : refs) {
      if (ref.space() != plan::RefSpace::buffer || values_[ref.index()]) continue;
      return Refuse("erasure: {}: reads a buffer that nothing has written", StepLabel(index_, step_));
    }
    const Result<plan::StepView> view = plan::ViewOf(plan_, *stage_, step);
    if (!view) return Refuse("erasure: {}: {}", StepLabel(index_, step_), view.message());
    return std::visit([this](const auto& s) { return Mean(s); }, *view);
  }

  // ---- What each operation means --------------------------------------------------------------------------------

  Status Mean(const plan::EmbedStep& s) {
    return Set(s.y, means_.Embed(In(s.ids), In(s.table), s.attr->vocab_valid()));
  }
  Status Mean(const plan::RopeAnglesStep& s) { return Set(s.y, means_.RopeAngles(In(s.positions), s.rope)); }
  Status Mean(const plan::RmsNormStep& s) {
    return Set(s.y, means_.RmsNorm(In(s.x), In(s.weight), s.attr->width(), s.attr->eps(), TypeOf(s.y)));
  }
  Status Mean(const plan::LayerNormStep& s) {
    return Set(s.y, means_.LayerNorm(In(s.x), In(s.weight), In(s.bias), s.attr->width(), s.attr->eps(), TypeOf(s.y)));
  }
  Status Mean(const plan::SumSquaresStep& s) {
    return Set(s.y, means_.SumSquares(In(s.x), s.attr->chunk_heads(), s.attr->width()));
  }
  Status Mean(const plan::RmsScaleStep& s) {
    return Set(s.y, means_.RmsScale(In(s.x), In(s.sum), In(s.weight), s.attr->total(), s.attr->eps(), TypeOf(s.y)));
  }
  Status Mean(const plan::ScaleStep& s) { return Set(s.y, means_.Scale(In(s.x), s.attr->factor(), TypeOf(s.y))); }
  Status Mean(const plan::SoftCapStep& s) { return Set(s.y, means_.SoftCap(In(s.x), s.attr->factor())); }
  Status Mean(const plan::PositionScaleStep& s) {
    return Set(s.y, means_.PositionScale(In(s.x), In(s.positions), s.attr->beta(), s.attr->original(), TypeOf(s.y)));
  }
  Status Mean(const plan::MatmulStep& s) {
    for (const plan::MatmulStep::Part& part : s.parts) MRS_RETURN_IF_ERROR(Set(part.y, Product(s.x, part)));
    return Status();
  }
  TermId Product(plan::BufferRef x, const plan::MatmulStep::Part& part) {
    return means_.Matmul(In(x), In(part.weight), part.bias ? In(*part.bias) : means_.NoBias());
  }
  Status Mean(const plan::RopeStep& s) {
    return Set(s.y, means_.Rope(In(s.x), In(s.cos_sin), s.attr->rope(), s.attr->head_dim(), s.attr->interleaved(),
                                TypeOf(s.y)));
  }
  // A cache outlives the forward: each layer has its own, the same in both variants.
  Status Mean(const plan::KvAppendStep& s) { return Append(In(s.k), In(s.v), In(s.slots), *s.attr); }
  Status Append(TermId k, TermId v, TermId slots, const auto& attr) {
    const plan::KvClass& kv = *stage_->kv_classes()->Get(attr.kv_class());
    const Place place{index_, attr.kv_class(), attr.kv_layer()};
    const uint64_t number = cache_numbers_.try_emplace(place, cache_numbers_.size()).first->second;
    const TermId cache =
        means_.KvAppend(k, v, slots, number, attr.window(), kv.k_dim(), kv.v_dim(), plan::EnumNameDType(kv.dtype()));
    caches_[place] = cache;
    makers_.try_emplace(cache, std::pair(index_, step_));
    return Status();
  }
  // Several of those as one: each is what the plain ones would have left, of which nobody else could read more.
  Status Mean(const plan::AddRmsNormStep& s) {
    const TermId sum = means_.Add(In(s.a), In(s.b));
    MRS_RETURN_IF_ERROR(Set(s.sum, sum));
    return Set(s.y, means_.RmsNorm(sum, In(s.weight), s.attr->width(), s.attr->eps(), TypeOf(s.y)));
  }
  Status Mean(const plan::RopeAppendStep& s) {
    const auto turned = [&](plan::BufferRef x, const std::string& type) {
      return means_.Rope(In(x), In(s.cos_sin), s.attr->rope(), s.attr->head_dim(), s.attr->interleaved(), type);
    };
    // What a cache takes of K is of its own type.
    const plan::KvClass& kv = *stage_->kv_classes()->Get(s.attr->kv_class());
    const TermId k = turned(s.k, plan::EnumNameDType(kv.dtype()));
    makers_.try_emplace(k, std::pair(index_, step_));
    MRS_RETURN_IF_ERROR(Append(k, In(s.v), In(s.slots), *s.attr));
    return Set(s.y, turned(s.q, TypeOf(s.y)));
  }
  Status Mean(const plan::MatmulSiluMulStep& s) {
    const auto [gate, up] = GateAndUp(s);
    return Set(s.y, means_.SiluMul(gate, up, TypeOf(s.y)));
  }
  Status Mean(const plan::MatmulGeluMulStep& s) {
    const auto [gate, up] = GateAndUp(s);
    return Set(s.y, means_.GeluMul(gate, up, s.attr->approximate(), TypeOf(s.y)));
  }
  std::pair<TermId, TermId> GateAndUp(const plan::GatedMatmul& s) {
    const std::pair products(Product(s.x, s.gate), Product(s.x, s.up));
    for (const TermId product : {products.first, products.second}) {
      makers_.try_emplace(product, std::pair(index_, step_));
    }
    // What the products' buffers hold after it means nothing.
    values_[s.gate.y.index] = values_[s.up.y.index] = std::nullopt;
    return products;
  }
  Status Mean(const plan::AttentionStep& s) {
    const auto cache = caches_.find({index_, s.attr->kv_class(), s.attr->kv_layer()});
    if (cache == caches_.end()) {
      return Refuse("erasure: {}: nothing was appended to its cache", StepLabel(index_, step_));
    }
    return Set(
        s.y, means_.Attention(In(s.q), cache->second, In(s.sequence), In(s.positions), In(s.block_table),
                              s.attr->head_dim(), s.attr->scale(), s.attr->window(), s.attr->soft_cap(), TypeOf(s.y)));
  }
  Status Mean(const plan::SiluMulStep& s) { return Set(s.y, means_.SiluMul(In(s.gate), In(s.up), TypeOf(s.y))); }
  Status Mean(const plan::GeluMulStep& s) {
    return Set(s.y, means_.GeluMul(In(s.gate), In(s.up), s.attr->approximate(), TypeOf(s.y)));
  }
  Status Mean(const plan::AddStep& s) { return Set(s.y, means_.Add(In(s.a), In(s.b))); }
  Status Mean(const plan::AddBiasStep& s) { return Set(s.y, means_.AddBias(In(s.a), In(s.bias))); }
  Status Mean(const plan::SelectRowsStep& s) { return Set(s.y, means_.SelectRows(In(s.x), In(s.rows))); }
  Status Mean(const plan::TopCandidatesStep& s) {
    return Set(s.records, means_.TopCandidates(In(s.logits), s.attr->k(), s.attr->chunk_size(), s.attr->vocab_valid()));
  }
  Status Mean(const plan::SendStep& s) {
    sent_[{index_, s.attr->peer_stage(), s.attr->order()}] = In(s.x);
    return Status();
  }
  Status Mean(const plan::RecvStep& s) {
    const auto sent = sent_.find({s.attr->peer_stage(), index_, s.attr->order()});
    if (sent == sent_.end()) {
      return Refuse("erasure: {}: receives transfer {} of stage {}, which has sent no such to stage {}",
                    StepLabel(index_, step_), s.attr->order(), s.attr->peer_stage(), index_);
    }
    return Set(s.y, sent->second);
  }
  Status Mean(const plan::AllReduceStep& s) { return Set(s.y, In(s.x)); }
  Status Mean(const plan::AllGatherStep& s) { return Set(s.y, means_.Gathered(In(s.x))); }

  using Place = std::array<uint32_t, 3>;

  Terms& means_;
  const plan::Plan& plan_;
  uint32_t index_ = 0, step_ = 0;  // of the stage and step that run
  const plan::Stage* stage_ = nullptr;
  std::vector<std::vector<std::optional<TermId>>> weights_;           // by stage and weight
  std::vector<std::optional<TermId>> values_;                         // by buffer
  std::map<Place, TermId> caches_;                                    // by stage, class and layer
  std::map<Place, uint64_t> cache_numbers_;                           // in the order of the first appends
  std::map<Place, TermId> sent_;                                      // by both stages and order
  std::unordered_map<TermId, std::pair<uint32_t, uint32_t>> makers_;  // stage and step that first made a term
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

Status CheckErasure(UnshardedModel& model, const plan::Plan& plan) {
  if (plan.numerics()->reduction() != plan::Reduction::canonical) {
    return Refuse(
        "erasure: sums over the ranks are in {}, so that they depend on how many ranks there are; expected {}",
        plan::EnumNameReduction(plan.numerics()->reduction()), plan::EnumNameReduction(plan::Reduction::canonical));
  }
  MRS_RETURN_IF_ERROR(CheckSameFacts(model.facts, plan));
  Replay replay(&model, plan);
  for (const plan::Variant variant : {plan::Variant::candidates, plan::Variant::all_logits}) {
    TermId expected = variant == plan::Variant::candidates ? model.candidates : model.all_logits;
    if (plan.tp() > 1) expected = model.terms.Gathered(expected);
    MRS_ASSIGN_OR_RETURN(const TermId left, replay.Run(variant));
    if (left != expected) return Blame(model, replay, variant, left, expected);
  }
  return Status();
}

}  // namespace mrs::planner
