// What cuda_check asks of a device; where it fails, nothing more can be checked, and the program ends.
#pragma once

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace mrs::kernels::cuda {

inline void Must(int error, const char* what) {
  if (error == cudaSuccess) return;
  fmt::print(stderr, "cuda_check: {}: {}\n", what, cudaGetErrorString(static_cast<cudaError_t>(error)));
  std::exit(2);
}

inline void* TakePinned(size_t bytes) {
  void* memory = nullptr;
  Must(cudaHostAlloc(&memory, bytes, cudaHostAllocMapped), "no pinned memory");
  return memory;
}
inline void GivePinned(void* memory) { cudaFreeHost(memory); }

inline void* TakeManaged(size_t bytes) {
  void* memory = nullptr;
  Must(cudaMallocManaged(&memory, bytes), "no managed memory");
  return memory;
}
inline void GiveManaged(void* memory) { cudaFree(memory); }
inline void* OnDevice(size_t bytes) {
  void* memory = nullptr;
  Must(cudaMalloc(&memory, bytes), "no device memory");
  Must(cudaMemset(memory, 0, bytes), "memset");
  return memory;
}

}  // namespace mrs::kernels::cuda
