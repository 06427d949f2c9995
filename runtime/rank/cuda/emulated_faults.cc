#include "runtime/rank/cuda/emulated_faults.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

namespace mrs::emulated {
namespace {

constexpr const char* kVariable = "MRS_EMULATED_FAULT";
constexpr size_t kMostFaults = 64;
constexpr uint64_t kMostDeviceBytes = uint64_t{1} << 40;

std::optional<uint64_t> NumberOf(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<uint64_t> BytesOf(std::string_view text) {
  int shift = 0;
  for (const auto& [unit, by] : {std::pair{"KiB", 10}, {"MiB", 20}, {"GiB", 30}}) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(3);
    shift = by;
    break;
  }
  const std::optional<uint64_t> number = NumberOf(text);
  if (!number || *number == 0 || *number > kMostDeviceBytes >> shift) return std::nullopt;
  return *number << shift;
}

std::string PointList() {
  std::string list;
  for (const char* name : kPointNames) list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
  return list;
}

Status ParseOne(std::string_view item, Faults* faults) {
  const size_t colon = item.find(':');
  const std::string_view name = item.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : item.substr(colon + 1);
  if (name == "count" && !value.empty()) {
    faults->count_file = value;
    return Status();
  }
  if (name == "device-memory" || name == "free-memory") {
    const std::optional<uint64_t> bytes = BytesOf(value);
    if (!bytes) {
      return Refuse("{}: '{}': expected {}:BYTES, up to 1024GiB, in KiB, MiB, GiB or none", kVariable, item, name);
    }
    if (name == "free-memory") {
      faults->free_bytes = *bytes;
    } else {
      faults->device_bytes = *bytes;
    }
    return Status();
  }
  if (name == "order") {
    const std::optional<uint64_t> seed = NumberOf(value);
    if (!seed || *seed == 0) return Refuse("{}: '{}': expected order:SEED, a number from 1", kVariable, item);
    faults->order_seed = *seed;
    return Status();
  }
  if (name == "missing-dependency") {
    const std::optional<uint64_t> number = NumberOf(value);
    if (!number || *number == 0) return Refuse("{}: '{}': expected missing-dependency:NUMBER, from 1", kVariable, item);
    faults->missing_dependency = *number;
    return Status();
  }
  const auto point = std::find(kPointNames.begin(), kPointNames.end(), name);
  if (point == kPointNames.end()) {
    return Refuse(
        "{}: '{}': expected POINT:NUMBER[@DEVICE] of {}, or device-memory:, free-memory:, order:, missing-dependency: "
        "or "
        "count:",
        kVariable, item, PointList());
  }
  Fault fault;
  fault.point = static_cast<Point>(point - kPointNames.begin());
  if (const size_t at = value.find('@'); at != std::string_view::npos) {
    const std::optional<uint64_t> device = NumberOf(value.substr(at + 1));
    if (!device || *device > UINT32_MAX) return Refuse("{}: '{}': expected a device's number after @", kVariable, item);
    fault.device = static_cast<uint32_t>(*device);
    value = value.substr(0, at);
  }
  const std::optional<uint64_t> number = NumberOf(value);
  if (!number || *number == 0) return Refuse("{}: '{}': expected {}:NUMBER, from 1", kVariable, item, name);
  fault.number = *number;
  if (faults->faults.size() == kMostFaults) return Refuse("{}: more than {} faults", kVariable, kMostFaults);
  faults->faults.push_back(fault);
  return Status();
}

struct State {
  std::mutex mutex;
  std::optional<Result<Faults>> faults;
  std::array<uint64_t, kPointNames.size()> counts{};
  std::map<uint32_t, std::array<uint64_t, kPointNames.size()>> of_device;
  uint64_t graph_launches = 0, forgotten = 0;
};

void WriteCounts();

// Never destroyed: devices may go as the program ends.
State& TheState() {
  static State* const state = new State;
  return *state;
}

const Result<Faults>& Current(State& state) {
  if (!state.faults) {
    const char* const text = std::getenv(kVariable);
    state.faults = ParseFaults(text == nullptr ? "" : text);
    if (state.faults->ok() && !(*state.faults)->count_file.empty()) std::atexit(WriteCounts);
  }
  return *state.faults;
}

// A line a process: "open 1 use 3 ...".
void WriteCounts() {
  State& state = TheState();
  std::string line;
  for (size_t i = 0; i < kPointNames.size(); ++i) {
    line += fmt::format("{}{} {}", i == 0 ? "" : " ", kPointNames[i], state.counts[i]);
  }
  line += "\n";
  const std::string& path = (*state.faults)->count_file;
  std::FILE* const file = std::fopen(path.c_str(), "ae");
  const bool is_written = file != nullptr && std::fwrite(line.data(), 1, line.size(), file) == line.size();
  if (file == nullptr || std::fclose(file) != 0 || !is_written) {
    std::fprintf(stderr, "emulated device: %s: count:%s cannot be written\n", kVariable, path.c_str());
  }
}

}  // namespace

Result<Faults> ParseFaults(std::string_view text) {
  Faults faults;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    MRS_RETURN_IF_ERROR(ParseOne(text.substr(0, comma), &faults));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  if (faults.free_bytes && *faults.free_bytes > faults.device_bytes) {
    return Refuse("{}: free-memory: {} bytes of a device that has {}: expected no more than those (device-memory:)",
                  kVariable, *faults.free_bytes, faults.device_bytes);
  }
  return faults;
}

void UseFaults(Faults faults) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  state.faults = Result<Faults>(std::move(faults));
  state.counts = {};
  state.of_device.clear();
  state.graph_launches = state.forgotten = 0;
}

Result<const Faults*> CurrentFaults() {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  const Result<Faults>& faults = Current(state);
  if (!faults.ok()) return faults.error();
  return &*faults;
}

std::optional<std::string> Fails(Point point, uint32_t device) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  const Result<Faults>& faults = Current(state);
  if (!faults.ok()) return std::nullopt;  // no device was opened
  const auto index = static_cast<size_t>(point);
  const uint64_t of_all = ++state.counts[index], of_device = ++state.of_device[device][index];
  for (const Fault& fault : faults->faults) {
    if (fault.point != point || (fault.device && *fault.device != device)) continue;
    if ((fault.device ? of_device : of_all) != fault.number) continue;
    return fmt::format("{}={}:{}{}", kVariable, kPointNames[index], fault.number,
                       fault.device ? fmt::format("@{}", device) : "");
  }
  return std::nullopt;
}

uint64_t CountOf(Point point) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  return state.counts[static_cast<size_t>(point)];
}

uint64_t HostOfProcess() {
  const char* const told = std::getenv("NCCL_HOSTID");
  return told == nullptr ? 0 : std::hash<std::string_view>()(told);
}

void NoteForgotten() {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  ++state.forgotten;
}

uint64_t ForgottenCount() {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  return state.forgotten;
}

uint64_t NextOrderSeed() {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  const Result<Faults>& faults = Current(state);
  if (!faults.ok() || faults->order_seed == 0) return 0;
  return faults->order_seed * 0x9e3779b97f4a7c15u + ++state.graph_launches;
}

}  // namespace mrs::emulated
