// Activations, factors, residual: each reads its inputs once and writes its output once.
#pragma once

#include "kernels/cpu/vector_math.h"

namespace mrs::kernels {
namespace {

template <typename Y>
inline void SiluMulRange(const float* gate, const float* up, int64_t begin, int64_t end, Y* y) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t n = MinOf(kLanes, end - i);
    const F16 g = LoadN(gate + i, n);
    StoreN(y + i, Mul(Div(g, Add(Set1(1.0f), Exp(Negate(g)))), LoadN(up + i, n)), n);
  }
}

inline void Run(const SiluMulArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t begin = item_begin * args.width, end = item_end * args.width;
  if (args.out == Type::kBf16) {
    SiluMulRange(args.gate, args.up, begin, end, static_cast<bf16*>(args.y));
  } else {
    SiluMulRange(args.gate, args.up, begin, end, static_cast<float*>(args.y));
  }
}

template <bool approximate, typename Y>
inline void GeluMulRange(const float* gate, const float* up, int64_t begin, int64_t end, Y* y) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t n = MinOf(kLanes, end - i);
    const F16 g = LoadN(gate + i, n);
    const F16 bent = approximate ? Tanh(Mul(Set1(kRootTwoOverPi), Fma(Set1(kGeluCubic), Mul(Mul(g, g), g), g)))
                                 : Erf(Mul(g, Set1(kRootHalf)));
    StoreN(y + i, Mul(Mul(Mul(Set1(0.5f), g), Add(Set1(1.0f), bent)), LoadN(up + i, n)), n);
  }
}

template <typename Y>
inline void GeluMulTo(const GeluMulArgs& args, int64_t begin, int64_t end, Y* y) {
  if (args.approximate) {
    GeluMulRange<true>(args.gate, args.up, begin, end, y);
  } else {
    GeluMulRange<false>(args.gate, args.up, begin, end, y);
  }
}

inline void Run(const GeluMulArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t begin = item_begin * args.width, end = item_end * args.width;
  if (args.out == Type::kBf16) {
    GeluMulTo(args, begin, end, static_cast<bf16*>(args.y));
  } else {
    GeluMulTo(args, begin, end, static_cast<float*>(args.y));
  }
}

template <typename X, typename Y>
inline void ScaleRange(const X* x, float factor, int64_t begin, int64_t end, Y* y) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t n = MinOf(kLanes, end - i);
    StoreN(y + i, Mul(LoadN(x + i, n), Set1(factor)), n);
  }
}

inline void Run(const ScaleArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t begin = item_begin * args.width, end = item_end * args.width;
  if (args.out == Type::kBf16) {
    ScaleRange(args.x, args.factor, begin, end, static_cast<bf16*>(args.y));
  } else {
    ScaleRange(args.x, args.factor, begin, end, static_cast<float*>(args.y));
  }
}

inline void Run(const PositionScaleArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const int64_t periods = args.positions[row] / args.original;
    const float factor = 1.0f + args.beta * static_cast<float>(Log(static_cast<double>(1 + periods)));
    const int64_t begin = row * args.width, end = begin + args.width;
    if (args.type == Type::kBf16) {
      ScaleRange(static_cast<const bf16*>(args.x), factor, begin, end, static_cast<bf16*>(args.y));
    } else {
      ScaleRange(static_cast<const float*>(args.x), factor, begin, end, static_cast<float*>(args.y));
    }
  }
}

inline void Run(const SoftCapArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t end = item_end * args.width;
  for (int64_t i = item_begin * args.width; i < end; i += kLanes) {
    const int64_t n = MinOf(kLanes, end - i);
    StoreN(args.y + i, Mul(Set1(args.cap), Tanh(Div(LoadN(args.x + i, n), Set1(args.cap)))), n);
  }
}

inline void Run(const AddArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* a = args.a + row * args.width;
    const float* b = args.b + (args.broadcast_b ? 0 : row * args.width);
    float* y = args.y + row * args.width;
    for (int64_t i = 0; i < args.width; i += kLanes) {
      const int64_t n = MinOf(kLanes, args.width - i);
      StoreN(y + i, Add(LoadN(a + i, n), LoadN(b + i, n)), n);
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
