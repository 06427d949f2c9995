// The NVIDIA GPUs of this host as their driver's libraries tell of them: opened at run time where they are, in a child
// process with a deadline, so that a driver that hangs or crashes is a finding and not our end.
//
//   const GpusFacts gpus = ReadGpus({}, std::chrono::seconds(60));
//   // gpus.devices[0]: "NVIDIA H100 80GB HBM3", "0000:18:00.0", 80 GiB, CUDA ordinal 0, 18 NVLinks to switches
//   // or gpus.nvml.error: "NVML_ERROR_LIB_RM_VERSION_MISMATCH (18): ..."
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/probe/sysfs.h"

namespace mrs::probe {

inline constexpr int kMaxGpus = 64;      // of one host; more are counted and not looked at
inline constexpr int kMaxNvlinks = 36;   // of one GPU: NVML_NVLINK_MAX_LINKS of nvml.h, 13.x
inline constexpr int kMaxC2cLinks = 32;  // of one GPU to its CPU (GH200: 10); more are not looked at

struct NvlinkFacts {
  int link = 0;
  bool active = false;
  enum class Remote { kUnknown, kGpu, kSwitch, kNpu } remote = Remote::kUnknown;
  std::string bus_id;      // of the other end; "": not known
  uint32_t megabytes = 0;  // a second, one direction; 0: not known
};

// NVLink-C2C, to the CPU of the same module.
struct C2cFacts {
  int link = 0;
  bool active = false;
  uint32_t megabytes = 0;  // a second, one direction; 0: not known
};

// Memory that checks itself; none: the driver does not tell.
struct EccFacts {
  std::optional<bool> enabled = {};
  std::optional<uint64_t> uncorrected = {};  // errors since the driver was loaded
  // Rows of memory are replaced by spare ones, at the next reset, while there are any.
  std::optional<bool> remap_pending = {}, remap_failed = {};
};

struct GpuFacts {
  int index = 0;  // NVML's: in the order of bus ids
  std::string
      error;  // the driver lost it, or does not let us ask: "NVML_ERROR_GPU_IS_LOST (15): ..."; the rest is empty
  std::string name, uuid, bus_id;
  uint64_t memory_total_bytes = 0, memory_free_bytes = 0;
  int compute_major = 0, compute_minor = 0;  // 0: not known
  // Generations and lanes; 0: not known. The current generation drops while a GPU is idle, the lanes do not.
  uint32_t pcie_gen = 0, pcie_gen_max = 0, pcie_width = 0, pcie_width_max = 0;
  std::optional<bool> mig;  // none: it knows no MIG
  int compute_mode = -1;    // 0 default, 1 and 3 exclusive, 2 prohibited (nvmlComputeMode_t); -1: not known
  int fabric_state = 0;     // 0 has none, 1 not started, 2 in progress, 3 completed (nvmlGpuFabricState_t)
  int fabric_status = 0;    // where completed: 0 or the error of joining
  // Of the NVLink fabric that several hosts share (NVL72): its UUID and the partition; "": this host's own.
  std::string fabric_cluster;
  uint32_t fabric_clique = 0;
  std::vector<NvlinkFacts> nvlinks;  // by link
  std::vector<C2cFacts> c2c;         // by link
  EccFacts ecc;
  PciPlace place;  // of sysfs
};

// What CUDA counts after CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER.
struct VisibleGpu {
  int ordinal = 0;
  std::string name, uuid, bus_id;  // the UUID of a MIG instance is its own, its bus id the GPU's
  uint64_t memory_total_bytes = 0;
  int compute_major = 0, compute_minor = 0;
};

// One of the driver's libraries.
struct LibraryFacts {
  std::string library;  // as it was opened: "libcuda.so.1"
  bool found = false;
  std::string
      error;  // "": answered. "CUDA_ERROR_NO_DEVICE (100): ..." or what the loader said of a library that is not found
  int code = 0;        // of that error, where the library said it
  uint32_t count = 0;  // of devices, whether or not they could be asked
};

struct GpusFacts {
  std::string child;  // why the child that asked did not come to its end: "no answer within 60 s in cuInit"; "": it did
  bool hung = false;
  LibraryFacts nvml, cuda;
  std::string driver_version;  // "580.95.05"
  int cuda_version = 0;        // 13000: what the driver can run, 13.0
  std::vector<GpuFacts> devices;
  std::vector<VisibleGpu> visible;
  std::optional<std::string> visible_devices, device_order;  // CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER
};

// Files as dlopen takes them.
struct GpuLibraries {
  std::string nvml = "libnvidia-ml.so.1";
  std::string cuda = "libcuda.so.1";
};

// Before the process has threads (in_child.h). `root` is "" but for tests.
GpusFacts ReadGpus(const GpuLibraries& libraries, std::chrono::milliseconds limit, const std::string& root = "");

// "00000000:17:00.0" -> "0000:17:00.0", in lower case.
std::string PlainBusId(std::string_view text);

}  // namespace mrs::probe
