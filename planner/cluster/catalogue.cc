#include "planner/cluster/catalogue.h"

#include <algorithm>
#include <cctype>

#include "planner/cluster/nearest.h"

namespace mrs::cluster {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint32_t kNvidia = 0x10DE0000;
constexpr uint32_t kAmd = 0x10020000;

// Data sheets. Rates that NVIDIA prints with sparsity are halved here.
constexpr std::string_view kA100Sheet =
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
    "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf";
constexpr std::string_view kH100Sheet = "https://resources.nvidia.com/en-us-gpu-resources/h100-datasheet-24306";
constexpr std::string_view kH200Sheet =
    "https://resources.nvidia.com/en-us-data-center-overview-mc/hpc-datasheet-sc23-h200";
constexpr std::string_view kHgxB200 = "https://www.nvidia.com/en-us/data-center/hgx/";
constexpr std::string_view kGb200 = "https://www.nvidia.com/en-us/data-center/gb200-nvl72/";
constexpr std::string_view kL4Sheet = "https://www.nvidia.com/en-us/data-center/l4/";
constexpr std::string_view kL40sSheet = "https://www.nvidia.com/en-us/data-center/l40s/";
constexpr std::string_view kA10Sheet =
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/datasheet-new/nvidia-a10-datasheet.pdf";
constexpr std::string_view kGa102Paper =
    "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.pdf";
constexpr std::string_view kAdaPaper =
    "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf";
constexpr std::string_view kBlackwellPaper =
    "https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/nvidia-rtx-blackwell-gpu-architecture.pdf";
constexpr std::string_view kProPaper =
    "https://www.nvidia.com/content/dam/en-zz/Solutions/design-visualization/quadro-product-literature/"
    "NVIDIA-RTX-Blackwell-PRO-GPU-Architecture-v1.0.pdf";
constexpr std::string_view kProServer =
    "https://www.nvidia.com/en-us/data-center/rtx-pro-6000-blackwell-server-edition/";
constexpr std::string_view kMi300xSheet =
    "https://www.amd.com/content/dam/amd/en/documents/instinct-tech-docs/data-sheets/"
    "amd-instinct-mi300x-data-sheet.pdf";
constexpr std::string_view kEpyc9004 =
    "https://www.amd.com/en/products/processors/server/epyc/4th-generation-9004-and-8004-series.html";
constexpr std::string_view kEpyc9005 = "https://www.amd.com/en/products/processors/server/epyc/9005-series.html";
constexpr std::string_view kXeon4 =
    "https://www.intel.com/content/www/us/en/products/details/processors/xeon/scalable.html";
constexpr std::string_view kGrace = "https://www.nvidia.com/en-us/data-center/grace-cpu/";

constexpr std::string_view kSmi = "memory.total of nvidia-smi";
constexpr std::string_view kRocmSmi = "VRAM Total Memory of rocm-smi";
constexpr std::string_view kHost = "the host's, or its cgroups'";

constexpr DeviceModel kRows[] = {
    // NVLink 3: 12 links of 25 GB/s each way. HGX A100 has 4, 8 or 16 modules.
    {.name = "A100-SXM-40GB",
     .memory_bytes = 40960 * kMiB,
     .memory_gigabytes = 1555,
     .bf16_teraflops = 312,
     .sm = 80,
     .peer_links = 12,
     .peer_gigabytes = 25,
     .joined = Joined::kSwitch,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .most_per_node = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x20B0},
     .aliases = "a10040gb a100sxm440gb a100sxm4",
     .source = kA100Sheet,
     .memory_source = kSmi},
    {.name = "A100-SXM-80GB",
     .memory_bytes = 81920 * kMiB,
     .memory_gigabytes = 2039,
     .bf16_teraflops = 312,
     .sm = 80,
     .peer_links = 12,
     .peer_gigabytes = 25,
     .joined = Joined::kSwitch,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .most_per_node = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x20B2},
     .aliases = "a100 a100sxm a10080gb a100sxm480gb",
     .source = kA100Sheet,
     .memory_source = kSmi},
    {.name = "A100-PCIe-40GB",
     .memory_bytes = 40960 * kMiB,
     .memory_gigabytes = 1555,
     .bf16_teraflops = 312,
     .sm = 80,
     .peer_links = 12,
     .peer_gigabytes = 25,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x20F1},
     .aliases = "a10040gbpcie",
     .source = kA100Sheet,
     .memory_source = kSmi},
    {.name = "A100-PCIe-80GB",
     .memory_bytes = 81920 * kMiB,
     .memory_gigabytes = 1935,
     .bf16_teraflops = 312,
     .sm = 80,
     .peer_links = 12,
     .peer_gigabytes = 25,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x20B5},
     .aliases = "a100pcie a10080gbpcie",
     .source = kA100Sheet,
     .memory_source = kSmi},
    // The A100 for export: 8 links.
    {.name = "A800-SXM-80GB",
     .memory_bytes = 81920 * kMiB,
     .memory_gigabytes = 2039,
     .bf16_teraflops = 312,
     .sm = 80,
     .peer_links = 8,
     .peer_gigabytes = 25,
     .joined = Joined::kSwitch,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x20F3},
     .aliases = "a800 a800sxm a80080gb a800sxm480gb",
     .source = kA100Sheet,
     .memory_source = kSmi},
    // NVLink 4: 18 links of 25 GB/s each way; the bridges of the PCIe cards join 12 of them.
    {.name = "H100-SXM",
     .memory_bytes = 81559 * kMiB,
     .memory_gigabytes = 3350,
     .bf16_teraflops = 989.4,
     .sm = 90,
     .peer_links = 18,
     .peer_gigabytes = 25,
     .joined = Joined::kSwitch,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2330},
     .aliases = "h100 h100sxm5 h10080gb h10080gbhbm3 h100sxm80gb h100sxm580gb",
     .source = kH100Sheet,
     .memory_source = kSmi},
    {.name = "H100-PCIe",
     .memory_bytes = 81559 * kMiB,
     .memory_gigabytes = 2000,
     .bf16_teraflops = 756.5,
     .sm = 90,
     .peer_links = 12,
     .peer_gigabytes = 25,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2331},
     .aliases = "h100pcie80gb h10080gbpcie",
     .source = kH100Sheet,
     .memory_source = kSmi},
    {.name = "H100-NVL",
     .memory_bytes = 95830 * kMiB,
     .memory_gigabytes = 3900,
     .bf16_teraflops = 835.5,
     .sm = 90,
     .peer_links = 12,
     .peer_gigabytes = 25,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2321},
     .aliases = "h100nvl94gb h10094gb",
     .source = kH100Sheet,
     .memory_source = kSmi},
    {.name = "H200-SXM",
     .memory_bytes = 143771 * kMiB,
     .memory_gigabytes = 4800,
     .bf16_teraflops = 989.4,
     .sm = 90,
     .peer_links = 18,
     .peer_gigabytes = 25,
     .joined = Joined::kSwitch,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2335},
     .aliases = "h200 h200sxm5 h200141gb h200sxm141gb h200141gbhbm3e",
     .source = kH200Sheet,
     .memory_source = kSmi},
    {.name = "H200-NVL",
     .memory_bytes = 143771 * kMiB,
     .memory_gigabytes = 4800,
     .bf16_teraflops = 835.5,
     .sm = 90,
     .peer_links = 18,
     .peer_gigabytes = 25,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x233B},
     .aliases = "h200nvl141gb",
     .source = kH200Sheet,
     .memory_source = kSmi},
    // NVLink 5: 18 links of 50 GB/s each way.
    {.name = "B200",
     .memory_bytes = 183359 * kMiB,
     .memory_gigabytes = 8000,
     .bf16_teraflops = 2250,
     .sm = 100,
     .peer_links = 18,
     .peer_gigabytes = 50,
     .joined = Joined::kSwitch,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2901},
     .aliases = "b200sxm b200180gb b200192gb",
     .source = kHgxB200,
     .memory_source = kSmi},
    // A compute tray has 2 superchips of 2; the NVLink fabric that joins trays is not part of a node.
    {.name = "GB200",
     .memory_bytes = 189471 * kMiB,
     .memory_gigabytes = 8000,
     .bf16_teraflops = 2500,
     .sm = 100,
     .peer_links = 18,
     .peer_gigabytes = 50,
     .joined = Joined::kSwitch,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 4,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2941},
     .aliases = "gb200186gb gb200nvl72",
     .source = kGb200,
     .memory_source = kSmi},
    {.name = "L4",
     .memory_bytes = 23034 * kMiB,
     .memory_gigabytes = 300,
     .bf16_teraflops = 121,
     .sm = 89,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x27B8},
     .aliases = "l424gb",
     .source = kL4Sheet,
     .memory_source = kSmi},
    {.name = "L40S",
     .memory_bytes = 46068 * kMiB,
     .memory_gigabytes = 864,
     .bf16_teraflops = 362.05,
     .sm = 89,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x26B9},
     .aliases = "l40s48gb",
     .source = kL40sSheet,
     .memory_source = kSmi},
    {.name = "A10",
     .memory_bytes = 23028 * kMiB,
     .memory_gigabytes = 600,
     .bf16_teraflops = 125,
     .sm = 86,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2236},
     .aliases = "a1024gb",
     .source = kA10Sheet,
     .memory_source = kSmi},
    // NVLink 3 with a bridge: 4 links of 14.0625 GB/s each way.
    {.name = "RTX-3090",
     .memory_bytes = 24576 * kMiB,
     .memory_gigabytes = 936,
     .bf16_teraflops = 71,
     .sm = 86,
     .peer_links = 4,
     .peer_gigabytes = 14.0625,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .pci_ids = {kNvidia | 0x2204},
     .aliases = "3090 rtx309024gb",
     .source = kGa102Paper,
     .memory_source = kSmi},
    {.name = "RTX-4090",
     .memory_bytes = 24564 * kMiB,
     .memory_gigabytes = 1008,
     .bf16_teraflops = 165.2,
     .sm = 89,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .pci_ids = {kNvidia | 0x2684},
     .aliases = "4090 rtx409024gb",
     .source = kAdaPaper,
     .memory_source = kSmi},
    {.name = "RTX-5090",
     .memory_bytes = 32607 * kMiB,
     .memory_gigabytes = 1792,
     .bf16_teraflops = 209.5,
     .sm = 120,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .pci_ids = {kNvidia | 0x2B85},
     .aliases = "5090 rtx509032gb",
     .source = kBlackwellPaper,
     .memory_source = kSmi},
    {.name = "RTX-PRO-6000",
     .memory_bytes = 97887 * kMiB,
     .memory_gigabytes = 1792,
     .bf16_teraflops = 503.8,
     .sm = 120,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .pci_ids = {kNvidia | 0x2BB1},
     .aliases = "rtxpro6000blackwell rtxpro6000blackwellworkstationedition pro6000 rtxpro600096gb "
                "rtxpro6000workstation",
     .source = kProPaper,
     .memory_source = kSmi},
    // Its bf16 rate is published rounded and with sparsity only.
    {.name = "RTX-PRO-6000-Server",
     .memory_bytes = 97887 * kMiB,
     .memory_gigabytes = 1597,
     .sm = 120,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .sockets = 2,
     .pci_ids = {kNvidia | 0x2BB5},
     .aliases = "rtxpro6000blackwellserveredition rtxpro6000serveredition",
     .source = kProServer,
     .memory_source = kSmi},
    // Infinity Fabric: 7 links of 64 GB/s each way, one to each of the others of a platform of 8.
    {.name = "MI300X",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 206141652992,
     .memory_gigabytes = 5300,
     .bf16_teraflops = 1307.4,
     .gcn = "gfx942",
     .peer = PeerKind::kXgmi,
     .peer_links = 7,
     .peer_gigabytes = 64,
     .joined = Joined::kMesh,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kAmd | 0x74A1},
     .aliases = "mi300x192gb mi300xoam mi300xvf",
     .source = kMi300xSheet,
     .memory_source = kRocmSmi},
    // Hosts. Memory channels x 8 bytes x transfers per second, of one socket: 12 x DDR5-4800, 12 x DDR5-6400 (up to),
    // 8 x DDR5-4800; LPDDR5X of one Grace.
    {.name = "CPU", .kind = DeviceKind::kCpu, .aliases = "cpuhost host", .source = kHost, .memory_source = kHost},
    {.name = "EPYC-9004",
     .kind = DeviceKind::kCpu,
     .memory_gigabytes = 460.8,
     .aliases = "epycgenoa genoa",
     .source = kEpyc9004,
     .memory_source = kHost},
    {.name = "EPYC-9005",
     .kind = DeviceKind::kCpu,
     .memory_gigabytes = 614.4,
     .aliases = "epycturin turin",
     .source = kEpyc9005,
     .memory_source = kHost},
    {.name = "Xeon-4",
     .kind = DeviceKind::kCpu,
     .memory_gigabytes = 307.2,
     .aliases = "xeonsapphirerapids sapphirerapids xeon4thgen",
     .source = kXeon4,
     .memory_source = kHost},
    {.name = "Grace",
     .kind = DeviceKind::kCpu,
     .memory_gigabytes = 512,
     .aliases = "gracecpu",
     .source = kGrace,
     .memory_source = kHost},
};

// Calls visit(spelling) for the row's name and its aliases, until that returns true.
template <typename Visit>
bool AnySpelling(const DeviceModel& row, Visit visit) {
  if (visit(std::string_view(NormalizedModel(row.name)))) return true;
  std::string_view words = row.aliases;
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (visit(words.substr(0, end))) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

}  // namespace

std::span<const DeviceModel> Catalogue() { return kRows; }

std::string NormalizedModel(std::string_view name) {
  std::string text;
  for (const unsigned char c : name.substr(0, 256)) {
    if (std::string_view(" -_\t/()").find(static_cast<char>(c)) == std::string_view::npos) {
      text.push_back(static_cast<char>(std::tolower(c)));
    }
  }
  for (const std::string_view maker : {"nvidia", "amd", "tesla", "geforce", "instinct"}) {
    if (text.starts_with(maker)) text.erase(0, maker.size());
  }
  if (text.size() > 1 && text.ends_with('g') && std::isdigit(static_cast<unsigned char>(text[text.size() - 2]))) {
    text.push_back('b');  // "A100-80G"
  }
  return text;
}

const DeviceModel* FindDeviceModel(std::string_view name) {
  const std::string wanted = NormalizedModel(name);
  if (wanted.empty()) return nullptr;
  for (const DeviceModel& row : kRows) {
    if (AnySpelling(row, [&](std::string_view spelling) { return spelling == wanted; })) return &row;
  }
  return nullptr;
}

const DeviceModel* FindDevicePci(uint16_t vendor, uint16_t device) {
  const uint32_t wanted = static_cast<uint32_t>(vendor) << 16 | device;
  for (const DeviceModel& row : kRows) {
    if (wanted != 0 && std::ranges::find(row.pci_ids, wanted) != row.pci_ids.end()) return &row;
  }
  return nullptr;
}

const DeviceModel* NearestDeviceModel(std::string_view name) {
  const std::string wanted = NormalizedModel(name.substr(0, 64));
  const DeviceModel* nearest = nullptr;
  size_t least = 0;
  for (const DeviceModel& row : kRows) {
    AnySpelling(row, [&](std::string_view spelling) {
      const size_t distance = EditDistance(spelling, wanted);
      if (nearest == nullptr || distance < least) {
        nearest = &row;
        least = distance;
      }
      return false;
    });
  }
  return nearest;
}

double GigatransfersOf(int pcie_generation) {
  constexpr std::array<double, 7> kRates = {0, 2.5, 5, 8, 16, 32, 64};
  return pcie_generation >= 0 && pcie_generation < static_cast<int>(kRates.size()) ? kRates[pcie_generation] : 0;
}

}  // namespace mrs::cluster
