// What we call of CUDA's driver, as cuda_runtime_api.h of the runtime. The runtime finds the calls
// (cudaGetDriverEntryPointByVersion): none is linked.
#pragma once

enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1, CUDA_ERROR_OUT_OF_MEMORY = 2 };
// When kernels are loaded: with the program, or each when it is launched first.
enum CUmoduleLoadingMode { CU_MODULE_EAGER_LOADING = 1, CU_MODULE_LAZY_LOADING = 2 };

typedef struct CUmod_st* CUmodule;
typedef struct CUfunc_st* CUfunction;

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode);
// The module that has a kernel, all kernels of one, and that one is loaded.
CUresult cuFuncGetModule(CUmodule* module, CUfunction function);
CUresult cuModuleGetFunctionCount(unsigned* count, CUmodule module);
CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned count, CUmodule module);
CUresult cuFuncLoad(CUfunction function);
