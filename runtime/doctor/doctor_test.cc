// Every verdict of doctor by a table: a sound host with one thing changed, and the line that this makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <functional>

#include "formats/json.h"
#include "runtime/doctor/report.h"

namespace mrs::doctor {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kGiB = 1 << 30;

// Two H100 of an NVSwitch machine and an InfiniBand card; nothing to complain of.
Facts SoundHost() {
  Facts facts;
  facts.host = "gpu-0";
  facts.kernel = "6.1.0";
  facts.arch = "x86_64";
  facts.cpu = {.vendor = "GenuineIntel",
               .model = "Xeon 8480C",
               .sockets = 2,
               .online = 16,
               .nodes = {{0, "0-7", 64 * kGiB}, {1, "8-15", 64 * kGiB}}};
  facts.affinity = 16;
  facts.cores = 16;
  facts.isa = {.baseline = true, .isa = "amx", .wanted = "", .native = {"pair2"}, .emulated = {"block32"}};
  facts.memory = {.total_bytes = 128 * kGiB, .free_bytes = 120 * kGiB};
  facts.machine_memory_bytes = 128 * kGiB;
  facts.limits.known = true;
  facts.limits.open_files = 65536;
  facts.limits.processes = 96365;
  facts.limits.core_pattern = "core";
  facts.limits.core_bytes = 0;
  facts.limits.shm_total_bytes = facts.limits.shm_free_bytes = 64 * kGiB;
  facts.limits.transparent = "madvise";
  facts.network.nics = {{.name = "mlx5_0",
                         .kind = probe::NicKind::kInfiniband,
                         .up = true,
                         .gigabits = 400,
                         .place = {.bus_id = "0000:18:00.0", .path = {"pci0000:15"}, .numa = 0}}};
  facts.network.gpu_direct = true;
  probe::GpusFacts& gpus = facts.gpus;
  gpus.nvml = {.library = "libnvidia-ml.so.1", .found = true, .error = "", .code = 0, .count = 2};
  gpus.cuda = {.library = "libcuda.so.1", .found = true, .error = "", .code = 0, .count = 2};
  gpus.driver_version = "580.95.05";
  gpus.cuda_version = 13000;
  for (int i = 0; i < 2; ++i) {
    probe::GpuFacts gpu;
    gpu.index = i;
    gpu.name = "NVIDIA H100 80GB HBM3";
    gpu.uuid = fmt::format("GPU-{}", i);
    gpu.bus_id = fmt::format("0000:1{}:00.0", i);
    gpu.memory_total_bytes = 80 * kGiB;
    gpu.memory_free_bytes = 79 * kGiB;
    gpu.compute_major = 9;
    gpu.pcie_gen = gpu.pcie_gen_max = 5;
    gpu.pcie_width = gpu.pcie_width_max = 16;
    gpu.mig = false;
    gpu.compute_mode = 0;
    gpu.fabric_state = 3;
    for (int link = 0; link < 3; ++link) {
      gpu.nvlinks.push_back({.link = link,
                             .active = true,
                             .remote = probe::NvlinkFacts::Remote::kSwitch,
                             .bus_id = "0000:05:00.0",
                             .megabytes = 26562});
    }
    facts.bus_gpus.push_back({gpu.bus_id, "nvidia"});
    gpus.visible.push_back({.ordinal = i,
                            .name = gpu.name,
                            .uuid = gpu.uuid,
                            .bus_id = gpu.bus_id,
                            .memory_total_bytes = gpu.memory_total_bytes,
                            .compute_major = 9,
                            .compute_minor = 0});
    gpus.devices.push_back(std::move(gpu));
  }
  return facts;
}

Facts CpuHost() {
  Facts facts = SoundHost();
  facts.gpus = {};
  facts.gpus.nvml = {.library = "libnvidia-ml.so.1", .found = false, .error = "none", .code = 0, .count = 0};
  facts.gpus.cuda = facts.gpus.nvml;
  facts.bus_gpus.clear();
  facts.network.nics.clear();
  return facts;
}

std::string LineOf(const Finding& finding) {
  return fmt::format("{} {}: {}{}{}", VerdictName(finding.verdict), finding.id, finding.says,
                     finding.fix.empty() ? "" : " -> ", finding.fix);
}

std::vector<std::string> LinesOf(const Facts& facts) {
  std::vector<std::string> lines;
  for (const Finding& finding : Judge(facts)) lines.push_back(LineOf(finding));
  return lines;
}

TEST(Judge, FindsNothingWrongWithASoundHost) {
  EXPECT_EQ(Worst(Judge(SoundHost())), Verdict::kOk) << ToText(SoundHost(), Judge(SoundHost()));
  EXPECT_EQ(Worst(Judge(CpuHost())), Verdict::kOk) << ToText(CpuHost(), Judge(CpuHost()));
}

struct Case {
  std::function<void(Facts&)> change;
  const char* line;
};

void ExpectLines(const Facts& sound, const std::vector<Case>& cases) {
  const std::vector<std::string> before = LinesOf(sound);
  for (const Case& test : cases) {
    Facts facts = sound;
    test.change(facts);
    EXPECT_THAT(LinesOf(facts), Contains(test.line));
    EXPECT_THAT(before, Not(Contains(test.line)));
  }
}

TEST(Judge, SaysWhatIsWrongWithCoresAndMemory) {
  ExpectLines(
      SoundHost(),
      {
          {[](Facts& f) { f.cores = 2; },
           "ok cpu.cores: 2 to run on: the cgroup's CPU time is less than the 16 of the affinity; Xeon 8480C, 2 "
           "sockets"},
          {[](Facts& f) { f.affinity = f.cores = 4; },
           "ok cpu.cores: 4 to run on of 16 that are online: the rest is outside of the affinity; Xeon 8480C, 2 "
           "sockets"},
          {[](Facts& f) { f.isa.baseline = false; },
           "bad cpu.isa: no AVX2 and FMA: mrs-exec has no kernel that runs here -> use a CPU of 2013 or later; in a "
           "virtual machine, pass the host's CPU through (-cpu host)"},
          {[](Facts& f) { f.isa.wanted = "avx2", f.isa.isa = "avx2", f.isa.native = {}, f.isa.emulated = {"pair2"}; },
           "ok cpu.isa: avx2; runs no order of sums natively, pair2 emulated: the same bits, slower (MRS_ISA keeps to "
           "it)"},
          {[](Facts& f) { f.isa.wanted = "sse9"; },
           "warn cpu.isa: amx; runs pair2 natively, block32 emulated: the same bits, slower; MRS_ISA asks for "
           "something "
           "else or more -> unset MRS_ISA, or name one that this host has"},
          {[](Facts& f) { f.memory.total_bytes = UINT64_MAX; },
           "warn memory: cannot be read: no plan can be held against it -> mount /proc, and give mrs-plan build "
           "--memory BYTES"},
          {[](Facts& f) {
             f.memory = {16 * kGiB, 13 * kGiB};
           },
           "ok memory: 13.0 GiB free of 16.0 GiB, which the cgroup leaves of the machine's 128.0 GiB"},
          {[](Facts& f) { f.memory.free_bytes = 12 * kGiB; },
           "warn memory: 12.0 GiB free of 128.0 GiB: less than a tenth -> end what holds it; a plan is made for 90 % "
           "of "
           "the total"},
          {[](Facts& f) { f.memory.free_bytes = 1 << 20; },
           "bad memory: 1.0 MiB free of 128.0 GiB -> end what holds it, or raise the container's limit (docker -m)"},
          {[](Facts& f) { f.cpu.nodes = {}; }, "ok memory.numa: the kernel tells of no NUMA nodes"},
          {[](Facts& f) {
             f.cpu.nodes = {{2, "", 0}};
           },
           "ok memory.numa: node 2: no CPUs, no memory"},
          {[](Facts& f) { f.limits.transparent = "never"; },
           "warn memory.huge_pages: transparent huge pages are off: weights are read through small pages, which is "
           "slower -> echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"},
          {[](Facts& f) { f.limits.huge_page_bytes = kGiB, f.limits.huge_pages_free = 1; },
           "ok memory.hugetlb: 1.0 GiB are set aside as huge pages, which mrs does not use"},
          {[](Facts& f) { f.limits.huge_page_bytes = kGiB, f.limits.huge_pages_free = 20; },
           "warn memory.hugetlb: 20.0 GiB are set aside as huge pages, which mrs does not use -> sysctl "
           "vm.nr_hugepages=0, unless another program needs them"},
      });
}

TEST(Judge, SaysWhatIsWrongWithLimits) {
  ExpectLines(
      SoundHost(),
      {
          {[](Facts& f) { f.limits.known = false; }, "warn limits: /proc/self/limits cannot be read -> mount /proc"},
          {[](Facts& f) { f.limits.memlock_bytes = 8 << 20; },
           "warn limits.memlock: 8.0 MiB of locked memory: RDMA locks every buffer that it sends from -> ulimit -l "
           "unlimited; docker run --ulimit memlock=-1; LimitMEMLOCK=infinity of systemd"},
          {[](Facts& f) { f.limits.memlock_bytes = 65536, f.network.nics.clear(); },
           "ok limits.memlock: 65536 bytes of locked memory, which is enough without RDMA: no such card is up"},
          {[](Facts& f) { f.limits.open_files = 256; },
           "warn limits.open_files: 256 open files: the server takes one for each client -> ulimit -n 65536; docker "
           "run "
           "--ulimit nofile=65536"},
          {[](Facts& f) { f.limits.open_files = 20; },
           "bad limits.open_files: 20 open files: the server takes one for each client -> ulimit -n 65536; docker run "
           "--ulimit nofile=65536"},
          {[](Facts& f) { f.limits.processes = 100; },
           "warn limits.processes: 100 processes and threads of this user: ranks and the server may want 320 -> ulimit "
           "-u unlimited"},
          {[](Facts& f) { f.limits.pids_max = 1000, f.limits.pids_now = 10; },
           "ok limits.pids: the cgroup has room for 990 more processes and threads of 1000"},
          {[](Facts& f) { f.limits.pids_max = 100, f.limits.pids_now = 10; },
           "warn limits.pids: the cgroup has room for 90 more processes and threads of 100 -> docker run --pids-limit "
           "-1; podPidsLimit of the kubelet"},
          {[](Facts& f) { f.limits.pids_max = 100, f.limits.pids_now = 200; },
           "bad limits.pids: the cgroup has room for 0 more processes and threads of 100 -> docker run --pids-limit "
           "-1; "
           "podPidsLimit of the kubelet"},
          {[](Facts& f) { f.limits.address_space_bytes = 2 * kGiB; },
           "warn limits.address_space: 2.0 GiB of address space: weights, caches and files are all mapped into it -> "
           "ulimit -v unlimited"},
          {[](Facts& f) { f.limits.shm_total_bytes = f.limits.shm_free_bytes = 64 << 20; },
           "warn limits.shm: /dev/shm: 64.0 MiB free of 64.0 MiB: NCCL wants 1.0 GiB -> docker run --shm-size=1g (or "
           "--ipc=host); an emptyDir of medium Memory in Kubernetes"},
          {[](Facts& f) { f.limits.shm_total_bytes = std::nullopt; },
           "warn limits.shm: there is no /dev/shm, which NCCL talks through -> mount a tmpfs there; docker run "
           "--shm-size=1g"},
          {[](Facts& f) { f.limits.core_pattern = "|/usr/bin/handler %p"; },
           "ok limits.core: a crash is piped to /usr/bin/handler %p"},
          {[](Facts& f) { f.limits.core_bytes = std::nullopt; },
           "ok limits.core: a crash writes the rank's memory to 'core', all of it"},
      });
  ExpectLines(CpuHost(), {
                             {[](Facts& f) { f.limits.shm_total_bytes = std::nullopt; },
                              "ok limits.shm: there is no /dev/shm; CPU ranks use none"},
                             {[](Facts& f) { f.limits.shm_total_bytes = f.limits.shm_free_bytes = 64 << 20; },
                              "ok limits.shm: /dev/shm: 64.0 MiB free of 64.0 MiB; CPU ranks use none of it"},
                         });
}

TEST(Judge, SaysWhatIsWrongWithTheNetwork) {
  ExpectLines(
      SoundHost(),
      {
          {[](Facts& f) { f.loopback = "cannot bind 127.0.0.1: Cannot assign requested address"; },
           "bad network.loopback: TCP over 127.0.0.1 does not work: cannot bind 127.0.0.1: Cannot assign requested "
           "address -> ip link set lo up; let a firewall pass interface lo"},
          {[](Facts& f) { f.network.nics[0].up = false; },
           "warn network.mlx5_0: InfiniBand, down, at 0000:18:00.0 -> check the cable and the switch's port (ibstat, "
           "rdma link); it is not used"},
          {[](Facts& f) { f.network.nics[0].kind = probe::NicKind::kEthernet, f.network.nics[0].gigabits = 2.5; },
           "ok network.mlx5_0: Ethernet, 2.5 Gbit/s, at 0000:18:00.0"},
          {[](Facts& f) { f.network.nics[0].kind = probe::NicKind::kRoce, f.network.nics[0].gigabits = 0; },
           "ok network.mlx5_0: RoCE, rate not known, at 0000:18:00.0"},
          {[](Facts& f) { f.network.nics.clear(); }, "ok network.cards: no network card; this host works alone"},
          {[](Facts& f) { f.network.gpu_direct = false; },
           "ok network.gpu_direct: nvidia_peermem is not loaded: cards read GPU memory directly only where NCCL finds "
           "DMA-BUF"},
      });
}

TEST(Judge, SaysWhatIsWrongWithTheDriver) {
  ExpectLines(
      CpuHost(),
      {
          {[](Facts& f) {
             f.bus_gpus = {{"0000:18:00.0", "nvidia"}};
           },
           "warn gpu.driver: 1 NVIDIA GPU on the PCI bus (0000:18:00.0), but no driver library: none -> install the "
           "NVIDIA driver; in a container, docker run --gpus all"},
          {[](Facts& f) {
             f.bus_gpus = {{"0000:18:00.0", "amd"}};
           },
           "ok gpu.amd: 1 AMD GPU on the PCI bus: not looked at"},
          {[](Facts& f) {
             f.gpus.cuda = {"libcuda.so.1", true, "cuInit: CUDA_ERROR_NO_DEVICE (100): none", 100, 0};
           },
           "warn gpu.cuda: cuInit: CUDA_ERROR_NO_DEVICE (100): none -> unset CUDA_VISIBLE_DEVICES or name GPUs that "
           "are "
           "here; in a container, docker run --gpus all"},
          {[](Facts& f) {
             f.gpus.cuda = {"libcuda.so.1", true, "", 0, 0};
           },
           "warn gpu.nvml: no NVML: none -> install libnvidia-ml.so.1 of the driver; in a container, "
           "NVIDIA_DRIVER_CAPABILITIES=compute,utility"},
      });
  ExpectLines(
      SoundHost(),
      {
          {[](Facts& f) { f.gpus.child = "no answer within 60 s in cuInit", f.gpus.hung = true; },
           "bad gpu.driver: the driver did not answer to its end: no answer within 60 s in cuInit -> see dmesg for Xid "
           "lines; nvidia-smi will hang, too: reset the GPU or restart the host"},
          {[](Facts& f) { f.gpus.child = "signal 11 (Segmentation fault) in nvmlDeviceGetName"; },
           "bad gpu.driver: the driver did not answer to its end: signal 11 (Segmentation fault) in nvmlDeviceGetName "
           "-> "
           "see dmesg; reinstall the driver if it crashes again"},
          {[](Facts& f) {
             f.gpus.nvml.error = "nvmlInit_v2: NVML_ERROR_LIB_RM_VERSION_MISMATCH (18)", f.gpus.nvml.code = 18;
           },
           "bad gpu.nvml: nvmlInit_v2: NVML_ERROR_LIB_RM_VERSION_MISMATCH (18) -> the driver was upgraded under a "
           "running kernel module: restart the host, or unload and load nvidia"},
          {[](Facts& f) { f.gpus.nvml.error = "nvmlInit_v2: NVML_ERROR_DRIVER_NOT_LOADED (9)", f.gpus.nvml.code = 9; },
           "bad gpu.nvml: nvmlInit_v2: NVML_ERROR_DRIVER_NOT_LOADED (9) -> modprobe nvidia; in a container, start it "
           "with docker run --gpus all"},
          {[](Facts& f) { f.gpus.cuda.error = "cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802)", f.gpus.cuda.code = 802; },
           "bad gpu.cuda: cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802) -> start the fabric manager of this NVSwitch "
           "machine: systemctl start nvidia-fabricmanager"},
          {[](Facts& f) { f.gpus.cuda.found = false, f.gpus.cuda.error = "no such file"; },
           "bad gpu.cuda: no CUDA driver: no such file -> install libcuda.so.1 of the driver; in a container, "
           "NVIDIA_DRIVER_CAPABILITIES=compute,utility"},
          {[](Facts& f) { f.gpus.driver_version = "", f.gpus.cuda_version = 12040; },
           "ok gpu.version: driver of unknown version, CUDA 12.4 at most"},
          {[](Facts& f) { f.gpus.nvml.count = 100; },
           "warn gpu.count: 100 GPUs; the first 64 were looked at -> show fewer with CUDA_VISIBLE_DEVICES"},
      });
}

TEST(Judge, SaysWhatIsWrongWithAGpu) {
  ExpectLines(
      SoundHost(),
      {
          {[](Facts& f) { f.gpus.devices[1].error = "NVML_ERROR_GPU_IS_LOST (15): GPU is lost"; },
           "bad gpu.1: NVML_ERROR_GPU_IS_LOST (15): GPU is lost -> look for Xid lines in dmesg, reset it (nvidia-smi "
           "--gpu-reset) or restart the host"},
          {[](Facts& f) { f.gpus.devices[1].compute_major = 7; },
           "warn gpu.1.kernels: mrs-exec has no kernels for it (for compute capability 8.0 and above it has) -> use a "
           "newer GPU, or plan for this host's CPUs with --cpus N"},
          {[](Facts& f) { f.gpus.devices[1].memory_free_bytes = kGiB; },
           "warn gpu.1.memory: 1.0 GiB free of 80.0 GiB -> end the processes that nvidia-smi lists; a plan is made for "
           "90 % of the total"},
          {[](Facts& f) { f.gpus.devices[1].pcie_gen = 1; },
           "ok gpu.1.pcie: PCIe Gen1 x16 (at most Gen5 x16; the generation drops while it is idle)"},
          {[](Facts& f) { f.gpus.devices[1].pcie_width = 4; },
           "warn gpu.1.pcie: PCIe Gen5 x4 (at most Gen5 x16) -> reseat the card or its riser, or move it to a slot "
           "with "
           "all lanes"},
          {[](Facts& f) { f.gpus.devices[1].pcie_gen_max = f.gpus.devices[1].pcie_gen = 1; },
           "warn gpu.1.pcie: PCIe Gen1 x16 (at most Gen1 x16) -> reseat the card or its riser, or move it to a slot "
           "with "
           "all lanes"},
          {[](Facts& f) { f.gpus.devices[1].nvlinks[2].active = false; },
           "warn gpu.1.nvlink: NVLink: 2 to NVSwitch, 26.6 GB/s a link and direction; inactive: link 2; others of its "
           "kind here have 3 active -> see nvidia-smi nvlink -s and -e; reseat the bridge, or have the board serviced"},
          {[](Facts& f) {
             for (probe::GpuFacts& gpu : f.gpus.devices) gpu.nvlinks[1].active = false;
           },
           "warn gpu.0.nvlink: NVLink: 2 to NVSwitch, 26.6 GB/s a link and direction; inactive: link 1 -> see "
           "nvidia-smi "
           "nvlink -s and -e; reseat the bridge, or have the board serviced"},
          {[](Facts& f) {
             for (probe::GpuFacts& gpu : f.gpus.devices) {
               gpu.nvlinks[1].active = false;
               for (probe::NvlinkFacts& link : gpu.nvlinks) link.remote = probe::NvlinkFacts::Remote::kGpu;
             }
           },
           "ok gpu.0.nvlink: NVLink: 2 to 0000:05:00.0, 26.6 GB/s a link and direction; inactive: link 1"},
          {[](Facts& f) {
             for (probe::GpuFacts& gpu : f.gpus.devices) {
               for (probe::NvlinkFacts& link : gpu.nvlinks) link.active = false;
             }
           },
           "ok gpu.1.nvlink: NVLink: none of 3 links is active"},
          {[](Facts& f) { f.gpus.devices[1].fabric_state = 1; },
           "bad gpu.1.fabric: it has not begun to join the NVLink fabric -> systemctl status nvidia-fabricmanager (or "
           "nvidia-imex on GB200), start it, and ask again"},
          {[](Facts& f) { f.gpus.devices[1].fabric_status = 999; },
           "bad gpu.1.fabric: it could not join the NVLink fabric: NVML error 999 -> systemctl status "
           "nvidia-fabricmanager (or nvidia-imex on GB200), start it, and ask again"},
          {[](Facts& f) {
             f.gpus.devices[1].c2c = {{.link = 0, .active = true, .megabytes = 44712},
                                      {.link = 1, .active = true, .megabytes = 44712}};
           },
           "ok gpu.1.c2c: C2C: 2 of 2 links to the CPU are active, 44.7 GB/s a link and direction"},
          {[](Facts& f) {
             f.gpus.devices[1].c2c = {{.link = 0, .active = true, .megabytes = 44712}, {.link = 1}, {.link = 4}};
           },
           "warn gpu.1.c2c: C2C: 1 of 3 links to the CPU are active, 44.7 GB/s a link and direction; inactive: link 1, "
           "4 -> see nvidia-smi c2c -s; restart the host, or have the module serviced"},
          {[](Facts& f) { f.gpus.devices[1].ecc = {.enabled = true, .uncorrected = 0}; },
           "ok gpu.1.ecc: ECC is on, without an uncorrected error since the driver was loaded"},
          {[](Facts& f) { f.gpus.devices[1].ecc = {.enabled = false}; },
           "ok gpu.1.ecc: ECC is off: an error of its memory goes unseen"},
          {[](Facts& f) { f.gpus.devices[1].ecc = {.enabled = true, .uncorrected = 1, .remap_pending = false}; },
           "warn gpu.1.ecc: 1 uncorrected error of its memory since the driver was loaded -> see nvidia-smi -i 1 -q -d "
           "ECC,ROW_REMAPPER; reset it (nvidia-smi --gpu-reset), and have it replaced where they come again"},
          {[](Facts& f) { f.gpus.devices[1].ecc = {.enabled = true, .uncorrected = 0, .remap_pending = true}; },
           "warn gpu.1.ecc: a row of its memory waits to be replaced by a spare one -> see nvidia-smi -i 1 -q -d "
           "ECC,ROW_REMAPPER; reset it (nvidia-smi --gpu-reset), and have it replaced where they come again"},
          {[](Facts& f) { f.gpus.devices[1].ecc = {.enabled = true, .uncorrected = 7, .remap_pending = true}; },
           "warn gpu.1.ecc: 7 uncorrected errors of its memory since the driver was loaded; a row of its memory waits "
           "to be replaced by a spare one -> see nvidia-smi -i 1 -q -d ECC,ROW_REMAPPER; reset it (nvidia-smi "
           "--gpu-reset), and have it replaced where they come again"},
          {[](Facts& f) { f.gpus.devices[0].ecc = {.enabled = true, .remap_failed = true}; },
           "bad gpu.0.ecc: a row of its memory is broken and no spare one is left -> see nvidia-smi -i 0 -q -d "
           "ECC,ROW_REMAPPER; have it replaced"},
          {[](Facts& f) { f.gpus.devices[1].mig = true; },
           "warn gpu.1.mig: MIG is on: ranks get a slice each, and slices cannot reach each other -> nvidia-smi -i 1 "
           "-mig "
           "0, unless the slices are wanted"},
          {[](Facts& f) { f.gpus.devices[1].compute_mode = 2; },
           "bad gpu.1.compute_mode: compute mode is Prohibited: nobody may use it -> nvidia-smi -i 1 -c 0"},
          {[](Facts& f) { f.gpus.devices[1].compute_mode = 3; },
           "ok gpu.1.compute_mode: compute mode is exclusive: one process at a time"},
      });
}

TEST(Judge, SaysWhatCudaSees) {
  ExpectLines(
      SoundHost(),
      {
          {[](Facts& f) {
             f.gpus.visible_devices = "1,0";
             std::swap(f.gpus.visible[0].bus_id, f.gpus.visible[1].bus_id);
           },
           "ok gpu.visible: CUDA_VISIBLE_DEVICES=1,0: cuda:0 = 0000:11:00.0, cuda:1 = 0000:10:00.0"},
          {[](Facts& f) { f.gpus.visible_devices = "", f.gpus.visible.clear(); },
           "ok gpu.visible: CUDA_VISIBLE_DEVICES= hides all 2 GPUs from CUDA, as it is made to"},
          {[](Facts& f) {
             f.gpus.visible_devices = "-1", f.gpus.visible.clear(), f.gpus.cuda.code = 100,
             f.gpus.cuda.error = "cuInit";
           },
           "ok gpu.visible: CUDA_VISIBLE_DEVICES=-1 hides all 2 GPUs from CUDA, as it is made to"},
          {[](Facts& f) { f.gpus.visible_devices = "0,9", f.gpus.visible.pop_back(); },
           "warn gpu.visible: CUDA_VISIBLE_DEVICES=0,9: cuda:0 = 0000:10:00.0; it names 2, and what follows a name "
           "that "
           "CUDA does not know is left out -> name GPUs that are here, each once: ordinals, or the UUIDs of nvidia-smi "
           "-L"},
          {[](Facts& f) {
             f.gpus.visible_devices = "9", f.gpus.visible.clear(), f.gpus.cuda.code = 100, f.gpus.cuda.error = "cuInit";
           },
           "bad gpu.visible: CUDA_VISIBLE_DEVICES=9: CUDA sees no GPU; it names 1, and what follows a name that CUDA "
           "does not know is left out -> name GPUs that are here, each once: ordinals, or the UUIDs of nvidia-smi -L"},
          {[](Facts& f) { f.gpus.visible.pop_back(); },
           "warn gpu.visible: cuda:0 = 0000:10:00.0; the driver has 2 -> see the findings of the GPUs that CUDA leaves "
           "out"},
      });
}

// As a driver of version 580 answers: no device, and that is said once.
TEST(Judge, TellsHiddenGpusFromNone) {
  Facts facts = SoundHost();
  facts.gpus.cuda.error = "cuInit: CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected";
  facts.gpus.cuda.code = 100;
  facts.gpus.visible.clear();
  EXPECT_EQ(Worst(Judge(facts)), Verdict::kBad);
  facts.gpus.visible_devices = "";
  EXPECT_EQ(Worst(Judge(facts)), Verdict::kOk);
}

TEST(Report, IsLinesForPeople) {
  Facts facts = CpuHost();
  facts.limits.open_files = 20;
  facts.limits.address_space_bytes = 2 * kGiB;
  const std::string text = ToText(facts, Judge(facts));
  EXPECT_THAT(text, HasSubstr("gpu-0: x86_64, kernel 6.1.0\n"));
  EXPECT_THAT(text, HasSubstr("\nok    cpu.cores             16 to run on; Xeon 8480C, 2 sockets\n"));
  EXPECT_THAT(text, HasSubstr("\nbad   limits.open_files     20 open files: the server takes one for each client\n"
                              "                            -> ulimit -n 65536; docker run --ulimit nofile=65536\n"));
  EXPECT_THAT(text, HasSubstr("\nbad: 12 ok, 1 to look at, 1 bad\n"));
}

TEST(Report, HoldsNothingThatATerminalTakesForACommand) {
  Facts facts = SoundHost();
  facts.host = "\x1b[2J";
  facts.network.nics[0].name = "eth\x1b]0;x\x07";
  facts.gpus.visible_devices = "\n0,1";
  const std::string text = ToText(facts, Judge(facts));
  EXPECT_THAT(text, HasSubstr("?[2J: x86_64"));
  EXPECT_THAT(text, HasSubstr("CUDA_VISIBLE_DEVICES=?0,1: cuda:0"));
  EXPECT_EQ(text.find_first_of("\x1b\x07"), text.npos);
  facts.host = "a\u009B2J\u202Eb\u200F\x9B.\u00E9";
  EXPECT_THAT(ToText(facts, Judge(facts)), HasSubstr("a?2J?b??.\u00E9: x86_64"));
}

TEST(Report, IsJsonForPrograms) {
  Facts facts = SoundHost();
  facts.gpus.visible_devices = "\xff";
  facts.memory.total_bytes = UINT64_MAX;
  const Result<Json> json = ParseJson(ToJson(facts, Judge(facts), "0.1.0"), "doctor");
  ASSERT_TRUE(json.ok()) << json.message();
  EXPECT_EQ((*json)["format"], "mrs-doctor 1");
  EXPECT_EQ((*json)["verdict"], "warn");
  EXPECT_TRUE((*json)["memory"]["total_bytes"].is_null());
  EXPECT_EQ((*json)["memory"]["free_bytes"], 120 * kGiB);
  EXPECT_EQ((*json)["gpus"]["environment"]["CUDA_VISIBLE_DEVICES"], "\xef\xbf\xbd");
  EXPECT_EQ((*json)["gpus"]["devices"][1]["nvlinks"][2].dump(),
            R"({"link":2,"active":true,"to":"switch","bus_id":"0000:05:00.0","megabytes_a_second":26562})");
  EXPECT_EQ((*json)["gpus"]["devices"][1]["compute_capability"], "9.0");
  EXPECT_EQ((*json)["nics"][0].dump(),
            R"({"name":"mlx5_0","kind":"infiniband","up":true,"gigabits":400.0,"bus_id":"0000:18:00.0","numa":0,)"
            R"("path":["pci0000:15"]})");
  EXPECT_EQ((*json)["findings"].size(), Judge(facts).size());
}

// From the driver's library to the lines, all of it.
TEST(Probe, OfAnNvswitchMachineWithoutFabricManager) {
  setenv("FAKE_DRIVER", "no fabric manager", 1);
  unsetenv("CUDA_VISIBLE_DEVICES");
  ProbeOptions options;
  options.libraries = {.nvml = MRS_FAKE_DRIVER, .cuda = MRS_FAKE_DRIVER};
  const Facts facts = Probe(options);
  unsetenv("FAKE_DRIVER");
  const std::vector<Finding> findings = Judge(facts);
  EXPECT_EQ(Worst(findings), Verdict::kBad);
  const std::vector<std::string> lines = LinesOf(facts);
  EXPECT_THAT(lines,
              Contains("bad gpu.cuda: cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802): said by the driver -> start the "
                       "fabric manager of this NVSwitch machine: systemctl start nvidia-fabricmanager"));
  EXPECT_THAT(lines, Contains("ok gpu.0: NVIDIA H100 80GB HBM3 at 0000:18:00.0, compute capability 9.0"));
  EXPECT_THAT(lines, Contains("ok gpu.0.nvlink: NVLink: 4 to NVSwitch, 26.6 GB/s a link and direction"));
  EXPECT_THAT(lines, Contains("ok network.loopback: TCP over 127.0.0.1 works"));
}

}  // namespace
}  // namespace mrs::doctor
