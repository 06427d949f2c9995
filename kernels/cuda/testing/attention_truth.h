// How far attention in fast numerics is from the truth, beside how far it may be (flash_attention.h).
//
//   EXPECT_EQ(Judge(c).outside, 0) << Judge(c).first;   // after a kernel has run on the case
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/flash_attention.h"
#include "kernels/testing/truth.h"

namespace mrs::kernels::cuda {

struct AttentionVerdict {
  int64_t elements = 0, outside = 0;
  double furthest = 0;  // of its bound
  std::string first;    // that is outside
};

// An addition of a tensor core, of the sum of magnitudes. It aligns what it adds to the largest, and cuts off below 23
// bits and sometimes a few more (M. Fasi, N. Higham, M. Mikaitis, S. Pranesh, Numerical behavior of NVIDIA tensor
// cores, PeerJ Computer Science, 2021): twice that, as the result is cut off, too.
constexpr double kTensorEpsilon = 0x1p-22;
constexpr double kExp2Epsilon = 0x1p-22;

// With w the true weights of the tokens and v one element of their V, o = sum w v. A kernel's weights are w (1 + r),
// and it divides by their sum, so it is off by sum w r (v - o) / (1 + sum w r); |r| is at most what rounding to bf16
// and a factor e^(error of the score) make of 1. What sums cut off comes to that, and the result's own rounding to
// bf16.
inline AttentionVerdict Judge(const Case<AttentionArgs>& c) {
  const AttentionArgs& a = c.args;
  const int64_t head_dim = a.cache.head_dim, group = a.heads / a.cache.kv_heads;
  AttentionVerdict verdict;
  std::vector<double> weights, errors, values;
  for (int64_t token = 0; token < a.tokens; ++token) {
    const int64_t end = a.positions[token] + 1, begin = a.window == 0 ? 0 : std::max<int64_t>(0, end - a.window);
    const double blocks = static_cast<double>((end - begin) / kBlockTokens + 2);
    for (int64_t head = 0; head < a.heads; ++head) {
      const int64_t q = (token * a.heads + head) * head_dim;
      const auto base_of = [&](int64_t p) {
        const int64_t block = a.block_table[a.sequence[token] * a.table_stride + p / kBlockTokens];
        return (block * a.cache.kv_heads + head / group) * head_dim * kBlockTokens;
      };
      weights.clear();
      errors.clear();
      double max = -1e300;
      for (int64_t p = begin; p < end; ++p) {
        double score = 0, magnitude = 0;
        for (int64_t d = 0; d < head_dim; ++d) {
          const int64_t at = base_of(p) + (d / 2 * kBlockTokens + p % kBlockTokens) * 2 + d % 2;
          const double one = double{ValueAt(a.q, Type::kBf16, q + d)} * double{ValueAt(a.cache.k, Type::kBf16, at)};
          score += one;
          magnitude += std::abs(one);
        }
        score *= double{a.scale};
        // tanh is never steeper than 1; its own five units come to those of the factors.
        if (a.soft_cap != 0) score = double{a.soft_cap} * std::tanh(score / double{a.soft_cap});
        weights.push_back(score);
        errors.push_back(magnitude * std::abs(double{a.scale}) * (static_cast<double>(head_dim + 16) * 17 / 16) *
                             kTensorEpsilon +
                         10 * kEpsilon * std::abs(score));
        max = std::max(max, score);
      }
      if (a.sinks != nullptr) {  // a token whose V is zero
        const double sink = double{a.sinks[head]};
        weights.push_back(sink);
        errors.push_back(10 * kEpsilon * std::abs(sink));
        max = std::max(max, sink);
      }
      double sum = 0;
      for (size_t i = 0; i < weights.size(); ++i) {
        // What is taken from a score is rounded; each block's maximum that grew is a factor more.
        errors[i] += 2 * kEpsilon * (max - weights[i]) + blocks * 2 * kExp2Epsilon;
        sum += weights[i] = std::exp(weights[i] - max);
      }
      double moved = 0;
      for (size_t i = 0; i < weights.size(); ++i) {
        weights[i] /= sum;
        errors[i] = (1 + kBf16Epsilon) * std::exp(errors[i]) - 1;
        moved += weights[i] * errors[i];
      }
      for (int64_t d = 0; d < head_dim; ++d) {
        double o = 0, magnitude = 0, off = 0;
        values.clear();
        for (int64_t p = begin; p < end; ++p) {
          values.push_back(double{ValueAt(a.cache.v, Type::kBf16, base_of(p) + p % kBlockTokens * head_dim + d)});
          o += weights[values.size() - 1] * values.back();
          magnitude += weights[values.size() - 1] * std::abs(values.back());
        }
        values.resize(weights.size());  // the sink's
        for (size_t i = 0; i < values.size(); ++i) off += weights[i] * errors[i] * std::abs(values[i] - o);
        const double cut_off = (static_cast<double>(end - begin) + 5 * blocks + 4) * kTensorEpsilon;
        double bound = moved < 1 ? off / (1 - moved) + magnitude * (1 + moved) * cut_off : HUGE_VAL;
        bound += kBf16Epsilon * (std::abs(o) + bound) + 1e-30;  // weights below 2^-126 count as 0
        const double actual = double{ValueAt(a.y, Type::kBf16, q + d)};
        const double distance = std::abs(actual - o);
        ++verdict.elements;
        if (!(distance <= bound)) {
          if (++verdict.outside == 1) {
            verdict.first = fmt::format("{}: token {} at {}, head {}, element {}: {}, and the truth is {}, bound {}",
                                        c.name, token, end - 1, head, d, actual, o, bound);
          }
        } else {
          verdict.furthest = std::max(verdict.furthest, distance / bound);
        }
      }
    }
  }
  return verdict;
}

}  // namespace mrs::kernels::cuda
