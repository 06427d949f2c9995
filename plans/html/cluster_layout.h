// Where nodes, frames of groups and ranks are drawn.
//
//   8 stages of 8 ranks on one node  ->  a node with 8 frames beside each other, 8 ranks below each other in each
//   1 stage of 8 ranks               ->  a node with 1 frame, 8 ranks beside each other
//
// x and width are shares of the drawing's width, y and height pixels: it gets narrower with the page, and text does
// not.
#pragma once

#include <cstdint>
#include <vector>

#include "plans/html/facts.h"
#include "plans/html/treemap.h"

namespace mrs::html {

struct Chip {
  uint32_t rank = 0;
  Rect at = {};
};

// The ranks of one stage and replica on one node.
struct Frame {
  uint32_t stage = 0, replica = 0;
  bool followed = false;  // by the next stage, beside it
  Rect at = {};
  std::vector<Chip> chips = {};  // in tp order
};

struct NodeDrawing {
  uint32_t node = 0;
  uint64_t rank_count = 0;
  double height = 0;
  std::vector<Frame> frames = {};
};

struct ClusterDrawing {
  std::vector<NodeDrawing> nodes = {};
  uint64_t ranks_left_out = 0;  // past kMaxChips
};

inline constexpr uint64_t kMaxChips = 1024;
inline constexpr double kFrameGap = 0.012;  // between frames, as a share of the width

ClusterDrawing DrawCluster(const PageFacts& facts);

}  // namespace mrs::html
