// NVML, hand-declared: the calls, structures and numbers of nvml.h (NVIDIA Management Library API reference,
// https://docs.nvidia.com/deploy/nvml-api/; layouts also in pynvml.py of the PyPI package nvidia-ml-py 13.615.71). They
// are stable by contract: a call whose structure changes gets another name (_v2, _v3).
#include <dlfcn.h>
#include <fmt/format.h>

#include "host/probe/gpu_record.h"

namespace mrs::probe {
namespace {

using Device = void*;  // nvmlDevice_t

struct Memory {  // nvmlMemory_t
  unsigned long long total, free, used;
};

struct PciInfo {  // nvmlPciInfo_t
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};

struct FieldValue {  // nvmlFieldValue_t
  unsigned field, scope;
  long long timestamp, latency_us;
  unsigned type;
  int result;
  union {
    double real;
    unsigned number;
    unsigned long long wide;
  } value;
};
constexpr unsigned kFieldNvlinkSpeed = 90;  // NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON: MB/s of a link, one direction

struct FabricInfo {  // nvmlGpuFabricInfo_t
  unsigned char cluster_uuid[16];
  int status;
  unsigned clique;
  unsigned char state;
};

// name, parameters; each returns an nvmlReturn_t.
#define MRS_NVML_CALLS(X)                                              \
  X(nvmlInit_v2, ())                                                   \
  X(nvmlSystemGetDriverVersion, (char*, unsigned))                     \
  X(nvmlSystemGetCudaDriverVersion_v2, (int*))                         \
  X(nvmlDeviceGetCount_v2, (unsigned*))                                \
  X(nvmlDeviceGetHandleByIndex_v2, (unsigned, Device*))                \
  X(nvmlDeviceGetName, (Device, char*, unsigned))                      \
  X(nvmlDeviceGetUUID, (Device, char*, unsigned))                      \
  X(nvmlDeviceGetMemoryInfo, (Device, Memory*))                        \
  X(nvmlDeviceGetCudaComputeCapability, (Device, int*, int*))          \
  X(nvmlDeviceGetPciInfo_v3, (Device, PciInfo*))                       \
  X(nvmlDeviceGetCurrPcieLinkGeneration, (Device, unsigned*))          \
  X(nvmlDeviceGetMaxPcieLinkGeneration, (Device, unsigned*))           \
  X(nvmlDeviceGetCurrPcieLinkWidth, (Device, unsigned*))               \
  X(nvmlDeviceGetMaxPcieLinkWidth, (Device, unsigned*))                \
  X(nvmlDeviceGetMigMode, (Device, unsigned*, unsigned*))              \
  X(nvmlDeviceGetComputeMode, (Device, int*))                          \
  X(nvmlDeviceGetGpuFabricInfo, (Device, FabricInfo*))                 \
  X(nvmlDeviceGetNvLinkState, (Device, unsigned, int*))                \
  X(nvmlDeviceGetNvLinkRemoteDeviceType, (Device, unsigned, int*))     \
  X(nvmlDeviceGetNvLinkRemotePciInfo_v2, (Device, unsigned, PciInfo*)) \
  X(nvmlDeviceGetFieldValues, (Device, int, FieldValue*))

struct Nvml {
#define MRS_DECLARE(name, parameters) int(*name) parameters = nullptr;
  MRS_NVML_CALLS(MRS_DECLARE)
#undef MRS_DECLARE
  const char* (*nvmlErrorString)(int) = nullptr;
};

// nvmlReturn_t.
const char* ErrorName(int code) {
  constexpr const char* kNames[] = {"NVML_SUCCESS",
                                    "NVML_ERROR_UNINITIALIZED",
                                    "NVML_ERROR_INVALID_ARGUMENT",
                                    "NVML_ERROR_NOT_SUPPORTED",
                                    "NVML_ERROR_NO_PERMISSION",
                                    "NVML_ERROR_ALREADY_INITIALIZED",
                                    "NVML_ERROR_NOT_FOUND",
                                    "NVML_ERROR_INSUFFICIENT_SIZE",
                                    "NVML_ERROR_INSUFFICIENT_POWER",
                                    "NVML_ERROR_DRIVER_NOT_LOADED",
                                    "NVML_ERROR_TIMEOUT",
                                    "NVML_ERROR_IRQ_ISSUE",
                                    "NVML_ERROR_LIBRARY_NOT_FOUND",
                                    "NVML_ERROR_FUNCTION_NOT_FOUND",
                                    "NVML_ERROR_CORRUPTED_INFOROM",
                                    "NVML_ERROR_GPU_IS_LOST",
                                    "NVML_ERROR_RESET_REQUIRED",
                                    "NVML_ERROR_OPERATING_SYSTEM",
                                    "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
                                    "NVML_ERROR_IN_USE",
                                    "NVML_ERROR_MEMORY",
                                    "NVML_ERROR_NO_DATA"};
  if (code >= 0 && code < static_cast<int>(std::size(kNames))) return kNames[code];
  return code == 999 ? "NVML_ERROR_UNKNOWN" : "an NVML error";
}

struct Asked {
  Nvml nvml;
  DriverRecord* record;

  std::string Describe(int code) const {
    const char* const said = nvml.nvmlErrorString == nullptr ? nullptr : nvml.nvmlErrorString(code);
    return fmt::format("{} ({}){}{}", ErrorName(code), code, said == nullptr ? "" : ": ", said == nullptr ? "" : said);
  }

  // Is what the library does not have an error too: an old driver lacks what came later.
  template <typename... P, typename... A>
  int Call(const char* name, int (*call)(P...), A... arguments) {
    record->step = name;
    return call == nullptr ? 13 : call(arguments...);  // NVML_ERROR_FUNCTION_NOT_FOUND
  }
};
#define MRS_CALL(asked, name, ...) (asked).Call(#name, (asked).nvml.name __VA_OPT__(, ) __VA_ARGS__)

void AskNvlinks(Asked& asked, Device device, GpuRecord* gpu) {
  for (unsigned link = 0; link < kMaxNvlinks; ++link) {
    NvlinkRecord& one = gpu->nvlinks[link];
    int active = 0;
    if (MRS_CALL(asked, nvmlDeviceGetNvLinkState, device, link, &active) != 0) continue;  // it has no such link
    one.remote = -1;
    one.active = active == 1;
    one.known = true;
    if (!one.active) continue;
    int type = -1;
    if (MRS_CALL(asked, nvmlDeviceGetNvLinkRemoteDeviceType, device, link, &type) == 0) one.remote = type;
    PciInfo pci{};
    if (MRS_CALL(asked, nvmlDeviceGetNvLinkRemotePciInfo_v2, device, link, &pci) == 0) {
      one.bus_id = std::string_view(pci.bus_id, strnlen(pci.bus_id, sizeof(pci.bus_id)));
    }
    FieldValue speed{};
    speed.field = kFieldNvlinkSpeed;
    speed.scope = link;
    if (MRS_CALL(asked, nvmlDeviceGetFieldValues, device, 1, &speed) == 0 && speed.result == 0 && speed.type == 1) {
      one.megabytes = speed.value.number;  // type 1: NVML_VALUE_TYPE_UNSIGNED_INT
    }
  }
}

void AskDevice(Asked& asked, Device device, GpuRecord* gpu) {
  char text[96] = {};
  if (MRS_CALL(asked, nvmlDeviceGetName, device, text, 96u) == 0) gpu->name = std::string_view(text);
  if (MRS_CALL(asked, nvmlDeviceGetUUID, device, text, 96u) == 0) gpu->uuid = std::string_view(text);
  PciInfo pci{};
  if (MRS_CALL(asked, nvmlDeviceGetPciInfo_v3, device, &pci) == 0) {
    gpu->bus_id = std::string_view(pci.bus_id, strnlen(pci.bus_id, sizeof(pci.bus_id)));
  }
  Memory memory{};
  const int failed = MRS_CALL(asked, nvmlDeviceGetMemoryInfo, device, &memory);
  if (failed == 0) {
    gpu->memory_total_bytes = memory.total;
    gpu->memory_free_bytes = memory.free;
  } else if (failed != 3) {  // NVML_ERROR_NOT_SUPPORTED: it shares the host's memory, as GB10 does
    gpu->error = fmt::format("nvmlDeviceGetMemoryInfo: {}", asked.Describe(failed));
  }
  MRS_CALL(asked, nvmlDeviceGetCudaComputeCapability, device, &gpu->compute_major, &gpu->compute_minor);
  MRS_CALL(asked, nvmlDeviceGetCurrPcieLinkGeneration, device, &gpu->pcie_gen);
  MRS_CALL(asked, nvmlDeviceGetMaxPcieLinkGeneration, device, &gpu->pcie_gen_max);
  MRS_CALL(asked, nvmlDeviceGetCurrPcieLinkWidth, device, &gpu->pcie_width);
  MRS_CALL(asked, nvmlDeviceGetMaxPcieLinkWidth, device, &gpu->pcie_width_max);
  unsigned mig = 0, pending = 0;
  if (MRS_CALL(asked, nvmlDeviceGetMigMode, device, &mig, &pending) == 0) gpu->mig = mig == 1 ? 2 : 1;
  gpu->compute_mode = -1;
  int mode = 0;
  if (MRS_CALL(asked, nvmlDeviceGetComputeMode, device, &mode) == 0) gpu->compute_mode = mode;
  FabricInfo fabric{};
  if (MRS_CALL(asked, nvmlDeviceGetGpuFabricInfo, device, &fabric) == 0) {
    gpu->fabric_state = fabric.state;
    gpu->fabric_status = fabric.status;
  }
  AskNvlinks(asked, device, gpu);
}

}  // namespace

void AskNvml(const char* library, DriverRecord* record) {
  LibraryRecord& out = record->nvml;
  record->step = "dlopen";
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    out.error = std::string_view(dlerror());
    return;
  }
  out.found = true;
  Asked asked{.nvml = {}, .record = record};
#define MRS_FIND(name, parameters) asked.nvml.name = reinterpret_cast<decltype(asked.nvml.name)>(dlsym(handle, #name));
  MRS_NVML_CALLS(MRS_FIND)
#undef MRS_FIND
  asked.nvml.nvmlErrorString = reinterpret_cast<const char* (*)(int)>(dlsym(handle, "nvmlErrorString"));

  const auto failed = [&](int code) {
    if (code == 0) return false;
    out.error = fmt::format("{}: {}", record->step.view(), asked.Describe(code));
    out.code = code;
    return true;
  };
  if (failed(MRS_CALL(asked, nvmlInit_v2))) return;
  char version[96] = {};
  if (MRS_CALL(asked, nvmlSystemGetDriverVersion, version, 96u) == 0)
    record->driver_version = std::string_view(version);
  MRS_CALL(asked, nvmlSystemGetCudaDriverVersion_v2, &record->cuda_version);
  if (failed(MRS_CALL(asked, nvmlDeviceGetCount_v2, &out.count))) return;
  for (unsigned i = 0; i < out.count && i < kMaxGpus; ++i) {
    out.written = i + 1;
    Device device = nullptr;
    const int code = MRS_CALL(asked, nvmlDeviceGetHandleByIndex_v2, i, &device);
    if (code == 0) {
      AskDevice(asked, device, &record->devices[i]);
    } else {
      record->devices[i].error = asked.Describe(code);
    }
  }
}

}  // namespace mrs::probe
