// The rows of the catalogue, by what they are; catalogue.h is how they are found.
//
//   {.name = "L4", .memory_bytes = 23034 * kMiB, .memory_gigabytes = 300, .sm = 89, ..., .source = kL4Sheet}
//
// Where figures come from, and how far they were held against it:
// - PCI ids: the table of NVIDIA's open kernel modules (https://github.com/NVIDIA/open-gpu-kernel-modules, README.md)
// and
//   pci.ids (https://pci-ids.ucw.cz) for what is older, and for AMD's.
// - Memory: what nvidia-smi and rocm-smi print of such a device; rocm-smi's is the data sheet's GiB less 16 MiB.
// - Rates: the page that the row names. Those of A100, H100, H200, B200, GB200, L4, L40S, A10, RTX 3090, 4090, 5090,
// RTX
//   PRO 6000 and MI300X were read there. Of P100, V100, A4000, A5500, A6000, H20, GH200, B300, MI100, MI250X and
//   MI325X, memory's rate and links were held against second pages. The rest are as their makers announced them,
//   written down from knowledge and not read off the page anew. Nothing is planned by rates yet.
// - That GeForce cards do not reach each other's memory over PCIe is what their driver says (cudaDeviceCanAccessPeer),
//   written down from knowledge. Over an NVLink bridge they do.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "planner/cluster/catalogue.h"

namespace mrs::cluster {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr std::string_view kSmi = "memory.total of nvidia-smi";
inline constexpr std::string_view kCuda = "total global memory of CUDA";
inline constexpr std::string_view kRocmSmi = "VRAM Total Memory of rocm-smi";
inline constexpr std::string_view kEmulator = "runtime/rank/cuda/emulated";
inline constexpr std::string_view kHost = "the host's, or its cgroups'";

std::span<const DeviceModel> DataCenterRows();       // Pascal to Ada
std::span<const DeviceModel> HopperBlackwellRows();  // and what joins them with Grace
std::span<const DeviceModel> CardRows();             // GeForce and workstations
std::span<const DeviceModel> AmdRows();
std::span<const DeviceModel> HostRows();
std::span<const DeviceModel> EmulatedRows();

}  // namespace mrs::cluster
