// What PackFromHost is tried with, and what the host's packing makes of it: all layouts and types, whole matrices and
// rows that begin and end within a block of sixteen, at odd sizes.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/pack.h"
#include "kernels/rows.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {

constexpr std::byte kPadding{0x5a};  // what nobody is to write

struct PackCase {
  std::string name;
  PackFromHostArgs args;
  std::byte* matrix = nullptr;  // all that args.dst is of
  std::vector<std::byte> expected;
  std::shared_ptr<Buffers> buffers = std::make_shared<Buffers>();

  bool IsAsExpected() const { return std::memcmp(matrix, expected.data(), expected.size()) == 0; }
  void Clear() const { std::memset(matrix, static_cast<int>(kPadding), expected.size()); }
};

// Any bits; where `numbers`, no NaN, to which a device may add one otherwise than a host.
inline PackCase NewPackCase(Random* random, const PackFromHostArgs& args, int64_t dst_bytes, bool numbers = false) {
  PackCase c;
  c.args = args;
  const int64_t element_bytes = args.src_type == Type::kF32 ? 4 : 2;
  const int64_t count = args.row_count * args.shape.chunk_k * args.shape.chunk_count;
  // Of whole sixteens, and not one more.
  auto* const src = c.buffers->New<std::byte>((count * element_bytes + 15) / 16 * 16);
  for (int64_t i = 0; i < count; ++i) {
    auto bits = static_cast<uint32_t>(random->Bits());
    if (numbers) bits &= args.src_type == Type::kF32 ? 0xbfffffffu : 0xbfffbfffu;
    std::memcpy(src + i * element_bytes, &bits, static_cast<size_t>(element_bytes));
  }
  c.args.src = src;
  c.matrix = c.buffers->New<std::byte>(dst_bytes);
  c.expected.assign(static_cast<size_t>(dst_bytes), kPadding);
  return c;
}

inline PackCase MatrixCase(Random* random, const PackFromHostArgs& args) {
  const int64_t elements = PackedElements(args.shape), k = args.shape.chunk_k * args.shape.chunk_count;
  PackCase c = NewPackCase(random, args, elements * TypeBytes(args.dst_type));
  c.args.dst = c.matrix;
  const int64_t row_bytes = k * (args.src_type == Type::kF32 ? 4 : 2);
  // The host's source is addressed by the matrix's row.
  const auto row_zero = reinterpret_cast<uintptr_t>(c.args.src) - static_cast<uintptr_t>(args.row_begin * row_bytes);
  const PackArgs on_host = {
      reinterpret_cast<const std::byte*>(row_zero), args.src_type, k, c.expected.data(), args.dst_type, args.shape};
  (args.layout == PackedLayout::kLanes ? PackRows : CopyRows)(on_host, args.row_begin, args.row_begin + args.row_count);
  constexpr const char* kTypes[] = {"f32", "bf16", "f16"};
  c.name = fmt::format("{} {} to {}, {} x {} chunks of {}, rows [{}, +{})",
                       args.layout == PackedLayout::kLanes ? "lanes" : "rows", kTypes[static_cast<int>(args.src_type)],
                       kTypes[static_cast<int>(args.dst_type)], args.shape.n, args.shape.chunk_count,
                       args.shape.chunk_k, args.row_begin, args.row_count);
  return c;
}

// Elements [3, 3 + count) of a vector.
inline PackCase VectorCase(Random* random, Type src_type, int64_t count, bool add_one) {
  PackFromHostArgs args;
  args.row_count = 1;
  args.shape = {1, count, 1};
  args.src_type = src_type;
  args.layout = PackedLayout::kRows;
  args.add_one = add_one;
  PackCase c = NewPackCase(random, args, (3 + count + 2) * 4, /*numbers=*/add_one);
  auto* const vector = reinterpret_cast<float*>(c.expected.data()) + 3;
  c.args.dst = reinterpret_cast<float*>(c.matrix) + 3;
  ConvertToF32(c.args.src, src_type, vector, count);
  for (int64_t i = 0; i < count; ++i) vector[i] = add_one ? vector[i] + 1.0f : vector[i];
  c.name = fmt::format("a vector of {} of type {}{}", count, static_cast<int>(src_type), add_one ? ", and one" : "");
  return c;
}

// The calling thread flushes to zero, as those that pack do.
inline std::vector<PackCase> PackCases(uint64_t seed) {
  Random random{seed};
  std::vector<PackCase> cases;
  for (const Type src_type : {Type::kF32, Type::kBf16, Type::kF16}) {
    for (const PackedLayout layout : {PackedLayout::kLanes, PackedLayout::kRows}) {
      for (const Type dst_type : {Type::kF32, Type::kBf16}) {
        for (const PackedShape& shape : {PackedShape{1, 1, 1}, PackedShape{37, 43, 4}, PackedShape{16, 32, 2},
                                         PackedShape{5, 120, 2}, PackedShape{33, 256, 1}, PackedShape{20, 515, 2}}) {
          // All, and in two parts, of which the second begins within a block.
          const int64_t part = shape.n / 3;
          for (const auto& [begin, count] :
               {std::pair{int64_t{0}, shape.n}, {int64_t{0}, part}, {part, shape.n - part}}) {
            if (count == 0 || (begin == 0 && part == 0 && count != shape.n)) continue;
            PackFromHostArgs args;
            args.row_begin = begin;
            args.row_count = count;
            args.shape = shape;
            args.src_type = src_type;
            args.dst_type = dst_type;
            args.layout = layout;
            cases.push_back(MatrixCase(&random, args));
          }
        }
      }
    }
    for (const int64_t count : {1, 7, 256, 1000}) {
      for (const bool add_one : {false, true}) cases.push_back(VectorCase(&random, src_type, count, add_one));
    }
  }
  return cases;
}

}  // namespace mrs::kernels::cuda
