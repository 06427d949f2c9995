#include "plans/html/cluster_layout.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace mrs::html {
namespace {

constexpr size_t kAcross = 8;  // ranks beside each other at most: a number still fits on the narrowest screen
constexpr double kHead = 20, kChip = 22, kGap = 4;

// Frames in rows of at most kAcross; the fewer there are, the more ranks stand beside each other in each.
void Place(NodeDrawing* node) {
  const size_t columns = std::min(node->frames.size(), kAcross);
  const size_t chips_across = std::max<size_t>(1, kAcross / columns);
  const double width = (1 - kFrameGap * static_cast<double>(columns - 1)) / static_cast<double>(columns);
  double y = 1;
  for (size_t begin = 0; begin < node->frames.size(); begin += columns) {
    const size_t end = std::min(begin + columns, node->frames.size());
    size_t rows = 1;
    for (size_t i = begin; i < end; ++i) {
      rows = std::max(rows, (node->frames[i].chips.size() + chips_across - 1) / chips_across);
    }
    const double height = kHead + static_cast<double>(rows) * (kChip + kGap) + kGap;
    for (size_t i = begin; i < end; ++i) {
      Frame& frame = node->frames[i];
      frame.at = {static_cast<double>(i - begin) * (width + kFrameGap), y, width, height};
      frame.followed =
          i + 1 < end && node->frames[i + 1].stage == frame.stage + 1 && node->frames[i + 1].replica == frame.replica;
      const size_t across = std::min(chips_across, frame.chips.size());
      const double inset = 0.006;
      const double step = (width - inset) / static_cast<double>(across);
      for (size_t c = 0; c < frame.chips.size(); ++c) {
        frame.chips[c].at = {frame.at.x + inset + static_cast<double>(c % across) * step,
                             y + kHead + static_cast<double>(c / across) * (kChip + kGap), step - inset, kChip};
      }
    }
    y += height + 2 * kGap;
  }
  node->height = y - kGap;
}

}  // namespace

ClusterDrawing DrawCluster(const PageFacts& facts) {
  ClusterDrawing drawing;
  // By node, replica and stage, each group in tp order.
  std::vector<const RankFacts*> order;
  for (const RankFacts& rank : facts.ranks) order.push_back(&rank);
  std::ranges::stable_sort(order, {}, [](const RankFacts* rank) {
    return std::tuple(rank->at.node(), rank->at.dp(), rank->at.stage(), rank->at.ep(), rank->at.tp());
  });
  if (order.size() > kMaxChips) {
    drawing.ranks_left_out = order.size() - kMaxChips;
    order.resize(kMaxChips);
  }
  for (const RankFacts* rank : order) {
    if (drawing.nodes.empty() || drawing.nodes.back().node != rank->at.node()) {
      drawing.nodes.push_back({.node = rank->at.node(), .frames = {}});
    }
    NodeDrawing& node = drawing.nodes.back();
    if (node.frames.empty() || node.frames.back().stage != rank->at.stage() ||
        node.frames.back().replica != rank->at.dp()) {
      node.frames.push_back({.stage = rank->at.stage(), .replica = rank->at.dp(), .at = {}, .chips = {}});
    }
    node.frames.back().chips.push_back({.rank = rank->rank, .at = {}});
    ++node.rank_count;
  }
  for (NodeDrawing& node : drawing.nodes) Place(&node);
  return drawing;
}

}  // namespace mrs::html
