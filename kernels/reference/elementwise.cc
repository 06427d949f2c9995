// Norm, positions, activation, residual.
#include "kernels/reference/reference.h"

namespace mrs::kernels::reference {

void RmsNorm(const RmsNormArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* x = args.x + row * args.width;
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < args.width; ++i) lanes[i % kLanes] = std::fma(x[i], x[i], lanes[i % kLanes]);
    const float mean = SumLanes(lanes) / static_cast<float>(args.width);
    const float inverse = 1.0f / std::sqrt(mean + args.eps);
    for (int64_t i = 0; i < args.width; ++i) Put(args.y, args.out, row * args.width + i, (x[i] * inverse) * args.w[i]);
  }
}

void RopeAngles(const RopeAnglesArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t token = item_begin; token < item_end; ++token) {
    const float position = static_cast<float>(args.positions[token]);
    float* out = args.cos_sin + token * 2 * args.half;
    for (int64_t i = 0; i < args.half; ++i) {
      double sine, cosine;
      SinCos(position * args.inv_freq[i], &sine, &cosine);
      out[i] = static_cast<float>(cosine) * args.scale;
      out[args.half + i] = static_cast<float>(sine) * args.scale;
    }
  }
}

void Rope(const RopeArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t token = item_begin; token < item_end; ++token) {
    const float* cosine = args.cos_sin + token * 2 * args.half;
    const float* sine = cosine + args.half;
    for (int64_t head = 0; head < args.heads; ++head) {
      const int64_t at = (token * args.heads + head) * args.head_dim;
      const float* x = args.x + at;
      for (int64_t i = 0; i < args.half; ++i) {
        const float a = x[i], b = x[i + args.half];
        Put(args.y, args.out, at + i, std::fma(a, cosine[i], -(b * sine[i])));
        Put(args.y, args.out, at + i + args.half, std::fma(b, cosine[i], a * sine[i]));
      }
      for (int64_t i = 2 * args.half; i < args.head_dim; ++i) Put(args.y, args.out, at + i, x[i]);
    }
  }
}

void SiluMul(const SiluMulArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t i = item_begin * args.width; i < item_end * args.width; ++i) {
    const float gate = args.gate[i];
    Put(args.y, args.out, i, gate / (1.0f + Exp(-gate)) * args.up[i]);
  }
}

void Add(const AddArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* b = args.b + (args.broadcast_b ? 0 : row * args.width);
    for (int64_t i = 0; i < args.width; ++i) args.y[row * args.width + i] = args.a[row * args.width + i] + b[i];
  }
}

}  // namespace mrs::kernels::reference
