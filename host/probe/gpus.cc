#include "host/probe/gpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "host/probe/gpu_record.h"
#include "host/probe/in_child.h"

namespace mrs::probe {
namespace {

// A name or a message of a library: what is not printable ASCII becomes '?', so that it may stand in any report.
std::string Printable(std::string_view text) {
  std::string shown(text);
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < 0x20 || c == 0x7f; }, '?');
  return shown;
}

NvlinkFacts::Remote RemoteOf(int type) {  // nvmlIntNvLinkDeviceType_t
  return type == 0   ? NvlinkFacts::Remote::kGpu
         : type == 1 ? NvlinkFacts::Remote::kNpu
         : type == 2 ? NvlinkFacts::Remote::kSwitch
                     : NvlinkFacts::Remote::kUnknown;
}

// As RFC 4122 writes it; "" of zeros, which a fabric within one host has.
std::string UuidText(const uint8_t (&bytes)[16]) {
  if (std::all_of(std::begin(bytes), std::end(bytes), [](uint8_t byte) { return byte == 0; })) return "";
  std::string text;
  for (int i = 0; i < 16; ++i)
    text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
  return text;
}

std::optional<bool> YesOrNo(int told) { return told == 0 ? std::nullopt : std::optional<bool>(told == 2); }

GpuFacts FactsOf(const GpuRecord& record, int index, const std::string& root) {
  GpuFacts gpu{.index = index,
               .error = Printable(record.error.view()),
               .name = Printable(record.name.view()),
               .uuid = Printable(record.uuid.view()),
               .bus_id = PlainBusId(record.bus_id.view()),
               .memory_total_bytes = record.memory_total_bytes,
               .memory_free_bytes = record.memory_free_bytes,
               .compute_major = record.compute_major,
               .compute_minor = record.compute_minor,
               .pcie_gen = record.pcie_gen,
               .pcie_gen_max = record.pcie_gen_max,
               .pcie_width = record.pcie_width,
               .pcie_width_max = record.pcie_width_max,
               .mig = YesOrNo(record.mig),
               .compute_mode = record.compute_mode,
               .fabric_state = record.fabric_state,
               .fabric_status = record.fabric_status,
               .fabric_cluster = UuidText(record.fabric_cluster),
               .fabric_clique = record.fabric_clique,
               .nvlinks = {},
               .c2c = {},
               .ecc = {},
               .place = {}};
  for (int i = 0; i < kMaxNvlinks; ++i) {
    const NvlinkRecord& link = record.nvlinks[i];
    if (!link.known) continue;
    gpu.nvlinks.push_back({.link = i,
                           .active = link.active,
                           .remote = RemoteOf(link.remote),
                           .bus_id = PlainBusId(link.bus_id.view()),
                           .megabytes = link.megabytes});
  }
  for (int i = 0; i < kMaxC2cLinks; ++i) {
    const C2cRecord& link = record.c2c[i];
    if (link.known) gpu.c2c.push_back({.link = i, .active = link.active, .megabytes = link.megabytes});
  }
  gpu.ecc = {.enabled = YesOrNo(record.ecc.enabled),
             .uncorrected = record.ecc.counted ? std::optional<uint64_t>(record.ecc.uncorrected) : std::nullopt,
             .remap_pending = YesOrNo(record.ecc.remap_pending),
             .remap_failed = YesOrNo(record.ecc.remap_failed)};
  if (IsBusId(gpu.bus_id)) gpu.place = PlaceOf(root, fmt::format("/sys/bus/pci/devices/{}", gpu.bus_id));
  return gpu;
}

LibraryFacts FactsOf(const LibraryRecord& record, const std::string& library) {
  return {.library = library,
          .found = record.found,
          .error = Printable(record.error.view()),
          .code = record.code,
          .count = record.count};
}

std::optional<std::string> Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

std::string PlainBusId(std::string_view text) {
  std::string id(text);
  std::transform(id.begin(), id.end(), id.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
  while (id.size() > 12 && id[0] == '0') id.erase(0, 1);
  return IsBusId(id) ? id : "";
}

GpusFacts ReadGpus(const GpuLibraries& libraries, std::chrono::milliseconds limit, const std::string& root) {
  GpusFacts facts;
  facts.visible_devices = Environment("CUDA_VISIBLE_DEVICES");
  facts.device_order = Environment("CUDA_DEVICE_ORDER");
  const SharedRecord<DriverRecord> shared;
  DriverRecord* const record = shared.get();
  if (record == nullptr) {
    facts.child = "no memory to ask the driver with";
    return facts;
  }
  const ChildEnd end = RunInChild(
      [&] {
        AskNvml(libraries.nvml.c_str(), record);
        AskCuda(libraries.cuda.c_str(), record);
      },
      limit);
  if (end.how == ChildEnd::How::kNotStarted) {
    facts.child = fmt::format("no process to ask the driver with: {}", end.why);
  } else if (end.how != ChildEnd::How::kDone) {
    facts.child = fmt::format("{} in {}", end.why, Printable(record->step.view()));
  }
  facts.hung = end.how == ChildEnd::How::kHung;
  facts.nvml = FactsOf(record->nvml, libraries.nvml);
  facts.cuda = FactsOf(record->cuda, libraries.cuda);
  facts.driver_version = Printable(record->driver_version.view());
  facts.cuda_version = record->cuda_version;
  // A child that could not be killed may still write: each count is read once and held to the arrays.
  const uint32_t devices = std::min<uint32_t>(record->nvml.written, kMaxGpus);
  for (uint32_t i = 0; i < devices; ++i) {
    facts.devices.push_back(FactsOf(record->devices[i], static_cast<int>(i), root));
  }
  const uint32_t visible = std::min<uint32_t>(record->cuda.written, kMaxGpus);
  for (uint32_t i = 0; i < visible; ++i) {
    const VisibleRecord& gpu = record->visible[i];
    facts.visible.push_back({.ordinal = static_cast<int>(i),
                             .name = Printable(gpu.name.view()),
                             .uuid = Printable(gpu.uuid.view()),
                             .bus_id = PlainBusId(gpu.bus_id.view()),
                             .memory_total_bytes = gpu.memory_total_bytes,
                             .compute_major = gpu.compute_major,
                             .compute_minor = gpu.compute_minor});
  }
  return facts;
}

}  // namespace mrs::probe
