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

// What gates a product; of the two that are GELU the second is by tanh (approximate).
enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh };

// One row feeds the table, the launch, the test against the reference and the check on a device.
#define MRS_FUSED_KERNELS(ROW)      \
  ROW(add_rms_norm, AddRmsNormArgs) \
  ROW(rope_append, RopeAppendArgs)

}  // namespace mrs::kernels::cuda
