// Packing: every element where PackedShape says, zeros in between, from each type of checkpoint.
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/rows.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels {
namespace {

TEST(Pack, PutsEveryElementAtItsOffset) {
  Random random{1};
  for (Type type : {Type::kF32, Type::kBf16}) {
    for (const PackedShape& shape : {PackedShape{1, 1, 1}, PackedShape{37, 43, 4}, PackedShape{16, 32, 2},
                                     PackedShape{20, 80, 4}, PackedShape{5, 120, 2}, PackedShape{33, 256, 1}}) {
      Buffers buffers;
      const int64_t k = shape.chunk_k * shape.chunk_count;
      const void* source = NewValues(&buffers, &random, type, shape.n * k);
      const int64_t count = PackedElements(shape);
      std::byte* packed = buffers.New<std::byte>(count * TypeBytes(type));
      const PackArgs args{static_cast<const std::byte*>(source), type, k, packed, type, shape};
      PackRows(args, 0, shape.n / 3);  // in parts that split a block
      PackRows(args, shape.n / 3, shape.n);
      std::vector<bool> used(static_cast<size_t>(count));
      const int64_t padded = (shape.chunk_k + 31) / 32 * 32;
      for (int64_t row = 0; row < shape.n; ++row) {
        for (int64_t i = 0; i < k; ++i) {
          const int64_t chunk = i / shape.chunk_k, kk = i % shape.chunk_k;
          const int64_t at =
              ((row / 16 * shape.chunk_count + chunk) * padded + (kk & ~int64_t{1})) * 16 + row % 16 * 2 + (kk & 1);
          ASSERT_LT(at, count);
          EXPECT_FALSE(used[static_cast<size_t>(at)]);
          used[static_cast<size_t>(at)] = true;
          ASSERT_EQ(BitsOf(ValueAt(packed, type, at)), BitsOf(ValueAt(source, type, row * k + i)));
        }
      }
      for (int64_t i = 0; i < count; ++i) {
        if (!used[static_cast<size_t>(i)]) {
          ASSERT_EQ(BitsOf(ValueAt(packed, type, i)), 0u);
        }
      }
    }
  }
}

TEST(Pack, CopiesRowsChunkAfterChunk) {
  Random random{2};
  for (Type type : {Type::kF32, Type::kBf16}) {
    for (const PackedShape& shape : {PackedShape{1, 1, 1}, PackedShape{37, 43, 4}, PackedShape{16, 32, 2}}) {
      Buffers buffers;
      const int64_t k = shape.chunk_k * shape.chunk_count, row_elements = RowElements(shape);
      const int64_t padded = row_elements / shape.chunk_count;
      const void* source = NewValues(&buffers, &random, type, shape.n * k);
      const int64_t count = PackedElements(shape);
      std::byte* rows = buffers.New<std::byte>(count * TypeBytes(type));
      const PackArgs args{static_cast<const std::byte*>(source), type, k, rows, type, shape};
      CopyRows(args, 0, shape.n / 3);
      CopyRows(args, shape.n / 3, shape.n);
      for (int64_t at = 0; at < count; ++at) {
        const int64_t row = at / row_elements, chunk = at % row_elements / padded, kk = at % padded;
        const bool is_there = row < shape.n && kk < shape.chunk_k;
        const float expected = is_there ? ValueAt(source, type, row * k + chunk * shape.chunk_k + kk) : 0.0f;
        ASSERT_EQ(BitsOf(ValueAt(rows, type, at)), BitsOf(expected)) << at;
      }
    }
  }
}

TEST(Pack, ConvertsBetweenTypes) {
  const float f32[] = {1.0f, FloatOf(0x3f808001u), -2.5f};
  const uint16_t f16[] = {0x3c00, 0x0001, 0xc100};
  const uint16_t b16[] = {0x3f80, 0x3f81, 0xc020};
  const uint16_t nans[] = {0x7f81, 0xffc0, 0x7fff};  // the first is a signalling one
  const PackedShape shape{1, 3, 1};
  const auto pack = [&](const void* src, Type from, auto* dst, Type to) {
    PackRows({static_cast<const std::byte*>(src), from, 3, dst, to, shape}, 0, 1);
  };
  std::vector<bf16> narrow(static_cast<size_t>(PackedElements(shape)));
  std::vector<float> wide(narrow.size());
  pack(f32, Type::kF32, narrow.data(), Type::kBf16);
  EXPECT_EQ(narrow[0].bits, 0x3f80);
  EXPECT_EQ(narrow[1].bits, 0x3f81);
  EXPECT_EQ(narrow[32].bits, 0xc020);
  pack(f16, Type::kF16, narrow.data(), Type::kBf16);
  EXPECT_EQ(narrow[1].bits, 0x3380);  // 2^-24
  pack(f16, Type::kF16, wide.data(), Type::kF32);
  EXPECT_EQ(wide[1], 0x1p-24f);
  EXPECT_EQ(wide[32], -2.5f);
  pack(nans, Type::kBf16, narrow.data(), Type::kBf16);
  EXPECT_EQ(narrow[0].bits, 0x7f81);
  EXPECT_EQ(narrow[1].bits, 0xffc0);
  EXPECT_EQ(narrow[32].bits, 0x7fff);
  CopyRows({reinterpret_cast<const std::byte*>(nans), Type::kBf16, 3, narrow.data(), Type::kBf16, shape}, 0, 1);
  EXPECT_EQ(std::memcmp(narrow.data(), nans, sizeof(nans)), 0);
  pack(b16, Type::kBf16, wide.data(), Type::kF32);
  EXPECT_EQ(wide[32], -2.5f);
  float out[3];
  // From an odd address, as tensors in a file may lie.
  std::byte odd[7];
  std::memcpy(odd + 1, b16, 6);
  ConvertToF32(odd + 1, Type::kBf16, out, 3);
  EXPECT_EQ(out[2], -2.5f);
}

}  // namespace
}  // namespace mrs::kernels
