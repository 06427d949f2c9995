#include "host/probe/nics.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "host/cgroup.h"

namespace mrs::probe {
namespace {

constexpr size_t kMaxNics = 256;

// "400 Gb/sec (4X NDR)" -> 400, "2.5 Gb/sec (1X SDR)" -> 2.5.
double RdmaRate(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_rate = error == std::errc() && std::string_view(end).starts_with(" Gb/sec");
  return is_rate && value > 0 && value < 1e6 ? value : 0;
}

// Mbit/s, or -1 where nobody knows.
double EthernetRate(const std::string& text) {
  const std::optional<uint64_t> megabits = LeadingNumber(text);
  return megabits && *megabits > 0 && *megabits < UINT32_MAX ? static_cast<double>(*megabits) / 1000 : 0;
}

void ReadRdma(const std::string& root, std::vector<NicFacts>* nics) {
  const std::string folder = "/sys/class/infiniband";
  for (const std::string& card : Entries(root + folder)) {
    const std::string device = fmt::format("{}/{}", folder, card);
    for (const std::string& port : Entries(fmt::format("{}{}/ports", root, device))) {
      if (nics->size() == kMaxNics) return;
      const std::string at = fmt::format("{}{}/ports/{}", root, device, port);
      NicFacts nic;
      nic.name = port == "1" ? card : fmt::format("{}:{}", card, port);
      nic.kind = ReadLine(at + "/link_layer") == "InfiniBand" ? NicKind::kInfiniband : NicKind::kRoce;
      nic.up = ReadLine(at + "/state").find("ACTIVE") != std::string::npos;  // "4: ACTIVE"
      nic.gigabits = RdmaRate(ReadLine(at + "/rate"));
      nic.place = PlaceOf(root, device + "/device");
      nics->push_back(std::move(nic));
    }
  }
}

void ReadEthernet(const std::string& root, std::vector<NicFacts>* nics) {
  const std::string folder = "/sys/class/net";
  for (const std::string& name : Entries(root + folder)) {
    if (nics->size() == kMaxNics) return;
    const std::string device = fmt::format("{}/{}", folder, name);
    std::error_code error;
    if (!std::filesystem::exists(fmt::format("{}{}/device", root, device), error)) continue;
    if (ReadLine(fmt::format("{}{}/type", root, device)) == "32") continue;  // ARPHRD_INFINIBAND: its card is above
    NicFacts nic;
    nic.name = name;
    nic.up = ReadLine(fmt::format("{}{}/operstate", root, device)) == "up";
    nic.gigabits = EthernetRate(ReadLine(fmt::format("{}{}/speed", root, device)));
    nic.place = PlaceOf(root, device + "/device");
    nics->push_back(std::move(nic));
  }
}

}  // namespace

NicsFacts ReadNics(const std::string& root) {
  NicsFacts facts;
  ReadRdma(root, &facts.nics);
  ReadEthernet(root, &facts.nics);
  std::error_code error;
  for (const char* module : {"/sys/module/nvidia_peermem", "/sys/module/nv_peer_mem"}) {
    facts.gpu_direct = facts.gpu_direct || std::filesystem::exists(root + module, error);
  }
  return facts;
}

std::vector<BusGpu> ReadBusGpus(const std::string& root) {
  std::vector<BusGpu> gpus;
  const std::string folder = root + "/sys/bus/pci/devices";
  for (const std::string& bus_id : Entries(folder)) {
    const std::string at = fmt::format("{}/{}", folder, bus_id);
    const std::string vendor = ReadLine(at + "/vendor"), kind = ReadLine(at + "/class");
    // PCI class codes (pci.ids): 0x03 display controllers, 0x1200 processing accelerators.
    if (!IsBusId(bus_id) || !(kind.starts_with("0x03") || kind.starts_with("0x1200"))) continue;
    if (vendor == "0x10de") gpus.push_back({bus_id, "nvidia"});
    if (vendor == "0x1002") gpus.push_back({bus_id, "amd"});
  }
  return gpus;
}

}  // namespace mrs::probe
