// One GPU as an executor needs it: memory, copies, and one stream in whose order everything runs.
//
//   MRS_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, Device::Open(0));
//   MRS_ASSIGN_OR_RETURN(DeviceArena weights, device->Allocate("weights", bytes));
//   MRS_RETURN_IF_ERROR(device->CopyIn(weights.data(), host, bytes));
//   MRS_RETURN_IF_ERROR(device->Finish());   // until here host memory is borrowed, and errors may still come
//
//   MRS_ASSIGN_OR_RETURN(DeviceGraph graph, device->Capture([&] { return launch_all(); }));   // runs nothing
//   MRS_RETURN_IF_ERROR(device->Launch(graph));                                               // all of it, once
//
// What a device fails by is its rank's own reason, and refused as such (runtime/world/verdict.h): its peers, who then
// miss it, may complain first.
//
// By the calls of CUDA's runtime, or of the emulated one that has them for the emulator's kernels (emulated/): which,
// the build says by the header that it has them from.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "plans/status.h"

namespace mrs {

// Memory of a device, or of the host where the device can copy from and to it; freed with it.
class DeviceArena {
 public:
  DeviceArena() = default;
  DeviceArena(std::byte* data, void (*release)(void*)) : data_(data), release_(release) {}
  DeviceArena(DeviceArena&& other) noexcept : data_(std::exchange(other.data_, nullptr)), release_(other.release_) {}
  DeviceArena& operator=(DeviceArena&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~DeviceArena() {
    if (data_ != nullptr) release_(data_);
  }
  std::byte* data() const { return data_; }
  // The caller's from now on, who leaves it where it is.
  std::byte* Release() { return std::exchange(data_, nullptr); }

 private:
  std::byte* data_ = nullptr;
  void (*release_)(void*) = nullptr;
};

// By which another process of the host opens memory of a device (CUDA IPC): a cudaIpcMemHandle_t.
using SharedHandle = std::array<std::byte, 64>;

// Which device it is, whatever the process calls it.
struct DeviceIdentity {
  std::array<std::byte, 16> uuid{};  // no two devices have one, of whichever hosts
  std::string bus_id;                // "0000:17:00.0", for people: of its host
};

// What a stream was given while it was captured, to be launched any number of times. Goes before its device.
class DeviceGraph {
 public:
  DeviceGraph() = default;
  DeviceGraph(void* graph, void (*release)(void*)) : graph_(graph, release) {}
  void* get() const { return graph_.get(); }

 private:
  std::unique_ptr<void, void (*)(void*)> graph_{nullptr, [](void*) {}};
};

class Device {
 public:
  // `ordinal` counts the devices that CUDA_VISIBLE_DEVICES leaves. Errors: no driver, no such device, one for which
  // this program has no kernels.
  static Result<std::unique_ptr<Device>> Open(uint32_t ordinal);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }  // "cuda:0 (NVIDIA H200)"
  void* stream() const { return stream_; }           // for kernels/cuda/exact.h

  // Makes it the calling thread's; before anything else there.
  Status Use();
  Result<uint64_t> FreeBytes();
  Result<uint64_t> TotalBytes();
  Result<int> MultiprocessorCount();
  Result<DeviceIdentity> Identity();
  // Zeros, aligned to 256 bytes. `what` names it in the error.
  Result<DeviceArena> Allocate(const char* what, uint64_t bytes);
  // Of the host, pinned: kernels read it at the same address; not zeroed.
  Result<DeviceArena> AllocateHost(const char* what, uint64_t bytes);
  // Allocations that others open are multiples of this: of smaller ones several may lie in one piece of memory, all of
  // which they would have.
  static constexpr uint64_t kSharedUnit = uint64_t{2} << 20;
  // Of a whole allocation. Not to be freed before all others have closed it.
  Result<SharedHandle> Share(const DeviceArena& arena);
  // What another process, never this one, has shared; once, and closed with the arena.
  Result<DeviceArena> OpenShared(const char* what, const SharedHandle& handle);
  // Never freed, where it is not known that all others have closed it: it goes with the process.
  void Forsake(DeviceArena shared);
  // Whether the driver loads a kernel when it is launched first (CUDA_MODULE_LOADING), which may fail while a graph is
  // captured; true also where it does not say.
  bool LoadsLazily();
  // All kernels of this program (kernels/cuda/modules.h), so that none takes memory of the device later. Of a driver
  // that cannot (before 12.4) or will not nothing is expected; the latter is said.
  Status LoadKernels();
  // In the stream's order.
  Status CopyIn(void* to, const void* from_host, size_t bytes);
  Status CopyOut(void* to_host, const void* from, size_t bytes);
  Status CopyWithin(void* to, const void* from, size_t bytes);
  // What a launch returned, as an error.
  Status Launched(int code);
  // Waits for all of it, mark by mark.
  Status Finish();
  // A place in the stream's order that Finish tells of when it has passed: a long queue is work, not silence. Not while
  // a graph is captured.
  Status Mark();
  void OnPassed(std::function<void()> passed) { passed_ = std::move(passed); }
  // Whether there is nothing left to wait for.
  Result<bool> IsDone();
  // Graphs that were launched may go before they are done: they wait for a rank that is gone, and who waits for that
  // ends it by other means (nccl_exchange.h).
  void Forsake();

  // Runs `work` with the stream captured: its launches and copies within the device go into the graph, with the
  // arguments that they have now. Anything else is an error, and leaves no graph; so is an error of `work`.
  Result<DeviceGraph> Capture(const std::function<Status()>& work);
  bool is_capturing() const { return is_capturing_; }
  Status Launch(const DeviceGraph& graph);

 private:
  struct Marks;
  Device(uint32_t ordinal, std::string name, void* stream, std::unique_ptr<Marks> marks);
  Status Checked(const char* what, int error) const;  // of CUDA
  const uint32_t ordinal_;
  const std::string name_;
  void* const stream_;
  const std::unique_ptr<Marks> marks_;
  std::function<void()> passed_ = [] {};
  bool is_capturing_ = false;
};

}  // namespace mrs
