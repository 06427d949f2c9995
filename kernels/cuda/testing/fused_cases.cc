#include "kernels/cuda/testing/fused_cases.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>

namespace mrs::kernels {
namespace {

// Arguments in memory of the case `c`, whose outputs they add to; their names and bytes are the caller's.
template <typename Args>
cuda::AddRmsNormArgs AddRmsNormOf(Type out, Random* random, int64_t rows, int64_t width, Case<Args>* c) {
  return {NewFloats(c->buffers.get(), random, rows * width),
          NewFloats(c->buffers.get(), random, rows * width),
          NewFloats(c->buffers.get(), random, width),
          static_cast<float*>(NewOutput(c->buffers.get(), &c->outputs, Type::kF32, rows * width)),
          NewOutput(c->buffers.get(), &c->outputs, out, rows * width),
          rows,
          width,
          1e-5f,
          out};
}

Case<cuda::AddRmsNormArgs> AddRmsNorm(Type out, Random* random, int64_t rows, int64_t width) {
  Case<cuda::AddRmsNormArgs> c;
  c.name = fmt::format("{} rows {} width {}", TypeName(out), rows, width);
  c.args = AddRmsNormOf(out, random, rows, width, &c);
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (12 + TypeBytes(out)));
  return c;
}

struct RopeAppendShape {
  int64_t tokens, heads, kv_heads, head_dim, half;
  bool interleaved = false;
  std::string Name(Type type) const {
    return fmt::format("{} tokens {} heads {}/{} head_dim {} half {} interleaved {}", TypeName(type), tokens, heads,
                       kv_heads, head_dim, half, interleaved);
  }
};

template <typename Args>
cuda::RopeAppendArgs RopeAppendOf(Type type, Random* random, const RopeAppendShape& shape, Case<Args>* c) {
  Buffers* const buffers = c->buffers.get();
  const auto& [tokens, heads, kv_heads, head_dim, half, interleaved] = shape;
  const int64_t blocks = tokens / kBlockTokens + 2, elements = blocks * kv_heads * kBlockTokens * head_dim;
  cuda::RopeAppendArgs args{};
  args.cache = {NewOutput(buffers, &c->outputs, type, elements), NewOutput(buffers, &c->outputs, type, elements),
                blocks, kv_heads, head_dim};
  args.q = NewFloats(buffers, random, tokens * heads * head_dim);
  args.k = NewFloats(buffers, random, tokens * kv_heads * head_dim);
  args.v = NewFloats(buffers, random, tokens * kv_heads * head_dim);
  args.cos_sin = NewFloats(buffers, random, tokens * 2 * half);
  int32_t* const slots = buffers->New<int32_t>(tokens);
  const int64_t first = random->Below(kBlockTokens);
  // Of every few rows one is not there.
  for (int64_t t = 0; t < tokens; ++t) slots[t] = t % 4 == 2 ? -1 : static_cast<int32_t>(first + t);
  args.slots = slots;
  args.y = NewOutput(buffers, &c->outputs, type, tokens * heads * head_dim);
  args.tokens = tokens;
  args.heads = heads;
  args.half = half;
  args.type = type;
  args.interleaved = interleaved;
  return args;
}

Case<cuda::RopeAppendArgs> RopeAppend(Type type, Random* random, const RopeAppendShape& shape) {
  Case<cuda::RopeAppendArgs> c;
  c.name = shape.Name(type);
  c.args = RopeAppendOf(type, random, shape, &c);
  c.items = shape.tokens;
  c.bytes =
      static_cast<double>(shape.tokens * (shape.heads + 2 * shape.kv_heads) * shape.head_dim * (4 + TypeBytes(type)));
  return c;
}

struct GroupShape {
  int64_t rows;
  std::vector<int64_t> n;  // of each part
  int64_t chunk_k, chunk_count;
  int64_t pad = 0;        // elements after each row of x, and of y
  unsigned biases = 0b1;  // a bit a part
};

// A case that `c` becomes but for its outputs.
template <typename Args>
cuda::MatmulGroupArgs Group(Type type, Random* random, const GroupShape& shape, Case<Args>* c) {
  const int64_t k = shape.chunk_k * shape.chunk_count;
  Buffers* const buffers = c->buffers.get();
  cuda::MatmulGroupArgs args{};
  args.x = NewValues(buffers, random, type, shape.rows == 0 ? 0 : (shape.rows - 1) * (k + shape.pad) + k);
  args.rows = shape.rows;
  args.x_stride = k + shape.pad;
  args.chunk_k = shape.chunk_k;
  args.chunk_count = shape.chunk_count;
  args.type = type;
  for (const int64_t n : shape.n) {
    const PackedShape packed_shape = {n, shape.chunk_k, shape.chunk_count};
    const void* const source = NewValues(buffers, random, type, n * k);
    void* const packed = buffers->New<std::byte>(PackedElements(packed_shape) * TypeBytes(type));
    PackRows({static_cast<const std::byte*>(source), type, k, packed, type, packed_shape}, 0, n);
    const bool has_bias = (shape.biases >> args.count & 1) != 0;
    args.parts[args.count++] = {packed, has_bias ? NewFloats(buffers, random, n) : nullptr, nullptr, n, n + shape.pad};
    c->flops += 2.0 * static_cast<double>(shape.rows * n * k);
    c->bytes += static_cast<double>(PackedElements(packed_shape) * TypeBytes(type));
  }
  c->name = fmt::format("{} rows {} n {} chunks {} x {} stride +{} biases {:b}", TypeName(type), shape.rows,
                        fmt::join(shape.n, " "), shape.chunk_count, shape.chunk_k, shape.pad, shape.biases);
  return args;
}

Case<cuda::MatmulGroupArgs> MatmulGroup(Type type, Random* random, const GroupShape& shape) {
  Case<cuda::MatmulGroupArgs> c;
  c.args = Group(type, random, shape, &c);
  for (int p = 0; p < c.args.count; ++p) {
    cuda::MatmulPart& part = c.args.parts[p];
    const int64_t elements = shape.rows == 0 ? 0 : (shape.rows - 1) * part.y_stride + part.n;
    part.y = static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, elements));
  }
  return c;
}

Case<cuda::GatedMatmulArgs> GatedMatmul(Type type, Type out, cuda::Activation activation, Random* random,
                                        const GroupShape& shape) {
  Case<cuda::GatedMatmulArgs> c;
  c.args.of = Group(type, random, shape, &c);
  c.args.y = NewOutput(c.buffers.get(), &c.outputs, out, shape.rows * shape.n[0]);
  c.args.out = out;
  c.args.activation = activation;
  c.name += fmt::format(" to {}, activation {}", TypeName(out), static_cast<int>(activation));
  return c;
}

Case<cuda::MatmulRopeAppendArgs> MatmulRopeAppend(Type type, Type out, Random* random, const RopeAppendShape& shape,
                                                  int64_t chunk_k, int64_t chunk_count, unsigned biases, int64_t pad) {
  Case<cuda::MatmulRopeAppendArgs> c;
  const int64_t q = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  c.args.of = Group(type, random, {shape.tokens, {q, kv, kv}, chunk_k, chunk_count, pad, biases}, &c);
  c.args.then = RopeAppendOf(out, random, shape, &c);
  const float* const products[] = {c.args.then.q, c.args.then.k, c.args.then.v};
  for (int p = 0; p < 3; ++p) {
    c.args.of.parts[p].y = const_cast<float*>(products[p]);
    c.args.of.parts[p].y_stride = c.args.of.parts[p].n;
  }
  c.name += ", " + shape.Name(out);
  return c;
}

struct NormedShape {
  int64_t rows, width, chunk_k, chunk_count;
  int64_t pad = 0;
  bool has_bias = false;
  bool is_a = false;  // the product, of what is added
};
Case<cuda::MatmulAddRmsNormArgs> MatmulAddRmsNorm(Type type, Type out, Random* random, const NormedShape& shape) {
  Case<cuda::MatmulAddRmsNormArgs> c;
  c.args.of =
      Group(type, random,
            {shape.rows, {shape.width}, shape.chunk_k, shape.chunk_count, shape.pad, shape.has_bias ? 1u : 0u}, &c);
  c.args.then = AddRmsNormOf(out, random, shape.rows, shape.width, &c);
  c.args.of.parts[0].y = const_cast<float*>(shape.is_a ? c.args.then.a : c.args.then.b);
  c.args.of.parts[0].y_stride = shape.width;
  c.name += fmt::format(", added as {}, to {}", shape.is_a ? "a" : "b", TypeName(out));
  return c;
}

}  // namespace

template <>
std::vector<Case<cuda::MatmulGroupArgs>> TestCases<cuda::MatmulGroupArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<cuda::MatmulGroupArgs>> cases;
  for (const GroupShape& shape : {GroupShape{0, {17, 3}, 32, 1},
                                  {1, {1}, 1, 1},
                                  {1, {64, 16, 16}, 32, 2, 0, 0b111},
                                  {1, {131, 1, 33}, 100, 4, 3, 0b10},
                                  {2, {5, 37}, 31, 16},
                                  {3, {0, 20, 0, 7}, 64, 1},  // parts of which a rank has nothing
                                  {5, {0, 0}, 64, 1},
                                  {7, {128, 129, 127, 2, 33}, 40, 2, 1, 0b10110},
                                  {16, {48, 80}, 64, 8},
                                  {1, {17, 16}, 600, 2},  // more tiles of K than are on their way at once
                                  {3, {33}, 257, 1},
                                  {33, {96, 17, 17}, 72, 1, 0, 0}}) {
    cases.push_back(MatmulGroup(type, &random, shape));
  }
  return cases;
}
template <>
Case<cuda::MatmulGroupArgs> BenchCase<cuda::MatmulGroupArgs>(Type type) {
  Random random{23};
  return MatmulGroup(type, &random, {1, {4096, 1024, 1024}, 256, 16, 0, 0});  // q, k, v of 8 billion weights
}

template <>
std::vector<Case<cuda::GatedMatmulArgs>> TestCases<cuda::GatedMatmulArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<cuda::GatedMatmulArgs>> cases;
  int i = 0;
  for (const GroupShape& shape : {GroupShape{0, {17, 17}, 32, 1},
                                  {2, {0, 0}, 32, 1},
                                  {1, {1, 1}, 1, 1, 0, 0b10},
                                  {1, {64, 64}, 32, 2, 0, 0b11},
                                  {1, {131, 131}, 100, 4, 3, 0b10},
                                  {2, {37, 37}, 31, 16},
                                  {7, {129, 129}, 40, 2, 1, 0b11},
                                  {16, {80, 80}, 64, 8, 0, 0b10},
                                  {33, {47, 47}, 72, 1, 0, 0}}) {
    for (const Type out : {Type::kF32, Type::kBf16}) {
      cases.push_back(GatedMatmul(type, out, static_cast<cuda::Activation>(i++ % 3), &random, shape));
    }
  }
  return cases;
}
template <>
Case<cuda::GatedMatmulArgs> BenchCase<cuda::GatedMatmulArgs>(Type type) {
  Random random{24};
  return GatedMatmul(type, Type::kBf16, cuda::Activation::kSilu, &random, {1, {14336, 14336}, 256, 16, 0, 0});
}

template <>
std::vector<Case<cuda::MatmulRopeAppendArgs>> TestCases<cuda::MatmulRopeAppendArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<cuda::MatmulRopeAppendArgs>> cases;
  unsigned biases = 0;
  for (const auto& [shape, chunk_k, chunk_count] : {std::tuple{RopeAppendShape{0, 2, 1, 32, 16}, 32, 1},
                                                    {{1, 1, 1, 32, 16}, 32, 1},
                                                    {{1, 3, 2, 64, 32}, 40, 2},
                                                    {{2, 4, 1, 96, 48}, 100, 4},  // heads of three runs a half
                                                    {{7, 2, 2, 128, 64}, 31, 2},
                                                    {{33, 5, 1, 32, 16}, 64, 1},
                                                    {{1, 1, 1, 32, 16}, 600, 2},  // many tiles of K
                                                                                  // which are two launches
                                                    {{3, 2, 1, 16, 8}, 32, 2},
                                                    {{3, 2, 1, 64, 16}, 32, 1},
                                                    {{2, 2, 1, 64, 32, true}, 32, 1}}) {
    for (const Type out : {Type::kF32, Type::kBf16}) {
      cases.push_back(
          MatmulRopeAppend(type, out, &random, shape, chunk_k, chunk_count, biases % 8, /*pad=*/biases % 3));
      ++biases;
    }
  }
  return cases;
}
template <>
Case<cuda::MatmulRopeAppendArgs> BenchCase<cuda::MatmulRopeAppendArgs>(Type type) {
  Random random{25};
  return MatmulRopeAppend(type, Type::kBf16, &random, {1, 32, 8, 128, 64}, 256, 16, 0, 0);
}

template <>
std::vector<Case<cuda::MatmulAddRmsNormArgs>> TestCases<cuda::MatmulAddRmsNormArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<cuda::MatmulAddRmsNormArgs>> cases;
  for (const NormedShape& shape :
       {NormedShape{0, 17, 32, 1},
        {1, 1, 1, 1},
        {1, 64, 32, 2, 0, true},
        {1, 131, 100, 4, 3, false, true},
        {1, 2113, 32, 1, 0, true},  // more than one batch of some blocks, too many for others
        {2, 37, 31, 16, 1, true, true},
        {2, 512, 64, 8},
        {3, 129, 40, 2, 1, true},  // of which a launch each is quicker
        {33, 47, 72, 1}}) {
    for (const Type out : {Type::kF32, Type::kBf16}) cases.push_back(MatmulAddRmsNorm(type, out, &random, shape));
  }
  return cases;
}
template <>
Case<cuda::MatmulAddRmsNormArgs> BenchCase<cuda::MatmulAddRmsNormArgs>(Type type) {
  Random random{26};
  return MatmulAddRmsNorm(type, Type::kBf16, &random, {1, 4096, 256, 16});
}

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

namespace {
void RunPart(const KernelSet& set, const MatmulGroupArgs& a, const MatmulPart& part) {
  const MatmulArgs plain = {a.x,        part.w,       part.bias, part.y, a.rows, {part.n, a.chunk_k, a.chunk_count},
                            a.x_stride, part.y_stride};
  (a.type == Type::kBf16 ? set.matmul_bf16 : set.matmul_f32)(plain, 0, MatmulItems(plain));
}
}  // namespace

void RunPlain(const KernelSet& set, const MatmulGroupArgs& a) {
  for (int p = 0; p < a.count; ++p) RunPart(set, a, a.parts[p]);
}

// Their own y may be written or not; so they go elsewhere.
void RunPlain(const KernelSet& set, const MatmulRopeAppendArgs& a) {
  std::vector<float> products[3];
  for (int p = 0; p < 3; ++p) {
    MatmulPart part = a.of.parts[p];
    products[p].resize(static_cast<size_t>(a.of.rows * part.n));
    part.y = products[p].data();
    RunPart(set, a.of, part);
  }
  RopeAppendArgs then = a.then;
  then.q = products[0].data();
  then.k = products[1].data();
  then.v = products[2].data();
  RunPlain(set, then);
}

void RunPlain(const KernelSet& set, const MatmulAddRmsNormArgs& a) {
  MatmulPart part = a.of.parts[0];
  std::vector<float> product(static_cast<size_t>(a.of.rows * part.n));
  AddRmsNormArgs then = a.then;
  (then.a == part.y ? then.a : then.b) = product.data();
  part.y = product.data();
  RunPart(set, a.of, part);
  RunPlain(set, then);
}

void RunPlain(const KernelSet& set, const GatedMatmulArgs& a) {
  const int64_t n = a.of.parts[0].n;
  std::vector<float> sums[2];
  for (int p = 0; p < 2; ++p) {
    sums[p].resize(static_cast<size_t>(a.of.rows * n));
    MatmulPart part = a.of.parts[p];
    part.y = sums[p].data();
    part.y_stride = n;
    RunPart(set, a.of, part);
  }
  if (a.activation == Activation::kSilu) {
    set.silu_mul({sums[0].data(), sums[1].data(), a.y, a.of.rows, n, a.out}, 0, a.of.rows);
  } else {
    const bool approximate = a.activation == Activation::kGeluTanh;
    set.gelu_mul({sums[0].data(), sums[1].data(), a.y, a.of.rows, n, a.out, approximate}, 0, a.of.rows);
  }
}

}  // namespace mrs::kernels::cuda
