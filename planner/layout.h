// Where a model runs: how many ranks lie along each axis, which layers each stage has and on which device, and the
// batch sizes that memory is planned for. The front decides it from flags and from what each layer reads; legality.h
// says whether a model may have it.
//
//   DecideLayout({.tp = 2, .device_layers = "0:3;1:1", .max_seqs = 16}, {.layers = {9, 9, 9, 9}})
//     ->  mesh {tp 2, stage 2}; stages [0, 3) on device 0 (ranks 0, 1), [3, 4) on device 1 (ranks 2, 3)
//
// Without a cluster the devices are this host's CPU ranks, or their groups of `tp`: as many as the layout has stages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/mesh.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

struct LayoutStage {
  int64_t layer_begin = 0;
  int64_t layer_end = 0;  // past its last layer
  int64_t device = 0;     // ordinal
  bool operator==(const LayoutStage&) const = default;
};

// What the largest batch has where nothing else is said: attention's segment, past which products by FMA chains, a
// CPU's and exact ones, gain nothing.
inline constexpr int64_t kBatchedTokens = 512;

struct Layout {
  ir::Mesh mesh;                        // mesh.stage is the number of stages
  std::vector<LayoutStage> stages;      // in the order of the layers
  std::vector<ir::BucketSize> buckets;  // of growing token counts
};

struct LayoutFlags {
  int64_t tp = 1;
  int64_t pp = 0;                  // stages that read about equally much for a token; 0: not said
  std::string device_layers = {};  // "0:16;1:16": device ordinal : layers; "": not said
  int64_t max_seqs = 1;
  int64_t max_batched_tokens = 0;  // of the largest batch; 0: kBatchedTokens, and no less than max_seqs
  int64_t device_count = 0;        // that a map may name, groups of tp; 0: as many as it has stages
};

// The layout that the flags ask for. Errors name the flag, and are of what it says alone: pp and device_layers at once,
// text that is no map, a stage without layers, layers that are not the model's, devices that are unknown or stand
// twice.
Result<Layout> DecideLayout(const LayoutFlags& flags, const TokenReads& reads);

// "0:16;1:16", from which DecideLayout makes the same stages.
std::string DeviceLayers(const Layout& layout);

// What is legal and yet unwise: an order of stages that leaves a node and returns to it. `node_of_device[d]`: where
// device d is; devices past its end are on node 0.
std::vector<std::string> LayoutWarnings(const Layout& layout, const std::vector<int64_t>& node_of_device);

}  // namespace mrs
