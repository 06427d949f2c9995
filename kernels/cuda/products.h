// What kernels of products share: which of a group's products a block has, and what gates one by another.
//
//   const BlockPart at = PartOf(launch.placed, blockIdx.x);   // in a kernel, of blocks that PlaceParts has counted
//   const void* const w = Chosen(launch.placed, at.part).w;
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/fused.h"

namespace mrs::kernels::cuda {

// A group's parts, one after the other over the blocks of a launch: no block has outputs of two. Of a gated product
// both parts lie over the same blocks, each of which has half of its outputs of either.
// (Without padding, as the emulator reads addresses among a launch's arguments; likewise Epilogue.)
struct PlacedParts {
  MatmulPart parts[kMostParts];
  unsigned first_blocks[kMostParts + 1];  // 2^32 - 1: there is none
};
// Counts the blocks into `blocks`, of which each has so many outputs.
inline PlacedParts PlaceParts(const MatmulGroupArgs& group, int64_t outputs, bool is_gated, int64_t* blocks) {
  PlacedParts placed{};
  *blocks = 0;
  placed.first_blocks[kMostParts] = ~0u;
  for (int p = 0; p < kMostParts; ++p) {
    if (p < group.count) placed.parts[p] = group.parts[p];
    const bool begins = p < group.count && !(is_gated && p > 0);
    placed.first_blocks[p] = begins ? unsigned(*blocks) : ~0u;
    if (begins) *blocks += Blocks(group.parts[p].n, is_gated ? outputs / 2 : outputs);
  }
  return placed;
}
// Outputs of all parts together.
inline int64_t ColumnsOf(const MatmulGroupArgs& group) {
  int64_t n = 0;
  for (int p = 0; p < group.count; ++p) n += group.parts[p].n;
  return n;
}

static_assert(sizeof(PlacedParts) == kMostParts * sizeof(MatmulPart) + (kMostParts + 1) * sizeof(unsigned));
// What becomes of a group's products.
struct Epilogue {
  void* y = nullptr;  // [rows, n] of a gated product
  Type out = Type::kF32;
  Activation activation = Activation::kSilu;
  bool is_gated = false;  // else each is its own y
  uint8_t unused[5] = {};
};
inline Epilogue EpilogueOf(const GatedMatmulArgs& args) { return {args.y, args.out, args.activation, true}; }

struct BlockPart {
  int part;        // of a gated product 0
  unsigned block;  // among the part's
};
static __device__ inline BlockPart PartOf(const PlacedParts& placed, unsigned block) {
  BlockPart at = {0, block};
#pragma unroll
  for (int p = 1; p < kMostParts; ++p) {
    if (block >= placed.first_blocks[p]) at = {p, block - placed.first_blocks[p]};
  }
  return at;
}
// From a kernel's arguments, where it is needed: kept, it takes ten registers.
static __device__ inline MatmulPart Chosen(const PlacedParts& placed, int part) {
  MatmulPart chosen = placed.parts[0];
#pragma unroll
  for (int p = 1; p < kMostParts; ++p) {
    if (part == p) chosen = placed.parts[p];
  }
  return chosen;
}

static __device__ inline float Gated(Activation activation, float gate, float up) {
  if (activation == Activation::kSilu) return gate / (1.0f + math::Exp(-gate)) * up;
  const float bent = activation == Activation::kGeluTanh
                         ? math::Tanh(kRootTwoOverPi * __fmaf_rn(kGeluCubic, (gate * gate) * gate, gate))
                         : math::Erf(gate * kRootHalf);
  return (0.5f * gate) * (1.0f + bent) * up;
}

}  // namespace mrs::kernels::cuda
