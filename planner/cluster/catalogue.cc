#include "planner/cluster/catalogue.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "planner/cluster/catalogue_rows.h"
#include "planner/cluster/nearest.h"

namespace mrs::cluster {
namespace {

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

std::span<const DeviceModel> Catalogue() {
  static const std::vector<DeviceModel>* const all = [] {
    auto* const rows = new std::vector<DeviceModel>;  // as long as the program
    for (const std::span<const DeviceModel> some :
         {DataCenterRows(), HopperBlackwellRows(), CardRows(), AmdRows(), HostRows(), EmulatedRows()}) {
      rows->insert(rows->end(), some.begin(), some.end());
    }
    return rows;
  }();
  return *all;
}

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
  for (const DeviceModel& row : Catalogue()) {
    if (AnySpelling(row, [&](std::string_view spelling) { return spelling == wanted; })) return &row;
  }
  return nullptr;
}

const DeviceModel* FindDevicePci(uint16_t vendor, uint16_t device) {
  const uint32_t wanted = static_cast<uint32_t>(vendor) << 16 | device;
  for (const DeviceModel& row : Catalogue()) {
    if (wanted != 0 && std::ranges::find(row.pci_ids, wanted) != row.pci_ids.end()) return &row;
  }
  return nullptr;
}

const DeviceModel* NearestDeviceModel(std::string_view name) {
  const std::string wanted = NormalizedModel(name.substr(0, 64));
  const DeviceModel* nearest = nullptr;
  size_t least = 0;
  for (const DeviceModel& row : Catalogue()) {
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
