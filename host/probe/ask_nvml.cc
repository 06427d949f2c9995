// NVML, hand-declared: the calls, structures and numbers of nvml.h (NVIDIA Management Library API reference,
// https://docs.nvidia.com/deploy/nvml-api/; layouts also in pynvml.py of the PyPI package nvidia-ml-py 13.615.71). They
// are stable by contract: a call whose structure changes gets another name (_v2, _v3).
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "host/probe/driver_library.h"
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
constexpr int kFunctionNotFound = 13;       // NVML_ERROR_FUNCTION_NOT_FOUND
constexpr unsigned kFieldNvlinkSpeed = 90;  // NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON: MB/s of a link, one direction
// NVML_FI_DEV_C2C_LINK_COUNT, _GET_STATUS (1: active) and _GET_MAX_BW (MB/s), the latter two of the link in `scope`.
constexpr unsigned kFieldC2cCount = 170, kFieldC2cStatus = 171, kFieldC2cSpeed = 172;
constexpr int kUncorrected = 1, kSinceLoaded = 0;  // NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC

struct FabricInfo {  // nvmlGpuFabricInfo_t
  unsigned char cluster_uuid[16];
  int status;
  unsigned clique;
  unsigned char state;
};

// name, parameters; each returns an nvmlReturn_t.
#define MRS_NVML_CALLS(X)                                                            \
  X(nvmlInit_v2, ())                                                                 \
  X(nvmlSystemGetDriverVersion, (char*, unsigned))                                   \
  X(nvmlSystemGetCudaDriverVersion_v2, (int*))                                       \
  X(nvmlDeviceGetCount_v2, (unsigned*))                                              \
  X(nvmlDeviceGetHandleByIndex_v2, (unsigned, Device*))                              \
  X(nvmlDeviceGetName, (Device, char*, unsigned))                                    \
  X(nvmlDeviceGetUUID, (Device, char*, unsigned))                                    \
  X(nvmlDeviceGetMemoryInfo, (Device, Memory*))                                      \
  X(nvmlDeviceGetCudaComputeCapability, (Device, int*, int*))                        \
  X(nvmlDeviceGetPciInfo_v3, (Device, PciInfo*))                                     \
  X(nvmlDeviceGetCurrPcieLinkGeneration, (Device, unsigned*))                        \
  X(nvmlDeviceGetMaxPcieLinkGeneration, (Device, unsigned*))                         \
  X(nvmlDeviceGetCurrPcieLinkWidth, (Device, unsigned*))                             \
  X(nvmlDeviceGetMaxPcieLinkWidth, (Device, unsigned*))                              \
  X(nvmlDeviceGetMigMode, (Device, unsigned*, unsigned*))                            \
  X(nvmlDeviceGetComputeMode, (Device, int*))                                        \
  X(nvmlDeviceGetEccMode, (Device, int*, int*))                                      \
  X(nvmlDeviceGetTotalEccErrors, (Device, int, int, unsigned long long*))            \
  X(nvmlDeviceGetRemappedRows, (Device, unsigned*, unsigned*, unsigned*, unsigned*)) \
  X(nvmlDeviceGetGpuFabricInfo, (Device, FabricInfo*))                               \
  X(nvmlDeviceGetNvLinkState, (Device, unsigned, int*))                              \
  X(nvmlDeviceGetNvLinkRemoteDeviceType, (Device, unsigned, int*))                   \
  X(nvmlDeviceGetNvLinkRemotePciInfo_v2, (Device, unsigned, PciInfo*))               \
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
  return code == 999 ? "NVML_ERROR_UNKNOWN" : nullptr;
}

struct Asked {
  Nvml nvml;
  DriverRecord* record;

  std::string Describe(int code) const {
    const char* const said = nvml.nvmlErrorString == nullptr ? nullptr : nvml.nvmlErrorString(code);
    return DescribeCode(ErrorName(code), "an NVML error", code, said);
  }
};
#define MRS_CALL(asked, name, ...) \
  CallDriver((asked).record, #name, kFunctionNotFound, (asked).nvml.name __VA_OPT__(, ) __VA_ARGS__)

// None where the device has no such field.
std::optional<unsigned> Field(Asked& asked, Device device, unsigned field, unsigned scope) {
  FieldValue value{};
  value.field = field;
  value.scope = scope;
  // NVML_VALUE_TYPE_UNSIGNED_INT, _UNSIGNED_LONG and _UNSIGNED_LONG_LONG.
  constexpr unsigned kUnsigned = 1, kLong = 2, kLongLong = 3;
  if (MRS_CALL(asked, nvmlDeviceGetFieldValues, device, 1, &value) != 0 || value.result != 0) return std::nullopt;
  if (value.type == kUnsigned) return value.value.number;
  const bool wide = value.type == kLong || value.type == kLongLong;
  return wide && value.value.wide <= UINT32_MAX ? std::optional<unsigned>(value.value.wide) : std::nullopt;
}

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
    one.megabytes = Field(asked, device, kFieldNvlinkSpeed, link).value_or(0);
  }
}

void AskC2c(Asked& asked, Device device, GpuRecord* gpu) {
  const unsigned count = Field(asked, device, kFieldC2cCount, 0).value_or(0);
  for (unsigned link = 0; link < count && link < kMaxC2cLinks; ++link) {
    C2cRecord& one = gpu->c2c[link];
    const std::optional<unsigned> status = Field(asked, device, kFieldC2cStatus, link);
    if (!status) continue;
    one.active = *status == 1;
    if (one.active) one.megabytes = Field(asked, device, kFieldC2cSpeed, link).value_or(0);
    one.known = true;
  }
}

void AskEcc(Asked& asked, Device device, EccRecord* ecc) {
  int now = 0, after_restart = 0;
  if (MRS_CALL(asked, nvmlDeviceGetEccMode, device, &now, &after_restart) == 0) ecc->enabled = now == 1 ? 2 : 1;
  unsigned long long errors = 0;
  if (MRS_CALL(asked, nvmlDeviceGetTotalEccErrors, device, kUncorrected, kSinceLoaded, &errors) == 0) {
    ecc->uncorrected = errors;
    ecc->counted = true;
  }
  unsigned corrected = 0, uncorrected = 0, pending = 0, failed = 0;
  if (MRS_CALL(asked, nvmlDeviceGetRemappedRows, device, &corrected, &uncorrected, &pending, &failed) == 0) {
    ecc->remap_pending = pending != 0 ? 2 : 1;
    ecc->remap_failed = failed != 0 ? 2 : 1;
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
    std::memcpy(gpu->fabric_cluster, fabric.cluster_uuid, sizeof(gpu->fabric_cluster));
    gpu->fabric_clique = fabric.clique;
  }
  AskNvlinks(asked, device, gpu);
  AskC2c(asked, device, gpu);
  AskEcc(asked, device, &gpu->ecc);
}

}  // namespace

void AskNvml(const char* library, DriverRecord* record) {
  LibraryRecord& out = record->nvml;
  void* const handle = OpenDriverLibrary(library, record, &out);
  if (handle == nullptr) return;
  Asked asked{.nvml = {}, .record = record};
#define MRS_FIND(name, parameters) asked.nvml.name = reinterpret_cast<decltype(asked.nvml.name)>(dlsym(handle, #name));
  MRS_NVML_CALLS(MRS_FIND)
#undef MRS_FIND
  asked.nvml.nvmlErrorString = reinterpret_cast<const char* (*)(int)>(dlsym(handle, "nvmlErrorString"));

  const auto failed = [&](int code) {
    if (code != 0) NoteFailure(*record, code, asked.Describe(code), &out);
    return code != 0;
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
