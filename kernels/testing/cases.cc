#include "kernels/testing/cases.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <limits>

namespace mrs::kernels {

namespace {

Buffers::Memory memory = {.take = std::malloc, .give = std::free};

}  // namespace

void Buffers::Use(const Memory& other) { memory = other; }

void* Buffers::Take(size_t bytes) {
  void* const array = memory.take(bytes);
  if (array == nullptr) std::abort();
  std::memset(array, 0, bytes);
  return arrays_.emplace_back(array, memory.give).get();
}

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

const char* TypeName(Type type) { return type == Type::kF32 ? "f32" : "bf16"; }

namespace {

Case<MatmulArgs> Matmul(Type type, Random* random, int64_t rows, int64_t n, int64_t chunk_k, int64_t chunk_count,
                        int64_t pad, bool bias) {
  Case<MatmulArgs> c;
  const PackedShape shape{n, chunk_k, chunk_count};
  const int64_t k = chunk_k * chunk_count;
  c.name = fmt::format("{} rows {} n {} chunks {} x {} stride +{} bias {}", TypeName(type), rows, n, chunk_count,
                       chunk_k, pad, bias);
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

Case<EmbedArgs> Embed(Type type, Random* random, int64_t rows, int64_t vocab, int64_t width) {
  Case<EmbedArgs> c;
  c.name = fmt::format("{} rows {} vocab {} width {}", TypeName(type), rows, vocab, width);
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
std::vector<Case<EmbedArgs>> TestCases<EmbedArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<EmbedArgs>> cases;
  for (Type type : {Type::kF32, Type::kBf16}) {
    cases.push_back(Embed(type, &random, 0, 16, 32));
    cases.push_back(Embed(type, &random, 40, 37, 33));
    cases.push_back(Embed(type, &random, 9, 100, 128));
    cases.push_back(Embed(type, &random, 3, 5, 1031));
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
  cases.push_back(SelectRows(&random, 3, 2, 777));
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
    cases.push_back(TopCandidates(&random, 1, 2500, 16, 64, 39000, odd));
    // The best ones as far apart as threads that look at them in turn would have them.
    float* const logits = const_cast<float*>(cases.back().args.logits);
    for (int64_t i = 7; i < 39000; i += odd ? 512 : 256) logits[i] = static_cast<float>(i % 11 + 100);
  }
  return cases;
}
template <>
Case<TopCandidatesArgs> BenchCase<TopCandidatesArgs>(Type) {
  Random random{11};
  return TopCandidates(&random, 4, 8016, 16, 20, 128256, false);
}

}  // namespace mrs::kernels
