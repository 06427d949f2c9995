#include "runtime/rank/weight_reads.h"

#include <algorithm>

#include "plans/dtype.h"

namespace mrs {
namespace {

// The rank's rows and columns of one source. Rows past the source's end are padding: fewer are read, or none.
WeightRead ReadOf(const plan::Rank& rank, const plan::WeightSource& source) {
  const Interval rows = SliceAt(source.rows(), rank);
  const Interval columns = SliceAt(source.columns(), rank);
  const uint64_t row_end = std::min(rows.begin + rows.size, source.row_count());
  const uint64_t row_begin = std::min(rows.begin, row_end);
  const uint64_t element_bytes = ByteSize(source.dtype());
  const uint64_t tensor_row_bytes = source.tensor_columns() * element_bytes;
  return WeightRead{
      .file_offset =
          source.file_offset() + (source.row_begin() + row_begin) * tensor_row_bytes + columns.begin * element_bytes,
      .row_stride_bytes = tensor_row_bytes,
      .row_bytes = columns.size * element_bytes,
      .row_count = row_end - row_begin,
      .dest_row = source.dest_row(),
      .weight = 0,
      .source = 0,
      .file = source.file(),
      .dtype = source.dtype(),
      .transform = source.transform(),
      .encoding = plan::EncodingKind::dense,
  };
}

}  // namespace

Interval SliceAt(const plan::Slice& slice, const plan::Rank& rank) {
  int64_t coordinate = 0;
  switch (slice.axis()) {
    case plan::Axis::none:
      break;
    case plan::Axis::tp:
      coordinate = rank.tp();
      break;
    case plan::Axis::ep:
      coordinate = rank.ep();
      break;
    case plan::Axis::stage:
      coordinate = rank.stage();
      break;
    case plan::Axis::dp:
      coordinate = rank.dp();
      break;
  }
  // The plan was verified: nothing here overflows or is negative.
  return {static_cast<uint64_t>(slice.start() + slice.step() * (coordinate / slice.every())), slice.size()};
}

const plan::Stage& StageOf(const plan::Plan& plan, uint32_t rank) {
  return *plan.stages()->Get(plan.ranks()->Get(rank)->stage());
}

std::vector<WeightRead> PlanWeightReads(const plan::Plan& plan, uint32_t rank) {
  const plan::Rank& coordinates = *plan.ranks()->Get(rank);
  const plan::Stage& stage = StageOf(plan, rank);
  std::vector<WeightRead> reads;
  reads.reserve(stage.sources()->size());
  for (uint32_t w = 0; w < stage.weights()->size(); ++w) {
    const plan::Weight& weight = *stage.weights()->Get(w);
    for (uint32_t s = weight.source_begin(); s < weight.source_begin() + weight.source_count(); ++s) {
      WeightRead read = ReadOf(coordinates, *stage.sources()->Get(s));
      read.weight = w;
      read.source = s;
      read.encoding = plan.encodings()->Get(weight.encoding())->kind();
      if (read.row_count > 0 && read.row_bytes > 0) reads.push_back(read);
    }
  }
  return reads;
}

uint64_t ReadBytes(const std::vector<WeightRead>& reads) {
  uint64_t bytes = 0;
  for (const WeightRead& read : reads) bytes += read.row_count * read.row_bytes;
  return bytes;
}

}  // namespace mrs
