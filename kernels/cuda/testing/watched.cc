// Arrays of test cases as memory of an emulated device, so that whoever leaves them is found (emulation/watch.h).
#include "kernels/cuda/emulation/memory.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels {
namespace {

[[maybe_unused]] const bool is_used = [] {
  Buffers::Use(
      {.take = [](size_t bytes) -> void* { return emulation::TakeMemory({.what = "an array", .bytes = bytes}); },
       .give = emulation::GiveMemory});
  return true;
}();

}  // namespace
}  // namespace mrs::kernels
