// What we call of CUDA's driver, as cuda_runtime_api.h of the runtime. The runtime finds the calls
// (cudaGetDriverEntryPointByVersion): none is linked.
#pragma once

enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };
// When kernels are loaded: with the program, or each when it is launched first.
enum CUmoduleLoadingMode { CU_MODULE_EAGER_LOADING = 1, CU_MODULE_LAZY_LOADING = 2 };

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode);
