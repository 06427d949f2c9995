#include <cuda.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <bit>
#include <type_traits>
#include <vector>

#include "host/output.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/modules.h"
#include "runtime/rank/cuda/device.h"

namespace mrs {
namespace {

cudaStream_t Stream(void* stream) { return static_cast<cudaStream_t>(stream); }

// A call of CUDA's driver, as of a version; null: it has none.
template <typename Call>
struct DriverCall {
  Call* call = nullptr;
  DriverCall(const char* name, unsigned version) {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t asked = cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &result);
    if (asked == cudaSuccess && result == cudaDriverEntryPointSuccess) call = reinterpret_cast<Call*>(found);
  }
};

}  // namespace

// Events that the stream passes, used again after each Finish.
struct Device::Marks {
  std::vector<cudaEvent_t> marks = {};
  size_t marked = 0, passed = 0;  // of `marks`, since the last Finish

  ~Marks() {
    for (const cudaEvent_t mark : marks) cudaEventDestroy(mark);
  }
};

Device::Device(uint32_t ordinal, std::string name, void* stream, std::unique_ptr<Marks> marks)
    : ordinal_(ordinal), name_(std::move(name)), stream_(stream), marks_(std::move(marks)) {}

Result<std::unique_ptr<Device>> Device::Open(uint32_t ordinal) {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return Unavailable("cuda:{}: this host has no NVIDIA driver (libcuda.so.1); run on a node that the plan is for",
                       ordinal);
  }
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    return Unavailable("cuda:{}: no device can be used: {} ({}); see mrs-exec doctor", ordinal,
                       cudaGetErrorString(error), cudaGetErrorName(error));
  }
  if (ordinal >= static_cast<uint32_t>(count)) {
    return Refuse("cuda:{}: the plan is for this device, and {} {} visible here; see CUDA_VISIBLE_DEVICES", ordinal,
                  count, count == 1 ? "is" : "are");
  }
  cudaDeviceProp properties;
  cudaStream_t stream = nullptr;
  cudaError_t error = cudaSetDevice(static_cast<int>(ordinal));
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, static_cast<int>(ordinal));
  if (error == cudaSuccess) error = static_cast<cudaError_t>(kernels::cuda::CanRunHere());
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
    return Refuse("cuda:{} ({}) has compute capability {}.{}, which this mrs-exec has no kernels for; {}", ordinal,
                  properties.name, properties.major, properties.minor,
                  properties.major < 8
                      ? std::string("they need 8.0 or later: run on another device, or plan for CPUs with --cpus N")
                      : fmt::format("rebuild it with CUDA_COMPUTE_CAP={}{}", properties.major, properties.minor));
  }
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    return Refuse("cuda:{}: cannot be used: {} ({})", ordinal, cudaGetErrorString(error), cudaGetErrorName(error));
  }
  return std::unique_ptr<Device>(
      new Device(ordinal, fmt::format("cuda:{} ({})", ordinal, properties.name), stream, std::make_unique<Marks>()));
}

Device::~Device() { cudaStreamDestroy(Stream(stream_)); }

Status Device::Checked(const char* what, int error) const {
  if (error == cudaSuccess) return Status();
  const auto code = static_cast<cudaError_t>(error);
  return Refuse("{}: {}: {} ({})", name_, what, cudaGetErrorString(code), cudaGetErrorName(code));
}

Status Device::Use() { return Checked("it cannot be used", cudaSetDevice(static_cast<int>(ordinal_))); }

Result<uint64_t> Device::FreeBytes() {
  size_t free_bytes = 0, total_bytes = 0;
  MRS_RETURN_IF_ERROR(Checked("its memory cannot be asked for", cudaMemGetInfo(&free_bytes, &total_bytes)));
  return uint64_t{free_bytes};
}

Result<uint64_t> Device::TotalBytes() {
  size_t free_bytes = 0, total_bytes = 0;
  MRS_RETURN_IF_ERROR(Checked("its memory cannot be asked for", cudaMemGetInfo(&free_bytes, &total_bytes)));
  return uint64_t{total_bytes};
}

Result<int> Device::MultiprocessorCount() {
  int count = 0;
  MRS_RETURN_IF_ERROR(
      Checked("its multiprocessors cannot be asked for",
              cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, static_cast<int>(ordinal_))));
  return count;
}

Result<DeviceIdentity> Device::Identity() {
  constexpr const char* kWhat = "it does not say which device it is";
  cudaDeviceProp properties;
  char bus_id[32] = {};
  const int ordinal = static_cast<int>(ordinal_);
  MRS_RETURN_IF_ERROR(Checked(kWhat, cudaGetDeviceProperties(&properties, ordinal)));
  MRS_RETURN_IF_ERROR(Checked(kWhat, cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), ordinal)));
  static_assert(sizeof(properties.uuid) == sizeof(DeviceIdentity::uuid));
  return DeviceIdentity{.uuid = std::bit_cast<decltype(DeviceIdentity::uuid)>(properties.uuid), .bus_id = bus_id};
}

Result<DeviceArena> Device::Allocate(const char* what, uint64_t bytes) {
  if (bytes == 0) return DeviceArena();
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error != cudaSuccess)
    return Checked(fmt::format("no {} bytes of memory for {}", bytes, what).c_str(), error).error();
  DeviceArena arena(static_cast<std::byte*>(data), [](void* memory) { cudaFree(memory); });
  MRS_RETURN_IF_ERROR(Checked("zeroing failed", cudaMemsetAsync(data, 0, bytes, Stream(stream_))));
  return arena;
}

Result<DeviceArena> Device::AllocateHost(const char* what, uint64_t bytes) {
  if (bytes == 0) return DeviceArena();
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, bytes, cudaHostAllocDefault);
  if (error != cudaSuccess) {
    return Checked(fmt::format("no {} bytes of the host's memory, pinned, for {}", bytes, what).c_str(), error).error();
  }
  return DeviceArena(static_cast<std::byte*>(data), [](void* memory) { cudaFreeHost(memory); });
}

Result<SharedHandle> Device::Share(const DeviceArena& arena) {
  static_assert(sizeof(cudaIpcMemHandle_t) == sizeof(SharedHandle));
  cudaIpcMemHandle_t handle;
  MRS_RETURN_IF_ERROR(
      Checked("memory cannot be shared with other processes", cudaIpcGetMemHandle(&handle, arena.data())));
  return std::bit_cast<SharedHandle>(handle);
}

Result<DeviceArena> Device::OpenShared(const char* what, const SharedHandle& handle) {
  void* data = nullptr;
  const cudaError_t error =
      cudaIpcOpenMemHandle(&data, std::bit_cast<cudaIpcMemHandle_t>(handle), cudaIpcMemLazyEnablePeerAccess);
  if (error != cudaSuccess) return Checked(fmt::format("{} cannot be opened", what).c_str(), error).error();
  return DeviceArena(static_cast<std::byte*>(data), [](void* memory) { cudaIpcCloseMemHandle(memory); });
}

void Device::Forsake(DeviceArena shared) { shared.Release(); }

bool Device::LoadsLazily() {
  const DriverCall<decltype(cuModuleGetLoadingMode)> asks("cuModuleGetLoadingMode", 11070);
  CUmoduleLoadingMode mode = CU_MODULE_LAZY_LOADING;
  return asks.call == nullptr || asks.call(&mode) != CUDA_SUCCESS || mode == CU_MODULE_LAZY_LOADING;
}

Status Device::LoadKernels() {
  if (!LoadsLazily()) return Status();
  const DriverCall<decltype(cuFuncGetModule)> module_of("cuFuncGetModule", 11000);
  const DriverCall<decltype(cuModuleGetFunctionCount)> count_of("cuModuleGetFunctionCount", 12040);
  const DriverCall<decltype(cuModuleEnumerateFunctions)> enumerate("cuModuleEnumerateFunctions", 12040);
  const DriverCall<decltype(cuFuncLoad)> load("cuFuncLoad", 12040);
  if (!module_of.call || !count_of.call || !enumerate.call || !load.call) return Status();
  for (const kernels::cuda::Module* own = kernels::cuda::FirstModule(); own != nullptr; own = own->next) {
    cudaFunction_t function = nullptr;
    MRS_RETURN_IF_ERROR(Checked("a kernel cannot be loaded", cudaGetFuncBySymbol(&function, own->kernel)));
    CUmodule module = nullptr;
    unsigned count = 0;
    CUresult done = module_of.call(&module, function);
    if (done == CUDA_SUCCESS) done = count_of.call(&count, module);
    std::vector<CUfunction> functions(count);
    if (done == CUDA_SUCCESS) done = enumerate.call(functions.data(), count, module);
    for (size_t i = 0; i < functions.size() && done == CUDA_SUCCESS; ++i) done = load.call(functions[i]);
    if (done == CUDA_ERROR_OUT_OF_MEMORY) return Checked("its kernels cannot be loaded", cudaErrorMemoryAllocation);
    if (done == CUDA_SUCCESS) continue;
    Say("{}: kernels are loaded when they are launched first, as CUDA's driver does not load them before: error {}\n",
        name_, static_cast<int>(done));
    return Status();
  }
  return Status();
}

Status Device::CopyIn(void* to, const void* from_host, size_t bytes) {
  return Checked("a copy to it failed", cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, Stream(stream_)));
}
Status Device::CopyOut(void* to_host, const void* from, size_t bytes) {
  return Checked("a copy from it failed",
                 cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, Stream(stream_)));
}
Status Device::CopyWithin(void* to, const void* from, size_t bytes) {
  return Checked("a copy within it failed",
                 cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, Stream(stream_)));
}
Status Device::Launched(int code) { return Checked("a kernel could not be launched", code); }

Status Device::Finish() {
  Marks& all = *marks_;
  cudaError_t error = cudaSuccess;
  for (; all.passed < all.marked && error == cudaSuccess; ++all.passed) {
    error = cudaEventSynchronize(all.marks[all.passed]);
    passed_();
  }
  all.marked = all.passed = 0;
  if (error == cudaSuccess) error = cudaStreamSynchronize(Stream(stream_));
  return Checked("what was launched failed", error);
}

Status Device::Mark() {
  Marks& all = *marks_;
  if (all.marked == all.marks.size()) {
    cudaEvent_t mark = nullptr;
    const cudaError_t error = cudaEventCreateWithFlags(&mark, cudaEventDisableTiming);
    if (error != cudaSuccess) return Checked("its work could not be marked", error);
    all.marks.push_back(mark);
  }
  return Checked("its work could not be marked", cudaEventRecord(all.marks[all.marked++], Stream(stream_)));
}

Result<bool> Device::IsDone() {
  for (Marks& all = *marks_; all.passed < all.marked && cudaEventQuery(all.marks[all.passed]) == cudaSuccess;
       ++all.passed) {
    passed_();
  }
  const cudaError_t error = cudaStreamQuery(Stream(stream_));
  if (error == cudaErrorNotReady) return false;
  MRS_RETURN_IF_ERROR(Checked("what was launched failed", error));
  return true;
}
// "If the executable graph is in-flight, it will not be terminated, but rather freed asynchronously on completion"
// (cudaGraphExecDestroy). The look is for the emulated runtime, which takes it for a mistake where nobody looks.
void Device::Forsake() { [[maybe_unused]] const cudaError_t how_far = cudaStreamQuery(Stream(stream_)); }

Result<DeviceGraph> Device::Capture(const std::function<Status()>& work) {
  MRS_RETURN_IF_ERROR(
      Checked("no graph can be captured", cudaStreamBeginCapture(Stream(stream_), cudaStreamCaptureModeThreadLocal)));
  is_capturing_ = true;
  const Status done = work();
  is_capturing_ = false;
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(Stream(stream_), &graph);  // on every path: else the stream stays so
  const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, void (*)(cudaGraph_t)> owned(
      graph, [](cudaGraph_t captured) { cudaGraphDestroy(captured); });
  MRS_RETURN_IF_ERROR(done);
  MRS_RETURN_IF_ERROR(Checked("a graph could not be captured", ended));
  cudaGraphExec_t executable = nullptr;
  MRS_RETURN_IF_ERROR(Checked("a graph could not be made ready", cudaGraphInstantiateWithFlags(&executable, graph, 0)));
  return DeviceGraph(executable, [](void* of) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(of)); });
}

Status Device::Launch(const DeviceGraph& graph) {
  return Checked("a graph could not be launched",
                 cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.get()), Stream(stream_)));
}

}  // namespace mrs
