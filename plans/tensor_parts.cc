#include "plans/tensor_parts.h"

#include <algorithm>

#include "plans/dtype.h"

namespace mrs {
namespace {

using Wide = __int128;  // start + step * coordinate of any 64-bit numbers

struct Range {
  uint64_t begin, end;
};

// The slice's part of [0, limit) at coordinate c.
Range At(const plan::Slice& slice, uint64_t c, uint64_t limit) {
  const Wide begin = Wide{slice.start()} + Wide{slice.step()} * Wide{c / std::max<uint32_t>(1, slice.every())};
  const Wide end = begin + Wide{slice.size()};
  const auto clipped = [&](Wide at) { return static_cast<uint64_t>(std::clamp<Wide>(at, 0, Wide{limit})); };
  return {clipped(begin), clipped(end)};
}

}  // namespace

uint32_t CoordinateOf(const plan::Rank& rank, plan::Axis axis) {
  switch (axis) {
    case plan::Axis::tp:
      return rank.tp();
    case plan::Axis::ep:
      return rank.ep();
    case plan::Axis::stage:
      return rank.stage();
    case plan::Axis::dp:
      return rank.dp();
    case plan::Axis::none:
      break;
  }
  return 0;
}

diff::Rectangle PartOf(const plan::WeightSource& source, const plan::Rank& rank) {
  const uint64_t row_begin = std::min(source.row_begin(), source.tensor_rows());
  const uint64_t row_count = std::min(source.row_count(), source.tensor_rows() - row_begin);
  const Range rows = At(source.rows(), CoordinateOf(rank, source.rows().axis()), row_count);
  const Range columns = At(source.columns(), CoordinateOf(rank, source.columns().axis()), source.tensor_columns());
  return {row_begin + rows.begin, row_begin + rows.end, columns.begin, columns.end};
}

FileRanges RangesOf(const plan::WeightSource& source, const diff::Rectangle& part) {
  if (part.empty()) return {};
  const uint64_t element = ByteSize(source.dtype());
  const uint64_t row_bytes = source.tensor_columns() * element;
  const uint64_t rows = part.row_end - part.row_begin;
  const uint64_t first = source.file_offset() + part.row_begin * row_bytes + part.column_begin * element;
  const uint64_t range = (part.column_end - part.column_begin) * element;
  if (range == row_bytes) return {first, rows * row_bytes, 1, rows * row_bytes};
  return {first, range, rows, row_bytes};
}

}  // namespace mrs
