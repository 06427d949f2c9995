// Several steps of a plan as one launch: what each computes, in terms of the rows of kernels/kernels.h that it stands
// for, run one after the other. Same bits; what only the next of them read is written nowhere.
//
//   AddRmsNormArgs{.a = x, .b = x, .w = w, .sum = s, .y = y, ...}   // s = 2 x, y = rms_norm(s)
//
// Rows of the CUDA table alone (exact.h): on a CPU nothing is gained by them.
#pragma once

#include "kernels/kernels.h"

namespace mrs::kernels::cuda {

// sum = a + b (add), y = rms_norm(sum). sum may be a.
struct AddRmsNormArgs {
  const float* a;  // [rows, width]
  const float* b;  // [rows, width]
  const float* w;  // [width]
  float* sum;      // [rows, width]
  void* y;         // [rows, width] bf16 or f32 (out)
  int64_t rows;
  int64_t width;
  float eps;
  Type out;
};

// y = rope(q); kv_append of rope(k), rounded to the cache's type, and of v. A slot of -1: a row whose K and V are
// written nowhere.
struct RopeAppendArgs {
  const float* q;        // [tokens, heads, head_dim]
  const float* k;        // [tokens, kv_heads, head_dim]
  const float* v;        // [tokens, kv_heads, head_dim]
  const float* cos_sin;  // [tokens, 2 * half]
  const int32_t* slots;  // [tokens]
  void* y;               // [tokens, heads, head_dim], cache type
  KvCache cache;         // and with it kv_heads and head_dim
  int64_t tokens;
  int64_t heads;
  int64_t half;
  Type type;  // of the cache, bf16 or f32
  bool interleaved;
};

// Matrices by which one x is multiplied, and where each product goes.
constexpr int kMostParts = 5;  // q, k, v, gate and up of a block that has both side by side
struct MatmulPart {
  const void* w;      // [n, chunk_count * chunk_k] in the layout of matmul
  const float* bias;  // [n] or null
  float* y;           // [rows, y_stride]
  int64_t n;
  int64_t y_stride;
};
// Products of one x: each part's as matmul.
struct MatmulGroupArgs {
  const void* x;  // [rows, x_stride] of `type`, as the weights are
  int64_t rows;
  int64_t x_stride;
  int64_t chunk_k;
  int64_t chunk_count;
  MatmulPart parts[kMostParts];
  int count;  // of parts, one or more
  Type type;
};

// Of one.
inline MatmulGroupArgs GroupOf(const MatmulArgs& a, Type type) {
  return {a.x,
          a.rows,
          a.x_stride,
          a.shape.chunk_k,
          a.shape.chunk_count,
          {{a.w, a.bias, a.y, a.shape.n, a.y_stride}},
          /*count=*/1,
          type};
}

// What gates a product; of the two that are GELU the second is by tanh (approximate).
enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh };
// y = the products of one x by gate and up, one gated by the other, of one size. They are written nowhere themselves.
struct GatedMatmulArgs {
  MatmulGroupArgs of;  // gate, up; the y of neither is written
  void* y;             // [rows, n] bf16 or f32 (out)
  Type out;
  Activation activation;
};

// rope_append of the products of one x by q, k and v: the three whose y it reads. These may be written, or not.
struct MatmulRopeAppendArgs {
  MatmulGroupArgs of;  // q, k, v
  RopeAppendArgs then;
};
// Else it is two: a launch is of bf16, of whole heads, turned whole, whose halves are whole blocks of the layout's
// outputs.
inline bool IsOneLaunch(const MatmulRopeAppendArgs& args) {
  const MatmulGroupArgs& of = args.of;
  const RopeAppendArgs& then = args.then;
  const int64_t head_dim = then.cache.head_dim, of_cache = then.cache.kv_heads * head_dim;
  return of.type == Type::kBf16 && of.count == 3 && of.rows == then.tokens && of.parts[0].n == then.heads * head_dim &&
         of.parts[1].n == of_cache && of.parts[2].n == of_cache && !then.interleaved && 2 * then.half == head_dim &&
         then.half % kLanes == 0;
}
// add_rms_norm of a product: its y is the a or the b of `then`, and may be written, or not. then.sum may be the other;
// then.y overlaps nothing that is read.
struct MatmulAddRmsNormArgs {
  MatmulGroupArgs of;  // of one part
  AddRmsNormArgs then;
};
// In one launch the block that comes last norms the rows, one after another: of more, they are sooner done side by
// side.
constexpr int64_t kMostNormedRows = 2;

// The products of one launch.
inline const MatmulGroupArgs& ProductsOf(const MatmulGroupArgs& args) { return args; }
template <typename Args>
requires requires(const Args& args) { args.of; }
const MatmulGroupArgs& ProductsOf(const Args& args) { return args.of; }

// One row feeds the table, the launch, the test against the reference and the check on a device.
#define MRS_FUSED_KERNELS(ROW)      \
  ROW(add_rms_norm, AddRmsNormArgs) \
  ROW(rope_append, RopeAppendArgs)
// Those with products, whose sums have the chain of the table.
#define MRS_FUSED_PRODUCTS(ROW)                 \
  ROW(matmul_group, MatmulGroupArgs)            \
  ROW(gated_matmul, GatedMatmulArgs)            \
  ROW(matmul_rope_append, MatmulRopeAppendArgs) \
  ROW(matmul_add_rms_norm, MatmulAddRmsNormArgs)

}  // namespace mrs::kernels::cuda
