#include "planner/layer_map.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

namespace mrs {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// Where a stage may end: of more layers, only each second one, or third. Models have a hundred, and the search takes
// the square.
constexpr int64_t kMostBorders = 1024;

// Layers repeat after so many: 1 where all are alike, 6 where five of a window come before one that sees all.
int64_t PeriodOf(const std::vector<LayerSpec>& layers) {
  const auto count = static_cast<int64_t>(layers.size());
  for (int64_t period = 1; period < count; ++period) {
    if (std::equal(layers.begin() + period, layers.end(), layers.begin())) return period;
  }
  return count;
}

// What a rank takes that has some run of layers, quickly: weights and KV are sums over the layers, and the rest is that
// of a stage of fewer periods, which has the same values at work. Judge() has the last word on whether a layout fits.
class RunNeeds {
 public:
  RunNeeds(const ModelSpec& spec, const NeedsOf& of)
      : spec_(spec),
        of_(of),
        count_(static_cast<int64_t>(spec.layers.size())),
        period_(PeriodOf(spec.layers)),
        sums_{0} {
    for (int64_t layer = 0; layer < count_; ++layer) {
      const int64_t alike = layer % period_;
      const double takes =
          layer < period_ ? InLayers(Exactly(layer, layer + 1, false, false)) : sums_[alike + 1] - sums_[alike];
      sums_.push_back(sums_.back() + takes);
    }
    const double of_first = InLayers(Exactly(0, 1, false, false));
    embedding_ = InLayers(Exactly(0, 1, true, false)) - of_first;
    head_ = InLayers(Exactly(0, 1, false, true)) - of_first;
    alone_ = static_cast<double>(Exactly(0, count_, true, true).Least());
  }

  int64_t layer_count() const { return count_; }

  // Bytes for layers [begin, end), not none.
  double Of(int64_t begin, int64_t end) {
    const bool first = begin == 0, last = end == count_;
    if (first && last) return alone_;
    return sums_[end] - sums_[begin] + (first ? embedding_ : 0) + (last ? head_ : 0) + Rest(begin, end, first, last);
  }

 private:
  RankNeed Exactly(int64_t begin, int64_t end, bool first, bool last) const {
    return NeedOfStage(spec_, of_, {begin, end, 0}, first, last);
  }
  static double InLayers(const RankNeed& need) {
    return static_cast<double>(need.weights) + static_cast<double>(need.sequence);
  }
  static double Beside(const RankNeed& need) {
    return static_cast<double>(need.Fixed()) - static_cast<double>(need.weights);
  }

  // Activations, and what a CUDA rank takes beside its arenas.
  double Rest(int64_t begin, int64_t end, bool first, bool last) {
    const int64_t length = end - begin;
    const int64_t shorter = length <= 3 * period_ ? length : 2 * period_ + 1 + (length - 1) % period_;
    const auto [found, is_new] = rest_.try_emplace({begin % period_, shorter, first, last});
    Beginning& of = found->second;
    if (is_new) {
      const int64_t from = begin % period_;
      of.bytes = Beside(Exactly(from, from + shorter, first, last));
      if (shorter > 2 * period_) of.of_period = of.bytes - Beside(Exactly(from, from + shorter - period_, first, last));
    }
    return of.bytes + static_cast<double>((length - shorter) / period_) * of.of_period;
  }

  struct Beginning {
    double bytes = 0;
    double of_period = 0;  // that each period more adds: the steps of a graph
  };

  const ModelSpec& spec_;
  const NeedsOf& of_;
  const int64_t count_, period_;
  std::vector<double> sums_;  // of the layers before each
  double embedding_ = 0, head_ = 0, alone_ = 0;
  std::map<std::tuple<int64_t, int64_t, bool, bool>, Beginning> rest_;
};

// Which cuts there are to choose from.
struct Choice {
  bool skip = false;    // devices may be left out
  int64_t longest = 0;  // layers of a stage; 0: any
};

class Cutter {
 public:
  Cutter(RunNeeds& needs, const std::vector<int64_t>& usable_bytes, const Choice& choice)
      : needs_(needs), choice_(choice) {
    for (const int64_t bytes : usable_bytes) usable_.push_back(static_cast<double>(std::max<int64_t>(bytes, 1)));
    const int64_t step = (needs.layer_count() + kMostBorders - 1) / kMostBorders;
    for (int64_t layer = 0; layer < needs.layer_count(); layer += step) borders_.push_back(layer);
    borders_.push_back(needs.layer_count());
  }

  // How full the fullest device is at least; kNever: there is no such cut.
  double LeastFull() {
    return Search(kNever, [](double full, double others) { return std::max(full, others); });
  }

  // Of the cuts in which no device is fuller than `share`, that with the least sum of squared shares.
  std::vector<int64_t> Even(double share) {
    Search(share, [](double full, double others) { return full * full + others; });
    std::vector<int64_t> lengths;
    size_t begin = 0;
    for (const std::vector<uint32_t>& of_device : taken_) {
      const size_t end = begin + of_device[begin];
      lengths.push_back(borders_[end] - borders_[begin]);
      begin = end;
    }
    return lengths;
  }

 private:
  // From the last device to the first: the least value of a cut of all layers from each border on over this device and
  // those after it, where `join` is the value of a stage and of what follows it. A longer stage is fuller, but for the
  // one that ends with the last layer: that sends nothing on.
  template <typename Join>
  double Search(double share, const Join& join) {
    const size_t all = borders_.size() - 1;
    std::vector<double> after(all + 1, kNever);
    after[all] = 0;
    taken_.assign(usable_.size(), std::vector<uint32_t>(all + 1, 0));
    for (size_t d = usable_.size(); d-- > 0;) {
      std::vector<double> now = choice_.skip ? after : std::vector<double>(all + 1, kNever);
      for (size_t begin = 0; begin < all; ++begin) {
        const auto take = [&](size_t end) {
          const double full = needs_.Of(borders_[begin], borders_[end]) / usable_[d];
          if (full > share || join(full, 0) >= now[begin]) return false;
          const double value = join(full, after[end]);
          if (value < now[begin]) now[begin] = value, taken_[d][begin] = static_cast<uint32_t>(end - begin);
          return true;
        };
        const size_t most = choice_.longest > 0 ? begin + static_cast<size_t>(choice_.longest) : all;
        if (most >= all && after[all] == 0) take(all);
        for (size_t end = begin + 1; end < all && end <= most && take(end); ++end) continue;
      }
      after = std::move(now);
    }
    return after[0];
  }

  RunNeeds& needs_;
  std::vector<double> usable_;
  const Choice choice_;
  std::vector<int64_t> borders_;  // where a stage may begin or end
  std::vector<std::vector<uint32_t>> taken_;
};

}  // namespace

std::vector<int64_t> CutByMemory(const ModelSpec& spec, const NeedsOf& of, const std::vector<int64_t>& usable_bytes) {
  RunNeeds needs(spec, of);
  const bool too_many = std::cmp_greater(usable_bytes.size(), spec.layers.size());
  Cutter with_all(needs, usable_bytes, too_many ? Choice{.skip = true, .longest = 1} : Choice{});
  const double full = with_all.LeastFull();
  if (full <= 1) return with_all.Even(full);
  Cutter with_some(needs, usable_bytes, {.skip = true});
  const double without = with_some.LeastFull();
  return without <= 1 || full == kNever ? with_some.Even(without) : with_all.Even(full);
}

}  // namespace mrs
