#include "host/probe/sysfs.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "host/cgroup.h"

namespace mrs::probe {

std::vector<std::string> Entries(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  while (!error && entry != std::filesystem::directory_iterator() && names.size() < kMaxEntries) {
    names.push_back(entry->path().filename().string());
    entry.increment(error);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string ReadLine(const std::string& path) {
  const std::string text = ReadKernelFile(path);
  const size_t begin = text.find_first_not_of(" \t\n");
  if (begin == text.npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\n") + 1 - begin);
}

bool IsBusId(std::string_view text) {
  constexpr std::string_view kForm = "xxxx:xx:xx.x";
  if (text.size() < kForm.size()) return false;
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  const size_t extra = text.size() - kForm.size();  // a domain past 0xffff has more digits (Intel VMD, Azure)
  if (extra > 4 || !std::all_of(text.begin(), text.begin() + static_cast<ptrdiff_t>(extra), is_hex)) return false;
  text.remove_prefix(extra);
  for (size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == 'x' ? !is_hex(text[i]) : text[i] != kForm[i]) return false;
  }
  return true;
}

PciPlace PlaceOf(const std::string& root, const std::string& link) {
  PciPlace place;
  std::error_code error;
  const std::filesystem::path target = std::filesystem::canonical(root + link, error);
  if (error) return place;
  std::string folder;  // of the device itself
  std::filesystem::path walked;
  for (const std::filesystem::path& part : target) {
    walked /= part;
    const std::string name = part.string();
    const bool is_root_complex = place.path.empty() && name.starts_with("pci") && name.find(':') != name.npos;
    if (!is_root_complex && (place.path.empty() || !IsBusId(name))) continue;
    place.path.push_back(name);
    folder = walked.string();
  }
  if (place.path.size() < 2) return PciPlace();
  place.bus_id = place.path.back();
  place.path.pop_back();
  const std::string numa = ReadLine(folder + "/numa_node");
  int node = -1;
  if (std::from_chars(numa.data(), numa.data() + numa.size(), node).ec == std::errc() && node >= 0) place.numa = node;
  return place;
}

}  // namespace mrs::probe
