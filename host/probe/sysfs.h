// What several probes need of /sys: names of a folder, one line of a file, and where on the PCI tree a device hangs.
//
//   PlaceOf("", "/sys/class/net/eth0/device")
//     -> {bus_id "0000:18:00.0", path {"pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:00.0"}, numa 0}
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mrs::probe {

inline constexpr size_t kMaxEntries = 4096;  // of one folder; more are not looked at

// Sorted, so that a report does not depend on the order of a folder. Empty where there is none.
std::vector<std::string> Entries(const std::string& folder);

// A small file's text without spaces and line ends at its sides; "" where there is none.
std::string ReadLine(const std::string& path);

// "0000:18:00.0": domain, bus, device and function in lower-case hexadecimal.
bool IsBusId(std::string_view text);

struct PciPlace {
  std::string bus_id;             // "": not on PCI
  std::vector<std::string> path;  // root complex, then every bridge, down to the device's parent
  std::optional<int> numa;        // none: the kernel does not say (-1)
};

// `link` is a path under `root` that leads to a device of PCI, or to something on one (a virtio device).
PciPlace PlaceOf(const std::string& root, const std::string& link);

}  // namespace mrs::probe
