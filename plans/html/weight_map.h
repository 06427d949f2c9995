// The treemap of a rank's weights: stages, in them layers, in them weights; areas are bytes.
//
//   WeightMapOf(facts, 1000, 600)   // {"stage 0"}, {"3", layer 3}, {"q_proj", its rectangle, role attention}, ...
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plans/html/facts.h"
#include "plans/html/treemap.h"

namespace mrs::html {

struct MapBox {
  enum class Kind : uint8_t { kStage, kLayer, kWeight } kind = Kind::kWeight;
  std::string label;                    // short; of a weight: text from outside
  const WeightFacts* weight = nullptr;  // of a weight
  uint64_t bytes = 0;
  Rect at = {};
};

// Boxes before those in them. Past 6,000 weights layers are the smallest boxes.
inline constexpr size_t kMaxWeightBoxes = 6000;
std::vector<MapBox> WeightMapOf(const PageFacts& facts, double width, double height);

}  // namespace mrs::html
