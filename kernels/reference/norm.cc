// Norms over a row, whole on this rank or not.
#include "kernels/reference/reference.h"

namespace mrs::kernels::reference {
namespace {

// The sum of x^2: one FMA chain a lane.
float LaneSquares(const float* x, int64_t count) {
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i % kLanes] = std::fma(x[i], x[i], lanes[i % kLanes]);
  return SumLanes(lanes);
}

// Balanced binary tree over `chunk_count` chunks of `chunk` elements.
float TreeSquares(const float* x, int64_t chunk, int64_t chunk_count) {
  if (chunk_count == 1) return LaneSquares(x, chunk);
  const float left = TreeSquares(x, chunk, chunk_count / 2);
  const float right = TreeSquares(x + chunk_count / 2 * chunk, chunk, chunk_count / 2);
  return left + right;
}

float InverseRoot(float mean, float eps) { return 1.0f / std::sqrt(mean + eps); }

}  // namespace

void Run(const RmsNormArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* x = args.x + row * args.width;
    const float inverse = InverseRoot(LaneSquares(x, args.width) / static_cast<float>(args.width), args.eps);
    for (int64_t i = 0; i < args.width; ++i) Put(args.y, args.out, row * args.width + i, (x[i] * inverse) * args.w[i]);
  }
}

void Run(const LayerNormArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* x = args.x + row * args.width;
    float sums[kLanes] = {};
    for (int64_t i = 0; i < args.width; ++i) sums[i % kLanes] += x[i];
    const float mean = SumLanes(sums) / static_cast<float>(args.width);
    float squares[kLanes] = {};
    for (int64_t i = 0; i < args.width; ++i) {
      const float d = x[i] - mean;
      squares[i % kLanes] = std::fma(d, d, squares[i % kLanes]);
    }
    const float inverse = InverseRoot(SumLanes(squares) / static_cast<float>(args.width), args.eps);
    for (int64_t i = 0; i < args.width; ++i) {
      Put(args.y, args.out, row * args.width + i, std::fma((x[i] - mean) * inverse, args.w[i], args.b[i]));
    }
  }
}

void Run(const SumSquaresArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t chunk = args.chunk_heads * args.head_dim;
  for (int64_t row = item_begin; row < item_end; ++row) {
    args.y[row] = TreeSquares(args.x + row * args.heads * args.head_dim, chunk, args.heads / args.chunk_heads);
  }
}

void Run(const RmsScaleArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* x = args.x + row * args.width;
    const float inverse = InverseRoot(args.sum[row] / static_cast<float>(args.total), args.eps);
    for (int64_t i = 0; i < args.width; ++i) Put(args.y, args.out, row * args.width + i, (x[i] * inverse) * args.w[i]);
  }
}

}  // namespace mrs::kernels::reference
