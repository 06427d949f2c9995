// The driver, each GPU, and what CUDA sees of them.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "runtime/doctor/findings.h"

namespace mrs::doctor {
namespace {

using probe::GpuFacts;
using probe::GpusFacts;
using probe::NvlinkFacts;

constexpr const char* kNoKernels =
    "mrs-plan plans for CUDA ranks; mrs-exec runs them in the CPU's arithmetic, sums through the hosts' memory";

struct Judged {
  const Facts& facts;
  std::vector<Finding>* findings;

  void Add(std::string id, Verdict verdict, std::string says, std::string fix = "") {
    findings->push_back({std::move(id), verdict, std::move(says), std::move(fix)});
  }
};

std::vector<std::string> NvidiaOnBus(const Facts& facts) {
  std::vector<std::string> ids;
  for (const probe::BusGpu& gpu : facts.bus_gpus) {
    if (gpu.vendor == "nvidia") ids.push_back(gpu.bus_id);
  }
  return ids;
}

// What to do about an nvmlReturn_t.
const char* NvmlFix(int code) {
  switch (code) {
    case 4:  // NVML_ERROR_NO_PERMISSION
      return "give this user /dev/nvidia*: docker run --gpus all, or the group that owns them";
    case 9:  // NVML_ERROR_DRIVER_NOT_LOADED
      return "modprobe nvidia; in a container, start it with docker run --gpus all";
    case 15:  // NVML_ERROR_GPU_IS_LOST
    case 16:  // NVML_ERROR_RESET_REQUIRED
      return "look for Xid lines in dmesg, reset it (nvidia-smi --gpu-reset) or restart the host";
    case 18:  // NVML_ERROR_LIB_RM_VERSION_MISMATCH
      return "the driver was upgraded under a running kernel module: restart the host, or unload and load nvidia";
    default:
      return "see dmesg and nvidia-smi -q; reinstall the driver if they say no more";
  }
}

// What to do about a CUresult.
const char* CudaFix(int code) {
  switch (code) {
    case 100:  // CUDA_ERROR_NO_DEVICE
      return "unset CUDA_VISIBLE_DEVICES or name GPUs that are here; in a container, docker run --gpus all";
    case 101:  // CUDA_ERROR_INVALID_DEVICE
      return "look for Xid lines in dmesg; reset the GPU (nvidia-smi --gpu-reset)";
    case 802:  // CUDA_ERROR_SYSTEM_NOT_READY
      return "start the fabric manager of this NVSwitch machine: systemctl start nvidia-fabricmanager";
    case 803:  // CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
      return "libcuda.so.1 and the kernel module are of different drivers: restart the host, or remove the other "
             "library";
    case 804:  // CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE
      return "remove the forward-compatibility libcuda (the package cuda-compat) or use a data-center GPU";
    case 999:  // CUDA_ERROR_UNKNOWN
      return "modprobe nvidia_uvm, and see that /dev/nvidia-uvm is there and ours to open";
    default:
      return "see dmesg and nvidia-smi -q";
  }
}

// The driver answers "no device" where CUDA_VISIBLE_DEVICES leaves none, although there are some.
bool HiddenFromCuda(const GpusFacts& gpus) {
  constexpr int kNoDevice = 100;
  return gpus.cuda.code == kNoDevice && gpus.visible_devices && !gpus.devices.empty();
}

void Driver(Judged& judged) {
  const GpusFacts& gpus = judged.facts.gpus;
  const std::vector<std::string> on_bus = NvidiaOnBus(judged.facts);
  if (!gpus.child.empty()) {
    judged.Add("gpu.driver", Verdict::kBad, fmt::format("the driver did not answer to its end: {}", gpus.child),
               gpus.hung ? "see dmesg for Xid lines; nvidia-smi will hang, too: reset the GPU or restart the host"
                         : "see dmesg; reinstall the driver if it crashes again");
  }
  if (!gpus.nvml.found && !gpus.cuda.found && gpus.child.empty()) {
    if (on_bus.empty()) {
      judged.Add("gpu.driver", Verdict::kOk, "no NVIDIA driver and no NVIDIA GPU: ranks run on the CPUs");
    } else {
      judged.Add("gpu.driver", Verdict::kWarn,
                 fmt::format("{} NVIDIA GPU{} on the PCI bus ({}), but no driver library: {}", on_bus.size(),
                             on_bus.size() == 1 ? "" : "s", fmt::join(on_bus, ", "), gpus.cuda.error),
                 "install the NVIDIA driver; in a container, docker run --gpus all");
    }
    return;
  }
  const bool expected = !on_bus.empty() || !gpus.devices.empty();
  const Verdict failed = expected ? Verdict::kBad : Verdict::kWarn;
  if (!gpus.nvml.found) {
    if (!gpus.nvml.error.empty()) {
      judged.Add("gpu.nvml", Verdict::kWarn, fmt::format("no NVML: {}", gpus.nvml.error),
                 "install libnvidia-ml.so.1 of the driver; in a container, NVIDIA_DRIVER_CAPABILITIES=compute,utility");
    }
  } else if (!gpus.nvml.error.empty()) {
    judged.Add("gpu.nvml", failed, gpus.nvml.error, NvmlFix(gpus.nvml.code));
  }
  if (!gpus.cuda.found) {
    if (!gpus.cuda.error.empty()) {
      judged.Add("gpu.cuda", failed, fmt::format("no CUDA driver: {}", gpus.cuda.error),
                 "install libcuda.so.1 of the driver; in a container, NVIDIA_DRIVER_CAPABILITIES=compute,utility");
    }
  } else if (!gpus.cuda.error.empty() && !HiddenFromCuda(gpus)) {
    judged.Add("gpu.cuda", failed, gpus.cuda.error, CudaFix(gpus.cuda.code));
  }
  if (!gpus.driver_version.empty() || gpus.cuda_version > 0) {
    judged.Add("gpu.version", Verdict::kOk,
               fmt::format("driver {}, CUDA {}.{} at most",
                           gpus.driver_version.empty() ? "of unknown version" : gpus.driver_version,
                           gpus.cuda_version / 1000, gpus.cuda_version % 1000 / 10));
  }
}

// How CUDA's ordinals lie on NVML's devices.
void Visible(Judged& judged) {
  const GpusFacts& gpus = judged.facts.gpus;
  if (!gpus.cuda.found || !gpus.child.empty()) return;
  if (!gpus.cuda.error.empty() && !HiddenFromCuda(gpus)) return;
  std::vector<std::string> map;
  for (const probe::VisibleGpu& gpu : gpus.visible) map.push_back(fmt::format("cuda:{} = {}", gpu.ordinal, gpu.bus_id));
  std::string says = map.empty() ? "CUDA sees no GPU" : fmt::format("{}", fmt::join(map, ", "));
  if (!gpus.visible_devices) {
    const bool fewer = gpus.nvml.error.empty() && gpus.visible.size() < gpus.devices.size();
    const bool mig =
        std::any_of(gpus.devices.begin(), gpus.devices.end(), [](const GpuFacts& g) { return g.mig == true; });
    judged.Add("gpu.visible", fewer && !mig ? Verdict::kWarn : Verdict::kOk,
               fewer ? fmt::format("{}; the driver has {}", says, gpus.devices.size()) : says,
               fewer && !mig ? "see the findings of the GPUs that CUDA leaves out" : "");
    return;
  }
  const std::string& wanted = *gpus.visible_devices;
  if (gpus.visible.empty() && (wanted.empty() || wanted == "-1")) {
    judged.Add("gpu.visible", Verdict::kOk,
               fmt::format("CUDA_VISIBLE_DEVICES={} hides all {} GPUs from CUDA, as it is made to", wanted,
                           gpus.devices.size()));
    return;
  }
  const auto entries = std::count(wanted.begin(), wanted.end(), ',') + 1;
  says = fmt::format("CUDA_VISIBLE_DEVICES={}: {}", wanted.substr(0, 200), says);
  if (static_cast<size_t>(entries) > gpus.visible.size()) {
    judged.Add(
        "gpu.visible", gpus.visible.empty() ? Verdict::kBad : Verdict::kWarn,
        fmt::format("{}; it names {}, and what follows a name that CUDA does not know is left out", says, entries),
        "name GPUs that are here, each once: ordinals, or the UUIDs of nvidia-smi -L");
    return;
  }
  judged.Add("gpu.visible", Verdict::kOk, says);
}

void Pcie(Judged& judged, const GpuFacts& gpu, const std::string& id) {
  if (gpu.pcie_width == 0 || gpu.pcie_gen_max == 0) return;
  const std::string says =
      fmt::format("PCIe Gen{} x{} (at most Gen{} x{}{})", gpu.pcie_gen, gpu.pcie_width, gpu.pcie_gen_max,
                  gpu.pcie_width_max, gpu.pcie_gen < gpu.pcie_gen_max ? "; the generation drops while it is idle" : "");
  if (gpu.pcie_width < gpu.pcie_width_max || gpu.pcie_gen_max == 1) {
    judged.Add(id, Verdict::kWarn, says, "reseat the card or its riser, or move it to a slot with all lanes");
  } else {
    judged.Add(id, Verdict::kOk, says);
  }
}

// "18 links: 18 to switches of 25.0 GB/s". `most` is the most active links that a GPU of this name has here.
void Nvlink(Judged& judged, const GpuFacts& gpu, size_t most, const std::string& id) {
  std::map<std::string, int> remotes;
  std::vector<int> inactive;
  uint32_t slowest = 0;
  for (const NvlinkFacts& link : gpu.nvlinks) {
    if (!link.active) {
      inactive.push_back(link.link);
      continue;
    }
    const bool is_switch = link.remote == NvlinkFacts::Remote::kSwitch;
    ++remotes[is_switch ? "NVSwitch" : link.bus_id.empty() ? "an unknown end" : link.bus_id];
    if (link.megabytes != 0 && (slowest == 0 || link.megabytes < slowest)) slowest = link.megabytes;
  }
  const size_t active = gpu.nvlinks.size() - inactive.size();
  if (gpu.nvlinks.empty()) return;
  std::vector<std::string> ends;
  for (const auto& [end, count] : remotes) ends.push_back(fmt::format("{} to {}", count, end));
  std::string says = active == 0 ? fmt::format("NVLink: none of {} links is active", inactive.size())
                                 : fmt::format("NVLink: {}", fmt::join(ends, ", "));
  if (slowest != 0) says += fmt::format(", {:.1f} GB/s a link and direction", slowest / 1000.0);
  if (active > 0 && !inactive.empty()) says += fmt::format("; inactive: link {}", fmt::join(inactive, ", "));
  // On a board with NVSwitches every link is wired; a bridge leaves links of a card unused.
  const bool lost = remotes.contains("NVSwitch") && !inactive.empty();
  if (active < most || lost) {
    judged.Add(id, Verdict::kWarn,
               active < most ? fmt::format("{}; others of its kind here have {} active", says, most) : says,
               "see nvidia-smi nvlink -s and -e; reseat the bridge, or have the board serviced");
  } else {
    judged.Add(id, Verdict::kOk, says);
  }
}

// To the CPU of its module, GH200's and GB200's; all are wired.
void C2c(Judged& judged, const GpuFacts& gpu, const std::string& id) {
  if (gpu.c2c.empty()) return;
  std::vector<int> inactive;
  uint32_t slowest = 0;
  for (const probe::C2cFacts& link : gpu.c2c) {
    if (!link.active) inactive.push_back(link.link);
    if (link.megabytes != 0 && (slowest == 0 || link.megabytes < slowest)) slowest = link.megabytes;
  }
  std::string says =
      fmt::format("C2C: {} of {} links to the CPU are active", gpu.c2c.size() - inactive.size(), gpu.c2c.size());
  if (slowest != 0) says += fmt::format(", {:.1f} GB/s a link and direction", slowest / 1000.0);
  if (inactive.empty()) return judged.Add(id, Verdict::kOk, says);
  judged.Add(id, Verdict::kWarn, fmt::format("{}; inactive: link {}", says, fmt::join(inactive, ", ")),
             "see nvidia-smi c2c -s; restart the host, or have the module serviced");
}

// What the memory itself found wrong. ECC that is off is a choice, of cards that lose memory to it.
void Ecc(Judged& judged, const GpuFacts& gpu, const std::string& id) {
  const probe::EccFacts& ecc = gpu.ecc;
  const std::string look = fmt::format("see nvidia-smi -i {} -q -d ECC,ROW_REMAPPER", gpu.index);
  if (ecc.remap_failed == true) {
    judged.Add(id, Verdict::kBad, "a row of its memory is broken and no spare one is left",
               fmt::format("{}; have it replaced", look));
  } else if (ecc.uncorrected.value_or(0) > 0 || ecc.remap_pending == true) {
    const std::string errors = fmt::format("{} uncorrected error{} of its memory since the driver was loaded",
                                           ecc.uncorrected.value_or(0), ecc.uncorrected == 1u ? "" : "s");
    const std::string_view pending = "a row of its memory waits to be replaced by a spare one";
    judged.Add(id, Verdict::kWarn,
               ecc.remap_pending != true          ? errors
               : ecc.uncorrected.value_or(0) == 0 ? std::string(pending)
                                                  : fmt::format("{}; {}", errors, pending),
               fmt::format("{}; reset it (nvidia-smi --gpu-reset), and have it replaced where they come again", look));
  } else if (ecc.enabled == false) {
    judged.Add(id, Verdict::kOk, "ECC is off: an error of its memory goes unseen");
  } else if (ecc.enabled == true) {
    judged.Add(id, Verdict::kOk, "ECC is on, without an uncorrected error since the driver was loaded");
  }
}

void Fabric(Judged& judged, const GpuFacts& gpu, const std::string& id) {
  // nvmlGpuFabricState_t: 1 not started, 2 in progress, 3 completed with a status
  if (gpu.fabric_state == 0 || gpu.fabric_state > 3) return;
  if (gpu.fabric_state == 3 && gpu.fabric_status == 0) {
    judged.Add(id, Verdict::kOk, "it has joined the NVLink fabric");
    return;
  }
  judged.Add(id, Verdict::kBad,
             gpu.fabric_state == 3
                 ? fmt::format("it could not join the NVLink fabric: NVML error {}", gpu.fabric_status)
             : gpu.fabric_state == 2 ? "it is still joining the NVLink fabric"
                                     : "it has not begun to join the NVLink fabric",
             "systemctl status nvidia-fabricmanager (or nvidia-imex on GB200), start it, and ask again");
}

void Device(Judged& judged, const GpuFacts& gpu, size_t most_links) {
  const std::string id = fmt::format("gpu.{}", gpu.index);
  if (!gpu.error.empty()) {
    judged.Add(id, Verdict::kBad, gpu.error,
               "look for Xid lines in dmesg, reset it (nvidia-smi --gpu-reset) or restart the host");
    return;
  }
  const std::string compute =
      gpu.compute_major > 0 ? fmt::format(", compute capability {}.{}", gpu.compute_major, gpu.compute_minor) : "";
  judged.Add(id, Verdict::kOk,
             fmt::format("{} at {}{}", gpu.name.empty() ? "a GPU without a name" : gpu.name, gpu.bus_id, compute));
  if (gpu.compute_major > 0 && gpu.compute_major < 8) {
    judged.Add(fmt::format("{}.kernels", id), Verdict::kWarn,
               "mrs-exec has no kernels for it (for compute capability 8.0 and above it has)",
               "use a newer GPU, or plan for this host's CPUs with --cpus N");
  }
  if (gpu.memory_total_bytes > 0) {
    const bool held = gpu.memory_free_bytes < gpu.memory_total_bytes - gpu.memory_total_bytes / 10;
    judged.Add(fmt::format("{}.memory", id), held ? Verdict::kWarn : Verdict::kOk,
               fmt::format("{} free of {}", SizeText(gpu.memory_free_bytes), SizeText(gpu.memory_total_bytes)),
               held ? "end the processes that nvidia-smi lists; a plan is made for 90 % of the total" : "");
  }
  Pcie(judged, gpu, fmt::format("{}.pcie", id));
  Nvlink(judged, gpu, most_links, fmt::format("{}.nvlink", id));
  C2c(judged, gpu, fmt::format("{}.c2c", id));
  Fabric(judged, gpu, fmt::format("{}.fabric", id));
  Ecc(judged, gpu, fmt::format("{}.ecc", id));
  if (gpu.mig == true) {
    judged.Add(fmt::format("{}.mig", id), Verdict::kWarn,
               "MIG is on: ranks get a slice each, and slices cannot reach each other",
               fmt::format("nvidia-smi -i {} -mig 0, unless the slices are wanted", gpu.index));
  }
  if (gpu.compute_mode == 2) {
    judged.Add(fmt::format("{}.compute_mode", id), Verdict::kBad, "compute mode is Prohibited: nobody may use it",
               fmt::format("nvidia-smi -i {} -c 0", gpu.index));
  } else if (gpu.compute_mode == 1 || gpu.compute_mode == 3) {
    judged.Add(fmt::format("{}.compute_mode", id), Verdict::kOk, "compute mode is exclusive: one process at a time");
  }
}

}  // namespace

void JudgeGpus(const Facts& facts, std::vector<Finding>* findings) {
  Judged judged{facts, findings};
  Driver(judged);
  Visible(judged);
  std::map<std::string, size_t> most_links;
  for (const GpuFacts& gpu : facts.gpus.devices) {
    const auto active =
        std::count_if(gpu.nvlinks.begin(), gpu.nvlinks.end(), [](const NvlinkFacts& l) { return l.active; });
    most_links[gpu.name] = std::max(most_links[gpu.name], static_cast<size_t>(active));
  }
  for (const GpuFacts& gpu : facts.gpus.devices) Device(judged, gpu, most_links[gpu.name]);
  const GpusFacts& gpus = facts.gpus;
  const uint32_t count = std::max(gpus.nvml.count, gpus.cuda.count);
  if (count > probe::kMaxGpus) {
    judged.Add("gpu.count", Verdict::kWarn, fmt::format("{} GPUs; the first {} were looked at", count, probe::kMaxGpus),
               "show fewer with CUDA_VISIBLE_DEVICES");
  }
  if (!gpus.devices.empty() || !gpus.visible.empty()) judged.Add("gpu.use", Verdict::kOk, kNoKernels);
  const auto amd = std::count_if(facts.bus_gpus.begin(), facts.bus_gpus.end(),
                                 [](const probe::BusGpu& gpu) { return gpu.vendor == "amd"; });
  if (amd > 0) {
    judged.Add("gpu.amd", Verdict::kOk,
               fmt::format("{} AMD GPU{} on the PCI bus: not looked at", amd, amd == 1 ? "" : "s"));
  }
}

}  // namespace mrs::doctor
