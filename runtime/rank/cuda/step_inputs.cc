#include "runtime/rank/cuda/step_inputs.h"

#include <algorithm>

#include "plans/dtype.h"

namespace mrs {
namespace {

constexpr uint64_t kAlignment = 256;

uint64_t MostRows(const plan::Stage& stage, plan::Rows rows) {
  uint64_t most = 1;
  for (const plan::Bucket* bucket : *stage.buckets()) {
    const uint64_t of_bucket = rows == plan::Rows::tokens       ? bucket->tokens()
                               : rows == plan::Rows::sequences  ? bucket->sequences()
                               : rows == plan::Rows::logit_rows ? bucket->logit_rows()
                                                                : 1;
    most = std::max(most, of_bucket);
  }
  return most;
}

}  // namespace

InputPlaces PlaceInputs(const plan::Stage& stage) {
  InputPlaces places;
  places.offsets.assign(stage.buffers()->size(), InputPlaces::kNone);
  // Block tables last: of few sequences little is copied.
  for (const bool are_tables : {false, true}) {
    for (uint32_t i = 0; i < stage.buffers()->size(); ++i) {
      const plan::Buffer& buffer = *stage.buffers()->Get(i);
      if (!buffer.input() || (buffer.rows() == plan::Rows::sequences) != are_tables) continue;
      places.offsets[i] = places.bytes;
      const uint64_t bytes = MostRows(stage, buffer.rows()) * buffer.width() * ByteSize(buffer.dtype());
      places.bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
  }
  return places;
}

void StepInputs::Put(std::span<const int32_t> values, const int32_t* to, size_t rows, int32_t pad) {
  if (to == nullptr) return;
  const auto offset = static_cast<uint64_t>(reinterpret_cast<const std::byte*>(to) - device_);
  auto* const out = reinterpret_cast<int32_t*>(host_ + offset);
  std::copy(values.begin(), values.end(), out);
  if (rows > values.size()) std::fill(out + values.size(), out + rows, pad);
  used_ = std::max(used_, offset + std::max(values.size(), rows) * sizeof(int32_t));
}

}  // namespace mrs
