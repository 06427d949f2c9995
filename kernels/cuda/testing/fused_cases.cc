#include "kernels/cuda/testing/fused_cases.h"

#include <fmt/format.h>

#include <cstddef>

namespace mrs::kernels {
namespace {

Case<cuda::AddRmsNormArgs> AddRmsNorm(Type out, Random* random, int64_t rows, int64_t width) {
  Case<cuda::AddRmsNormArgs> c;
  c.name = fmt::format("{} rows {} width {}", TypeName(out), rows, width);
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            NewFloats(c.buffers.get(), random, rows * width),
            NewFloats(c.buffers.get(), random, width),
            static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, rows * width)),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            1e-5f,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (12 + TypeBytes(out)));
  return c;
}

struct RopeAppendShape {
  int64_t tokens, heads, kv_heads, head_dim, half;
  bool interleaved = false;
};

Case<cuda::RopeAppendArgs> RopeAppend(Type type, Random* random, const RopeAppendShape& shape) {
  Case<cuda::RopeAppendArgs> c;
  Buffers* const buffers = c.buffers.get();
  const auto& [tokens, heads, kv_heads, head_dim, half, interleaved] = shape;
  c.name = fmt::format("{} tokens {} heads {}/{} head_dim {} half {} interleaved {}", TypeName(type), tokens, heads,
                       kv_heads, head_dim, half, interleaved);
  const int64_t blocks = tokens / kBlockTokens + 2, elements = blocks * kv_heads * kBlockTokens * head_dim;
  cuda::RopeAppendArgs& args = c.args;
  args.cache = {NewOutput(buffers, &c.outputs, type, elements), NewOutput(buffers, &c.outputs, type, elements), blocks,
                kv_heads, head_dim};
  args.q = NewFloats(buffers, random, tokens * heads * head_dim);
  args.k = NewFloats(buffers, random, tokens * kv_heads * head_dim);
  args.v = NewFloats(buffers, random, tokens * kv_heads * head_dim);
  args.cos_sin = NewFloats(buffers, random, tokens * 2 * half);
  int32_t* const slots = buffers->New<int32_t>(tokens);
  const int64_t first = random->Below(kBlockTokens);
  // Of every few rows one is not there.
  for (int64_t t = 0; t < tokens; ++t) slots[t] = t % 4 == 2 ? -1 : static_cast<int32_t>(first + t);
  args.slots = slots;
  args.y = NewOutput(buffers, &c.outputs, type, tokens * heads * head_dim);
  args.tokens = c.items = tokens;
  args.heads = heads;
  args.half = half;
  args.type = type;
  args.interleaved = interleaved;
  c.bytes = static_cast<double>(tokens * (heads + 2 * kv_heads) * head_dim * (4 + TypeBytes(type)));
  return c;
}

}  // namespace

template <>
std::vector<Case<cuda::AddRmsNormArgs>> TestCases<cuda::AddRmsNormArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<cuda::AddRmsNormArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (int64_t width : {1, 7, 16, 33, 64, 131, 1000, 9001}) cases.push_back(AddRmsNorm(out, &random, 3, width));
    cases.push_back(AddRmsNorm(out, &random, 0, 16));
  }
  return cases;
}
template <>
Case<cuda::AddRmsNormArgs> BenchCase<cuda::AddRmsNormArgs>(Type) {
  Random random{21};
  return AddRmsNorm(Type::kBf16, &random, 1, 4096);
}

template <>
std::vector<Case<cuda::RopeAppendArgs>> TestCases<cuda::RopeAppendArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<cuda::RopeAppendArgs>> cases;
  for (Type type : {Type::kF32, Type::kBf16}) {
    for (bool interleaved : {false, true}) {
      for (RopeAppendShape shape : {RopeAppendShape{0, 2, 1, 16, 8},
                                    {1, 1, 1, 2, 1},
                                    {5, 4, 2, 64, 32},
                                    {33, 3, 3, 34, 10},  // a part of each head; past a block of the cache
                                    {3, 7, 1, 80, 40},
                                    {2, 5, 5, 256, 32}}) {
        shape.interleaved = interleaved;
        cases.push_back(RopeAppend(type, &random, shape));
      }
    }
  }
  return cases;
}
template <>
Case<cuda::RopeAppendArgs> BenchCase<cuda::RopeAppendArgs>(Type) {
  Random random{22};
  return RopeAppend(Type::kBf16, &random, {1, 32, 8, 128, 64});
}

}  // namespace mrs::kernels

namespace mrs::kernels::cuda {

void RunPlain(const KernelSet& set, const AddRmsNormArgs& a) {
  set.add({a.a, a.b, a.sum, a.rows, a.width, /*broadcast_b=*/false}, 0, a.rows);
  set.rms_norm({a.sum, a.w, a.y, a.rows, a.width, a.eps, a.out}, 0, a.rows);
}

void RunPlain(const KernelSet& set, const RopeAppendArgs& a) {
  const int64_t kv_heads = a.cache.kv_heads, head_dim = a.cache.head_dim, width = kv_heads * head_dim;
  std::vector<std::byte> k(static_cast<size_t>(a.tokens * width * TypeBytes(a.type)));
  set.rope({a.q, a.cos_sin, a.y, a.tokens, a.heads, head_dim, a.half, a.type, a.interleaved}, 0, a.tokens);
  set.rope({a.k, a.cos_sin, k.data(), a.tokens, kv_heads, head_dim, a.half, a.type, a.interleaved}, 0, a.tokens);
  const auto append = a.type == Type::kBf16 ? set.kv_append_bf16 : set.kv_append_f32;
  for (int64_t t = 0; t < a.tokens; ++t) {
    if (a.slots[t] < 0) continue;  // which no CPU has
    append({a.cache, k.data() + t * width * TypeBytes(a.type), a.v + t * width, a.slots + t, 1}, 0, 1);
  }
}

}  // namespace mrs::kernels::cuda
