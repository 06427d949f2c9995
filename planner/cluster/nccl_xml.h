// The nodes of an NCCL topology file, what NCCL_TOPO_DUMP_FILE writes and NCCL_TOPO_FILE reads, of NVIDIA's or AMD's
// library.
//
//   <system version="1"><cpu numaid="0" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="106">
//     <pci busid="0000:17:00.0" class="0x030200" vendor="0x10de" device="0x20b5" link_speed="16 GT/s" link_width="16">
//       <gpu dev="0" sm="80" rank="0" gdr="1"><nvlink target="0000:65:00.0" count="12" tclass="0x030200"/></gpu></pci>
//       ..
//   ->  device 0: A100-PCIe-80GB (10de:20b5), memory from the catalogue, 12 NVLinks to device 1
//
// The files that clouds ship hold PCI trees alone: there the class says what a device is, the catalogue what it has,
// ordinals follow bus ids, and Node.completed lists all that. Elements and figures are those of NCCL
// (https://github.com/NVIDIA/nccl, src/graph/xml.cc and topo.cc) and RCCL (https://github.com/ROCm/rccl, the same).
#pragma once

#include <cstddef>
#include <string_view>

#include "planner/cluster/catalogue.h"
#include "planner/cluster/cluster.h"
#include "plans/status.h"

namespace mrs::cluster {

inline constexpr size_t kMaxXmlBytes = size_t{8} << 20;
inline constexpr size_t kMaxXmlElements = size_t{1} << 15;
inline constexpr size_t kMaxXmlAttributes = size_t{1} << 19;
inline constexpr int kMaxXmlDepth = 32;

// Any bytes. `model`, where not null, is what devices are whose PCI id the catalogue does not have.
Result<Cluster> ParseNcclXml(std::string_view text, std::string_view where, const DeviceModel* model = nullptr);

}  // namespace mrs::cluster
