#include <fmt/format.h>

#include <algorithm>

#include "formats/json.h"
#include "runtime/doctor/report.h"

namespace mrs::doctor {
namespace {

// What is not known is null: one type for a field, whatever the host.
Json Known(const std::string& text) { return text.empty() ? Json() : Json(text); }
template <typename Number>
Json KnownNumber(Number number, Number unknown = Number{0}) {
  return number == unknown ? Json() : Json(number);
}
template <typename T>
Json Maybe(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json Place(const probe::PciPlace& place) { return {{"numa", Maybe(place.numa)}, {"path", Json(place.path)}}; }

Json Cpu(const Facts& facts) {
  return {{"vendor", Known(facts.cpu.vendor)},
          {"model", Known(facts.cpu.model)},
          {"family", Maybe(facts.cpu.family)},
          {"model_number", Maybe(facts.cpu.model_number)},
          {"sockets", KnownNumber(facts.cpu.sockets)},
          {"online", KnownNumber(facts.cpu.online)},
          {"affinity", KnownNumber(facts.affinity)},
          {"cores", facts.cores},
          {"isa", facts.isa.isa},
          {"isa_wanted", Known(facts.isa.wanted)},
          {"baseline", facts.isa.baseline},
          {"native_numerics", Json(facts.isa.native)},
          {"emulated_numerics", Json(facts.isa.emulated)}};
}

Json Limits(const probe::LimitFacts& limits) {
  return {{"known", limits.known},
          {"memlock_bytes", Maybe(limits.memlock_bytes)},
          {"open_files", Maybe(limits.open_files)},
          {"processes", Maybe(limits.processes)},
          {"address_space_bytes", Maybe(limits.address_space_bytes)},
          {"core_bytes", Maybe(limits.core_bytes)},
          {"core_pattern", Known(limits.core_pattern)},
          {"pids_max", Maybe(limits.pids_max)},
          {"pids_now", limits.pids_now},
          {"shm_total_bytes", Maybe(limits.shm_total_bytes)},
          {"shm_free_bytes", Maybe(limits.shm_free_bytes)}};
}

Json HugePages(const probe::LimitFacts& limits) {
  return {{"transparent", Known(limits.transparent)},
          {"page_bytes", KnownNumber(limits.huge_page_bytes)},
          {"total", limits.huge_pages_total},
          {"free", limits.huge_pages_free}};
}

Json Numa(const std::vector<probe::NumaNode>& nodes) {
  Json list = Json::array();
  for (const probe::NumaNode& node : nodes) {
    list.push_back({{"node", node.node}, {"cpus", node.cpus}, {"memory_bytes", node.memory_bytes}});
  }
  return list;
}

Json Nics(const std::vector<probe::NicFacts>& nics) {
  Json list = Json::array();
  for (const probe::NicFacts& nic : nics) {
    const char* const kind = nic.kind == probe::NicKind::kInfiniband ? "infiniband"
                             : nic.kind == probe::NicKind::kRoce     ? "roce"
                                                                     : "ethernet";
    Json one = {{"name", nic.name}, {"kind", kind}, {"up", nic.up}, {"gigabits", KnownNumber(nic.gigabits)}};
    one["bus_id"] = Known(nic.place.bus_id);
    one.update(Place(nic.place));
    list.push_back(std::move(one));
  }
  return list;
}

Json Library(const probe::LibraryFacts& library) {
  return {{"library", library.library},
          {"found", library.found},
          {"error", Known(library.error)},
          {"code", KnownNumber(library.code)},
          {"count", library.count}};
}

Json Nvlinks(const std::vector<probe::NvlinkFacts>& links) {
  Json list = Json::array();
  for (const probe::NvlinkFacts& link : links) {
    const char* const to = link.remote == probe::NvlinkFacts::Remote::kGpu      ? "gpu"
                           : link.remote == probe::NvlinkFacts::Remote::kSwitch ? "switch"
                           : link.remote == probe::NvlinkFacts::Remote::kNpu    ? "npu"
                                                                                : "unknown";
    list.push_back({{"link", link.link},
                    {"active", link.active},
                    {"to", link.active ? Json(to) : Json()},
                    {"bus_id", Known(link.bus_id)},
                    {"megabytes_a_second", KnownNumber(link.megabytes)}});
  }
  return list;
}

Json C2cLinks(const std::vector<probe::C2cFacts>& links) {
  Json list = Json::array();
  for (const probe::C2cFacts& link : links) {
    list.push_back({{"link", link.link}, {"active", link.active}, {"megabytes_a_second", KnownNumber(link.megabytes)}});
  }
  return list;
}

Json Compute(int major, int minor) { return major > 0 ? Json(fmt::format("{}.{}", major, minor)) : Json(); }

Json Gpu(const probe::GpuFacts& gpu) {
  Json one = {{"index", gpu.index},
              {"error", Known(gpu.error)},
              {"name", Known(gpu.name)},
              {"uuid", Known(gpu.uuid)},
              {"bus_id", Known(gpu.bus_id)},
              {"memory_total_bytes", KnownNumber(gpu.memory_total_bytes)},
              {"memory_free_bytes", gpu.memory_total_bytes == 0 ? Json() : Json(gpu.memory_free_bytes)},
              {"compute_capability", Compute(gpu.compute_major, gpu.compute_minor)},
              {"pcie",
               {{"gen", KnownNumber(gpu.pcie_gen)},
                {"gen_max", KnownNumber(gpu.pcie_gen_max)},
                {"width", KnownNumber(gpu.pcie_width)},
                {"width_max", KnownNumber(gpu.pcie_width_max)}}},
              {"mig", Maybe(gpu.mig)},
              {"compute_mode", KnownNumber(gpu.compute_mode, -1)},
              {"fabric_state", gpu.fabric_state},
              {"fabric_status", gpu.fabric_status},
              {"fabric_cluster", Known(gpu.fabric_cluster)},
              {"fabric_clique", gpu.fabric_cluster.empty() ? Json() : Json(gpu.fabric_clique)},
              {"nvlinks", Nvlinks(gpu.nvlinks)},
              {"c2c", C2cLinks(gpu.c2c)},
              {"ecc",
               {{"enabled", Maybe(gpu.ecc.enabled)},
                {"uncorrected", Maybe(gpu.ecc.uncorrected)},
                {"remap_pending", Maybe(gpu.ecc.remap_pending)},
                {"remap_failed", Maybe(gpu.ecc.remap_failed)}}}};
  one.update(Place(gpu.place));
  return one;
}

Json Gpus(const Facts& facts) {
  const probe::GpusFacts& gpus = facts.gpus;
  Json on_bus = Json::array(), devices = Json::array(), visible = Json::array();
  for (const probe::BusGpu& gpu : facts.bus_gpus) on_bus.push_back({{"bus_id", gpu.bus_id}, {"vendor", gpu.vendor}});
  for (const probe::GpuFacts& gpu : gpus.devices) devices.push_back(Gpu(gpu));
  for (const probe::VisibleGpu& gpu : gpus.visible) {
    visible.push_back({{"ordinal", gpu.ordinal},
                       {"name", Known(gpu.name)},
                       {"uuid", Known(gpu.uuid)},
                       {"bus_id", Known(gpu.bus_id)},
                       {"memory_total_bytes", KnownNumber(gpu.memory_total_bytes)},
                       {"compute_capability", Compute(gpu.compute_major, gpu.compute_minor)}});
  }
  return {{"error", Known(gpus.child)},
          {"nvml", Library(gpus.nvml)},
          {"cuda", Library(gpus.cuda)},
          {"driver_version", Known(gpus.driver_version)},
          {"cuda_version", gpus.cuda_version <= 0
                               ? Json()
                               : Json(fmt::format("{}.{}", gpus.cuda_version / 1000, gpus.cuda_version % 1000 / 10))},
          {"environment",
           {{"CUDA_VISIBLE_DEVICES", Maybe(gpus.visible_devices)}, {"CUDA_DEVICE_ORDER", Maybe(gpus.device_order)}}},
          {"on_bus", std::move(on_bus)},
          {"devices", std::move(devices)},
          {"visible", std::move(visible)}};
}

Json Findings(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"id", finding.id},
                    {"verdict", VerdictName(finding.verdict)},
                    {"says", finding.says},
                    {"fix", Known(finding.fix)}});
  }
  return list;
}

}  // namespace

std::string ToJson(const Facts& facts, const std::vector<Finding>& findings, std::string_view version,
                   const Json& plan) {
  const Json report = {
      {"format", "mrs-doctor 1"},
      {"mrs_exec", std::string(version)},
      {"verdict", VerdictName(Worst(findings))},
      {"host", {{"name", Known(facts.host)}, {"kernel", Known(facts.kernel)}, {"arch", Known(facts.arch)}}},
      {"cpu", Cpu(facts)},
      {"memory",
       {{"total_bytes", KnownNumber(facts.memory.total_bytes, UINT64_MAX)},
        {"free_bytes", KnownNumber(facts.memory.free_bytes, UINT64_MAX)},
        {"machine_bytes", KnownNumber(facts.machine_memory_bytes, UINT64_MAX)}}},
      {"numa", Numa(facts.cpu.nodes)},
      {"huge_pages", HugePages(facts.limits)},
      {"limits", Limits(facts.limits)},
      {"loopback", {{"usable", facts.loopback.empty()}, {"error", Known(facts.loopback)}}},
      {"nics", Nics(facts.network.nics)},
      {"gpu_direct", facts.network.gpu_direct},
      {"gpus", Gpus(facts)},
      {"plan", plan},
      {"findings", Findings(findings)}};
  // Indented, as a person reads it too; invalid UTF-8 (of an environment variable) is written as U+FFFD.
  return fmt::format("{}\n", report.dump(1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace mrs::doctor
