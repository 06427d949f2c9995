#include "plans/diff/moved_bytes.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "plans/diff/rectangles.h"
#include "plans/dtype.h"
#include "plans/tensor_parts.h"
#include "plans/verify/context.h"

namespace mrs::diff {
namespace {

// Parts that are looked at, seconds of work: ranks times sources of weights, of which Llama 405B on 64 ranks has
// 10,000; and for each rank of B the parts that all ranks of A hold of its tensors, where these leave something out.
constexpr uint64_t kMaxParts = uint64_t{1} << 23;

struct Definition {
  uint64_t rows = 0, columns = 0;
  plan::DType dtype = plan::DType::f32;
  auto operator<=>(const Definition&) const = default;
};

using Parts = std::vector<Rectangle>;

// One plan's tensors and who reads which of their parts.
class Holdings {
 public:
  explicit Holdings(const plan::Plan& plan) : ranks_(verify::View(plan.ranks())), of_stage_(plan.stages()->size()) {
    for (uint32_t s = 0; s < of_stage_.size(); ++s) {
      verify::Budget budget;
      const verify::StageView stage(plan, s, &budget);
      for (const plan::Weight& weight : stage.weights) {
        for (const plan::WeightSource& source : stage.sources.subspan(weight.source_begin(), weight.source_count())) {
          const std::string_view tensor = stage.Name(source.name());
          of_stage_[s][tensor].push_back(&source);
          definitions_[tensor] = {source.tensor_rows(), source.tensor_columns(), source.dtype()};
          weights_[tensor].insert(stage.Name(weight.name()));
          ++source_count_;
        }
      }
    }
  }

  uint64_t PartCount() const {
    std::vector<uint64_t> of_stage;
    for (const auto& tensors : of_stage_) {
      uint64_t count = 0;
      for (const auto& [name, sources] : tensors) count += sources.size();
      of_stage.push_back(count);
    }
    uint64_t parts = 0;
    for (const plan::Rank& rank : ranks_) parts += rank.stage() < of_stage.size() ? of_stage[rank.stage()] : 0;
    return parts;
  }

  // That read of each tensor.
  std::map<std::string_view, uint64_t> RankCounts() const {
    std::vector<uint64_t> of_stage(of_stage_.size());
    for (const plan::Rank& rank : ranks_) {
      if (rank.stage() < of_stage.size()) ++of_stage[rank.stage()];
    }
    std::map<std::string_view, uint64_t> counts;
    for (size_t stage = 0; stage < of_stage.size(); ++stage) {
      for (const auto& [name, sources] : of_stage_[stage]) counts[name] += of_stage[stage];
    }
    return counts;
  }

  uint32_t rank_count() const { return static_cast<uint32_t>(ranks_.size()); }
  const std::map<std::string_view, Definition>& definitions() const { return definitions_; }
  const std::map<std::string_view, std::set<std::string_view>>& weights() const { return weights_; }

  // The tensors that a rank reads of; none where there is no such rank.
  const std::map<std::string_view, std::vector<const plan::WeightSource*>>& TensorsOf(uint32_t rank) const {
    static const std::map<std::string_view, std::vector<const plan::WeightSource*>> kNone;
    return rank < ranks_.size() ? of_stage_[ranks_[rank].stage()] : kNone;
  }
  Parts PartsOf(uint32_t rank, std::string_view tensor) const {
    Parts parts;
    const auto& tensors = TensorsOf(rank);
    if (const auto found = tensors.find(tensor); found != tensors.end()) {
      for (const plan::WeightSource* source : found->second) parts.push_back(PartOf(*source, ranks_[rank]));
    }
    return parts;
  }

 private:
  std::span<const plan::Rank> ranks_;
  std::vector<std::map<std::string_view, std::vector<const plan::WeightSource*>>> of_stage_;
  std::map<std::string_view, Definition> definitions_;
  std::map<std::string_view, std::set<std::string_view>> weights_;
  uint64_t source_count_ = 0;
};

uint64_t AreaOfBoth(Parts parts, const Parts& others) {
  parts.insert(parts.end(), others.begin(), others.end());
  return UnionArea(std::move(parts));
}

void AddTo(Parts* all, const Parts& parts) {
  for (const Rectangle& part : parts) {
    if (!part.empty()) all->push_back(part);
  }
}

}  // namespace

// Added is what lies in the union of both and not in A: |A u B| - |A|. Of that, |all of A u B| - |all of A| was held by
// no rank of A, and the rest moves.
MovedBytes MovedBetween(const plan::Plan& a, const plan::Plan& b) {
  const Holdings of_a(a), of_b(b);
  MovedBytes out;
  uint64_t parts_looked_at = verify::SatAdd(of_a.PartCount(), of_b.PartCount());
  if (parts_looked_at > kMaxParts) {
    out.computed = false;
    return out;
  }
  std::map<std::string_view, Parts> held_by_all;
  for (uint32_t rank = 0; rank < of_a.rank_count(); ++rank) {
    for (const auto& [tensor, sources] : of_a.TensorsOf(rank)) AddTo(&held_by_all[tensor], of_a.PartsOf(rank, tensor));
  }
  std::map<std::string_view, uint64_t> area_of_all;
  for (auto& [tensor, parts] : held_by_all) {
    std::ranges::sort(parts);
    parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
    area_of_all[tensor] = UnionArea(parts);
  }
  for (const auto& [name, ranks] : of_b.RankCounts()) {
    const auto held = held_by_all.find(name);
    const Definition& definition = of_b.definitions().at(name);
    if (held == held_by_all.end() || area_of_all[name] == definition.rows * definition.columns) continue;
    parts_looked_at = verify::SatAdd(parts_looked_at, verify::SatMul(ranks, held->second.size()));
  }
  if (parts_looked_at > kMaxParts) {
    out.computed = false;
    return out;
  }

  std::map<std::string_view, TensorBytes> tensors;
  for (uint32_t rank = 0; rank < std::max(of_a.rank_count(), of_b.rank_count()); ++rank) {
    RankBytes of_rank{.rank = rank};
    const auto compare = [&](std::string_view name, const Definition* in_a, const Definition* in_b) {
      const bool same = in_a != nullptr && in_b != nullptr && *in_a == *in_b;
      const Parts parts_a = of_a.PartsOf(rank, name), parts_b = of_b.PartsOf(rank, name);
      const uint64_t width_a = in_a == nullptr ? 0 : ByteSize(in_a->dtype);
      const uint64_t width_b = in_b == nullptr ? 0 : ByteSize(in_b->dtype);
      const uint64_t area_a = UnionArea(parts_a), area_b = UnionArea(parts_b);
      const uint64_t both = same ? AreaOfBoth(parts_a, parts_b) : area_a + area_b;
      const uint64_t added = (both - area_a) * width_b, dropped = (both - area_b) * width_a;
      uint64_t moved = 0;
      if (added > 0 && same) {
        const bool whole = area_of_all[name] == in_b->rows * in_b->columns;
        const uint64_t fresh = whole ? 0 : AreaOfBoth(held_by_all[name], parts_b) - area_of_all[name];
        moved = added - fresh * width_b;
      }
      of_rank.before += area_a * width_a;
      of_rank.after += area_b * width_b;
      of_rank.added += added;
      of_rank.dropped += dropped;
      of_rank.moved += moved;
      if (added == 0 && dropped == 0) return;
      TensorBytes& tensor = tensors[name];
      tensor.redefined = in_a != nullptr && in_b != nullptr && !same;
      tensor.added += added;
      tensor.dropped += dropped;
      tensor.ranks.push_back({rank, added, dropped});
    };
    const auto definition = [](const Holdings& of, std::string_view name) -> const Definition* {
      const auto found = of.definitions().find(name);
      return found == of.definitions().end() ? nullptr : &found->second;
    };
    for (const auto& [name, sources] : of_a.TensorsOf(rank)) {
      compare(name, definition(of_a, name), definition(of_b, name));
    }
    for (const auto& [name, sources] : of_b.TensorsOf(rank)) {
      if (of_a.TensorsOf(rank).contains(name)) continue;
      compare(name, definition(of_a, name), definition(of_b, name));
    }
    out.added += of_rank.added;
    out.dropped += of_rank.dropped;
    out.moved += of_rank.moved;
    out.ranks.push_back(of_rank);
  }
  for (auto& [name, tensor] : tensors) {
    tensor.name = name;
    const auto& weights = of_b.weights().contains(name) ? of_b.weights() : of_a.weights();
    for (const std::string_view weight : weights.at(name)) tensor.weights.emplace_back(weight);
    out.tensors.push_back(std::move(tensor));
  }
  std::ranges::stable_sort(out.tensors, [](const TensorBytes& x, const TensorBytes& y) {
    return std::tie(y.added, y.dropped, x.name) < std::tie(x.added, x.dropped, y.name);
  });
  return out;
}

}  // namespace mrs::diff
