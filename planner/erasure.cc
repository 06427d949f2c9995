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
    for (uint32_t i = 0; i < stage_->steps()->size(); ++i) {
      const plan::Step& step = *stage_->steps()->Get(i);
      if (step.variant() == plan::Variant::always || step.variant() == variant) MRS_RETURN_IF_ERROR(RunStep(i, step));
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

  Status RunStep(uint32_t index, const plan::Step& step) {
    using plan::OpKind;
    const auto refs = View(stage_->refs()).subspan(step.operand_begin(), step.operand_count() + step.result_count());
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
        return Refuse("erasure: {}: reads a buffer that nothing has written", StepLabel(index_, index));
      }
    }
    const auto set = [&](size_t result, TermId term) {
      values_[results[result].index()] = term;
      makers_.try_emplace(term, std::pair(index_, index));
      return Status();
    };
    const auto type = [&] { return plan::EnumNameDType(stage_->buffers()->Get(results[0].index())->dtype()); };
    const uint32_t a = step.attr();
    switch (step.op()) {
      case OpKind::embed:
        return set(0, means_.Embed(in[0], in[1], stage_->embeds()->Get(a)->vocab_valid()));
      case OpKind::rope_angles:
        return set(0, means_.RopeAngles(in[0], a));
      case OpKind::rms_norm: {
        const plan::NormAttr& attr = *stage_->norms()->Get(a);
        return set(0, means_.RmsNorm(in[0], in[1], attr.width(), attr.eps(), type()));
      }
      case OpKind::layer_norm: {
        const plan::NormAttr& attr = *stage_->norms()->Get(a);
        return set(0, means_.LayerNorm(in[0], in[1], in[2], attr.width(), attr.eps(), type()));
      }
      case OpKind::sum_squares: {
        const plan::SumSquaresAttr& attr = *stage_->sum_squares()->Get(a);
        return set(0, means_.SumSquares(in[0], attr.chunk_heads(), attr.width()));
      }
      case OpKind::rms_scale: {
        const plan::RmsScaleAttr& attr = *stage_->rms_scales()->Get(a);
        return set(0, means_.RmsScale(in[0], in[1], in[2], attr.total(), attr.eps(), type()));
      }
      case OpKind::scale:
        return set(0, means_.Scale(in[0], stage_->scales()->Get(a)->factor(), type()));
      case OpKind::soft_cap:
        return set(0, means_.SoftCap(in[0], stage_->scales()->Get(a)->factor()));
      case OpKind::position_scale: {
        const plan::PositionScaleAttr& attr = *stage_->position_scales()->Get(a);
        return set(0, means_.PositionScale(in[0], in[1], attr.beta(), attr.original(), type()));
      }
      case OpKind::matmul:
        for (size_t part = 0; part < results.size(); ++part) {
          MRS_RETURN_IF_ERROR(set(part, means_.Matmul(in[0], in[1 + 2 * part], in[2 + 2 * part])));
        }
        return Status();
      case OpKind::rope: {
        const plan::HeadsAttr& attr = *stage_->heads()->Get(a);
        return set(0, means_.Rope(in[0], in[1], attr.rope(), attr.head_dim(), attr.interleaved(), type()));
      }
      case OpKind::kv_append: {
        const plan::AttentionAttr& attr = *stage_->attentions()->Get(a);
        const plan::KvClass& kv = *stage_->kv_classes()->Get(attr.kv_class());
        // A cache outlives the forward: each layer has its own, the same in both variants.
        const Place place{index_, attr.kv_class(), attr.kv_layer()};
        const uint64_t number = cache_numbers_.try_emplace(place, cache_numbers_.size()).first->second;
        const TermId cache = means_.KvAppend(in[0], in[1], in[2], number, attr.window(), kv.k_dim(), kv.v_dim(),
                                             plan::EnumNameDType(kv.dtype()));
        caches_[place] = cache;
        makers_.try_emplace(cache, std::pair(index_, index));
        return Status();
      }
      case OpKind::attention: {
        const plan::AttentionAttr& attr = *stage_->attentions()->Get(a);
        const auto cache = caches_.find({index_, attr.kv_class(), attr.kv_layer()});
        if (cache == caches_.end())
          return Refuse("erasure: {}: nothing was appended to its cache", StepLabel(index_, index));
        return set(0, means_.Attention(in[0], cache->second, in[1], in[2], in[3], attr.head_dim(), attr.scale(),
                                       attr.window(), attr.soft_cap(), type()));
      }
      case OpKind::silu_mul:
        return set(0, means_.SiluMul(in[0], in[1], type()));
      case OpKind::gelu_mul:
        return set(0, means_.GeluMul(in[0], in[1], stage_->glus()->Get(a)->approximate(), type()));
      case OpKind::add:
        return set(0, means_.Add(in[0], in[1]));
      case OpKind::add_bias:
        return set(0, means_.AddBias(in[0], in[1]));
      case OpKind::select_rows:
        return set(0, means_.SelectRows(in[0], in[1]));
      case OpKind::top_candidates: {
        const plan::TopCandidatesAttr& attr = *stage_->candidates()->Get(a);
        return set(0, means_.TopCandidates(in[0], attr.k(), attr.chunk_size(), attr.vocab_valid()));
      }
      case OpKind::send: {
        const plan::Transfer& to = *stage_->transfers()->Get(a);
        sent_[{index_, to.peer_stage(), to.order()}] = in[0];
        return Status();
      }
      case OpKind::recv: {
        const plan::Transfer& from = *stage_->transfers()->Get(a);
        const auto sent = sent_.find({from.peer_stage(), index_, from.order()});
        if (sent != sent_.end()) return set(0, sent->second);
        return Refuse("erasure: {}: receives transfer {} of stage {}, which has sent no such to stage {}",
                      StepLabel(index_, index), from.order(), from.peer_stage(), index_);
      }
      case OpKind::all_reduce:
        return set(0, in[0]);
      case OpKind::all_gather:
        return set(0, means_.Gathered(in[0]));
      default:
        return Refuse("erasure: {}: the meaning of {} is not stated in the erasure checker", StepLabel(index_, index),
                      plan::EnumNameOpKind(step.op()));
    }
  }

  using Place = std::array<uint32_t, 3>;

  Terms& means_;
  const plan::Plan& plan_;
  uint32_t index_ = 0;  // of the stage that runs
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
