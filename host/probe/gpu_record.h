// What the child that asks the driver leaves in shared memory, plain enough to be read after it crashed half way.
// gpus.h has the same in C++; nothing else should look here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "host/probe/gpus.h"

namespace mrs::probe {

template <size_t N>
struct ShortText {
  char text[N];
  void operator=(std::string_view from) {
    const size_t size = std::min(from.size(), N - 1);
    std::memcpy(text, from.data(), size);
    text[size] = '\0';
  }
  std::string_view view() const { return std::string_view(text, strnlen(text, N)); }
};

struct NvlinkRecord {
  bool known;
  bool active;
  int remote;  // nvmlIntNvLinkDeviceType_t, or -1
  ShortText<40> bus_id;
  uint32_t megabytes;
};

struct C2cRecord {
  bool known;
  bool active;
  uint32_t megabytes;
};

struct EccRecord {
  int enabled, remap_pending, remap_failed;  // 0: not told, 1: no, 2: yes
  bool counted;
  uint64_t uncorrected;
};

struct GpuRecord {
  ShortText<256> error;
  ShortText<96> name, uuid;
  ShortText<40> bus_id;
  uint64_t memory_total_bytes, memory_free_bytes;
  int compute_major, compute_minor;
  uint32_t pcie_gen, pcie_gen_max, pcie_width, pcie_width_max;
  int mig;  // 0: it knows none, 1: off, 2: on
  int compute_mode;
  int fabric_state, fabric_status;
  uint8_t fabric_cluster[16];
  uint32_t fabric_clique;
  NvlinkRecord nvlinks[kMaxNvlinks];
  C2cRecord c2c[kMaxC2cLinks];
  EccRecord ecc;
};

struct VisibleRecord {
  ShortText<96> name, uuid;
  ShortText<40> bus_id;
  uint64_t memory_total_bytes;
  int compute_major, compute_minor;
};

struct LibraryRecord {
  bool found;
  ShortText<256> error;
  int code;
  uint32_t count;    // as the library says it
  uint32_t written;  // records below that were begun
};

struct DriverRecord {
  ShortText<64> step;  // the call that is under way
  LibraryRecord nvml, cuda;
  ShortText<96> driver_version;
  int cuda_version;
  GpuRecord devices[kMaxGpus];
  VisibleRecord visible[kMaxGpus];
};

// In the child. `library` as dlopen takes it.
void AskNvml(const char* library, DriverRecord* record);
void AskCuda(const char* library, DriverRecord* record);

}  // namespace mrs::probe
