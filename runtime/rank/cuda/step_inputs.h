// What kernels read of a batch, in one stretch of memory that is the same for every forward: so that one copy brings
// it, and a graph finds it where it was.
//
//   const InputPlaces places = PlaceInputs(stage);     // offsets by buffer; tokens first, block tables last
//   StepInputs inputs(places, device_bytes, host_bytes);
//   inputs.Put(batch.tokens, bucket.inputs.ids, /*rows=*/8, /*pad=*/0);   // three tokens and five zeros
//   device.CopyIn(device_bytes, host_bytes, inputs.used());
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs {

struct InputPlaces {
  static constexpr uint64_t kNone = UINT64_MAX;  // not an input
  std::vector<uint64_t> offsets;                 // [Stage.buffers], multiples of 256
  uint64_t bytes = 0;                            // of the largest batch
};
InputPlaces PlaceInputs(const plan::Stage& stage);

class StepInputs {
 public:
  // `host` is where it is written, `device` where kernels will read it; both of the places' bytes, borrowed.
  StepInputs(std::byte* device, std::byte* host) : device_(device), host_(host) {}

  // At least `rows` values at `to`, an address within `device` or null: an input that the stage does not have.
  void Put(std::span<const int32_t> values, const int32_t* to, size_t rows, int32_t pad);
  uint64_t used() const { return used_; }  // bytes from the first

 private:
  std::byte* device_;
  std::byte* host_;
  uint64_t used_ = 0;
};

}  // namespace mrs
