// What kernels of products share: which of a group's products a block has, and of which outputs it makes pairs.
//
//   const BlockPart at = PartOf(launch.placed, blockIdx.x);   // in a kernel, of blocks that PlaceParts has counted
//   const void* const w = Chosen(launch.placed, at.part).w;
#pragma once

#include "kernels/cuda/epilogue.h"

namespace mrs::kernels::cuda {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue: of what no kernel is for

// A group's parts, one after the other over the blocks of a launch: no block has outputs of two. But gate's and up's
// lie over the same blocks.
// (Without padding, as the emulator reads addresses among a launch's arguments; likewise Epilogue.)
struct PlacedParts {
  MatmulPart parts[kMostParts];
  unsigned first_blocks[kMostParts + 1];  // 2^32 - 1: there is none
};
// Counts the blocks into `blocks`, of which each has so many outputs, or half as many pairs.
inline PlacedParts PlaceParts(const MatmulGroupArgs& group, const Epilogue& after, int64_t outputs, int64_t* blocks) {
  PlacedParts placed{};
  *blocks = 0;
  placed.first_blocks[kMostParts] = ~0u;
  for (int p = 0; p < kMostParts; ++p) {
    if (p < group.count) placed.parts[p] = group.parts[p];
    const bool begins = p < group.count && !(after.kind == After::kGated && p > 0);
    placed.first_blocks[p] = begins ? unsigned(*blocks) : ~0u;
    if (!begins) continue;
    *blocks +=
        IsPaired(after.kind) ? Blocks(group.parts[p].n >> after.shift, outputs / 2) : Blocks(group.parts[p].n, outputs);
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

// Where what the second outputs of a part's pairs are made of lies, by the number of the first.
struct SecondOutputs {
  const void* w;
  const float* bias;  // or null
};
// half_bytes: of the weights of as many outputs as a head has pairs.
template <After kAfter>
__device__ inline SecondOutputs SecondOf(const PlacedParts& placed, const Epilogue& after, int part,
                                         int64_t half_bytes) {
  if constexpr (kAfter == After::kGated) {
    return {placed.parts[1].w, placed.parts[1].bias};
  } else {
    const MatmulPart own = Chosen(placed, part);
    return {static_cast<const unsigned char*>(own.w) + half_bytes,
            own.bias == nullptr ? nullptr : own.bias + after.half};
  }
}

// What becomes of output or pair i of a row: of a pair `sums[1]` is the second's.
template <After kAfter>
__device__ inline void PutOutput(const PlacedParts& placed, const Epilogue& after, int part, int64_t row, int64_t i,
                                 const float (&sums)[2]) {
  const MatmulPart product = Chosen(placed, part);
  const int64_t first = FirstOutput<kAfter>(after.half, uint32_t(i));
  float y = sums[0];
  if (product.bias != nullptr) y = y + product.bias[first];
  if constexpr (kIsPaired<kAfter>) {
    float second = sums[1];
    const float* const second_bias = SecondOf<kAfter>(placed, after, part, 0).bias;
    if (second_bias != nullptr) second = second + second_bias[first];
    if constexpr (kAfter == After::kGated) {
      Put(after.y, after.type, row * product.n + i, Gated(after.activation, y, second));
    } else {
      PutTurned(after, part, row, i, product.n, y, second);
    }
  } else if constexpr (kAfter == After::kNormed) {
    after.sum[row * product.n + i] = after.residual[row * product.n + i] + y;
  } else {
    product.y[row * product.y_stride + i] = y;
  }
}

}  // namespace mrs::kernels::cuda
