// Positions, activations, factors, residual.
#include "kernels/reference/reference.h"

namespace mrs::kernels::reference {

void Run(const RopeAnglesArgs& args, int64_t item_begin, int64_t item_end) {
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

void Run(const RopeArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t token = item_begin; token < item_end; ++token) {
    const float* cosine = args.cos_sin + token * 2 * args.half;
    const float* sine = cosine + args.half;
    for (int64_t head = 0; head < args.heads; ++head) {
      const int64_t at = (token * args.heads + head) * args.head_dim;
      const float* x = args.x + at;
      for (int64_t i = 0; i < args.half; ++i) {
        const int64_t first = args.interleaved ? 2 * i : i;
        const int64_t second = args.interleaved ? 2 * i + 1 : i + args.half;
        const float a = x[first], b = x[second];
        Put(args.y, args.out, at + first, std::fma(a, cosine[i], -(b * sine[i])));
        Put(args.y, args.out, at + second, std::fma(b, cosine[i], a * sine[i]));
      }
      for (int64_t i = 2 * args.half; i < args.head_dim; ++i) Put(args.y, args.out, at + i, x[i]);
    }
  }
}

void Run(const PositionScaleArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const int64_t periods = args.positions[row] / args.original;
    const float factor = 1.0f + args.beta * static_cast<float>(Log(static_cast<double>(1 + periods)));
    for (int64_t i = row * args.width; i < (row + 1) * args.width; ++i) {
      const float x = args.type == Type::kBf16 ? F32FromBf16(static_cast<const bf16*>(args.x)[i])
                                               : static_cast<const float*>(args.x)[i];
      Put(args.y, args.type, i, x * factor);
    }
  }
}

void Run(const SiluMulArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t i = item_begin * args.width; i < item_end * args.width; ++i) {
    const float gate = args.gate[i];
    Put(args.y, args.out, i, gate / (1.0f + Exp(-gate)) * args.up[i]);
  }
}

void Run(const GeluMulArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t i = item_begin * args.width; i < item_end * args.width; ++i) {
    const float gate = args.gate[i];
    const float bent = args.approximate ? Tanh(kRootTwoOverPi * std::fma(kGeluCubic, (gate * gate) * gate, gate))
                                        : Erf(gate * kRootHalf);
    Put(args.y, args.out, i, (0.5f * gate) * (1.0f + bent) * args.up[i]);
  }
}

void Run(const ScaleArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t i = item_begin * args.width; i < item_end * args.width; ++i) {
    Put(args.y, args.out, i, args.x[i] * args.factor);
  }
}

void Run(const SoftCapArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t i = item_begin * args.width; i < item_end * args.width; ++i) {
    args.y[i] = args.cap * Tanh(args.x[i] / args.cap);
  }
}

void Run(const AddArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* b = args.b + (args.broadcast_b ? 0 : row * args.width);
    for (int64_t i = 0; i < args.width; ++i) args.y[row * args.width + i] = args.a[row * args.width + i] + b[i];
  }
}

}  // namespace mrs::kernels::reference
