// The libraries that the GPU ranks of a plan open when they start, looked for without a device.
//
//   CudaLibrariesOf(plan)   // {{"cuBLASLt", "13.1.0"}, {"NCCL", "no NCCL on this host: ...; install ..."}}
//
// Chosen at link time, as the device is; a program without CUDA (no_cuda.cc) says that it is.
#pragma once

#include <string>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

struct CudaLibrary {
  std::string name;
  Result<std::string> version;  // or what is missing, then "; " and what to do
};

// None of a plan for CPUs, and none where kernels of this program do it all.
std::vector<CudaLibrary> CudaLibrariesOf(const plan::Plan& plan);

}  // namespace mrs
