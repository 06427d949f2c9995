// Memory of the emulated runtime: kernels/cuda/emulation/memory.h, as CUDA's calls. What CUDA leaves in new memory is
// unknown; here it is no number. A copy from or to pinned memory of the host is done in its stream's turn; of other
// memory of the host CUDA has read it, or written it, when the call returns, and so it is here.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "kernels/cuda/emulation/memory.h"
#include "runtime/rank/cuda/emulated/cudart.h"

namespace mrs::emulated {
namespace {

using emulation::Where;

// Of several smaller allocations CUDA may make one piece of memory, which another process would have whole.
constexpr uint64_t kSharedUnit = uint64_t{2} << 20;
// Of new memory so many bytes are 0xff: NaN, or -1. All of them would take as much of the host.
constexpr uint64_t kDirtyBytes = 64 << 10;

// What a handle says.
struct HandleText {
  char made_by[8] = {'m', 'r', 's', '-', 'i', 'p', 'c', '\n'};
  int32_t pid = 0, fd = 0;
  uint64_t inode = 0, bytes = 0;
  char padding[32] = {};
};
static_assert(sizeof(HandleText) == sizeof(cudaIpcMemHandle_t));

// Of a device: by this process, kernels that it has loaded among it, and by another program where a test asks for one.
uint64_t TakenOf(const Faults& faults, int device) {
  return faults.device_bytes - faults.free_bytes.value_or(faults.device_bytes) +
         emulation::TakenBytes(device, Where::kDevice) + LoadedBytes(device);
}

cudaError_t Take(void** data, size_t bytes, Where where) {
  Begin();
  if (const cudaError_t no = OutsideCapture("an allocation")) return no;
  const int device = ThreadDevice();
  if (device < 0) return Fail(cudaErrorInvalidDevice, "the thread's device is none");
  const bool is_device = where == Where::kDevice;
  if (const cudaError_t no =
          Ask(device, is_device ? Point::kAllocation : Point::kHostAllocation, cudaErrorMemoryAllocation)) {
    return no;
  }
  const auto faults = CurrentFaults();
  if (!faults.ok()) return Fail(cudaErrorInitializationError, faults.message());
  if (is_device) {
    const uint64_t taken = TakenOf(**faults, device), all = (*faults)->device_bytes;
    if (bytes > all || taken > all - bytes) {
      return Fail(cudaErrorMemoryAllocation, fmt::format("{} of {} are taken", taken, all));
    }
  }
  *data = emulation::TakeMemory({.what = NameOfNext(device, is_device ? "allocation" : "host allocation"),
                                 .bytes = bytes,
                                 .device = device,
                                 .where = where});
  if (*data == nullptr) return Fail(cudaErrorMemoryAllocation, "of the host");
  std::memset(*data, 0xff, std::min<uint64_t>(bytes, kDirtyBytes));
  return cudaSuccess;
}

// Also of a device that is lost, so that what is left at the end was forgotten.
cudaError_t Give(void* data, Where where, bool is_opened) {
  Begin();
  if (data == nullptr) return cudaSuccess;
  if (const cudaError_t no = OutsideCapture("giving memory back")) return no;
  const std::optional<emulation::Memory> memory = emulation::MemoryAt(data);
  if (memory.has_value() && (memory->where != where || memory->is_opened != is_opened)) {
    return Fail(cudaErrorInvalidValue, fmt::format("'{}' is given back by another call", memory->what));
  }
  if (memory.has_value()) RunAllOf(memory->device);  // as CUDA waits
  emulation::GiveMemory(data);
  return memory.has_value() ? LostOf(memory->device) : cudaSuccess;
}

// On which side each must lie, whether a test may ask for it to fail, and what it is called in the middle of a capture;
// null: a graph holds it.
struct Kind {
  Where to, from;
  Point point;
  const char* outside;
};
std::optional<Kind> KindOf(cudaMemcpyKind kind) {
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return Kind{Where::kDevice, Where::kHost, Point::kCopyIn, "a copy from the host"};
    case cudaMemcpyDeviceToHost:
      return Kind{Where::kHost, Where::kDevice, Point::kCopyOut, "a copy to the host"};
    case cudaMemcpyDeviceToDevice:
      return Kind{Where::kDevice, Where::kDevice, Point::kCopyWithin, nullptr};
  }
  return std::nullopt;
}

void Copy(void* to, const void* from, size_t bytes) {
  if (bytes != 0) std::memcpy(to, from, bytes);
}

}  // namespace
}  // namespace mrs::emulated

using namespace mrs::emulated;

cudaError_t cudaMalloc(void** data, size_t bytes) { return Take(data, bytes, Where::kDevice); }
cudaError_t cudaFree(void* data) { return Give(data, Where::kDevice, /*is_opened=*/false); }
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned flags) {
  if (flags != cudaHostAllocDefault) return Fail(cudaErrorInvalidValue);
  return Take(data, bytes, Where::kHost);
}
cudaError_t cudaFreeHost(void* data) { return Give(data, Where::kHost, /*is_opened=*/false); }

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  Begin();
  const int device = ThreadDevice();
  if (device < 0) return Fail(cudaErrorInvalidDevice, "the thread's device is none");
  if (const cudaError_t no = Ask(device, Point::kMemoryQuery, cudaErrorUnknown)) return no;
  const auto faults = CurrentFaults();
  if (!faults.ok()) return Fail(cudaErrorInitializationError, faults.message());
  *total_bytes = (*faults)->device_bytes;
  *free_bytes = *total_bytes - TakenOf(**faults, device);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  Begin();
  RuntimeStream* const on = StreamOf(stream);
  if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const cudaError_t no = OutsideCapture(on, "a fill")) return no;
  if (const cudaError_t lost = LostOf(on->device)) return Fail(lost);
  std::string why = mrs::emulation::WhyNot(data, bytes, Where::kDevice, on->device);
  if (!why.empty()) return Fail(cudaErrorInvalidValue, std::move(why));
  on->Put([=] { mrs::emulation::FillMemory(data, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  Begin();
  RuntimeStream* const on = StreamOf(stream);
  if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  const std::optional<Kind> of = KindOf(kind);
  if (!of.has_value()) return Fail(cudaErrorInvalidValue);
  if (of->outside != nullptr) {
    if (const cudaError_t no = OutsideCapture(on, of->outside)) return no;
  }
  if (const cudaError_t no = Ask(on->device, of->point, cudaErrorInvalidValue)) return no;
  for (const auto& [at, where, which] :
       {std::tuple{static_cast<const void*>(to), of->to, "to"}, {from, of->from, "from"}}) {
    const std::string why = mrs::emulation::WhyNot(at, bytes, where, on->device);
    if (!why.empty()) return Fail(cudaErrorInvalidValue, fmt::format("{} {}", which, why));
  }
  const auto copy = [=] { Copy(to, from, bytes); };
  if (on->is_capturing()) {
    on->Keep(copy, mrs::emulation::WordsOf(to, from));
  } else if (bytes > 0 && of->from == Where::kHost && !mrs::emulation::StretchOf(from).has_value()) {
    const auto* const first = static_cast<const std::byte*>(from);
    on->Put([to, read = std::vector<std::byte>(first, first + bytes)] { Copy(to, read.data(), read.size()); });
  } else {
    on->Put(copy);
    if (bytes > 0 && of->to == Where::kHost && !mrs::emulation::StretchOf(to).has_value()) on->Run();
  }
  return cudaSuccess;
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* data) {
  Begin();
  if (const cudaError_t no = OutsideCapture("sharing memory")) return no;
  const int device = ThreadDevice();
  if (const cudaError_t no = Ask(device, Point::kIpcExport, cudaErrorInvalidValue)) return no;
  std::string why = mrs::emulation::WhyNot(data, 1, Where::kDevice, device);
  if (!why.empty()) return Fail(cudaErrorInvalidValue, std::move(why));
  const uint64_t bytes = mrs::emulation::StretchOf(data)->bytes;
  if (bytes % kSharedUnit != 0) {
    return Fail(cudaErrorInvalidValue, fmt::format("{} bytes are no multiple of {}", bytes, kSharedUnit));
  }
  const std::optional<mrs::emulation::MemoryFile> file = mrs::emulation::ShareMemory(data);
  if (!file) return Fail(cudaErrorInvalidValue, "it is no allocation of this process's");
  HandleText text;
  text.pid = getpid();
  text.fd = file->fd;
  text.inode = file->inode;
  text.bytes = bytes;
  *handle = std::bit_cast<cudaIpcMemHandle_t>(text);
  return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle(void** data, cudaIpcMemHandle_t handle, unsigned flags) {
  Begin();
  if (const cudaError_t no = OutsideCapture("opening what another process shares")) return no;
  if (flags != cudaIpcMemLazyEnablePeerAccess) return Fail(cudaErrorInvalidValue);
  const int device = ThreadDevice();
  if (const cudaError_t no = Ask(device, Point::kIpcOpen, cudaErrorPeerAccessUnsupported)) return no;
  const auto text = std::bit_cast<HandleText>(handle);
  if (std::memcmp(text.made_by, HandleText().made_by, sizeof(text.made_by)) != 0) {
    return Fail(cudaErrorInvalidResourceHandle, "it is no handle");
  }
  if (text.pid == getpid()) return Fail(cudaErrorDeviceUninitialized, "it is of this process");
  // Newer drivers count how often; none is asked to here.
  if (mrs::emulation::IsOpen(text.inode)) return Fail(cudaErrorAlreadyMapped);
  const mrs::emulation::Memory memory = {.what = NameOfNext(device, "opened allocation"),
                                         .bytes = text.bytes,
                                         .device = device,
                                         .where = Where::kDevice,
                                         .is_opened = true};
  // As a test asks: memory that looks like it, in which nothing arrives.
  *data = Fails(Point::kIpcAstray, static_cast<uint32_t>(device))
              ? mrs::emulation::TakeMemory(memory)
              : mrs::emulation::OpenMemory(memory, fmt::format("/proc/{}/fd/{}", text.pid, text.fd), text.inode);
  if (*data == nullptr) return Fail(cudaErrorInvalidResourceHandle, "its owner has freed it, or is gone");
  return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle(void* data) { return Give(data, Where::kDevice, /*is_opened=*/true); }
