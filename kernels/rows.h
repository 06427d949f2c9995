// Matrices that lie row after row, for kernels/cuda/fast.h, in the bytes that the packed ones take: a row's chunks
// follow one another, each padded with zeros to chunk_k_padded, and there are as many rows of zeros at the end
// (PackedShape in kernels.h).
//   offset = row * RowElements(shape) + chunk * chunk_k_padded + kk
// So rows begin at 64 bytes, and where chunk_k needs no padding a row is K as x has it.
//
//   RowElements({.n = 40, .chunk_k = 6, .chunk_count = 2})   // 64
#pragma once

#include "kernels/kernels.h"

namespace mrs::kernels {

constexpr int64_t RowElements(const PackedShape& shape) {
  return (shape.chunk_k + kGranule - 1) / kGranule * kGranule * shape.chunk_count;
}

// As PackRows, but so.
void CopyRows(const PackArgs& args, int64_t row_begin, int64_t row_end);

}  // namespace mrs::kernels
