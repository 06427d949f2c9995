// Cuts a model's layers into stages for devices of unlike memory: of all cuts into runs of layers, one whose fullest
// device is the least full, and among those the most even.
//
//   CutByMemory(9 layers alike, {48 GB, 24 GB})        ->  {6, 3}
//   CutByMemory(4 layers alike, {80 GB, 80 GB, 1 GB})  ->  {2, 2, 0}: the last cannot hold one
//
// How full a device is: what its rank takes (rank_needs.h, with the KV cache of one sequence) by what it may use.
#pragma once

#include <cstdint>
#include <vector>

#include "planner/model_spec.h"
#include "planner/rank_needs.h"

namespace mrs {

// Layers of each device, which follow each other in the order of the devices; 0: it is left out, as it is only where
// there are more devices than layers (each has one then), or where nothing fits with all of them and something does
// without. `of.layout` says tp and batches; `usable_bytes`, one or more, is what a rank of each device may use.
std::vector<int64_t> CutByMemory(const ModelSpec& spec, const NeedsOf& of, const std::vector<int64_t>& usable_bytes);

}  // namespace mrs
