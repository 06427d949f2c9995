#include "planner/cluster/catalogue_rows.h"

namespace mrs::cluster {
namespace {

constexpr uint32_t kAmd = 0x10020000;

// Data sheets and product pages.
constexpr std::string_view kMi300xSheet =
    "https://www.amd.com/content/dam/amd/en/documents/instinct-tech-docs/data-sheets/"
    "amd-instinct-mi300x-data-sheet.pdf";
constexpr std::string_view kEpyc9004 =
    "https://www.amd.com/en/products/processors/server/epyc/4th-generation-9004-and-8004-series.html";
constexpr std::string_view kEpyc9005 = "https://www.amd.com/en/products/processors/server/epyc/9005-series.html";
constexpr std::string_view kXeon4 =
    "https://www.intel.com/content/www/us/en/products/details/processors/xeon/scalable.html";
constexpr std::string_view kGrace = "https://www.nvidia.com/en-us/data-center/grace-cpu/";
constexpr std::string_view kMi325xPage = "https://www.amd.com/en/products/accelerators/instinct/mi300/mi325x.html";
constexpr std::string_view kMi300aPage = "https://www.amd.com/en/products/accelerators/instinct/mi300/mi300a.html";
constexpr std::string_view kMi350xPage = "https://www.amd.com/en/products/accelerators/instinct/mi350/mi350x.html";
constexpr std::string_view kMi355xPage = "https://www.amd.com/en/products/accelerators/instinct/mi350/mi355x.html";
constexpr std::string_view kMi250Docs = "https://rocm.docs.amd.com/en/latest/reference/gpu-arch/mi250.html";
constexpr std::string_view kMi210Page = "https://www.amd.com/en/products/accelerators/instinct/mi200/mi210.html";
constexpr std::string_view kMi100Docs = "https://rocm.docs.amd.com/en/latest/reference/gpu-arch/mi100.html";
constexpr std::string_view kMi50Page = "https://rocm.docs.amd.com/en/latest/reference/gpu-specs.html";

constexpr DeviceModel kAmdRows[] = {
    // Two links of 46 GB/s each way; without bf16. Its PCI id is that of other cards, too.
    {.name = "MI50-16GB",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 17163091968,
     .memory_gigabytes = 1024,
     .gcn = "gfx906",
     .peer = PeerKind::kXgmi,
     .peer_links = 2,
     .peer_gigabytes = 46,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .sockets = 2,
     .aliases = "mi50",
     .source = kMi50Page,
     .memory_source = kRocmSmi},
    {.name = "MI50-32GB",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 34342961152,
     .memory_gigabytes = 1024,
     .gcn = "gfx906",
     .peer = PeerKind::kXgmi,
     .peer_links = 2,
     .peer_gigabytes = 46,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .sockets = 2,
     .source = kMi50Page,
     .memory_source = kRocmSmi},
    // Hives of 4, each of which has a link to each other; a node has one or two.
    {.name = "MI100",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 34342961152,
     .memory_gigabytes = 1228.8,
     .bf16_teraflops = 92.3,
     .gcn = "gfx908",
     .peer = PeerKind::kXgmi,
     .peer_links = 3,
     .peer_gigabytes = 46,
     .joined = Joined::kVaries,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kAmd | 0x738C, kAmd | 0x738E},
     .aliases = "mi10032gb",
     .source = kMi100Docs,
     .memory_source = kRocmSmi},
    {.name = "MI210",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 68702699520,
     .memory_gigabytes = 1638.4,
     .bf16_teraflops = 181,
     .gcn = "gfx90a",
     .peer = PeerKind::kXgmi,
     .peer_links = 3,
     .peer_gigabytes = 50,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kAmd | 0x740F},
     .aliases = "mi21064gb",
     .source = kMi210Page,
     .memory_source = kRocmSmi},
    // One of the two dies of a module: each is a device. 8 links of 50 GB/s each way, 4 of them to its sibling; how
    // modules are
    // joined differs.
    {.name = "MI250X",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 68702699520,
     .memory_gigabytes = 1638.4,
     .bf16_teraflops = 191.5,
     .gcn = "gfx90a",
     .peer = PeerKind::kXgmi,
     .peer_links = 8,
     .peer_gigabytes = 50,
     .joined = Joined::kVaries,
     .pcie_generation = 4,
     .pcie_lanes = 16,
     .most_per_node = 16,
     .sockets = 2,
     .pci_ids = {kAmd | 0x7408, kAmd | 0x740C},
     .aliases = "mi250 mi250xmi250",
     .source = kMi250Docs,
     .memory_source = kRocmSmi},
    // Memory that its CPU cores use, too. 2 links to each of three others.
    {.name = "MI300A",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 137422176256,
     .memory_gigabytes = 5300,
     .bf16_teraflops = 980.6,
     .gcn = "gfx942",
     .peer = PeerKind::kXgmi,
     .peer_links = 6,
     .peer_gigabytes = 64,
     .joined = Joined::kVaries,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 4,
     .sockets = 4,
     .pci_ids = {kAmd | 0x74A0},
     .source = kMi300aPage,
     .memory_source = kRocmSmi},
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
    {.name = "MI325X",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 274861129728,
     .memory_gigabytes = 6000,
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
     .pci_ids = {kAmd | 0x74A5},
     .aliases = "mi325x256gb mi325xoam",
     .source = kMi325xPage,
     .memory_source = kRocmSmi},
    // 7 links of 76.8 GB/s each way.
    {.name = "MI350X",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 309220868096,
     .memory_gigabytes = 8000,
     .bf16_teraflops = 2309.6,
     .gcn = "gfx950",
     .peer = PeerKind::kXgmi,
     .peer_links = 7,
     .peer_gigabytes = 76.8,
     .joined = Joined::kMesh,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kAmd | 0x75A0},
     .aliases = "mi350x288gb mi350xoam",
     .source = kMi350xPage,
     .memory_source = kRocmSmi},
    {.name = "MI355X",
     .kind = DeviceKind::kRocm,
     .memory_bytes = 309220868096,
     .memory_gigabytes = 8000,
     .bf16_teraflops = 2516.6,
     .gcn = "gfx950",
     .peer = PeerKind::kXgmi,
     .peer_links = 7,
     .peer_gigabytes = 76.8,
     .joined = Joined::kMesh,
     .pcie_generation = 5,
     .pcie_lanes = 16,
     .most_per_node = 8,
     .sockets = 2,
     .pci_ids = {kAmd | 0x75A3},
     .aliases = "mi355x288gb mi355xoam",
     .source = kMi355xPage,
     .memory_source = kRocmSmi},
};

constexpr DeviceModel kHostRows[] = {
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

// What mrs-exec-emulated has in place of GPUs: 108 multiprocessors as an A100 has, on no bus, without peers.
constexpr DeviceModel kEmulatedRows[] = {
    {.name = "EMU-2GB",
     .memory_bytes = 2048 * kMiB,
     .sm = 80,
     .aliases = "emulated emulated2gb",
     .source = kEmulator,
     .memory_source = kEmulator},
};

}  // namespace

std::span<const DeviceModel> EmulatedRows() { return kEmulatedRows; }
std::span<const DeviceModel> AmdRows() { return kAmdRows; }
std::span<const DeviceModel> HostRows() { return kHostRows; }

}  // namespace mrs::cluster
