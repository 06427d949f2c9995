// One forward as a timeline: which steps come after which, and how long each is drawn.
//
//   stage 0: [before the layers: embed, all_reduce] [layer 0: rms_norm, matmul, ...] [layer 1] ... [send]
//
// Layers that do the same are drawn once: FoldSegments gives every distinct run of steps with the layers it stands for.
// Lengths are bytes that a step moves (facts.h): a plan says no time of a single step.
#pragma once

#include <cstdint>
#include <vector>

#include "plans/html/facts.h"

namespace mrs::html {

// Steps [begin, end) of a stage that belong to one layer, or to none.
struct Segment {
  uint32_t stage = 0;
  int32_t layer = -1;
  uint32_t begin = 0, end = 0;
  uint64_t bytes = 0;
};

// All steps of a stage, in order, each in one segment. Steps of no layer between two of one layer are that layer's.
std::vector<Segment> SegmentsOf(const StageFacts& stage);

// Segments whose steps have the same operations, variants and bytes, in this order.
struct FoldedSegment {
  Segment first = {};
  std::vector<Segment> all = {};  // `first` among them
  uint64_t bytes = 0;             // of one
};
std::vector<FoldedSegment> FoldSegments(const PageFacts& facts);

// "layers 0–3, 5", "stage 2, before its layers", "stages 0–2, after their layers"
std::string SegmentLabel(const PageFacts& facts, const FoldedSegment& folded);

// Lengths of the segment's steps as shares of `scale_bytes`, none below `least`, together at most 1.
std::vector<double> StepShares(const StageFacts& stage, const Segment& segment, uint64_t scale_bytes, double least);

// A piece of a stage's lane: steps of one kind in a row, of one layer.
struct LanePiece {
  StepKind kind = StepKind::kCompute;
  int32_t layer = -1;
  double begin = 0, end = 0;  // shares of the whole forward
};

// One lane a stage, for the variant `candidates`: a stage begins where the one before it ends. Pieces narrower than
// 1/10,000 of the forward are joined to those before them; 20,000 pieces and one for each lane are the most there are.
std::vector<std::vector<LanePiece>> LanesOf(const PageFacts& facts);

// "0–3, 5, 7–9" of ascending numbers.
std::string Ranges(const std::vector<uint32_t>& numbers);

}  // namespace mrs::html
