// Libraries that an emulated program has inside: what the loader would find on a host with GPUs.
//
//   emulated::NcclLibrary().calls    // {{"ncclGetVersion", ...}, ...}
#pragma once

#include <span>

#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs::emulated {

struct LibraryCall {
  const char* name;
  void* address;
};
struct Library {
  const char* name;
  Point open;  // where opening it fails, as a test asks
  std::span<const LibraryCall> calls;
};
const Library& NcclLibrary();
const Library& CublasltLibrary();

}  // namespace mrs::emulated
