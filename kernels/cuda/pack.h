// Rows of a checkpoint, as its file has them, to where kernels read them: with the bits of PackRows (kernels.h),
// CopyRows (rows.h) and ConvertToF32, on a device. The rows may lie in pinned memory of the host: they come as they are
// packed, and take no memory of the device besides.
//
//   StartPackFromHost({.src = pinned, .dst = weight, .row_begin = 40, .row_count = 24, .shape = {64, 256, 16},
//                      .src_type = Type::kBf16, .dst_type = Type::kBf16, .layout = PackedLayout::kLanes}, stream)
//   // a vector is a row: .dst = norm + 8, .row_count = 1, .shape = {1, count, 1}, .layout = PackedLayout::kRows
//
// No row of the kernel table: a CPU's rank packs what it reads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace mrs::kernels::cuda {

enum class PackedLayout : uint8_t { kLanes, kRows };  // PackedShape (kernels.h), RowElements (rows.h)

struct PackFromHostArgs {
  // Rows [row_begin, row_begin + row_count), one right after another; at a multiple of 16 bytes, and in memory of such
  // a multiple, as sixteen bytes are read at a time.
  const std::byte* src = nullptr;
  void* dst = nullptr;  // row 0; no memory of src. Only elements of those rows are written: padding stays as it is
  int64_t row_begin = 0;
  int64_t row_count = 0;
  PackedShape shape{};
  Type src_type = Type::kF32;
  Type dst_type = Type::kF32;  // kF32 or kBf16
  PackedLayout layout = PackedLayout::kLanes;
  bool add_one = false;  // to each element, in f32, before it is stored
};
// As a kernel of exact.h. `src` is not to be written before the stream has come so far.
int StartPackFromHost(const PackFromHostArgs& args, void* stream);

}  // namespace mrs::kernels::cuda
