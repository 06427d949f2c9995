// What the stages of a plan have in common, and what goes from each to the next: the other side takes exactly what one
// side sends, in the same order, and no stage but the last has an answer.
#include <map>
#include <vector>

#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::OpKind;

std::string Describe(const plan::Transfer& transfer) {
  return fmt::format("{} [{}, {}]", plan::EnumNameDType(transfer.dtype()), plan::EnumNameRows(transfer.rows()),
                     transfer.row_elements());
}

// The stage's transfers of one kind, in the order of its program.
std::vector<const plan::Transfer*> TransfersOf(const plan::Stage& stage, OpKind kind) {
  std::vector<const plan::Transfer*> transfers;
  for (const plan::Step* step : *stage.steps()) {
    if (step->op() == kind) transfers.push_back(stage.transfers()->Get(step->attr()));
  }
  return transfers;
}

// One batch is for all stages, and so is a sequence's table of KV blocks.
Status CheckAgreement(const plan::Plan& plan) {
  const auto& first = View(plan.stages()->Get(0)->buckets());
  std::map<uint64_t, std::pair<uint64_t, uint32_t>> blocks;  // by window: how many, and in which stage first
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const auto buckets = View(plan.stages()->Get(s)->buckets());
    if (buckets.size() != first.size()) {
      return Refuse("stage {}: has {} buckets, stage 0 has {}", s, buckets.size(), first.size());
    }
    for (size_t i = 0; i < buckets.size(); ++i) {
      if (buckets[i].tokens() == first[i].tokens() && buckets[i].sequences() == first[i].sequences() &&
          buckets[i].logit_rows() == first[i].logit_rows()) {
        continue;
      }
      return Refuse("stage {} bucket {}: ({} tokens, {} sequences, {} logit rows), that of stage 0 is ({}, {}, {})", s,
                    i, buckets[i].tokens(), buckets[i].sequences(), buckets[i].logit_rows(), first[i].tokens(),
                    first[i].sequences(), first[i].logit_rows());
    }
    for (const plan::KvClass* cache : *plan.stages()->Get(s)->kv_classes()) {
      const auto [found, added] = blocks.try_emplace(cache->window(), cache->block_count(), s);
      if (found->second.first == cache->block_count()) continue;
      return Refuse("stage {}: {} KV blocks for window {}, stage {} has {}; one block table is good for all", s,
                    cache->block_count(), cache->window(), found->second.second, found->second.first);
    }
  }
  return Status();
}

// The k-th send of stage `s` against the k-th receive of the next.
Status CheckBorder(const plan::Plan& plan, uint32_t s) {
  const auto sends = TransfersOf(*plan.stages()->Get(s), OpKind::send);
  const auto receives = TransfersOf(*plan.stages()->Get(s + 1), OpKind::recv);
  if (sends.size() != receives.size()) {
    return Refuse("stage {} sends {} values, but stage {} receives {}", s, sends.size(), s + 1, receives.size());
  }
  if (sends.empty()) return Refuse("stage {}: sends nothing, and only the last stage answers", s);
  for (size_t i = 0; i < sends.size(); ++i) {
    if (Describe(*sends[i]) == Describe(*receives[i])) continue;
    return Refuse("stage {} sends {} as transfer {}, but stage {} receives {}", s, Describe(*sends[i]), i, s + 1,
                  Describe(*receives[i]));
  }
  return Status();
}

}  // namespace

Status CheckTransfers(const StageView& stage, const Order& order) {
  constexpr uint32_t kNoStep = UINT32_MAX;
  std::vector<uint32_t> user(stage.transfers.size(), kNoStep);
  std::map<OpKind, std::pair<uint32_t, uint32_t>> last;  // of each kind: how many there were, and the last one's step
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    const plan::Step& step = stage.steps[i];
    const bool sends = step.op() == OpKind::send;
    if (!sends && step.op() != OpKind::recv) continue;
    const plan::Transfer& transfer = stage.transfers[step.attr()];
    if (user[step.attr()] != kNoStep) {
      return stage.AtStep(i, "uses transfer {}, which is {}'s", step.attr(), stage.StepLabel(user[step.attr()]));
    }
    user[step.attr()] = i;
    if (step.variant() != plan::Variant::always) {
      return stage.AtStep(i, "runs only in {}; stages do not know of each other's variants",
                          plan::EnumNameVariant(step.variant()));
    }
    const uint32_t stages = stage.plan.stages()->size();
    if (sends ? stage.index + 1 == stages : stage.index == 0) {
      return stage.AtStep(i, "{} stage {}, which is the {} one", sends ? "sends past" : "receives before", stage.index,
                          sends ? "last" : "first");
    }
    const uint32_t peer = sends ? stage.index + 1 : stage.index - 1;
    if (transfer.peer_stage() != peer) {
      return stage.AtStep(i, "{} stage {}, expected its neighbour {}", sends ? "sends to" : "receives from",
                          transfer.peer_stage(), peer);
    }
    const auto found = last.find(step.op());
    const uint32_t count = found == last.end() ? 0 : found->second.first;
    if (transfer.order() != count) {
      return stage.AtStep(i, "is transfer {} between the two stages, expected {}", transfer.order(), count);
    }
    if (count > 0 && !order.Before(found->second.second, i)) {
      return stage.AtStep(i, "does not wait for {}, the transfer before it: they could pass each other",
                          stage.StepLabel(found->second.second));
    }
    last[step.op()] = {count + 1, i};
  }
  for (size_t entry = 0; entry < user.size(); ++entry) {
    if (user[entry] == kNoStep) return Refuse("stage {}: no step carries out transfer {}", stage.index, entry);
  }
  return Status();
}

Status CheckStagesTogether(const plan::Plan& plan) {
  MRS_RETURN_IF_ERROR(CheckAgreement(plan));
  for (uint32_t s = 0; s + 1 < plan.stages()->size(); ++s) MRS_RETURN_IF_ERROR(CheckBorder(plan, s));
  return Status();
}

}  // namespace mrs::verify
