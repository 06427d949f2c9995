// Cores, memory, limits, network.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/doctor/findings.h"

namespace mrs::doctor {
namespace {

constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

struct Judged {
  const Facts& facts;
  std::vector<Finding>* findings;

  void Add(std::string id, Verdict verdict, std::string says, std::string fix = "") {
    findings->push_back({std::move(id), verdict, std::move(says), std::move(fix)});
  }
};

bool HasRdma(const Facts& facts) {
  return std::any_of(facts.network.nics.begin(), facts.network.nics.end(),
                     [](const probe::NicFacts& nic) { return nic.kind != probe::NicKind::kEthernet && nic.up; });
}

bool HasGpus(const Facts& facts) { return !facts.gpus.devices.empty() || !facts.gpus.visible.empty(); }

void Cores(Judged& judged) {
  const Facts& facts = judged.facts;
  std::string says = fmt::format("{} to run on", facts.cores);
  if (facts.affinity > facts.cores) {
    says += fmt::format(": the cgroup's CPU time is less than the {} of the affinity", facts.affinity);
  } else if (facts.cpu.online > facts.affinity && facts.affinity != 0) {
    says += fmt::format(" of {} that are online: the rest is outside of the affinity", facts.cpu.online);
  }
  if (!facts.cpu.model.empty()) says += fmt::format("; {}", facts.cpu.model);
  if (facts.cpu.sockets > 1) says += fmt::format(", {} sockets", facts.cpu.sockets);
  judged.Add("cpu.cores", Verdict::kOk, says);

  const IsaFacts& isa = facts.isa;
  if (!isa.baseline) {
    judged.Add("cpu.isa", Verdict::kBad, "no AVX2 and FMA: mrs-exec has no kernel that runs here",
               "use a CPU of 2013 or later; in a virtual machine, pass the host's CPU through (-cpu host)");
    return;
  }
  says = fmt::format("{}; runs {} natively", isa.isa,
                     isa.native.empty() ? "no order of sums" : fmt::format("{}", fmt::join(isa.native, ", ")));
  if (!isa.emulated.empty()) says += fmt::format(", {} emulated: the same bits, slower", fmt::join(isa.emulated, ", "));
  if (!isa.wanted.empty() && isa.wanted != isa.isa) {
    judged.Add("cpu.isa", Verdict::kWarn, fmt::format("{}; MRS_ISA asks for something else or more", says),
               "unset MRS_ISA, or name one that this host has");
    return;
  }
  judged.Add("cpu.isa", Verdict::kOk, isa.wanted.empty() ? says : fmt::format("{} (MRS_ISA keeps to it)", says));
}

void Memory(Judged& judged) {
  const HostMemory& memory = judged.facts.memory;
  if (memory.total_bytes == UINT64_MAX || memory.free_bytes == UINT64_MAX) {
    judged.Add("memory", Verdict::kWarn, "cannot be read: no plan can be held against it",
               "mount /proc, and give mrs-plan build --memory BYTES");
    return;
  }
  std::string says = fmt::format("{} free of {}", SizeText(memory.free_bytes), SizeText(memory.total_bytes));
  if (judged.facts.machine_memory_bytes != UINT64_MAX && judged.facts.machine_memory_bytes > memory.total_bytes) {
    says += fmt::format(", which the cgroup leaves of the machine's {}", SizeText(judged.facts.machine_memory_bytes));
  }
  if (memory.free_bytes < 256 * kMiB) {
    judged.Add("memory", Verdict::kBad, says, "end what holds it, or raise the container's limit (docker -m)");
  } else if (memory.free_bytes < memory.total_bytes / 10) {
    judged.Add("memory", Verdict::kWarn, fmt::format("{}: less than a tenth", says),
               "end what holds it; a plan is made for 90 % of the total");
  } else {
    judged.Add("memory", Verdict::kOk, says);
  }
}

void Numa(Judged& judged) {
  const std::vector<probe::NumaNode>& nodes = judged.facts.cpu.nodes;
  std::vector<std::string> parts;
  for (const probe::NumaNode& node : nodes) {
    parts.push_back(fmt::format("node {}: {}, {}", node.node,
                                node.cpus.empty() ? "no CPUs" : fmt::format("CPUs {}", node.cpus),
                                node.memory_bytes == 0 ? "no memory" : SizeText(node.memory_bytes)));
  }
  judged.Add("memory.numa", Verdict::kOk,
             nodes.empty() ? "the kernel tells of no NUMA nodes" : fmt::format("{}", fmt::join(parts, "; ")));
}

void HugePages(Judged& judged) {
  const probe::LimitFacts& limits = judged.facts.limits;
  if (limits.transparent == "never") {
    judged.Add("memory.huge_pages", Verdict::kWarn,
               "transparent huge pages are off: weights are read through small pages, which is slower",
               "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  } else {
    judged.Add("memory.huge_pages", Verdict::kOk,
               limits.transparent.empty() ? "this kernel tells of no transparent huge pages"
                                          : fmt::format("transparent: {}", limits.transparent));
  }
  uint64_t aside = 0;
  if (__builtin_mul_overflow(limits.huge_pages_free, limits.huge_page_bytes, &aside)) aside = UINT64_MAX;
  if (aside == 0) return;
  const bool much = judged.facts.machine_memory_bytes != UINT64_MAX && aside > judged.facts.machine_memory_bytes / 10;
  judged.Add("memory.hugetlb", much ? Verdict::kWarn : Verdict::kOk,
             fmt::format("{} are set aside as huge pages, which mrs does not use", SizeText(aside)),
             much ? "sysctl vm.nr_hugepages=0, unless another program needs them" : "");
}

void Memlock(Judged& judged) {
  const std::optional<uint64_t> limit = judged.facts.limits.memlock_bytes;
  if (!limit) {
    judged.Add("limits.memlock", Verdict::kOk, "no limit on locked memory");
  } else if (HasRdma(judged.facts)) {
    judged.Add("limits.memlock", Verdict::kWarn,
               fmt::format("{} of locked memory: RDMA locks every buffer that it sends from", SizeText(*limit)),
               "ulimit -l unlimited; docker run --ulimit memlock=-1; LimitMEMLOCK=infinity of systemd");
  } else {
    judged.Add("limits.memlock", Verdict::kOk,
               fmt::format("{} of locked memory, which is enough without RDMA: no such card is up", SizeText(*limit)));
  }
}

void Counts(Judged& judged) {
  const probe::LimitFacts& limits = judged.facts.limits;
  constexpr uint64_t kManyFiles = 1024, kFewFiles = 64;  // the server takes one a client, a rank a dozen
  if (limits.open_files && *limits.open_files < kManyFiles) {
    judged.Add("limits.open_files", *limits.open_files < kFewFiles ? Verdict::kBad : Verdict::kWarn,
               fmt::format("{} open files: the server takes one for each client", *limits.open_files),
               "ulimit -n 65536; docker run --ulimit nofile=65536");
  } else {
    judged.Add("limits.open_files", Verdict::kOk,
               limits.open_files ? fmt::format("{} open files", *limits.open_files) : "no limit on open files");
  }
  // Threads count as processes: each rank has one for a core, and a few more.
  const uint64_t wanted = uint64_t{4} * judged.facts.cores + 256;
  if (limits.processes && *limits.processes < wanted) {
    judged.Add("limits.processes", Verdict::kWarn,
               fmt::format("{} processes and threads of this user: ranks and the server may want {}", *limits.processes,
                           wanted),
               "ulimit -u unlimited");
  } else {
    judged.Add("limits.processes", Verdict::kOk,
               limits.processes ? fmt::format("{} processes and threads of this user", *limits.processes)
                                : "no limit on processes");
  }
  if (limits.pids_max) {
    const uint64_t left = *limits.pids_max - std::min(limits.pids_now, *limits.pids_max);
    const bool few = left < wanted;
    judged.Add("limits.pids",
               left < 16 ? Verdict::kBad
               : few     ? Verdict::kWarn
                         : Verdict::kOk,
               fmt::format("the cgroup has room for {} more processes and threads of {}", left, *limits.pids_max),
               few ? "docker run --pids-limit -1; podPidsLimit of the kubelet" : "");
  }
  const std::optional<uint64_t> space = limits.address_space_bytes;
  if (space) {
    judged.Add("limits.address_space", Verdict::kWarn,
               fmt::format("{} of address space: weights, caches and files are all mapped into it", SizeText(*space)),
               "ulimit -v unlimited");
  }
}

void Shm(Judged& judged) {
  const probe::LimitFacts& limits = judged.facts.limits;
  // "--shm-size=1g": https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/troubleshooting.html#shared-memory
  const uint64_t wanted = kGiB;
  const bool needed = HasGpus(judged.facts);
  if (!limits.shm_total_bytes || *limits.shm_total_bytes == 0) {
    judged.Add("limits.shm", needed ? Verdict::kWarn : Verdict::kOk,
               needed ? "there is no /dev/shm, which NCCL talks through" : "there is no /dev/shm; CPU ranks use none",
               needed ? "mount a tmpfs there; docker run --shm-size=1g" : "");
    return;
  }
  const std::string size = fmt::format("/dev/shm: {} free of {}", SizeText(limits.shm_free_bytes.value_or(0)),
                                       SizeText(*limits.shm_total_bytes));
  if (needed && limits.shm_free_bytes.value_or(0) < wanted) {
    judged.Add("limits.shm", Verdict::kWarn, fmt::format("{}: NCCL wants {}", size, SizeText(wanted)),
               "docker run --shm-size=1g (or --ipc=host); an emptyDir of medium Memory in Kubernetes");
  } else {
    judged.Add("limits.shm", Verdict::kOk, needed ? size : fmt::format("{}; CPU ranks use none of it", size));
  }
}

void Core(Judged& judged) {
  const probe::LimitFacts& limits = judged.facts.limits;
  if (limits.core_pattern.empty()) return;
  const bool piped = limits.core_pattern.starts_with("|");
  const bool none = limits.core_bytes == 0 && !piped;
  judged.Add(
      "limits.core", Verdict::kOk,
      none    ? "a crash leaves no core file (ulimit -c 0)"
      : piped ? fmt::format("a crash is piped to {}", limits.core_pattern.substr(1))
              : fmt::format("a crash writes the rank's memory to '{}', {}", limits.core_pattern,
                            limits.core_bytes ? fmt::format("{} at most", SizeText(*limits.core_bytes)) : "all of it"));
}

void Network(Judged& judged) {
  const Facts& facts = judged.facts;
  if (facts.loopback.empty()) {
    judged.Add("network.loopback", Verdict::kOk, "TCP over 127.0.0.1 works");
  } else {
    judged.Add("network.loopback", Verdict::kBad, fmt::format("TCP over 127.0.0.1 does not work: {}", facts.loopback),
               "ip link set lo up; let a firewall pass interface lo");
  }
  for (const probe::NicFacts& nic : facts.network.nics) {
    const char* const kind = nic.kind == probe::NicKind::kInfiniband ? "InfiniBand"
                             : nic.kind == probe::NicKind::kRoce     ? "RoCE"
                                                                     : "Ethernet";
    const std::string rate = nic.gigabits > 0 ? fmt::format("{} Gbit/s", nic.gigabits) : "rate not known";
    const std::string place = nic.place.bus_id.empty() ? "" : fmt::format(", at {}", nic.place.bus_id);
    const bool lost = !nic.up && nic.kind != probe::NicKind::kEthernet;
    judged.Add(fmt::format("network.{}", nic.name), lost ? Verdict::kWarn : Verdict::kOk,
               fmt::format("{}, {}{}", kind, nic.up ? rate : "down", place),
               lost ? "check the cable and the switch's port (ibstat, rdma link); it is not used" : "");
  }
  if (facts.network.nics.empty()) {
    judged.Add("network.cards", Verdict::kOk, "no network card; this host works alone");
  }
  if (HasGpus(facts) && HasRdma(facts)) {
    judged.Add("network.gpu_direct", Verdict::kOk,
               facts.network.gpu_direct
                   ? "nvidia_peermem is loaded: cards read GPU memory directly"
                   : "nvidia_peermem is not loaded: cards read GPU memory directly only where NCCL finds DMA-BUF");
  }
}

}  // namespace

const char* VerdictName(Verdict verdict) {
  return verdict == Verdict::kOk ? "ok" : verdict == Verdict::kWarn ? "warn" : "bad";
}

std::string SizeText(uint64_t bytes) {
  if (bytes >= kGiB) return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / kGiB);
  if (bytes >= kMiB) return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / kMiB);
  return fmt::format("{} bytes", bytes);
}

Verdict Worst(const std::vector<Finding>& findings) {
  Verdict worst = Verdict::kOk;
  for (const Finding& finding : findings) worst = std::max(worst, finding.verdict);
  return worst;
}

void JudgeHost(const Facts& facts, std::vector<Finding>* findings) {
  Judged judged{facts, findings};
  Cores(judged);
  Memory(judged);
  Numa(judged);
  HugePages(judged);
  if (facts.limits.known) {
    Memlock(judged);
    Counts(judged);
  } else {
    judged.Add("limits", Verdict::kWarn, "/proc/self/limits cannot be read", "mount /proc");
  }
  Shm(judged);
  Core(judged);
  Network(judged);
}

std::vector<Finding> Judge(const Facts& facts) {
  std::vector<Finding> findings;
  JudgeHost(facts, &findings);
  JudgeGpus(facts, &findings);
  return findings;
}

}  // namespace mrs::doctor
