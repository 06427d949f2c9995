// Attention with sinks beside what ONNX Runtime has for the same: it is what others mean by it, too.
#include <gtest/gtest.h>

#include "kernels/testing/cases.h"
#include "kernels/testing/sinks_golden.h"
#include "kernels/testing/truth.h"

namespace mrs::kernels {
namespace {

// As make_sinks_golden.py has them: eighths between -2 and 2, which are the same in bf16.
void* Eighths(Buffers* buffers, Type type, int64_t first, int64_t count) {
  void* values = buffers->New<std::byte>(count * TypeBytes(type));
  for (int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(((first + i) * 37 + 11) % 33 - 16) / 8;
    if (type == Type::kF32) static_cast<float*>(values)[i] = value;
    if (type == Type::kBf16) static_cast<bf16*>(values)[i] = Bf16FromF32(value);
  }
  return values;
}

// Tolerance: both sum a few f32, ours by chains and theirs as their library likes; then what the result is rounded to.
void CheckGolden(const KernelSet& set, Type type, const SinksGolden& golden) {
  Buffers buffers;
  constexpr int64_t kWidth = kGoldenHeads * kGoldenHeadDim, kCacheElements = kBlockTokens * kGoldenHeadDim;
  const auto zeros = [&](int64_t count) { return buffers.New<std::byte>(count * TypeBytes(type)); };
  const KvCache cache{zeros(kCacheElements), zeros(kCacheElements), 1, 1, kGoldenHeadDim};
  const int32_t order[kGoldenTokens] = {0, 1, 2, 3}, nought[kGoldenTokens] = {};
  const KvAppendArgs append{
      cache, Eighths(&buffers, type, 100, kGoldenTokens * kGoldenHeadDim),
      static_cast<const float*>(Eighths(&buffers, Type::kF32, 200, kGoldenTokens * kGoldenHeadDim)), order,
      kGoldenTokens};
  (type == Type::kF32 ? set.kv_append_f32 : set.kv_append_bf16)(append, 0, kGoldenTokens);
  const AttentionArgs args{.q = Eighths(&buffers, type, 0, kGoldenTokens * kWidth),
                           .cache = cache,
                           .sequence = nought,
                           .positions = order,
                           .block_table = nought,
                           .table_stride = 1,
                           .y = zeros(kGoldenTokens * kWidth),
                           .tokens = kGoldenTokens,
                           .heads = kGoldenHeads,
                           .scale = kGoldenScale,
                           .window = golden.window,
                           .soft_cap = golden.soft_cap,
                           .sinks = kGoldenSinks};
  (type == Type::kF32 ? set.attention_f32 : set.attention_bf16)(args, 0, kGoldenTokens);
  for (int64_t i = 0; i < kGoldenTokens * kWidth; ++i) {
    const double expected = double{golden.y[i / kWidth][i / kGoldenHeadDim % kGoldenHeads][i % kGoldenHeadDim]};
    EXPECT_NEAR(ValueAt(args.y, type, i), expected, 1e-6 + OutEpsilon(type) * std::abs(expected))
        << golden.name << " " << TypeName(type) << " at " << i;
  }
}

TEST(AttentionSinks, AreWhatOnnxRuntimeHas) {
  const ScopedFlushToZero flush;
  for (const Isa isa : {Isa::kReference, DetectIsa()}) {
    for (const Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      for (const Type type : {Type::kF32, Type::kBf16}) {
        for (const SinksGolden& golden : kSinksGoldens) CheckGolden(SelectKernels(isa, chain), type, golden);
      }
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
