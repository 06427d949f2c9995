// What CUDA kernels are written in here: nvcc compiles it for a device, any C++ compiler for the emulator.
//
//   __global__ void Twice(TwiceArgs a) {
//     AwaitPrevious();
//     MRS_SHARED(bytes);
//     float* const row = reinterpret_cast<float*>(bytes);
//     ...
//   }
//   int error = Launch(Twice, {.grid = dim3(rows), .block = dim3(256), .shared_bytes = 1024}, stream, args);
//
// Rules: arguments by value; dynamic shared memory only; lane masks exact; every FMA written as __fmaf_rn, and compiled
// with -fmad=false -ftz=true, so that a kernel has the bits that its text says; exp, log, sin and cos from
// math_inline.h; each thread awaits the launch before its own, before anything else (dependents.h).
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_runtime.h>

#include <unordered_map>
#define MRS_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#else
#include "kernels/cuda/emulation/builtins.h"
#include "kernels/cuda/emulation/stream.h"
#define MRS_SHARED(name) unsigned char* const name = reinterpret_cast<unsigned char*>(::mrs::emulation::Here().shared)
#endif

namespace mrs::kernels::cuda {

// Shared memory that is read for results which nobody takes, so that none needs to have written it: for the emulator,
// which ends the program else. Of a device nothing.
#ifdef __CUDACC__
static __device__ inline void AnyBytesDo(const void*, int) {}
#else
inline void AnyBytesDo(const void* shared, int bytes) { ::mrs::emulation::AnyBytesDo(shared, size_t(bytes)); }
#endif

// A cudaStream_t; of the emulator an emulation::Stream, or null for work that is done at once.
using Stream = void*;

struct LaunchShape {
  dim3 grid, block;
  unsigned shared_bytes = 0;
  bool is_many_blocks = false;  // on a multiprocessor: of its memory as much as can be is shared memory
  bool is_cooperative = false;  // all blocks are resident together, and so may wait for others (signals.h)
  // Each thread of the kernel awaits the launch before it, so that its blocks may be there sooner (dependents.h). Of a
  // cooperative launch of no account.
  bool awaits_previous = true;
};

// Whether launches of the calling thread may be there sooner.
inline bool& MayBeginEarly() {
  static thread_local bool may = true;
  return may;
}

// What the calling thread's device has; asked once a thread, as a thread has one device. The emulator is an A100's
// size.
struct DeviceLimits {
  int multiprocessors = 108;
  int block_shared_bytes = 163 << 10;
};
inline const DeviceLimits& LimitsOfDevice() {
  static thread_local const DeviceLimits limits = [] {
    DeviceLimits of;
#ifdef __CUDACC__
    int device = 0;
    if (cudaGetDevice(&device) == cudaSuccess) {  // else the launch says what is wrong
      cudaDeviceGetAttribute(&of.multiprocessors, cudaDevAttrMultiProcessorCount, device);
      cudaDeviceGetAttribute(&of.block_shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
#endif
    return of;
  }();
  return limits;
}

// 0 where the calling thread's device can run a kernel; else a cudaError_t, of one that was not built for it among
// others.
template <typename... Parameters>
int CanRun([[maybe_unused]] void (*kernel)(Parameters...)) {
#ifdef __CUDACC__
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
#else
  return 0;
#endif
}

#ifdef __CUDACC__
// Whether a kernel has the wait of dependents.h, as it was loaded for the calling thread's device: one that the driver
// compiles from PTX for an earlier architecture has none. One for sm_90 or later runs on no device that knows of no
// such launches.
inline int HasWait(const void* kernel, bool* has) {
  constexpr int kFirst = 90;  // sm_90
  static thread_local std::unordered_map<const void*, bool> known;
  if (const auto at = known.find(kernel); at != known.end()) {
    *has = at->second;
    return 0;
  }
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
  if (error != cudaSuccess) return error;
  *has = known[kernel] = attributes.ptxVersion >= kFirst;
  return 0;
}
#endif

// 0, or a cudaError_t of the launch itself.
#ifdef __CUDACC__
template <typename... Parameters, typename... Arguments>
int Launch(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream, Arguments... arguments) {
  constexpr unsigned kWithoutAsking = 48 << 10;  // more shared memory than this must be asked for
  if (shape.shared_bytes > kWithoutAsking) {
    const cudaError_t error = cudaFuncSetAttribute(
        reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared_bytes));
    if (error != cudaSuccess) return error;
  }
  if (shape.is_many_blocks) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared);
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  cudaLaunchAttribute attribute = {};
  config.attrs = &attribute;
  if (shape.is_cooperative) {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
    config.numAttrs = 1;
  } else if (shape.awaits_previous && MayBeginEarly()) {
    bool has_wait = false;
    if (const int error = HasWait(reinterpret_cast<const void*>(kernel), &has_wait); error != 0) return error;
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.numAttrs = has_wait ? 1 : 0;
  }
  return cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
}
#else
template <typename... Parameters, typename... Arguments>
int Launch(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream, Arguments... arguments) {
  constexpr int kTooManyBlocks = 720;  // cudaErrorCooperativeLaunchTooLarge
  if (shape.is_cooperative &&
      uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z > ::mrs::emulation::kMostResidentBlocks) {
    return kTooManyBlocks;
  }
  const bool is_dependent = shape.awaits_previous && !shape.is_cooperative && MayBeginEarly();
  const auto run = [=] {
    ::mrs::emulation::RunGrid({.grid = shape.grid,
                               .block = shape.block,
                               .shared_bytes = shape.shared_bytes,
                               .is_resident = shape.is_cooperative,
                               .is_dependent = is_dependent,
                               .kernel = reinterpret_cast<const void*>(kernel)},
                              [=]() MRS_NOT_WATCHED { kernel(Parameters(arguments)...); });
  };
  return ::mrs::emulation::DoOn(stream, run, ::mrs::emulation::WordsOf(arguments...));
}
#endif

}  // namespace mrs::kernels::cuda
