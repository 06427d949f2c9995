// Devices of the emulated runtime, which streams they have, and how its calls fail. There are as many devices as
// anybody asks for, each as large as a test says.
#include <cuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>

#include "kernels/cuda/emulation/memory.h"
#include "runtime/rank/cuda/emulated/cudart.h"

namespace mrs::emulated {
namespace {

constexpr int kDevices = 4096;

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorDeviceUninitialized, "cudaErrorDeviceUninitialized", "invalid device context"},
    {cudaErrorAlreadyMapped, "cudaErrorAlreadyMapped", "resource already mapped"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorPeerAccessUnsupported, "cudaErrorPeerAccessUnsupported",
     "peer access is not supported between these two devices"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge", "too many blocks in cooperative launch"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};
const ErrorText& TextOf(cudaError_t error) {
  const auto* const found =
      std::find_if(std::begin(kErrors), std::end(kErrors), [&](const ErrorText& one) { return one.error == error; });
  return found == std::end(kErrors) ? *std::prev(found) : *found;
}

// Of a thread.
struct LastFailure {
  cudaError_t error = cudaSuccess;
  std::string why, text;
};
thread_local LastFailure last_failure;
thread_local int thread_device = -1;
thread_local RuntimeStream* captured = nullptr;

struct DeviceState {
  std::set<RuntimeStream*> streams;
  cudaError_t lost = cudaSuccess;
  std::set<CUfunction> loaded;
  std::map<std::string, uint64_t> named;  // how many of each kind
};
struct Devices {
  std::mutex mutex;
  std::map<int, DeviceState> states;
};
// Never destroyed: devices may go as the program ends.
Devices& All() {
  static Devices* const devices = new Devices;
  return *devices;
}

// Kernels are of the program. Where a test says so, they count as loaded when they are launched first.
CUresult LoadingMode(CUmoduleLoadingMode* mode) {
  const char* const asked = std::getenv("CUDA_MODULE_LOADING");
  const bool is_lazy = asked != nullptr && std::string_view(asked) == "LAZY";
  *mode = is_lazy ? CU_MODULE_LAZY_LOADING : CU_MODULE_EAGER_LOADING;
  return CUDA_SUCCESS;
}

// Of a source one kernel is known, and stands for all.
constexpr uint64_t kLoadedBytes = 64 << 10;  // of each

CUresult ModuleOf(CUmodule* module, CUfunction function) {
  *module = reinterpret_cast<CUmodule>(function);
  return CUDA_SUCCESS;
}
CUresult FunctionCount(unsigned* count, CUmodule) {
  *count = 1;
  return CUDA_SUCCESS;
}
CUresult EnumerateFunctions(CUfunction* functions, unsigned count, CUmodule module) {
  if (count > 0) *functions = reinterpret_cast<CUfunction>(module);
  return CUDA_SUCCESS;
}
CUresult LoadFunction(CUfunction function) {
  size_t free_bytes = 0, total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess || free_bytes < kLoadedBytes) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const std::lock_guard lock(All().mutex);
  All().states[thread_device].loaded.insert(function);
  return CUDA_SUCCESS;
}

struct DriverCall {
  std::string_view name;
  void* call;
};
const DriverCall kDriverCalls[] = {
    {"cuModuleGetLoadingMode", reinterpret_cast<void*>(&LoadingMode)},
    {"cuFuncGetModule", reinterpret_cast<void*>(&ModuleOf)},
    {"cuModuleGetFunctionCount", reinterpret_cast<void*>(&FunctionCount)},
    {"cuModuleEnumerateFunctions", reinterpret_cast<void*>(&EnumerateFunctions)},
    {"cuFuncLoad", reinterpret_cast<void*>(&LoadFunction)},
};

bool IsDevice(int device) { return device >= 0 && device < kDevices; }

}  // namespace

void Begin() { last_failure = {}; }

cudaError_t Fail(cudaError_t error, std::string why) {
  last_failure = {error, std::move(why), {}};
  return error;
}

cudaError_t Ask(int device, Point point, cudaError_t error) {
  if (const cudaError_t lost = LostOf(device); lost != cudaSuccess) return Fail(lost);
  std::optional<std::string> asked = Fails(point, static_cast<uint32_t>(std::max(device, 0)));
  return asked ? Fail(error, *std::move(asked)) : cudaSuccess;
}

int ThreadDevice() { return thread_device; }
uint32_t CurrentDevice() { return static_cast<uint32_t>(std::max(thread_device, 0)); }
std::string WhyNotLaunched() { return std::exchange(last_failure.why, {}); }

cudaError_t LostOf(int device) {
  const std::lock_guard lock(All().mutex);
  return All().states[device].lost;
}
void Lose(int device, cudaError_t error) {
  const std::lock_guard lock(All().mutex);
  DeviceState& state = All().states[device];
  state.lost = error;
  for (RuntimeStream* const stream : state.streams) stream->Drop();
}

void RunAllOf(int device) {
  std::set<RuntimeStream*> streams;
  {
    const std::lock_guard lock(All().mutex);
    streams = All().states[device].streams;
  }
  for (RuntimeStream* const stream : streams) stream->Run();
}

uint64_t LoadedBytes(int device) {
  const std::lock_guard lock(All().mutex);
  return All().states[device].loaded.size() * kLoadedBytes;
}

std::string NameOfNext(int device, const char* kind) {
  const std::lock_guard lock(All().mutex);
  return fmt::format("{} {}", kind, ++All().states[device].named[kind]);
}

void NoteStream(RuntimeStream* stream) {
  const std::lock_guard lock(All().mutex);
  All().states[stream->device].streams.insert(stream);
}

// With its last stream a device is closed: what is opened next begins anew.
void ForgetStream(RuntimeStream* stream) {
  const std::string name = fmt::format("cuda:{} (emulated)", stream->device);
  if (stream->graph_count != 0) emulation::EndByName(name + " is closed before its graphs");
  const std::lock_guard lock(All().mutex);
  DeviceState& state = All().states[stream->device];
  state.streams.erase(stream);
  if (!state.streams.empty()) return;
  const std::string left = emulation::LeftOf(stream->device);
  if (!left.empty()) emulation::EndByName(fmt::format("{} is closed before {}", name, left));
  state = DeviceState();
}

RuntimeStream* StreamOf(cudaStream_t stream) {
  auto* const found = static_cast<emulation::Stream*>(static_cast<void*>(stream));
  const std::lock_guard lock(All().mutex);
  for (const auto& [_, state] : All().states) {
    for (RuntimeStream* const one : state.streams) {
      if (static_cast<emulation::Stream*>(one) == found) return one;
    }
  }
  return nullptr;
}

void SetCaptured(RuntimeStream* stream) { captured = stream; }
RuntimeStream* Captured() { return captured; }

cudaError_t OutsideCapture(RuntimeStream* stream, const char* what) {
  if (stream == nullptr || !stream->is_capturing()) return cudaSuccess;
  std::string said = fmt::format("{} while a graph is captured", what);
  if (stream->capture()->spoilt.empty()) stream->capture()->spoilt = said;
  return Fail(cudaErrorStreamCaptureUnsupported, std::move(said));
}

}  // namespace mrs::emulated

using namespace mrs::emulated;

const char* cudaGetErrorString(cudaError_t error) {
  const char* const text = TextOf(error).text;
  LastFailure& last = last_failure;
  if (last.error != error || last.why.empty()) return text;
  last.text = fmt::format("{}: {}", text, last.why);
  return last.text.c_str();
}
const char* cudaGetErrorName(cudaError_t error) { return TextOf(error).name; }

cudaError_t cudaDriverGetVersion(int* version) {
  Begin();
  *version = 13000;
  return cudaSuccess;
}

// What a test asks for is read first.
cudaError_t cudaGetDeviceCount(int* count) {
  Begin();
  if (const auto faults = CurrentFaults(); !faults.ok()) return Fail(cudaErrorInitializationError, faults.message());
  *count = kDevices;
  return cudaSuccess;
}

// A device that is not open yet is opened by its stream (cudaStreamCreateWithFlags), and not used before.
cudaError_t cudaSetDevice(int device) {
  Begin();
  if (!IsDevice(device)) return Fail(cudaErrorInvalidDevice);
  bool is_open = false;
  {
    const std::lock_guard lock(All().mutex);
    is_open = !All().states[device].streams.empty();
  }
  if (is_open) {
    if (const cudaError_t no = Ask(device, Point::kUse, cudaErrorUnknown)) return no;
  }
  thread_device = device;
  return cudaSuccess;
}

// Of a number its own, in all processes of a host: they have the same devices.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  Begin();
  if (!IsDevice(device)) return Fail(cudaErrorInvalidDevice);
  *properties = {.name = "emulated", .uuid = {}, .major = 8, .minor = 0};  // of an A100 (kernels/cuda/dialect.h)
  const uint64_t host = HostOfProcess();
  std::memcpy(properties->uuid.bytes, "mrs-", 4);
  std::memcpy(properties->uuid.bytes + 4, &host, sizeof(host));
  std::memcpy(properties->uuid.bytes + 12, &device, sizeof(device));
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* bus_id, int bytes, int device) {
  Begin();
  if (!IsDevice(device)) return Fail(cudaErrorInvalidDevice);
  if (const cudaError_t no = Ask(device, Point::kIdentity, cudaErrorUnknown)) return no;
  const std::string said = fmt::format("{:04x}:{:02x}:00.0", device >> 8, device & 0xff);
  if (bytes <= static_cast<int>(said.size())) return Fail(cudaErrorInvalidValue);
  std::memcpy(bus_id, said.c_str(), said.size() + 1);
  return cudaSuccess;
}

// Those that we ask for.
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** call, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  Begin();
  const auto* const found = std::ranges::find(kDriverCalls, name, &DriverCall::name);
  const bool is_there = found != std::end(kDriverCalls);
  *call = is_there ? found->call : nullptr;
  *result = is_there ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaGetFuncBySymbol(cudaFunction_t* function, const void* symbol) {
  Begin();
  if (symbol == nullptr) return Fail(cudaErrorInvalidDeviceFunction);
  *function = static_cast<cudaFunction_t>(const_cast<void*>(symbol));
  return cudaSuccess;
}

// Of a small one. Here all blocks have threads of their own, however many.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  Begin();
  if (!IsDevice(device)) return Fail(cudaErrorInvalidDevice);
  if (attribute != cudaDevAttrMultiProcessorCount) return Fail(cudaErrorInvalidValue);
  *value = 64;
  return cudaSuccess;
}
