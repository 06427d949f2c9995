// The CUDA driver, hand-declared: calls and numbers of cuda.h (CUDA driver API reference,
// https://docs.nvidia.com/cuda/cuda-driver-api/). No context is made: that would take memory of every GPU.
#include <dlfcn.h>
#include <fmt/format.h>

#include "host/probe/driver_library.h"
#include "host/probe/gpu_record.h"

namespace mrs::probe {
namespace {

// name, parameters; each returns a CUresult.
#define MRS_CUDA_CALLS(X)                      \
  X(cuInit, (unsigned))                        \
  X(cuDriverGetVersion, (int*))                \
  X(cuDeviceGetCount, (int*))                  \
  X(cuDeviceGet, (int*, int))                  \
  X(cuDeviceGetName, (char*, int, int))        \
  X(cuDeviceTotalMem_v2, (size_t*, int))       \
  X(cuDeviceGetPCIBusId, (char*, int, int))    \
  X(cuDeviceGetUuid_v2, (unsigned char*, int)) \
  X(cuDeviceGetUuid, (unsigned char*, int))    \
  X(cuDeviceGetAttribute, (int*, int, int))    \
  X(cuGetErrorName, (int, const char**))       \
  X(cuGetErrorString, (int, const char**))

struct Cuda {
#define MRS_DECLARE(name, parameters) int(*name) parameters = nullptr;
  MRS_CUDA_CALLS(MRS_DECLARE)
#undef MRS_DECLARE
};
constexpr int kComputeMajor = 75, kComputeMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
constexpr int kErrorNotFound = 500;                    // CUDA_ERROR_NOT_FOUND

struct Asked {
  Cuda cuda;
  DriverRecord* record;

  std::string Describe(int code) const {
    const char *name = nullptr, *said = nullptr;
    if (cuda.cuGetErrorName != nullptr) cuda.cuGetErrorName(code, &name);
    if (cuda.cuGetErrorString != nullptr) cuda.cuGetErrorString(code, &said);
    return DescribeCode(name, "a CUDA error", code, said);
  }
};
#define MRS_CALL(asked, name, ...) \
  CallDriver((asked).record, #name, kErrorNotFound, (asked).cuda.name __VA_OPT__(, ) __VA_ARGS__)

// "GPU-c8d4a5d0-...", as nvidia-smi writes it.
std::string UuidText(const unsigned char (&bytes)[16]) {
  std::string text = "GPU";
  for (size_t i = 0; i < 16; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", bytes[i]);
  }
  return text;
}

void AskDevice(Asked& asked, int device, VisibleRecord* gpu) {
  char text[96] = {};
  if (MRS_CALL(asked, cuDeviceGetName, text, 96, device) == 0) gpu->name = std::string_view(text);
  if (MRS_CALL(asked, cuDeviceGetPCIBusId, text, 40, device) == 0) gpu->bus_id = std::string_view(text);
  unsigned char uuid[16] = {};
  if (MRS_CALL(asked, cuDeviceGetUuid_v2, uuid, device) == 0 || MRS_CALL(asked, cuDeviceGetUuid, uuid, device) == 0) {
    gpu->uuid = UuidText(uuid);
  }
  size_t bytes = 0;
  if (MRS_CALL(asked, cuDeviceTotalMem_v2, &bytes, device) == 0) gpu->memory_total_bytes = bytes;
  MRS_CALL(asked, cuDeviceGetAttribute, &gpu->compute_major, kComputeMajor, device);
  MRS_CALL(asked, cuDeviceGetAttribute, &gpu->compute_minor, kComputeMinor, device);
}

}  // namespace

void AskCuda(const char* library, DriverRecord* record) {
  LibraryRecord& out = record->cuda;
  void* const handle = OpenDriverLibrary(library, record, &out);
  if (handle == nullptr) return;
  Asked asked{.cuda = {}, .record = record};
#define MRS_FIND(name, parameters) asked.cuda.name = reinterpret_cast<decltype(asked.cuda.name)>(dlsym(handle, #name));
  MRS_CUDA_CALLS(MRS_FIND)
#undef MRS_FIND

  const auto failed = [&](int code) {
    if (code != 0) NoteFailure(*record, code, asked.Describe(code), &out);
    return code != 0;
  };
  int version = 0;
  if (MRS_CALL(asked, cuDriverGetVersion, &version) == 0 && record->cuda_version == 0) record->cuda_version = version;
  if (failed(MRS_CALL(asked, cuInit, 0u))) return;
  int count = 0;
  if (failed(MRS_CALL(asked, cuDeviceGetCount, &count))) return;
  out.count = count < 0 ? 0 : static_cast<uint32_t>(count);
  for (int i = 0; i < count && i < kMaxGpus; ++i) {
    int device = 0;
    if (failed(MRS_CALL(asked, cuDeviceGet, &device, i))) return;
    out.written = static_cast<uint32_t>(i) + 1;
    AskDevice(asked, device, &record->visible[i]);
  }
}

}  // namespace mrs::probe
