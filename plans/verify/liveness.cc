// A value is defined once, before it is read, and its bytes are overwritten only after everyone has read them: in every
// variant and every bucket, whatever overlap the dependencies allow. Steps of one launch read and write at once.
#include <iterator>
#include <map>
#include <vector>

#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::OpKind;
using plan::RefSpace;
using plan::Variant;

constexpr uint32_t kNever = UINT32_MAX;
constexpr uint32_t kStart = UINT32_MAX - 1;  // written by the executor before the first step

// Who writes each buffer, and who reads it.
struct Uses {
  std::vector<uint32_t> definer;       // step, kStart or kNever
  std::vector<uint32_t> reader_begin;  // readers of b: readers[reader_begin[b], reader_begin[b + 1]), ascending
  std::vector<uint32_t> readers;

  std::span<const uint32_t> Readers(uint32_t buffer) const {
    return std::span(readers).subspan(reader_begin[buffer], reader_begin[buffer + 1] - reader_begin[buffer]);
  }
};

Status CollectDefinitions(const StageView& stage, Uses* uses) {
  uses->definer.assign(stage.buffers.size(), kNever);
  for (uint32_t b = 0; b < stage.buffers.size(); ++b) {
    if (stage.buffers[b].input()) uses->definer[b] = kStart;
  }
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    for (const plan::Ref& result : stage.Results(stage.steps[i])) {
      uint32_t& definer = uses->definer[result.index()];
      if (definer == kStart) return stage.AtStep(i, "writes the input '{}'", stage.BufferName(result.index()));
      if (definer != kNever) {
        return stage.AtStep(i, "writes '{}', which {} wrote", stage.BufferName(result.index()),
                            stage.StepLabel(definer));
      }
      definer = i;
    }
  }
  for (uint32_t b = 0; b < stage.buffers.size(); ++b) {
    if (uses->definer[b] == kNever) return stage.AtBuffer(b, "no step writes it");
  }
  return Status();
}

void CollectReaders(const StageView& stage, Uses* uses) {
  uses->reader_begin.assign(stage.buffers.size() + 1, 0);
  const auto for_each_read = [&](auto visit) {
    for (uint32_t i = 0; i < stage.steps.size(); ++i) {
      for (const plan::Ref& operand : stage.Operands(stage.steps[i])) {
        if (operand.space() == RefSpace::buffer) visit(operand.index(), i);
      }
    }
  };
  for_each_read([&](uint32_t buffer, uint32_t) { ++uses->reader_begin[buffer + 1]; });
  for (size_t b = 0; b < stage.buffers.size(); ++b) uses->reader_begin[b + 1] += uses->reader_begin[b];
  uses->readers.resize(uses->reader_begin.back());
  std::vector<uint32_t> next(uses->reader_begin.begin(), uses->reader_begin.end() - 1);
  for_each_read([&](uint32_t buffer, uint32_t step) { uses->readers[next[buffer]++] = step; });
}

Status CheckDefinedBeforeUse(const StageView& stage, const Order& order, const Uses& uses) {
  for (uint32_t b = 0; b < stage.buffers.size(); ++b) {
    const uint32_t definer = uses.definer[b];
    if (definer == kStart) continue;
    const Variant variant = stage.steps[definer].variant();
    for (const uint32_t reader : uses.Readers(b)) {
      if (reader <= definer) {
        return stage.AtStep(reader, "reads '{}' before {} writes it", stage.BufferName(b), stage.StepLabel(definer));
      }
      if (variant != Variant::always && stage.steps[reader].variant() != variant) {
        return stage.AtStep(reader, "reads '{}', but {} does not run whenever it does", stage.BufferName(b),
                            stage.StepLabel(definer));
      }
      if (!order.Before(definer, reader)) {
        return stage.AtStep(reader, "reads '{}', but its dependencies do not wait for {}", stage.BufferName(b),
                            stage.StepLabel(definer));
      }
    }
  }
  return Status();
}

// The arena of one bucket in one variant, in program order: who owns which bytes.
class Arena {
 public:
  Arena(const StageView& stage, const Order& order, const Uses& uses, size_t bucket, Variant variant)
      : stage_(stage), order_(order), uses_(uses), bucket_(bucket), variant_(variant) {}

  Status Run() {
    for (uint32_t b = 0; b < stage_.buffers.size(); ++b) {
      if (stage_.buffers[b].input()) MRS_RETURN_IF_ERROR(Define(b, kStart));
    }
    for (uint32_t i = 0; i < stage_.steps.size(); ++i) {
      if (!RunsIn(stage_.steps[i], variant_)) continue;
      for (const plan::Ref& result : stage_.Results(stage_.steps[i])) {
        MRS_RETURN_IF_ERROR(Define(result.index(), i));
      }
    }
    return Status();
  }

 private:
  struct Owner {
    uint64_t end;
    uint32_t buffer;
  };

  uint64_t Begin(uint32_t buffer) const { return stage_.placements[bucket_ * stage_.buffers.size() + buffer]; }
  uint64_t End(uint32_t buffer) const {
    return Begin(buffer) + stage_.BufferBytes(stage_.buckets[bucket_], stage_.buffers[buffer]);
  }

  // `buffer` takes its bytes from whoever owned them, each of whom must be done with.
  Status Define(uint32_t buffer, uint32_t step) {
    const uint64_t begin = Begin(buffer);
    const uint64_t end = End(buffer);
    auto it = owners_.upper_bound(begin);
    if (it != owners_.begin() && std::prev(it)->second.end > begin) --it;
    while (it != owners_.end() && it->first < end) {
      const uint64_t old_begin = it->first;
      const Owner old = it->second;
      MRS_RETURN_IF_ERROR(CheckDone(old.buffer, buffer, step));
      it = owners_.erase(it);
      if (old_begin < begin) owners_.emplace_hint(it, old_begin, Owner{begin, old.buffer});
      if (old.end > end) it = owners_.emplace_hint(it, end, Owner{old.end, old.buffer});
    }
    owners_.emplace_hint(it, begin, Owner{end, buffer});
    return Status();
  }

  Status CheckDone(uint32_t old, uint32_t fresh, uint32_t step) {
    if (!stage_.budget.Spend(1 + uses_.Readers(old).size())) return Budget::Exhausted("which buffers overlap");
    const uint32_t definer = uses_.definer[old];
    if (definer == step || (definer != kStart && !IsOver(definer, step))) return Overlap(old, fresh, step, definer);
    for (const uint32_t reader : uses_.Readers(old)) {
      if (!RunsIn(stage_.steps[reader], variant_)) continue;
      if (reader == step ? !MayBeInPlace(old, fresh, step) : !IsOver(reader, step)) {
        return Overlap(old, fresh, step, reader);
      }
    }
    return Status();
  }

  bool IsOver(uint32_t earlier, uint32_t step) const {
    return order_.Before(earlier, step) && stage_.LaunchOf(earlier) != stage_.LaunchOf(step);
  }

  // The kernels of these operations read each element before they write it, and nothing else.
  bool MayBeInPlace(uint32_t old, uint32_t fresh, uint32_t step) const {
    const OpKind op = stage_.steps[step].op();
    // Of an add with its norm the sum, the norm's row not.
    const bool sums = op == OpKind::add || op == OpKind::add_bias || op == OpKind::all_reduce ||
                      (op == OpKind::add_rms_norm && stage_.Results(stage_.steps[step])[0].index() == fresh);
    return sums && Begin(old) == Begin(fresh) && End(old) == End(fresh);
  }

  Error Overlap(uint32_t old, uint32_t fresh, uint32_t step, uint32_t user) const {
    const std::string mine = fmt::format("'{}' [{}, {})", stage_.BufferName(fresh), Begin(fresh), End(fresh));
    const std::string other = fmt::format("'{}' [{}, {})", stage_.BufferName(old), Begin(old), End(old));
    const uint32_t tokens = stage_.buckets[bucket_].tokens();
    if (step == kStart)
      return Refuse("stage {}: bucket {}: inputs {} and {} overlap", stage_.index, tokens, mine, other);
    return stage_.AtStep(step, "bucket {}: its result {} overlaps {}, which {} may still be using", tokens, mine, other,
                         user == step ? "the same step" : stage_.StepLabel(user));
  }

  const StageView& stage_;
  const Order& order_;
  const Uses& uses_;
  size_t bucket_;
  Variant variant_;
  std::map<uint64_t, Owner> owners_;  // by begin, disjoint
};

}  // namespace

Status CheckLiveness(const StageView& stage, const Order& order) {
  Uses uses;
  MRS_RETURN_IF_ERROR(CollectDefinitions(stage, &uses));
  CollectReaders(stage, &uses);
  MRS_RETURN_IF_ERROR(CheckDefinedBeforeUse(stage, order, uses));
  for (size_t bucket = 0; bucket < stage.buckets.size(); ++bucket) {
    for (const Variant variant : kVariants) {
      MRS_RETURN_IF_ERROR(Arena(stage, order, uses, bucket, variant).Run());
    }
  }
  return Status();
}

}  // namespace mrs::verify
