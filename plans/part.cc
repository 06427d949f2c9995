#include "plans/part.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "plans/dtype.h"
#include "plans/nearest.h"
#include "plans/printable.h"
#include "plans/verify/context.h"

namespace mrs {
namespace {

using verify::StageView;

// Sources of weights times ranks: a layer on 65536 ranks is below.
constexpr uint64_t kMaxParts = uint64_t{1} << 20;

std::vector<uint32_t> RanksOf(const plan::Plan& plan, uint32_t stage) {
  std::vector<uint32_t> ranks;
  for (uint32_t r = 0; r < plan.ranks()->size(); ++r) {
    if (plan.ranks()->Get(r)->stage() == stage) ranks.push_back(r);
  }
  return ranks;
}

bool Fills(const StageView& stage, const plan::Weight& weight, std::string_view tensor) {
  if (stage.Name(weight.name()) == tensor) return true;
  for (const plan::WeightSource& source : stage.sources.subspan(weight.source_begin(), weight.source_count())) {
    if (stage.Name(source.name()) == tensor) return true;
  }
  return false;
}

// Of a weight that was asked for by its own name all sources; else those of the tensor.
bool IsShown(const StageView& stage, const plan::Weight& weight, const plan::WeightSource& source,
             const std::optional<std::string>& tensor) {
  return !tensor || stage.Name(weight.name()) == *tensor || stage.Name(source.name()) == *tensor;
}

Error NoSuchTensor(const plan::Plan& plan, const std::string& tensor) {
  std::vector<std::string_view> names;
  for (const plan::Stage* stage : *plan.stages()) {
    for (const plan::WeightSource* source : *stage->sources()) {
      names.push_back(plan.names()->Get(source->name())->string_view());
    }
  }
  std::string nearest;
  for (const std::string& name : Nearest(tensor, names)) {
    nearest += fmt::format("{}\"{}\"", nearest.empty() ? "" : ", ", Printable(name));
  }
  return Refuse("tensor \"{}\": no weight of the plan reads a tensor of that name{}", Printable(tensor),
                nearest.empty() ? "" : fmt::format("; the nearest are {}", nearest));
}

// The layers whose steps read a weight of the tensor, in words.
std::string LayersText(const std::set<int>& layers) {
  std::vector<std::string> names;
  for (const int layer : layers) {
    if (names.size() == 8) {
      names.push_back("...");
      break;
    }
    names.push_back(layer < 0 ? "none" : fmt::format("{}", layer));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

class Selector {
 public:
  Selector(const plan::Plan& plan, const Selection& selection) : plan_(plan), s_(selection) {}

  Result<PlanPart> Run() {
    MRS_RETURN_IF_ERROR(CheckRankAndLayer());
    PlanPart part{.selection = s_, .stages = {}, .groups = {}, .peers = {}, .kv = {}};
    for (uint32_t s = 0; s < plan_.stages()->size(); ++s) {
      const StageView stage(plan_, s, &budget_);
      if (s_.rank && plan_.ranks()->Get(*s_.rank)->stage() != s) {
        if (s_.tensor && HasTensor(stage)) elsewhere_.push_back(s);
        continue;
      }
      if (s_.layer && !HasLayer(s)) {
        if (s_.tensor && HasTensor(stage)) NoteLayers(stage);
        continue;
      }
      StagePart of_stage = Of(stage, &part);
      if (s_.tensor && of_stage.weights.empty()) continue;
      part.stages.push_back(std::move(of_stage));
    }
    if (part_count_ > kMaxParts) {
      return Refuse("{} and more parts of weights on all ranks are too many to show; name one rank with --rank",
                    kMaxParts);
    }
    if (part.stages.empty()) return NothingLeft();
    if (s_.rank) OfRank(&part);
    return part;
  }

 private:
  bool HasLayer(uint32_t stage) const {
    return *s_.layer >= plan_.stages()->Get(stage)->layer_begin() &&
           *s_.layer < plan_.stages()->Get(stage)->layer_end();
  }
  bool HasTensor(const StageView& stage) const {
    return std::ranges::any_of(stage.weights, [&](const plan::Weight& w) { return Fills(stage, w, *s_.tensor); });
  }

  Status CheckRankAndLayer() const {
    const uint32_t ranks = plan_.ranks()->size();
    if (s_.rank && *s_.rank >= ranks) {
      return Refuse("rank {}: there is no such rank; the plan has {}, the nearest is {}", *s_.rank,
                    ranks == 1 ? "rank 0 only" : fmt::format("ranks 0 to {}", ranks - 1), ranks - 1);
    }
    const uint32_t layers = plan_.model()->layer_count();
    if (s_.layer && *s_.layer >= layers) {
      return Refuse("layer {}: there is no such layer; the plan has {}, the nearest is {}", *s_.layer,
                    layers == 1 ? "layer 0 only" : fmt::format("layers 0 to {}", layers - 1), layers - 1);
    }
    if (!s_.rank || !s_.layer) return Status();
    const uint32_t stage = plan_.ranks()->Get(*s_.rank)->stage();
    if (HasLayer(stage)) return Status();
    for (uint32_t other = 0; other < plan_.stages()->size(); ++other) {
      if (!HasLayer(other)) continue;
      return Refuse("rank {} is of stage {}, which has layers {} to {}: layer {} is on {}", *s_.rank, stage,
                    plan_.stages()->Get(stage)->layer_begin(), plan_.stages()->Get(stage)->layer_end() - 1, *s_.layer,
                    RanksText(RanksOf(plan_, other)));
    }
    return Refuse("layer {}: no stage has it", *s_.layer);
  }

  void NoteLayers(const StageView& stage) {
    for (const plan::Step& step : stage.steps) {
      for (const plan::Ref& ref : stage.Operands(step)) {
        if (ref.space() == plan::RefSpace::weight && Fills(stage, stage.weights[ref.index()], *s_.tensor)) {
          layers_.insert(step.layer());
        }
      }
    }
  }

  Error NothingLeft() {
    if (!elsewhere_.empty()) {
      std::vector<uint32_t> ranks;
      for (const uint32_t stage : elsewhere_) {
        const std::vector<uint32_t> of_stage = RanksOf(plan_, stage);
        ranks.insert(ranks.end(), of_stage.begin(), of_stage.end());
      }
      std::ranges::sort(ranks);
      return Refuse("tensor \"{}\": rank {} reads nothing of it; {} {}", Printable(*s_.tensor), *s_.rank,
                    RanksText(ranks), ranks.size() == 1 ? "does" : "do");
    }
    if (!layers_.empty()) {
      return Refuse("tensor \"{}\": no step of layer {} uses it; its layers are: {}", Printable(*s_.tensor), *s_.layer,
                    LayersText(layers_));
    }
    return NoSuchTensor(plan_, *s_.tensor);
  }

  // The steps that pass every filter, and what goes with them.
  StagePart Of(const StageView& stage, PlanPart* part) {
    StagePart out{.stage = stage.index, .ranks = {}, .weights = {}, .buffers = {}, .steps = {}, .kv_classes = {}};
    out.ranks = s_.rank ? std::vector<uint32_t>{*s_.rank} : RanksOf(plan_, stage.index);
    std::set<uint32_t> weights, buffers, kv_classes;
    std::set<std::pair<uint32_t, uint32_t>> kv_layers;
    for (uint32_t i = 0; i < stage.steps.size(); ++i) {
      const plan::Step& step = stage.steps[i];
      if (s_.layer && step.layer() != static_cast<int64_t>(*s_.layer)) continue;
      const auto operands = stage.Operands(step);
      const auto uses_tensor = [&](const plan::Ref& ref) {
        return ref.space() == plan::RefSpace::weight && Fills(stage, stage.weights[ref.index()], *s_.tensor);
      };
      if (s_.tensor && !std::ranges::any_of(operands, uses_tensor)) continue;
      out.steps.push_back(i);
      for (const plan::Ref& ref : operands) {
        if (ref.space() == plan::RefSpace::weight && (!s_.tensor || uses_tensor(ref))) weights.insert(ref.index());
        if (ref.space() == plan::RefSpace::buffer) buffers.insert(ref.index());
      }
      for (const plan::Ref& ref : stage.Results(step)) buffers.insert(ref.index());
      if (const auto cache = plan::CacheLayerOf(stage.stage, step)) {
        kv_classes.insert(cache->kv_class);
        kv_layers.emplace(cache->kv_class, cache->kv_layer);
      }
    }
    if (!s_.layer) {  // also what no step reads
      for (uint32_t w = 0; w < stage.weights.size(); ++w) {
        if (!s_.tensor || Fills(stage, stage.weights[w], *s_.tensor)) weights.insert(w);
      }
    }
    if (s_.tensor && s_.layer && weights.empty()) NoteLayers(stage);
    for (const uint32_t w : weights) out.weights.push_back(Of(stage, w, out.ranks));
    if (s_.tensor) return out;
    out.buffers.assign(buffers.begin(), buffers.end());
    out.kv_classes.assign(kv_classes.begin(), kv_classes.end());
    if (s_.layer) {
      for (const auto& [kv_class, layer] : kv_layers) part->kv.push_back({kv_class, layer});
    } else {
      out.kv_classes.clear();
      for (uint32_t c = 0; c < stage.kv_classes.size(); ++c) out.kv_classes.push_back(c);
    }
    return out;
  }

  WeightPart Of(const StageView& stage, uint32_t index, const std::vector<uint32_t>& ranks) {
    const plan::Weight& weight = stage.weights[index];
    WeightPart out{.weight = index, .sources = {}};
    for (uint32_t i = weight.source_begin(); i < weight.source_begin() + weight.source_count(); ++i) {
      const plan::WeightSource& source = stage.sources[i];
      if (!IsShown(stage, weight, source, s_.tensor)) continue;
      SourcePart of_source{.source = i, .ranks = {}};
      part_count_ += ranks.size();
      if (part_count_ > kMaxParts) return out;  // Run refuses
      for (const uint32_t rank : ranks) {
        const diff::Rectangle elements = PartOf(source, *plan_.ranks()->Get(rank));
        of_source.ranks.push_back({rank, elements, RangesOf(source, elements)});
      }
      out.sources.push_back(std::move(of_source));
    }
    return out;
  }

  void OfRank(PlanPart* part) const {
    const plan::Rank& rank = *plan_.ranks()->Get(*s_.rank);
    const StagePart& of_stage = part->stages[0];
    const StageView stage(plan_, of_stage.stage, budget());
    // A tensor that two weights read is read once.
    std::map<std::string_view, std::pair<std::vector<diff::Rectangle>, uint64_t>> read;
    for (const WeightPart& weight : of_stage.weights) {
      for (const SourcePart& source : weight.sources) {
        const plan::WeightSource& facts = stage.sources[source.source];
        auto& [elements, width] = read[stage.Name(facts.name())];
        elements.push_back(source.ranks[0].elements);
        width = ByteSize(facts.dtype());
      }
    }
    for (auto& [name, tensor] : read) part->checkpoint_bytes += diff::UnionArea(tensor.first) * tensor.second;

    std::map<std::pair<uint32_t, plan::OpKind>, uint64_t> transfers;  // by peer stage
    uint64_t collectives = 0;
    for (const uint32_t i : of_stage.steps) {
      const plan::Step& step = stage.steps[i];
      if (!verify::RunsIn(step, plan::Variant::candidates)) continue;
      if (step.op() == plan::OpKind::all_reduce || step.op() == plan::OpKind::all_gather) ++collectives;
      if (step.op() == plan::OpKind::send || step.op() == plan::OpKind::recv) {
        ++transfers[{stage.transfers[step.attr()].peer_stage(), step.op()}];
      }
    }
    for (uint32_t g = 0; g < plan_.groups()->size(); ++g) {
      const plan::Group& group = *plan_.groups()->Get(g);
      if (group.axis() != plan::Axis::tp || group.count() < 2 || *s_.rank < group.first()) continue;
      const uint32_t stride = std::max<uint32_t>(1, group.stride());
      const uint32_t number = (*s_.rank - group.first()) / stride;
      if ((*s_.rank - group.first()) % stride != 0 || number >= group.count()) continue;
      GroupOfRank of_rank{.group = g, .number = number, .ranks = {}, .collectives = collectives};
      for (uint32_t k = 0; k < group.count(); ++k) of_rank.ranks.push_back(group.first() + k * stride);
      part->groups.push_back(std::move(of_rank));
    }
    std::map<uint32_t, PeerOfRank> peers;
    for (const auto& [key, count] : transfers) {
      for (uint32_t r = 0; r < plan_.ranks()->size(); ++r) {
        const plan::Rank& other = *plan_.ranks()->Get(r);
        if (other.stage() != key.first || other.tp() != rank.tp() || other.ep() != rank.ep() ||
            other.dp() != rank.dp()) {
          continue;
        }
        peers[r].rank = r;
        (key.second == plan::OpKind::send ? peers[r].sends : peers[r].receives) += count;
      }
    }
    for (const auto& [r, peer] : peers) part->peers.push_back(peer);
  }

  verify::Budget* budget() const { return &budget_; }

  const plan::Plan& plan_;
  const Selection& s_;
  mutable verify::Budget budget_;
  std::vector<uint32_t> elsewhere_;  // stages that read the tensor, and are not the rank's
  uint64_t part_count_ = 0;
  std::set<int> layers_;  // whose steps use the tensor
};

}  // namespace

std::string RanksText(const std::vector<uint32_t>& ranks) {
  if (ranks.empty()) return "no rank";
  if (ranks.size() == 1) return fmt::format("rank {}", ranks[0]);
  if (ranks.back() - ranks.front() + 1 == ranks.size())
    return fmt::format("ranks {} to {}", ranks.front(), ranks.back());
  const size_t shown = std::min<size_t>(ranks.size(), 8);
  return fmt::format("ranks {}{}", fmt::join(ranks.begin(), ranks.begin() + static_cast<ptrdiff_t>(shown), ", "),
                     shown < ranks.size() ? ", ..." : "");
}

Result<PlanPart> SelectPart(const plan::Plan& plan, const Selection& selection) {
  return Selector(plan, selection).Run();
}

}  // namespace mrs
