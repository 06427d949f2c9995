// Stands for libnvidia-ml.so.1 and libcuda.so.1 at once: two GPUs of an NVSwitch machine, with the fault that
// FAKE_DRIVER names. Declared anew, as the vendor's headers have it, and not shared with what is tested.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool Is(const char* scenario) {
  const char* const chosen = std::getenv("FAKE_DRIVER");
  return chosen != nullptr && std::strcmp(chosen, scenario) == 0;
}

[[noreturn]] void Hang() {
  for (;;) pause();
}

char handles[128];
struct nvmlPciInfo {
  char busIdLegacy[16];
  unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
  char busId[32];
};
static_assert(sizeof(nvmlPciInfo) == 68);
struct nvmlFieldValue {
  unsigned fieldId, scopeId;
  long long timestamp, latencyUsec;
  int valueType, nvmlReturn;
  unsigned long long value;
};
static_assert(sizeof(nvmlFieldValue) == 40);
struct nvmlFabric {
  unsigned char uuid[16];
  int status;
  unsigned clique;
  unsigned char state;
};

int IndexOf(void* device) { return static_cast<int>(static_cast<char*>(device) - handles); }
const char* BusId(int index) { return index == 0 ? "00000000:18:00.0" : "00000000:2A:00.0"; }

}  // namespace

extern "C" {

const char* nvmlErrorString(int code) {
  return code == 9 ? "Driver Not Loaded" : code == 15 ? "GPU is lost" : "Failed";
}
int nvmlInit_v2() {
  if (Is("hangs")) Hang();
  return Is("not loaded") ? 9 : Is("mismatch") ? 18 : 0;
}
int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  std::snprintf(text, size, "580.95.05");
  return 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int* version) {
  *version = 13000;
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = Is("many") ? 100 : 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (Is("lost") && index == 1) return 15;
  *device = handles + index;
  return 0;
}
int nvmlDeviceGetName(void* device, char* text, unsigned size) {
  if (Is("crashes") && IndexOf(device) == 1) raise(SIGSEGV);
  std::snprintf(text, size, Is("strange name") ? "a\n\x1b[31m\xff" : "NVIDIA H100 80GB HBM3");
  return 0;
}
int nvmlDeviceGetUUID(void* device, char* text, unsigned size) {
  std::snprintf(text, size, "GPU-0000000%d-0000-0000-0000-000000000000", IndexOf(device));
  return 0;
}
struct nvmlMemory {
  unsigned long long total, free, used;
};
int nvmlDeviceGetMemoryInfo(void* device, nvmlMemory* memory) {
  if (Is("falls off the bus") && IndexOf(device) == 1) return 15;
  memory->total = 85520809984ull;
  memory->free = Is("in use") && IndexOf(device) == 1 ? 4ull << 30 : 84900000000ull;
  return 0;
}
int nvmlDeviceGetCudaComputeCapability(void*, int* major, int* minor) {
  *major = 9;
  *minor = 0;
  return 0;
}
int nvmlDeviceGetPciInfo_v3(void* device, nvmlPciInfo* pci) {
  std::snprintf(pci->busId, sizeof(pci->busId), "%s", BusId(IndexOf(device)));
  return 0;
}
int nvmlDeviceGetCurrPcieLinkGeneration(void*, unsigned* value) {
  *value = 1;
  return 0;
}
int nvmlDeviceGetMaxPcieLinkGeneration(void*, unsigned* value) {
  *value = 5;
  return 0;
}
int nvmlDeviceGetCurrPcieLinkWidth(void* device, unsigned* value) {
  *value = Is("narrow") && IndexOf(device) == 1 ? 4 : 16;
  return 0;
}
int nvmlDeviceGetMaxPcieLinkWidth(void*, unsigned* value) {
  *value = 16;
  return 0;
}
int nvmlDeviceGetMigMode(void* device, unsigned* current, unsigned* pending) {
  *current = *pending = Is("mig") && IndexOf(device) == 1;
  return 0;
}
int nvmlDeviceGetComputeMode(void*, int* mode) {
  *mode = Is("prohibited") ? 2 : 0;
  return 0;
}
int nvmlDeviceGetGpuFabricInfo(void*, nvmlFabric* fabric) {
  fabric->state = Is("no fabric manager") ? 1 : 3;
  fabric->status = 0;
  std::memset(fabric->uuid, 0, sizeof(fabric->uuid));
  fabric->clique = 0;
  if (Is("grace")) {
    for (int i = 0; i < 16; ++i) fabric->uuid[i] = static_cast<unsigned char>(0xa0 + i);
    fabric->clique = 32766;
  }
  return 0;
}
int nvmlDeviceGetNvLinkState(void* device, unsigned link, int* active) {
  if (link >= 4) return 2;  // NVML_ERROR_INVALID_ARGUMENT
  *active = !(Is("link down") && IndexOf(device) == 1 && link == 3);
  return 0;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(void*, unsigned, int* type) {
  *type = Is("bridged") ? 0 : 2;
  return 0;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void* device, unsigned link, nvmlPciInfo* pci) {
  if (Is("bridged")) {
    std::snprintf(pci->busId, sizeof(pci->busId), "%s", BusId(1 - IndexOf(device)));
  } else {
    std::snprintf(pci->busId, sizeof(pci->busId), "00000000:0%u:00.0", 5 + link % 4);
  }
  return 0;
}
int nvmlDeviceGetFieldValues(void*, int count, nvmlFieldValue* values) {
  for (int i = 0; i < count; ++i) {
    const bool c2c = Is("grace") && values[i].fieldId >= 170 && values[i].fieldId <= 172;
    values[i].nvmlReturn = values[i].fieldId == 90 || c2c ? 0 : 3;
    values[i].valueType = 1;
    // Three links to the CPU, of which the last is down.
    values[i].value = values[i].fieldId == 170   ? 3
                      : values[i].fieldId == 171 ? values[i].scopeId != 2
                      : values[i].fieldId == 172 ? 44712
                                                 : 26562;
  }
  return 0;
}
int nvmlDeviceGetEccMode(void*, int* current, int* pending) {
  if (Is("no ecc")) return 3;
  *current = *pending = !Is("ecc off");
  return 0;
}
int nvmlDeviceGetTotalEccErrors(void* device, int type, int counter, unsigned long long* count) {
  if (Is("no ecc") || Is("ecc off")) return 3;
  *count = Is("memory errors") && IndexOf(device) == 1 && type == 1 && counter == 0 ? 5000000000ull : 0;
  return 0;
}
int nvmlDeviceGetRemappedRows(void* device, unsigned* correctable, unsigned* uncorrectable, unsigned* pending,
                              unsigned* failed) {
  if (Is("no ecc")) return 3;
  *correctable = *uncorrectable = 0;
  *pending = Is("memory errors") && IndexOf(device) == 1;
  *failed = Is("memory errors") && IndexOf(device) == 0;
  return 0;
}

int cuInit(unsigned) {
  if (Is("cuInit hangs")) Hang();
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == '\0') return 100;
  return Is("not loaded") ? 100 : Is("mismatch") ? 803 : Is("no fabric manager") ? 802 : 0;
}
int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
int cuDeviceGetCount(int* count) {
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  *count = Is("many") ? 100 : visible == nullptr ? 2 : std::strcmp(visible, "1,9") == 0 ? 1 : 2;
  return 0;
}
int cuDeviceGet(int* device, int ordinal) {
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  *device = visible == nullptr ? ordinal : 1 - ordinal;  // "1,0" and "1,9"
  return 0;
}
int cuDeviceGetName(char* text, int size, int) {
  std::snprintf(text, static_cast<size_t>(size), "NVIDIA H100 80GB HBM3");
  return 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = 85017624576ull;
  return 0;
}
int cuDeviceGetPCIBusId(char* text, int size, int device) {
  std::snprintf(text, static_cast<size_t>(size), "%s", BusId(device) + 4);
  return 0;
}
int cuDeviceGetUuid_v2(unsigned char* bytes, int device) {
  std::memset(bytes, 0, 16);
  bytes[3] = static_cast<unsigned char>(device);
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 9 : 0;
  return 0;
}
int cuGetErrorName(int code, const char** name) {
  *name = code == 100   ? "CUDA_ERROR_NO_DEVICE"
          : code == 802 ? "CUDA_ERROR_SYSTEM_NOT_READY"
                        : "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH";
  return 0;
}
int cuGetErrorString(int, const char** text) {
  *text = "said by the driver";
  return 0;
}

}  // extern "C"
