// Cases of what runs per head: attention, its cache, rotations, scales by position.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/testing/cases.h"

namespace mrs::kernels {
namespace {

constexpr int32_t kNoBlock = 1 << 30;  // far past every cache

// Token p of a sequence turns NaN in every head: whoever reads it shows it.
void Poison(const KvCache& cache, Type type, int64_t block, int64_t token) {
  for (int64_t head = 0; head < cache.kv_heads; ++head) {
    const int64_t base = (block * cache.kv_heads + head) * kBlockTokens * cache.head_dim;
    for (int64_t d = 0; d < cache.head_dim; ++d) {
      const int64_t k = base + (d / 2 * kBlockTokens + token) * 2 + d % 2;
      const int64_t v = base + token * cache.head_dim + d;
      if (type == Type::kF32) {
        static_cast<float*>(cache.k)[k] = static_cast<float*>(cache.v)[v] = FloatOf(0x7fc00000u);
      } else {
        static_cast<bf16*>(cache.k)[k] = static_cast<bf16*>(cache.v)[v] = {0x7fc0};
      }
    }
  }
}

Case<KvAppendArgs> KvAppend(Type type, Random* random, int64_t tokens, int64_t kv_heads, int64_t head_dim) {
  Case<KvAppendArgs> c;
  c.name = fmt::format("{} tokens {} kv_heads {} head_dim {}", TypeName(type), tokens, kv_heads, head_dim);
  const int64_t blocks = tokens / kBlockTokens + 2;
  c.args.cache = {nullptr, nullptr, blocks, kv_heads, head_dim};
  const int64_t elements = blocks * kv_heads * kBlockTokens * head_dim;
  c.args.cache.k = NewOutput(c.buffers.get(), &c.outputs, type, elements);
  c.args.cache.v = NewOutput(c.buffers.get(), &c.outputs, type, elements);
  c.args.k = NewValues(c.buffers.get(), random, type, tokens * kv_heads * head_dim);
  c.args.v = NewFloats(c.buffers.get(), random, tokens * kv_heads * head_dim);
  int32_t* slots = c.buffers->New<int32_t>(tokens);
  const int64_t first = random->Below(kBlockTokens);
  for (int64_t t = 0; t < tokens; ++t) slots[t] = static_cast<int32_t>(first + t);
  c.args.slots = slots;
  c.args.tokens = c.items = tokens;
  c.bytes = static_cast<double>(tokens * kv_heads * head_dim * (4 + 3 * TypeBytes(type)));
  return c;
}

Case<RopeAnglesArgs> RopeAngles(Random* random, int64_t tokens, int64_t half, float scale) {
  Case<RopeAnglesArgs> c;
  c.name = fmt::format("tokens {} half {} scale {}", tokens, half, scale);
  float* frequencies = c.buffers->New<float>(half);
  for (int64_t i = 0; i < half; ++i) frequencies[i] = 1.0f / static_cast<float>(1 + i * i);
  c.args.positions = NewInts(c.buffers.get(), random, tokens, 10'000'000);
  c.args.inv_freq = frequencies;
  c.args.cos_sin = static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, tokens * 2 * half));
  c.args.tokens = c.items = tokens;
  c.args.half = half;
  c.args.scale = scale;
  c.bytes = static_cast<double>(tokens * 2 * half * 4);
  return c;
}

Case<RopeArgs> Rope(Type out, Random* random, int64_t tokens, int64_t heads, int64_t head_dim, int64_t half,
                    bool interleaved) {
  Case<RopeArgs> c;
  c.name = fmt::format("{} tokens {} heads {} head_dim {} half {} interleaved {}", TypeName(out), tokens, heads,
                       head_dim, half, interleaved);
  const int64_t count = tokens * heads * head_dim;
  c.args = {NewFloats(c.buffers.get(), random, count),
            NewFloats(c.buffers.get(), random, tokens * 2 * half),
            NewOutput(c.buffers.get(), &c.outputs, out, count),
            tokens,
            heads,
            head_dim,
            half,
            out,
            interleaved};
  c.items = tokens;
  c.bytes = static_cast<double>(count * (4 + TypeBytes(out)));
  return c;
}

Case<PositionScaleArgs> PositionScale(Type type, Random* random, int64_t rows, int64_t width, int64_t original) {
  Case<PositionScaleArgs> c;
  c.name = fmt::format("{} rows {} width {} original {}", TypeName(type), rows, width, original);
  int32_t* positions = NewInts(c.buffers.get(), random, rows, 40 * original);
  // Both sides of the first two steps.
  const int64_t edges[] = {0, original - 1, original, 2 * original - 1, 2 * original};
  for (int64_t i = 0; i < rows && i < 5; ++i) positions[i] = static_cast<int32_t>(edges[i]);
  c.args = {NewValues(c.buffers.get(), random, type, rows * width),
            positions,
            NewOutput(c.buffers.get(), &c.outputs, type, rows * width),
            rows,
            width,
            0.1f,
            original,
            type};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * 2 * TypeBytes(type));
  return c;
}

}  // namespace

Case<AttentionArgs> AttentionCase(Type type, Random* random, const AttentionShape& shape) {
  Case<AttentionArgs> c;
  Buffers* buffers = c.buffers.get();
  AttentionArgs& args = c.args;
  const int64_t sequences = static_cast<int64_t>(shape.lengths.size());
  int64_t longest = 0, tokens = 0, visible = 0;
  for (int32_t length : shape.lengths) {
    longest = longest > length ? longest : length;
    tokens += length < shape.queries ? length : shape.queries;
  }
  const int64_t queries = tokens;
  tokens += shape.padding;
  const int64_t per_sequence = (longest + kBlockTokens - 1) / kBlockTokens;
  c.name = fmt::format("{} heads {}/{} head_dim {} sequences {} longest {} queries {} window {} cap {} sinks [{}]",
                       TypeName(type), shape.heads, shape.kv_heads, shape.head_dim, sequences, longest, queries,
                       shape.window, shape.soft_cap, fmt::join(shape.sinks, ", "));
  args.cache = {nullptr, nullptr, sequences * per_sequence, shape.kv_heads, shape.head_dim};
  const int64_t elements = args.cache.block_count * shape.kv_heads * kBlockTokens * shape.head_dim;
  args.cache.k = NewValues(buffers, random, type, elements);
  args.cache.v = NewValues(buffers, random, type, elements);
  // Blocks in a random order.
  int32_t* table = buffers->New<int32_t>(sequences * per_sequence);
  for (int64_t i = 0; i < sequences * per_sequence; ++i) {
    const int64_t other = random->Below(i + 1);
    table[i] = table[other];
    table[other] = static_cast<int32_t>(i);
  }
  args.block_table = table;
  args.table_stride = per_sequence;
  int32_t* sequence = buffers->New<int32_t>(tokens);
  int32_t* positions = buffers->New<int32_t>(tokens);
  int64_t token = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int32_t length = shape.lengths[static_cast<size_t>(s)];
    const int32_t first = length < shape.queries ? 0 : length - static_cast<int32_t>(shape.queries);
    for (int32_t p = first; p < length; ++p) {
      sequence[token] = static_cast<int32_t>(s);
      positions[token++] = p;
      visible += shape.window == 0 || shape.window > p ? p + 1 : shape.window;
    }
    // What no query of the sequence may see is NaN; where that is a whole block, its place in the table is none.
    const int64_t begin = shape.window == 0 || shape.window > first ? 0 : first - shape.window + 1;
    for (int64_t p = 0; p < per_sequence * kBlockTokens; ++p) {
      if (p >= begin && p < length) continue;
      Poison(args.cache, type, table[s * per_sequence + p / kBlockTokens], p % kBlockTokens);
    }
    for (int64_t b = 0; b < per_sequence; ++b) {
      if ((b + 1) * kBlockTokens <= begin || b * kBlockTokens >= length) table[s * per_sequence + b] = kNoBlock;
    }
  }
  for (; token < tokens; ++token) {
    sequence[token] = 0;
    positions[token] = 0;
  }
  args.sequence = sequence;
  args.positions = positions;
  args.tokens = tokens;
  args.heads = shape.heads;
  args.scale = 0.125f;
  args.window = shape.window;
  args.soft_cap = shape.soft_cap;
  if (!shape.sinks.empty()) {
    float* sinks = buffers->New<float>(shape.heads);
    for (int64_t i = 0; i < shape.heads; ++i) {
      sinks[i] = shape.sinks[static_cast<size_t>(i) % shape.sinks.size()];
    }
    args.sinks = sinks;
  }
  args.q = NewValues(buffers, random, type, tokens * shape.heads * shape.head_dim);
  args.y = NewOutput(buffers, &c.outputs, type, tokens * shape.heads * shape.head_dim);
  c.items = tokens * shape.kv_heads;
  c.flops = 4.0 * static_cast<double>(visible * shape.heads * shape.head_dim);
  c.bytes = 2.0 * static_cast<double>(visible * shape.kv_heads * shape.head_dim * TypeBytes(type));
  return c;
}

template <>
std::vector<Case<AttentionArgs>> TestCases<AttentionArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<AttentionArgs>> cases;
  constexpr float kFarAbove = 1e6f, kFarBelow = -1e6f;
  const AttentionShape shapes[] = {{1, 1, 2, {1}, 1},
                                   {4, 2, 64, {1, 33, 16}, 5},
                                   {6, 2, 34, {31, 32, 70}, 40},
                                   {3, 1, 80, {100, 513}, 3},
                                   {2, 2, 128, {600}, 2},
                                   {2, 1, 16, {1100, 1025}, 2},
                                   {8, 1, 48, {17, 47, 48}, 2},
                                   {4, 1, 1030, {40}, 2},
                                   {1, 1, 512, {33}, 1},
                                   {2, 1, 16, {1024}, 1},  // as long as its table
                                   {2, 1, 300, {50}, 1},
                                   {2, 1, 256, {70}, 3},
                                   {2, 2, 96, {65}, 2},
                                   {2, 1, 120, {40}, 2},
                                   {1, 1, 8, {}, 1},
                                   // Windows: of one token, of half a register, up to and past the edges of blocks and
                                   // segments, longer than the context.
                                   {2, 1, 80, {1, 40, 70}, 40, 1},
                                   {4, 2, 18, {100, 33, 7}, 70, 8},
                                   {1, 1, 16, {70, 64}, 64, 31},
                                   {3, 1, 16, {70, 96}, 64, 32},
                                   {2, 1, 34, {130}, 70, 33},
                                   {2, 2, 64, {1100, 545, 513}, 3, 512},
                                   {1, 1, 16, {1050}, 5, 513},
                                   {1, 1, 256, {1600}, 2, 600},
                                   {2, 1, 32, {50, 90}, 9, 4096},
                                   // Caps: below the scores, and far above them.
                                   {4, 2, 96, {1, 33, 600}, 3, 0, 5.0f},
                                   {2, 1, 16, {40}, 12, 0, 50.0f},
                                   {2, 1, 256, {1100, 70}, 3, 40, 50.0f},
                                   // Sinks: among the scores, a little above them, far above, far below.
                                   {1, 1, 2, {1}, 1, 0, 0, 0, {0.5f}},
                                   {8, 2, 64, {1, 33, 70}, 5, 0, 0, 0, {3, -1, kFarAbove, kFarBelow, 0, 9, 2}},
                                   {3, 1, 80, {100, 40}, 40, 9, 0, 0, {1, -2, 5}},
                                   {4, 2, 16, {40}, 12, 0, 5.0f, 0, {4, 7, 60, kFarBelow}},
                                   {6, 1, 16, {1100, 513, 30}, 2, 0, 5.0f, 0, {6, kFarAbove, 4, 9, 8, kFarBelow}},
                                   {2, 1, 256, {1100}, 1, 600, 5.0f, 0, {6, 8}},
                                   {2, 1, 1030, {40}, 2, 0, 0, 0, {2, 4}}};
  for (const AttentionShape& shape : shapes) cases.push_back(AttentionCase(type, &random, shape));
  return cases;
}
template <>
Case<AttentionArgs> BenchCase<AttentionArgs>(Type type) {
  Random random{2};
  return AttentionCase(type, &random, {32, 8, 128, {2000}, 1});
}
Case<AttentionArgs> BenchWindow(Type type) {
  Random random{2};
  return AttentionCase(type, &random, {32, 8, 128, {8000}, 1, 2000});
}
Case<AttentionArgs> BenchCap(Type type) {
  Random random{2};
  return AttentionCase(type, &random, {32, 8, 128, {2000}, 1, 0, 50.0f});
}

template <>
std::vector<Case<KvAppendArgs>> TestCases<KvAppendArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<KvAppendArgs>> cases;
  cases.push_back(KvAppend(type, &random, 0, 1, 16));
  cases.push_back(KvAppend(type, &random, 1, 1, 2));
  cases.push_back(KvAppend(type, &random, 5, 3, 34));
  cases.push_back(KvAppend(type, &random, 67, 2, 64));
  cases.push_back(KvAppend(type, &random, 3, 2, 120));
  cases.push_back(KvAppend(type, &random, 34, 1, 256));
  cases.push_back(KvAppend(type, &random, 2, 5, 130));
  return cases;
}
template <>
Case<KvAppendArgs> BenchCase<KvAppendArgs>(Type type) {
  Random random{3};
  return KvAppend(type, &random, 512, 8, 128);
}

template <>
std::vector<Case<RopeAnglesArgs>> TestCases<RopeAnglesArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<RopeAnglesArgs>> cases;
  cases.push_back(RopeAngles(&random, 0, 16, 1.0f));
  cases.push_back(RopeAngles(&random, 1, 1, 1.0f));
  cases.push_back(RopeAngles(&random, 13, 37, 1.2f));
  cases.push_back(RopeAngles(&random, 100, 64, 1.0f));
  return cases;
}
template <>
Case<RopeAnglesArgs> BenchCase<RopeAnglesArgs>(Type) {
  Random random{5};
  return RopeAngles(&random, 64, 64, 1.0f);
}

template <>
std::vector<Case<RopeArgs>> TestCases<RopeArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<RopeArgs>> cases;
  for (int i = 0; i < 4; ++i) {
    const Type out = i % 2 == 0 ? Type::kF32 : Type::kBf16;
    const bool interleaved = i / 2 == 1;
    cases.push_back(Rope(out, &random, 0, 2, 16, 8, interleaved));
    cases.push_back(Rope(out, &random, 1, 1, 2, 1, interleaved));
    cases.push_back(Rope(out, &random, 3, 5, 80, 40, interleaved));
    cases.push_back(Rope(out, &random, 4, 2, 96, 13, interleaved));  // partial rotation, and a tail that is copied
    cases.push_back(Rope(out, &random, 2, 4, 128, 64, interleaved));
    cases.push_back(Rope(out, &random, 2, 3, 120, 60, interleaved));
    cases.push_back(Rope(out, &random, 1, 2, 256, 128, interleaved));
    cases.push_back(Rope(out, &random, 2, 11, 80, 33, interleaved));
  }
  return cases;
}
template <>
Case<RopeArgs> BenchCase<RopeArgs>(Type) {
  Random random{6};
  return Rope(Type::kBf16, &random, 16, 32, 128, 64, false);
}

template <>
std::vector<Case<PositionScaleArgs>> TestCases<PositionScaleArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<PositionScaleArgs>> cases;
  for (Type type : {Type::kF32, Type::kBf16}) {
    cases.push_back(PositionScale(type, &random, 0, 16, 8192));
    cases.push_back(PositionScale(type, &random, 1, 1, 8192));
    cases.push_back(PositionScale(type, &random, 9, 37, 1));
    cases.push_back(PositionScale(type, &random, 40, 80, 16384));
    cases.push_back(PositionScale(type, &random, 6, 601, 16));
  }
  return cases;
}
template <>
Case<PositionScaleArgs> BenchCase<PositionScaleArgs>(Type) {
  Random random{12};
  return PositionScale(Type::kBf16, &random, 16, 4096, 16384);
}

}  // namespace mrs::kernels
