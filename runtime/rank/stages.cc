#include "runtime/rank/stages.h"

#include "plans/status.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {

namespace {

uint32_t RankAt(const plan::Plan& plan, uint32_t tp, uint32_t ep, uint32_t stage, uint32_t dp) {
  for (uint32_t i = 0; i < plan.ranks()->size(); ++i) {
    const plan::Rank& rank = *plan.ranks()->Get(i);
    if (rank.tp() == tp && rank.ep() == ep && rank.stage() == stage && rank.dp() == dp) return i;
  }
  MRS_CHECK(!"a stage without a rank of these coordinates");
  return 0;
}

}  // namespace

uint32_t PeerIn(const plan::Plan& plan, uint32_t rank, uint32_t stage) {
  const plan::Rank& own = *plan.ranks()->Get(rank);
  return RankAt(plan, own.tp(), own.ep(), stage, own.dp());
}

uint32_t AnsweringRank(const plan::Plan& plan) { return RankAt(plan, 0, 0, plan.stages()->size() - 1, 0); }

std::vector<int> TpGroupOf(const plan::Plan& plan, uint32_t rank) {
  const plan::Group& group = *plan.groups()->Get(StageOf(plan, rank).tp_group());
  std::vector<int> ranks;
  for (uint32_t i = 0; i < group.count(); ++i) ranks.push_back(static_cast<int>(group.first() + i * group.stride()));
  return ranks;
}

}  // namespace mrs
