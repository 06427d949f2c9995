#include "kernels/testing/cases.h"

#include <fmt/format.h>

#include <limits>

namespace mrs::kernels {

uint64_t Random::Bits() {
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

int64_t Random::Below(int64_t count) { return static_cast<int64_t>(Bits() % static_cast<uint64_t>(count)); }

float Random::Value() {
  const uint64_t bits = Bits();
  const float uniform = static_cast<float>(static_cast<int32_t>(bits >> 32)) * 0x1p-31f;
  switch (bits % 64) {
    case 0:
      return 0.0f;
    case 1:
      return -0.0f;
    case 2:
      return FloatOf(static_cast<uint32_t>(bits >> 8) & 0x807fffffu);
    case 3:
      return uniform * 1000.0f;
    default:
      return uniform;
  }
}

void* NewValues(Buffers* buffers, Random* random, Type type, int64_t count) {
  if (type == Type::kF32) {
    float* values = buffers->New<float>(count);
    for (int64_t i = 0; i < count; ++i) values[i] = random->Value();
    return values;
  }
  bf16* values = buffers->New<bf16>(count);
  for (int64_t i = 0; i < count; ++i) values[i] = Bf16FromF32(random->Value());
  return values;
}

float ValueAt(const void* values, Type type, int64_t i) {
  return type == Type::kF32 ? static_cast<const float*>(values)[i] : F32FromBf16(static_cast<const bf16*>(values)[i]);
}

namespace {

float* NewFloats(Buffers* buffers, Random* random, int64_t count) {
  return static_cast<float*>(NewValues(buffers, random, Type::kF32, count));
}

int32_t* NewInts(Buffers* buffers, Random* random, int64_t count, int64_t below) {
  int32_t* values = buffers->New<int32_t>(count);
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<int32_t>(random->Below(below));
  return values;
}

void* NewOutput(Buffers* buffers, std::vector<Output>* outputs, Type type, int64_t count) {
  std::byte* data = buffers->New<std::byte>(count * TypeBytes(type));
  outputs->push_back({data, count * TypeBytes(type)});
  return data;
}

const char* Name(Type type) { return type == Type::kF32 ? "f32" : "bf16"; }

Case<MatmulArgs> Matmul(Type type, Random* random, int64_t rows, int64_t n, int64_t chunk_k, int64_t chunk_count,
                        int64_t pad, bool bias) {
  Case<MatmulArgs> c;
  const PackedShape shape{n, chunk_k, chunk_count};
  const int64_t k = chunk_k * chunk_count;
  c.name = fmt::format("{} rows {} n {} chunks {} x {} stride +{} bias {}", Name(type), rows, n, chunk_count, chunk_k,
                       pad, bias);
  // The last row ends where its elements end, whatever the stride: nothing may be read past it.
  c.args.x = NewValues(c.buffers.get(), random, type, rows == 0 ? 0 : (rows - 1) * (k + pad) + k);
  const void* source = NewValues(c.buffers.get(), random, type, n * k);
  void* packed = c.buffers->New<std::byte>(PackedElements(shape) * TypeBytes(type));
  PackRows({static_cast<const std::byte*>(source), type, k, packed, type, shape}, 0, n);
  c.args.w = packed;
  c.args.bias = bias ? NewFloats(c.buffers.get(), random, n) : nullptr;
  c.args.y = static_cast<float*>(
      NewOutput(c.buffers.get(), &c.outputs, Type::kF32, rows == 0 ? 0 : (rows - 1) * (n + pad) + n));
  c.args.rows = rows;
  c.args.shape = shape;
  c.args.x_stride = k + pad;
  c.args.y_stride = n + pad;
  c.items = MatmulItems(c.args);
  c.flops = 2.0 * static_cast<double>(rows * n * k);
  c.bytes = static_cast<double>(PackedElements(shape) * TypeBytes(type));
  return c;
}

struct AttentionShape {
  int64_t heads, kv_heads, head_dim;
  std::vector<int32_t> lengths;  // of each sequence; its last tokens are the queries
  int64_t queries;               // per sequence, at most
};

Case<AttentionArgs> Attention(Type type, Random* random, const AttentionShape& shape) {
  Case<AttentionArgs> c;
  Buffers* buffers = c.buffers.get();
  AttentionArgs& args = c.args;
  const int64_t sequences = static_cast<int64_t>(shape.lengths.size());
  int64_t longest = 0, tokens = 0, visible = 0;
  for (int32_t length : shape.lengths) {
    longest = longest > length ? longest : length;
    tokens += length < shape.queries ? length : shape.queries;
  }
  const int64_t per_sequence = (longest + kBlockTokens - 1) / kBlockTokens;
  c.name = fmt::format("{} heads {}/{} head_dim {} sequences {} longest {} queries {}", Name(type), shape.heads,
                       shape.kv_heads, shape.head_dim, sequences, longest, tokens);
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
    for (int32_t p = length < shape.queries ? 0 : length - static_cast<int32_t>(shape.queries); p < length; ++p) {
      sequence[token] = static_cast<int32_t>(s);
      positions[token++] = p;
      visible += p + 1;
    }
    // What no query may see is NaN.
    for (int64_t p = length; p < per_sequence * kBlockTokens; ++p) {
      for (int64_t head = 0; head < shape.kv_heads; ++head) {
        const int64_t block = table[s * per_sequence + p / kBlockTokens];
        const int64_t base = (block * shape.kv_heads + head) * kBlockTokens * shape.head_dim;
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          const int64_t k = base + (d / 2 * kBlockTokens + p % kBlockTokens) * 2 + d % 2;
          const int64_t v = base + p % kBlockTokens * shape.head_dim + d;
          if (type == Type::kF32) {
            static_cast<float*>(args.cache.k)[k] = static_cast<float*>(args.cache.v)[v] = FloatOf(0x7fc00000u);
          } else {
            static_cast<bf16*>(args.cache.k)[k] = static_cast<bf16*>(args.cache.v)[v] = {0x7fc0};
          }
        }
      }
    }
  }
  args.sequence = sequence;
  args.positions = positions;
  args.tokens = tokens;
  args.heads = shape.heads;
  args.scale = 0.125f;
  args.q = NewValues(buffers, random, type, tokens * shape.heads * shape.head_dim);
  args.y = NewOutput(buffers, &c.outputs, type, tokens * shape.heads * shape.head_dim);
  c.items = tokens * shape.kv_heads;
  c.flops = 4.0 * static_cast<double>(visible * shape.heads * shape.head_dim);
  c.bytes = 2.0 * static_cast<double>(visible * shape.kv_heads * shape.head_dim * TypeBytes(type));
  return c;
}

Case<KvAppendArgs> KvAppend(Type type, Random* random, int64_t tokens, int64_t kv_heads, int64_t head_dim) {
  Case<KvAppendArgs> c;
  c.name = fmt::format("{} tokens {} kv_heads {} head_dim {}", Name(type), tokens, kv_heads, head_dim);
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

Case<RmsNormArgs> RmsNorm(Type out, Random* random, int64_t rows, int64_t width) {
  Case<RmsNormArgs> c;
  c.name = fmt::format("{} rows {} width {}", Name(out), rows, width);
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            NewFloats(c.buffers.get(), random, width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            1e-5f,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (4 + TypeBytes(out)));
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

Case<RopeArgs> Rope(Type out, Random* random, int64_t tokens, int64_t heads, int64_t head_dim, int64_t half) {
  Case<RopeArgs> c;
  c.name = fmt::format("{} tokens {} heads {} head_dim {} half {}", Name(out), tokens, heads, head_dim, half);
  const int64_t count = tokens * heads * head_dim;
  c.args = {NewFloats(c.buffers.get(), random, count),
            NewFloats(c.buffers.get(), random, tokens * 2 * half),
            NewOutput(c.buffers.get(), &c.outputs, out, count),
            tokens,
            heads,
            head_dim,
            half,
            out};
  c.items = tokens;
  c.bytes = static_cast<double>(count * (4 + TypeBytes(out)));
  return c;
}

Case<SiluMulArgs> SiluMul(Type out, Random* random, int64_t rows, int64_t width) {
  Case<SiluMulArgs> c;
  c.name = fmt::format("{} rows {} width {}", Name(out), rows, width);
  float* gate = NewFloats(c.buffers.get(), random, rows * width);
  for (int64_t i = 0; i < rows * width; ++i) gate[i] *= 20.0f;
  c.args = {gate,
            NewFloats(c.buffers.get(), random, rows * width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (8 + TypeBytes(out)));
  return c;
}

Case<AddArgs> Add(Random* random, int64_t rows, int64_t width, bool broadcast) {
  Case<AddArgs> c;
  c.name = fmt::format("rows {} width {} broadcast {}", rows, width, broadcast);
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            NewFloats(c.buffers.get(), random, (broadcast ? 1 : rows) * width),
            static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, rows * width)),
            rows,
            width,
            broadcast};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * 12);
  return c;
}

Case<EmbedArgs> Embed(Type type, Random* random, int64_t rows, int64_t vocab, int64_t width) {
  Case<EmbedArgs> c;
  c.name = fmt::format("{} rows {} vocab {} width {}", Name(type), rows, vocab, width);
  const PackedShape shape{vocab, width, 1};
  const void* source = NewValues(c.buffers.get(), random, type, vocab * width);
  void* table = c.buffers->New<std::byte>(PackedElements(shape) * TypeBytes(type));
  PackRows({static_cast<const std::byte*>(source), type, width, table, type, shape}, 0, vocab);
  // Twice the ids that this rank has, some on either side of its range.
  c.args = {NewInts(c.buffers.get(), random, rows, 2 * vocab),
            table,
            type,
            static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, rows * width)),
            rows,
            shape,
            vocab / 2};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (4 + TypeBytes(type)));
  return c;
}

Case<SelectRowsArgs> SelectRows(Random* random, int64_t rows, int64_t count, int64_t width) {
  Case<SelectRowsArgs> c;
  c.name = fmt::format("rows {} count {} width {}", rows, count, width);
  c.args = {NewFloats(c.buffers.get(), random, rows * width), NewInts(c.buffers.get(), random, count, rows),
            static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, count * width)), count, width};
  c.items = count;
  c.bytes = static_cast<double>(count * width * 8);
  return c;
}

Case<TopCandidatesArgs> TopCandidates(Random* random, int64_t rows, int64_t chunk_size, int64_t chunk_count, int64_t k,
                                      int64_t vocab_valid, bool odd_values) {
  Case<TopCandidatesArgs> c;
  c.name = fmt::format("rows {} chunks {} x {} k {} valid {} odd {}", rows, chunk_count, chunk_size, k, vocab_valid,
                       odd_values);
  const int64_t width = chunk_size * chunk_count;
  float* logits = NewFloats(c.buffers.get(), random, rows * width);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < rows * width; ++i) {
    logits[i] = static_cast<float>(static_cast<int64_t>(logits[i] * 50.0f));  // many ties
    if (odd_values && random->Below(3) == 0) logits[i] = -kInfinity;
    if (odd_values && i >= width && random->Below(50) == 0) logits[i] = std::numeric_limits<float>::quiet_NaN();
  }
  const int64_t record = TopCandidatesRecordBytes(k, chunk_count);
  c.outputs.push_back({c.buffers->New<std::byte>(rows * record), rows * record});
  c.args = {
      logits, rows, chunk_size, chunk_count, 1000, 1000 + vocab_valid, k, static_cast<std::byte*>(c.outputs[0].data)};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * 4);
  return c;
}

}  // namespace

template <>
std::vector<Case<MatmulArgs>> TestCases<MatmulArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<MatmulArgs>> cases;
  const auto add = [&](int64_t rows, int64_t n, int64_t chunk_k, int64_t chunk_count, int64_t pad, bool bias) {
    cases.push_back(Matmul(type, &random, rows, n, chunk_k, chunk_count, pad, bias));
  };
  add(0, 17, 32, 1, 0, true);
  add(1, 1, 1, 1, 0, false);
  add(1, 16, 32, 2, 0, true);
  add(1, 131, 100, 4, 0, true);
  add(1, 80, 600, 2, 3, false);
  add(2, 37, 31, 16, 1, true);
  add(7, 64, 257, 1, 0, false);
  add(16, 48, 64, 8, 0, true);
  add(31, 33, 172, 4, 5, true);
  for (int i = 0; i < 12; ++i) {
    add(random.Below(20), 1 + random.Below(150), 1 + random.Below(300), int64_t{1} << random.Below(5), random.Below(5),
        random.Below(2) == 0);
  }
  return cases;
}
template <>
Case<MatmulArgs> BenchCase<MatmulArgs>(Type type) {
  Random random{1};
  return Matmul(type, &random, 1, 8192, 256, 16, 0, false);  // decode: 64 or 128 MiB of weights, past the caches
}

template <>
std::vector<Case<AttentionArgs>> TestCases<AttentionArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<AttentionArgs>> cases;
  const AttentionShape shapes[] = {{1, 1, 2, {1}, 1},
                                   {4, 2, 64, {1, 33, 16}, 5},
                                   {6, 2, 34, {31, 32, 70}, 40},
                                   {3, 1, 80, {100, 513}, 3},
                                   {2, 2, 128, {600}, 2},
                                   {2, 1, 16, {1100, 1025}, 2},
                                   {8, 1, 48, {17, 47, 48}, 2},
                                   {1, 1, 1030, {40}, 2},
                                   {2, 1, 300, {50}, 1},
                                   {1, 1, 8, {}, 1}};
  for (const AttentionShape& shape : shapes) cases.push_back(Attention(type, &random, shape));
  return cases;
}
template <>
Case<AttentionArgs> BenchCase<AttentionArgs>(Type type) {
  Random random{2};
  return Attention(type, &random, {32, 8, 128, {2000}, 1});
}

template <>
std::vector<Case<KvAppendArgs>> TestCases<KvAppendArgs>(Type type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<KvAppendArgs>> cases;
  cases.push_back(KvAppend(type, &random, 0, 1, 16));
  cases.push_back(KvAppend(type, &random, 1, 1, 2));
  cases.push_back(KvAppend(type, &random, 5, 3, 34));
  cases.push_back(KvAppend(type, &random, 67, 2, 64));
  return cases;
}
template <>
Case<KvAppendArgs> BenchCase<KvAppendArgs>(Type type) {
  Random random{3};
  return KvAppend(type, &random, 512, 8, 128);
}

template <>
std::vector<Case<RmsNormArgs>> TestCases<RmsNormArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<RmsNormArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (int64_t width : {1, 7, 16, 33, 64, 131, 1000}) cases.push_back(RmsNorm(out, &random, 3, width));
    cases.push_back(RmsNorm(out, &random, 0, 16));
  }
  return cases;
}
template <>
Case<RmsNormArgs> BenchCase<RmsNormArgs>(Type) {
  Random random{4};
  return RmsNorm(Type::kBf16, &random, 16, 4096);
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
  for (Type out : {Type::kF32, Type::kBf16}) {
    cases.push_back(Rope(out, &random, 0, 2, 16, 8));
    cases.push_back(Rope(out, &random, 1, 1, 2, 1));
    cases.push_back(Rope(out, &random, 3, 5, 80, 40));
    cases.push_back(Rope(out, &random, 4, 2, 96, 13));  // partial rotation, and a tail that is copied
    cases.push_back(Rope(out, &random, 2, 4, 128, 64));
  }
  return cases;
}
template <>
Case<RopeArgs> BenchCase<RopeArgs>(Type) {
  Random random{6};
  return Rope(Type::kBf16, &random, 16, 32, 128, 64);
}

template <>
std::vector<Case<SiluMulArgs>> TestCases<SiluMulArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<SiluMulArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (int64_t width : {1, 16, 31, 172, 1024}) cases.push_back(SiluMul(out, &random, 3, width));
    cases.push_back(SiluMul(out, &random, 0, 16));
  }
  return cases;
}
template <>
Case<SiluMulArgs> BenchCase<SiluMulArgs>(Type) {
  Random random{7};
  return SiluMul(Type::kBf16, &random, 16, 14336);
}

template <>
std::vector<Case<AddArgs>> TestCases<AddArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<AddArgs>> cases;
  for (bool broadcast : {false, true}) {
    for (int64_t width : {1, 16, 37, 640}) cases.push_back(Add(&random, 5, width, broadcast));
    cases.push_back(Add(&random, 0, 16, broadcast));
  }
  return cases;
}
template <>
Case<AddArgs> BenchCase<AddArgs>(Type) {
  Random random{8};
  return Add(&random, 16, 4096, false);
}

template <>
std::vector<Case<EmbedArgs>> TestCases<EmbedArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<EmbedArgs>> cases;
  for (Type type : {Type::kF32, Type::kBf16}) {
    cases.push_back(Embed(type, &random, 0, 16, 32));
    cases.push_back(Embed(type, &random, 40, 37, 33));
    cases.push_back(Embed(type, &random, 9, 100, 128));
  }
  return cases;
}
template <>
Case<EmbedArgs> BenchCase<EmbedArgs>(Type) {
  Random random{9};
  return Embed(Type::kBf16, &random, 16, 2000, 4096);
}

template <>
std::vector<Case<SelectRowsArgs>> TestCases<SelectRowsArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<SelectRowsArgs>> cases;
  cases.push_back(SelectRows(&random, 1, 0, 16));
  cases.push_back(SelectRows(&random, 5, 3, 37));
  cases.push_back(SelectRows(&random, 3, 7, 1));
  return cases;
}
template <>
Case<SelectRowsArgs> BenchCase<SelectRowsArgs>(Type) {
  Random random{10};
  return SelectRows(&random, 64, 16, 4096);
}

template <>
std::vector<Case<TopCandidatesArgs>> TestCases<TopCandidatesArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<TopCandidatesArgs>> cases;
  for (bool odd : {false, true}) {
    cases.push_back(TopCandidates(&random, 0, 16, 1, 4, 16, odd));
    cases.push_back(TopCandidates(&random, 2, 1, 2, 3, 1, odd));      // fewer candidates than asked for
    cases.push_back(TopCandidates(&random, 3, 37, 8, 64, 261, odd));  // the last chunk is short
    cases.push_back(TopCandidates(&random, 3, 37, 8, 5, 100, odd));   // some are empty
    cases.push_back(TopCandidates(&random, 2, 20, 16, 1, -5, odd));   // all are
    cases.push_back(TopCandidates(&random, 2, 500, 2, 0, 1000, odd));
    cases.push_back(TopCandidates(&random, 4, 1000, 4, 10, 4000, odd));
  }
  return cases;
}
template <>
Case<TopCandidatesArgs> BenchCase<TopCandidatesArgs>(Type) {
  Random random{11};
  return TopCandidates(&random, 4, 8016, 16, 20, 128256, false);
}

}  // namespace mrs::kernels
