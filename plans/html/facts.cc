#include "plans/html/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "plans/verify/context.h"

namespace mrs::html {
namespace {

using verify::SatAdd;
using verify::SatMul;
using verify::StageView;

StepKind KindOf(plan::OpKind op) {
  switch (op) {
    case plan::OpKind::all_reduce:
    case plan::OpKind::all_gather:
    case plan::OpKind::reduce_scatter:
    case plan::OpKind::broadcast:
    case plan::OpKind::barrier:
      return StepKind::kCollective;
    case plan::OpKind::send:
    case plan::OpKind::recv:
      return StepKind::kTransfer;
    default:
      return StepKind::kCompute;
  }
}

// Of a matrix of a layer. The planner's names are build_graph.cc's; others are of the role "other".
Role MatrixRole(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
  if (has("q_proj") || has("k_proj") || has("v_proj") || has("o_proj")) return Role::kAttention;
  if (has("gate_proj") || has("up_proj") || has("down_proj")) return Role::kMlp;
  return Role::kOther;
}

// Ranks of a tensor-parallel group that hold the same part.
uint64_t Copies(const StageView& stage, const plan::Weight& weight) {
  const uint64_t tp = stage.plan.tp();
  uint64_t copies = tp;
  for (const plan::WeightSource& source : stage.sources.subspan(weight.source_begin(), weight.source_count())) {
    for (const plan::Slice* slice : {&source.rows(), &source.columns()}) {
      if (slice->axis() == plan::Axis::tp) copies = std::min(copies, std::min<uint64_t>(slice->every(), tp));
    }
  }
  return copies;
}

WeightFacts FactsOfWeight(const StageView& stage, const plan::Weight& weight) {
  WeightFacts facts{.name = stage.Name(weight.name()), .bytes = weight.bytes(), .weight = &weight};
  const bool vector = stage.IsVector(weight);
  const uint64_t k = vector ? 1 : SatMul(weight.chunk_k(), weight.chunk_count());
  const uint64_t filled = SatMul(SatMul(weight.n(), k), ByteSize(weight.dtype()));
  facts.padding_bytes = facts.bytes - std::min(facts.bytes, filled);
  facts.role = vector ? Role::kVector : Role::kOther;
  facts.copies = Copies(stage, weight);
  return facts;
}

// A weight is of the layer of its first reader; a matrix of no layer meets the vocabulary.
void Reads(const plan::Step& step, WeightFacts* weight) {
  weight->layer = step.layer();
  if (weight->role == Role::kVector) return;
  weight->role = step.layer() < 0 ? Role::kVocabulary : MatrixRole(weight->name);
}

StepFacts FactsOfStep(const StageView& stage, uint32_t index, const plan::Bucket& bucket) {
  const plan::Step& step = stage.steps[index];
  StepFacts facts{.index = index,
                  .name = stage.Name(step.name()),
                  .op = step.op(),
                  .kind = KindOf(step.op()),
                  .variant = step.variant(),
                  .layer = step.layer()};
  const auto add = [&](const plan::Ref& ref) {
    if (ref.space() == plan::RefSpace::weight) {
      facts.weight_bytes = SatAdd(facts.weight_bytes, stage.weights[ref.index()].bytes());
    } else if (ref.space() == plan::RefSpace::buffer) {
      facts.buffer_bytes = SatAdd(facts.buffer_bytes, stage.BufferBytes(bucket, stage.buffers[ref.index()]));
    }
  };
  std::ranges::for_each(stage.Operands(step), add);
  std::ranges::for_each(stage.Results(step), add);
  // An embedding reads one row of its table for each token.
  if (step.op() == plan::OpKind::embed) {
    facts.weight_bytes = std::min(facts.weight_bytes, facts.buffer_bytes);
  }
  return facts;
}

Traffic TrafficOf(const StageView& stage) {
  Traffic traffic;
  for (const plan::Step& step : stage.steps) {
    if (!verify::RunsIn(step, plan::Variant::candidates)) continue;
    if (step.op() == plan::OpKind::all_gather) ++traffic.all_gather_count;
    if (step.op() == plan::OpKind::all_reduce) {
      ++traffic.all_reduce_count;
      const plan::Collective& entry = stage.collectives[step.attr()];
      if (entry.rows() != plan::Rows::tokens) continue;
      traffic.all_reduce_token_bytes =
          SatAdd(traffic.all_reduce_token_bytes, SatMul(entry.row_elements(), ByteSize(entry.dtype())));
    }
    if (step.op() == plan::OpKind::send) {
      ++traffic.send_count;
      const plan::Transfer& entry = stage.transfers[step.attr()];
      if (entry.rows() != plan::Rows::tokens) continue;
      traffic.send_token_bytes =
          SatAdd(traffic.send_token_bytes, SatMul(entry.row_elements(), ByteSize(entry.dtype())));
    }
  }
  return traffic;
}

void AddLayers(const StageView& stage, const StageFacts& facts, std::vector<LayerFacts>* layers) {
  const size_t first = layers->size();
  for (uint32_t layer = facts.layer_begin; layer < facts.layer_end; ++layer) {
    layers->push_back({.layer = layer, .stage = facts.index});
  }
  const auto of = [&](int32_t layer) -> LayerFacts* {
    if (layer < static_cast<int64_t>(facts.layer_begin) || layer >= static_cast<int64_t>(facts.layer_end)) {
      return nullptr;
    }
    return &(*layers)[first + static_cast<size_t>(layer) - facts.layer_begin];
  };
  for (const WeightFacts& weight : facts.weights) {
    LayerFacts* const layer = of(weight.layer);
    if (layer == nullptr) continue;
    layer->weight_bytes = SatAdd(layer->weight_bytes, weight.bytes);
    ++layer->weight_count;
  }
  for (const plan::Step& step : stage.steps) {
    LayerFacts* const layer = of(step.layer());
    if (layer == nullptr) continue;
    ++layer->step_count;
    if (step.op() != plan::OpKind::attention) continue;
    layer->attends = true;
    layer->window = stage.stage.attentions()->Get(step.attr())->window();
  }
}

StageFacts FactsOfStage(const StageView& stage) {
  StageFacts facts{.index = stage.index,
                   .layer_begin = stage.stage.layer_begin(),
                   .layer_end = stage.stage.layer_end(),
                   .memory = MemoryOf(stage.stage),
                   .stage = &stage.stage};
  if (!stage.buckets.empty()) facts.smallest = stage.buckets[0];
  for (const plan::Weight& weight : stage.weights) facts.weights.push_back(FactsOfWeight(stage, weight));
  std::vector<bool> read(facts.weights.size());
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    facts.steps.push_back(FactsOfStep(stage, i, facts.smallest));
    for (const plan::Ref& ref : stage.Operands(stage.steps[i])) {
      if (ref.space() != plan::RefSpace::weight || read[ref.index()]) continue;
      read[ref.index()] = true;
      Reads(stage.steps[i], &facts.weights[ref.index()]);
    }
  }
  facts.traffic = TrafficOf(stage);
  return facts;
}

}  // namespace

std::string_view RoleName(Role role) {
  constexpr std::string_view kNames[kRoleCount] = {"attention", "MLP", "vocabulary", "norms and biases", "other"};
  return kNames[static_cast<size_t>(role)];
}

std::string_view RoleClass(Role role) {
  constexpr std::string_view kClasses[kRoleCount] = {"ra", "rm", "rv", "rn", "ro"};
  return kClasses[static_cast<size_t>(role)];
}

PageFacts FactsOf(const plan::Plan& plan) {
  PageFacts facts{.plan = &plan};
  const std::span<const plan::Rank> ranks = verify::View(plan.ranks());
  const auto& memory = *plan.cluster()->memory_bytes();
  for (uint32_t i = 0; i < ranks.size(); ++i) {
    facts.ranks.push_back({.rank = i, .at = ranks[i], .budget_bytes = std::nullopt});
    if (i < memory.size()) facts.ranks.back().budget_bytes = memory.Get(i);
  }
  verify::Budget budget;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const StageView stage(plan, s, &budget);
    facts.stages.push_back(FactsOfStage(stage));
    AddLayers(stage, facts.stages.back(), &facts.layers);
  }
  return facts;
}

std::string GroupRanks(const plan::Group& group) {
  const uint64_t first = group.first(), stride = group.stride(), count = group.count();
  if (count == 0) return "none";
  const uint64_t last = first + (count - 1) * stride;
  if (count == 1) return fmt::format("{}", first);
  if (stride == 1) return fmt::format("{}–{}", first, last);
  if (count == 2) return fmt::format("{}, {}", first, last);
  if (count == 3) return fmt::format("{}, {}, {}", first, first + stride, last);
  return fmt::format("{}, {}, {}, … {} ({})", first, first + stride, first + 2 * stride, last, count);
}

}  // namespace mrs::html
