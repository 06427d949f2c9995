// CUDA's calls as device.cc makes them: compiled with the toolkit's header and with the emulated runtime's, so that
// both say the same of what they have in common. Nothing of it runs.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <type_traits>

namespace mrs {
namespace {

static_assert(cudaSuccess == 0);
static_assert(cudaErrorInvalidValue == 1);
static_assert(cudaErrorMemoryAllocation == 2);
static_assert(cudaErrorInitializationError == 3);
static_assert(cudaErrorInvalidDeviceFunction == 98);
static_assert(cudaErrorInvalidDevice == 101);
static_assert(cudaErrorDeviceUninitialized == 201);
static_assert(cudaErrorAlreadyMapped == 208);
static_assert(cudaErrorNoKernelImageForDevice == 209);
static_assert(cudaErrorPeerAccessUnsupported == 217);
static_assert(cudaErrorInvalidResourceHandle == 400);
static_assert(cudaErrorIllegalState == 401);
static_assert(cudaErrorNotReady == 600);
static_assert(cudaErrorIllegalAddress == 700);
static_assert(cudaErrorLaunchOutOfResources == 701);
static_assert(cudaErrorLaunchFailure == 719);
static_assert(cudaErrorCooperativeLaunchTooLarge == 720);
static_assert(cudaErrorStreamCaptureUnsupported == 900);
static_assert(cudaErrorStreamCaptureInvalidated == 901);
static_assert(cudaErrorStreamCaptureWrongThread == 908);
static_assert(cudaErrorUnknown == 999);
static_assert(cudaStreamNonBlocking == 1 && cudaEventDisableTiming == 2 && cudaHostAllocDefault == 0);
static_assert(cudaIpcMemLazyEnablePeerAccess == 1 && cudaDevAttrMultiProcessorCount == 16);
static_assert(cudaMemcpyHostToDevice == 1 && cudaMemcpyDeviceToHost == 2 && cudaMemcpyDeviceToDevice == 3);
static_assert(cudaStreamCaptureModeThreadLocal == 1 && sizeof(cudaIpcMemHandle_t) == 64);
static_assert(sizeof(cudaDeviceProp::name) == 256 && sizeof(cudaDeviceProp::uuid) == 16);

static_assert(CUDA_ERROR_OUT_OF_MEMORY == 2 && std::is_same_v<CUfunction, cudaFunction_t>);
static_assert(CUDA_SUCCESS == 0 && CU_MODULE_EAGER_LOADING == 1 && CU_MODULE_LAZY_LOADING == 2);
static_assert(cudaDriverEntryPointSuccess == 0 && cudaDriverEntryPointSymbolNotFound == 1 && cudaEnableDefault == 0);

// A function of C and one of C++ are of one type here.
template <typename Expected, typename Actual>
constexpr bool kIs = std::is_same_v<Actual, Expected*>;

static_assert(kIs<const char*(cudaError_t), decltype(&cudaGetErrorString)>);
static_assert(kIs<const char*(cudaError_t), decltype(&cudaGetErrorName)>);
static_assert(kIs<cudaError_t(int*), decltype(&cudaDriverGetVersion)>);
static_assert(kIs<cudaError_t(int*), decltype(&cudaGetDeviceCount)>);
static_assert(kIs<cudaError_t(int), decltype(&cudaSetDevice)>);
static_assert(kIs<cudaError_t(cudaDeviceProp*, int), decltype(&cudaGetDeviceProperties)>);
static_assert(kIs<cudaError_t(char*, int, int), decltype(&cudaDeviceGetPCIBusId)>);
static_assert(kIs<cudaError_t(int*, cudaDeviceAttr, int), decltype(&cudaDeviceGetAttribute)>);
static_assert(kIs<cudaError_t(const char*, void**, unsigned, unsigned long long, cudaDriverEntryPointQueryResult*),
                  decltype(&cudaGetDriverEntryPointByVersion)>);
static_assert(kIs<cudaError_t(cudaFunction_t*, const void*), decltype(&cudaGetFuncBySymbol)>);
static_assert(kIs<CUresult(CUmoduleLoadingMode*), decltype(&cuModuleGetLoadingMode)>);
static_assert(kIs<CUresult(CUmodule*, CUfunction), decltype(&cuFuncGetModule)>);
static_assert(kIs<CUresult(unsigned*, CUmodule), decltype(&cuModuleGetFunctionCount)>);
static_assert(kIs<CUresult(CUfunction*, unsigned, CUmodule), decltype(&cuModuleEnumerateFunctions)>);
static_assert(kIs<CUresult(CUfunction), decltype(&cuFuncLoad)>);
static_assert(kIs<cudaError_t(cudaStream_t*, unsigned), decltype(&cudaStreamCreateWithFlags)>);
static_assert(kIs<cudaError_t(cudaStream_t), decltype(&cudaStreamDestroy)>);
static_assert(kIs<cudaError_t(cudaStream_t), decltype(&cudaStreamSynchronize)>);
static_assert(kIs<cudaError_t(cudaStream_t), decltype(&cudaStreamQuery)>);
static_assert(kIs<cudaError_t(cudaEvent_t*, unsigned), decltype(&cudaEventCreateWithFlags)>);
static_assert(kIs<cudaError_t(cudaEvent_t), decltype(&cudaEventDestroy)>);
static_assert(kIs<cudaError_t(cudaEvent_t, cudaStream_t), decltype(&cudaEventRecord)>);
static_assert(kIs<cudaError_t(cudaEvent_t), decltype(&cudaEventSynchronize)>);
static_assert(kIs<cudaError_t(cudaEvent_t), decltype(&cudaEventQuery)>);
static_assert(kIs<cudaError_t(void**, size_t), decltype(&cudaMalloc)>);
static_assert(kIs<cudaError_t(void*), decltype(&cudaFree)>);
static_assert(kIs<cudaError_t(void**, size_t, unsigned), decltype(&cudaHostAlloc)>);
static_assert(kIs<cudaError_t(void*), decltype(&cudaFreeHost)>);
static_assert(kIs<cudaError_t(size_t*, size_t*), decltype(&cudaMemGetInfo)>);
static_assert(kIs<cudaError_t(void*, int, size_t, cudaStream_t), decltype(&cudaMemsetAsync)>);
static_assert(kIs<cudaError_t(void*, const void*, size_t, cudaMemcpyKind, cudaStream_t), decltype(&cudaMemcpyAsync)>);
static_assert(kIs<cudaError_t(cudaIpcMemHandle_t*, void*), decltype(&cudaIpcGetMemHandle)>);
static_assert(kIs<cudaError_t(void**, cudaIpcMemHandle_t, unsigned), decltype(&cudaIpcOpenMemHandle)>);
static_assert(kIs<cudaError_t(void*), decltype(&cudaIpcCloseMemHandle)>);
static_assert(kIs<cudaError_t(cudaStream_t, cudaStreamCaptureMode), decltype(&cudaStreamBeginCapture)>);
static_assert(kIs<cudaError_t(cudaStream_t, cudaGraph_t*), decltype(&cudaStreamEndCapture)>);
static_assert(
    kIs<cudaError_t(cudaGraphExec_t*, cudaGraph_t, unsigned long long), decltype(&cudaGraphInstantiateWithFlags)>);
static_assert(kIs<cudaError_t(cudaGraph_t), decltype(&cudaGraphDestroy)>);
static_assert(kIs<cudaError_t(cudaGraphExec_t, cudaStream_t), decltype(&cudaGraphLaunch)>);
static_assert(kIs<cudaError_t(cudaGraphExec_t), decltype(&cudaGraphExecDestroy)>);

}  // namespace
}  // namespace mrs
