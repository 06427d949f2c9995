// What becomes of the outputs of products within their launch: each is stored, or gate's and up's are gated, q's and
// k's are turned and with v's go to the cache, or each is added to the residual, and the last block norms the rows.
//
//   const Epilogue after = EpilogueOf(GatedMatmulArgs{...});
//   PutOutput<After::kGated>(placed, after, part, row, pair, {gate, up});   // in a kernel (products.h)
//
// Where outputs go in pairs, a thread has both of one: gate's and up's of one number, or those of a head that one angle
// turns, `half` apart.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/norm_row.h"
#include "kernels/cuda/rotation.h"
#include "kernels/cuda/signals.h"

namespace mrs::kernels::cuda {

enum class After : uint8_t { kStored, kGated, kTurned, kNormed };
constexpr bool IsPaired(After kind) { return kind == After::kGated || kind == After::kTurned; }
template <After kAfter>
constexpr bool kIsPaired = IsPaired(kAfter);  // a constant, as device code may not call it

struct Epilogue {
  After kind = After::kStored;
  Type type = Type::kF32;  // of y, and of the cache
  Activation activation = Activation::kSilu;
  uint8_t shift = 0;                // a pair takes 1 << shift outputs of a part: one of gate's, two of q's
  uint32_t half = ~0u;              // pairs of a head; else all are of one
  void* y = nullptr;                // [rows, n]; of what is stored each product's own instead
  KvCache cache = {};               // kTurned: and with it head_dim, 2 * half
  const float* cos_sin = nullptr;   // [rows, 2 * half]
  const int32_t* slots = nullptr;   // [rows]; -1: written nowhere
  const float* residual = nullptr;  // kNormed: [rows, n]
  const float* w = nullptr;         // [n]
  float* sum = nullptr;             // [rows, n]; may be the residual
  uint32_t* count = nullptr;        // of blocks, zero before and after
  float eps = 0;
  uint32_t unused = 0;
};
static_assert(sizeof(Epilogue) == 16 + sizeof(KvCache) + 6 * 8 + 8);

inline Epilogue EpilogueOf(const GatedMatmulArgs& args) {
  Epilogue after;
  after.kind = After::kGated;
  after.type = args.out;
  after.activation = args.activation;
  after.y = args.y;
  return after;
}
inline Epilogue EpilogueOf(const MatmulRopeAppendArgs& args) {
  Epilogue after;
  after.kind = After::kTurned;
  after.shift = 1;
  after.type = args.then.type;
  after.half = uint32_t(args.then.half);
  after.y = args.then.y;
  after.cache = args.then.cache;
  after.cos_sin = args.then.cos_sin;
  after.slots = args.then.slots;
  return after;
}
inline Epilogue EpilogueOf(const MatmulAddRmsNormArgs& args, uint32_t* count) {
  const AddRmsNormArgs& then = args.then;
  Epilogue after;
  after.kind = After::kNormed;
  after.type = then.out;
  after.y = then.y;
  after.residual = then.a == args.of.parts[0].y ? then.b : then.a;
  after.w = then.w;
  after.sum = then.sum;
  after.count = count;
  after.eps = then.eps;
  return after;
}

// The last block norms row after row (fused.h), each in batches of all its threads: of more, a launch of its own would
// sooner be done.
constexpr int64_t kMostNormedBatches = 4;
inline bool IsOneLaunch(const MatmulAddRmsNormArgs& args, int64_t threads, const uint32_t* count) {
  const MatmulGroupArgs& of = args.of;
  const AddRmsNormArgs& then = args.then;
  return count != nullptr && of.type == Type::kBf16 && of.count == 1 && of.rows == then.rows &&
         of.parts[0].n == then.width && (then.a == of.parts[0].y) != (then.b == of.parts[0].y) &&
         then.rows <= kMostNormedRows && then.width <= kMostNormedBatches * kBatch * threads;
}

// The first output of a pair, or its run of sixteen, where `half` counts the same; an output's own number, where none
// are pairs.
template <After kAfter>
__device__ inline int64_t FirstOutput(uint32_t half, uint32_t pair) {
  return kAfter == After::kTurned ? int64_t{pair} + pair / half * half : int64_t{pair};
}

static __device__ inline float Gated(Activation activation, float gate, float up) {
  if (activation == Activation::kSilu) return gate / (1.0f + math::Exp(-gate)) * up;
  const float bent = activation == Activation::kGeluTanh
                         ? math::Tanh(kRootTwoOverPi * __fmaf_rn(kGeluCubic, (gate * gate) * gate, gate))
                         : math::Erf(gate * kRootHalf);
  return (0.5f * gate) * (1.0f + bent) * up;
}

// Pair `pair` of a row of q, k or v (part 0, 1, 2), which has n outputs.
static __device__ inline void PutTurned(const Epilogue& after, int part, int64_t row, int64_t pair, int64_t n,
                                        float first, float second) {
  const int half = int(after.half), head = int(pair) / half, d = int(pair) % half;
  TurnedPair turned = {first, second};
  if (part < 2) {
    const float* const cosine = after.cos_sin + row * 2 * half;
    turned = Turned(first, second, cosine[d], cosine[half + d]);
  }
  if (part == 0) {
    const int64_t at = row * n + int64_t{head} * 2 * half + d;
    Put(after.y, after.type, at, turned.first);
    Put(after.y, after.type, at + half, turned.second);
    return;
  }
  const int64_t slot = after.slots[row];
  if (slot < 0) return;  // a row that is not there (exact.h)
  if (part == 1) {
    Put(after.cache.k, after.type, PlaceInK(after.cache, slot, head, d), turned.first);
    Put(after.cache.k, after.type, PlaceInK(after.cache, slot, head, d + half), turned.second);
  } else {
    Put(after.cache.v, after.type, PlaceInV(after.cache, slot, head, d), turned.first);
    Put(after.cache.v, after.type, PlaceInV(after.cache, slot, head, d + half), turned.second);
  }
}

// Of a launch whose outputs are normed, in each block.
constexpr unsigned NormedBytes(unsigned threads) { return 16 + NormTileBytes(threads); }
// At the end of each block, by all of its threads, when its outputs are in `sum`: the one that comes last norms the
// rows. `bytes`: NormedBytes of shared memory.
static __device__ inline void NormIfLast(const Epilogue& after, int64_t rows, int64_t width, unsigned char* bytes) {
  const Team team = {threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z),
                     blockDim.x * blockDim.y * blockDim.z};
  auto* const is_last = reinterpret_cast<uint32_t*>(bytes);
  float* const tile = reinterpret_cast<float*>(bytes + 16);
  __syncthreads();
  if (team.own == 0) *is_last = CountBlock(after.count) + 1 == gridDim.x * gridDim.y ? 1 : 0;
  __syncthreads();
  if (*is_last == 0) return;
  for (int64_t row = 0; row < rows; ++row) {
    RmsNormRow(after.sum, after.w, after.y, after.type, row * width, width, after.eps, tile, team);
  }
  if (team.own == 0) *after.count = 0;  // for the next launch
}

}  // namespace mrs::kernels::cuda
