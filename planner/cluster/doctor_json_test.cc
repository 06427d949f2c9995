// Reports of mrs-exec doctor as clusters; what is wrong with one is said with its place.
#include "planner/cluster/doctor_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdlib.h>

#include <random>

#include "planner/cluster/cluster_file.h"
#include "runtime/doctor/report.h"

namespace mrs::cluster {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A node of an NVSwitch machine, its GPUs counted in the other order; one InfiniBand card, up, behind the same switch
// as GPU 0, with its Ethernet interface, one card that is down, and one of the machine's own.
constexpr std::string_view kNode = R"({"format": "mrs-doctor 1",
"host": {"name": "gpu-0", "kernel": "6.1", "arch": "x86_64"},
"cpu": {"vendor": "GenuineIntel", "model": "Xeon", "cores": 104},
"memory": {"total_bytes": 2164663517184},
"numa": [{"node": 0, "cpus": "0-51"}, {"node": 1, "cpus": "52-103"}, {"node": 2, "cpus": ""}],
"nics": [
{"name": "mlx5_0", "kind": "infiniband", "up": true, "gigabits": 400, "bus_id": "0000:1a:00.0", "numa": 0, "path": ["pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:02.0"]},
{"name": "mlx5_1", "kind": "roce", "up": false, "gigabits": null, "bus_id": "0000:9a:00.0", "numa": 1, "path": ["pci0000:97", "0000:97:01.0"]},
{"name": "eth0", "kind": "ethernet", "up": true, "gigabits": 25, "bus_id": "0000:03:00.0", "numa": 1, "path": ["pci0000:00", "0000:00:1c.0"]},
{"name": "ens1", "kind": "ethernet", "up": true, "gigabits": 400, "bus_id": "0000:1a:00.0", "numa": 0, "path": ["pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:02.0"]}
],
"gpu_direct": true,
"gpus": {"error": null, "cuda": {"error": null, "code": null}, "environment": {"CUDA_VISIBLE_DEVICES": "1,0"},
"devices": [
{"index": 0, "error": null, "bus_id": "0000:18:00.0", "memory_total_bytes": 85520809984, "mig": false, "fabric_state": 3, "numa": 0, "path": ["pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:00.0"], "pcie": {"gen": 1, "gen_max": 5, "width": 16, "width_max": 16}, "nvlinks": [
{"link": 0, "active": true, "to": "switch", "bus_id": "0000:05:00.0", "megabytes_a_second": 26562},
{"link": 1, "active": true, "to": "switch", "bus_id": "0000:06:00.0", "megabytes_a_second": 25000},
{"link": 2, "active": false, "to": null, "bus_id": null, "megabytes_a_second": null}]},
{"index": 1, "error": null, "bus_id": "0000:98:00.0", "memory_total_bytes": 85520809984, "mig": null, "fabric_state": 3, "numa": 1, "path": ["pci0000:97", "0000:97:01.0"], "pcie": {"gen": 5, "gen_max": 5, "width": 4, "width_max": 16}, "nvlinks": [
{"link": 0, "active": true, "to": "switch", "bus_id": "0000:05:00.0", "megabytes_a_second": null}]}
],
"visible": [
{"ordinal": 0, "name": "NVIDIA H100 80GB HBM3", "bus_id": "0000:98:00.0", "memory_total_bytes": 85017624576},
{"ordinal": 1, "name": "NVIDIA H100 80GB HBM3", "bus_id": "0000:18:00.0", "memory_total_bytes": 85017624576}
]}})";

std::string Changed(std::string_view from, std::string_view to) {
  std::string text(kNode);
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

// What is accepted is a cluster that its own file format takes, and says the same in it.
void ExpectACluster(const Cluster& cluster) {
  const std::string text = CanonicalText(cluster);
  const Result<Cluster> again = ParseCluster(text, "again");
  ASSERT_TRUE(again.ok()) << again.message() << "\n" << text;
  EXPECT_EQ(CanonicalText(*again), text);
  EXPECT_EQ(*again, cluster) << text;
}

Cluster Read(const std::string& text) {
  Result<Cluster> cluster = ParseDoctorJson(text, "host.json");
  EXPECT_TRUE(cluster.ok()) << cluster.message();
  if (!cluster.ok()) return {};
  ExpectACluster(*cluster);
  return *std::move(cluster);
}

const Node& Only(const Cluster& cluster) {
  EXPECT_EQ(cluster.nodes.size(), 1u);
  return cluster.nodes.at(0);
}

TEST(DoctorJson, IsANodeAsCudaCountsIt) {
  const Cluster cluster = Read(std::string(kNode));
  const Node& node = Only(cluster);
  EXPECT_EQ(node.name, "gpu-0");
  EXPECT_EQ(node.memory_bytes, 2164663517184u);
  EXPECT_EQ(node.cores, 104);
  EXPECT_THAT(node.sockets, ElementsAre(Socket{.numa = 0, .arch = "x86_64", .vendor = "GenuineIntel", .cpu = "Xeon"},
                                        Socket{.numa = 1, .arch = "x86_64", .vendor = "GenuineIntel", .cpu = "Xeon"}));
  ASSERT_EQ(node.switches.size(), 1u);
  EXPECT_EQ(node.switches[0],
            (Switch{.name = "0000:16:00.0", .host_bridge = false, .at = {.socket = 0, .parent = -1, .link = {}}}));
  ASSERT_EQ(node.devices.size(), 2u);
  EXPECT_EQ(node.devices[0], (Device{.kind = DeviceKind::kCuda,
                                     .model = "H100-SXM",
                                     .memory_bytes = 85520809984,
                                     .ordinal = 0,
                                     .bus_id = "0000:98:00.0",
                                     .at = {.socket = 1, .parent = -1, .link = {32, 4}}}));
  EXPECT_EQ(node.devices[1].bus_id, "0000:18:00.0");
  EXPECT_EQ(node.devices[1].at, (Attachment{.socket = 0, .parent = 0, .link = {32, 16}}));
  EXPECT_THAT(node.links,
              ElementsAre(PeerLink{.kind = PeerKind::kNvlink, .from = 0, .to = kFabric, .count = 1, .gigabytes = 0},
                          PeerLink{.kind = PeerKind::kNvlink, .from = 1, .to = kFabric, .count = 2, .gigabytes = 25}));
  ASSERT_EQ(node.nics.size(), 2u);
  EXPECT_EQ(node.nics[0], (Nic{.name = "mlx5_0",
                               .gigabits = 400,
                               .gpu_direct = true,
                               .bus_id = "0000:1a:00.0",
                               .at = {.socket = 0, .parent = 0, .link = {}}}));
  EXPECT_EQ(node.nics[1].name, "eth0");
  EXPECT_EQ(node.nics[1].at.socket, 1);
  EXPECT_FALSE(node.nics[1].gpu_direct);
  EXPECT_THAT(node.completed, IsEmpty());
}

// As a lent machine with one H200 told it: a virtual machine without NUMA hints, NVLinks or bridges.
TEST(DoctorJson, OfAVirtualMachineIsRead) {
  const Cluster cluster = Read(
      R"doctor({
"format": "mrs-doctor 1",
"mrs_exec": "0.1.0",
"verdict": "ok",
"host": {"name": "gpu-vm", "kernel": "6.18.44-fc-v657-gpu", "arch": "x86_64"},
"cpu": {"vendor": "GenuineIntel", "model": "Intel(R) Xeon(R) Processor", "sockets": 1, "online": 16, "affinity": 16, "cores": 16, "isa": "amx", "isa_wanted": null, "baseline": true, "native_numerics": ["pair2"], "emulated_numerics": ["block32"]},
"memory": {"total_bytes": 135148564480, "free_bytes": 134614597632, "machine_bytes": 135148564480},
"numa": [{"node": 0, "cpus": "0-15", "memory_bytes": 4793548800}],
"huge_pages": {"transparent": "madvise", "page_bytes": 2097152, "total": 0, "free": 0},
"limits": {"known": true, "memlock_bytes": null, "open_files": 20000, "processes": 515506, "address_space_bytes": null, "core_bytes": 0, "core_pattern": "core", "pids_max": null, "pids_now": 0, "shm_total_bytes": 137438953472, "shm_free_bytes": 137438953472},
"loopback": {"usable": true, "error": null},
"nics": [{"name": "eth0", "kind": "ethernet", "up": true, "gigabits": null, "bus_id": "0000:00:03.0", "numa": null, "path": ["pci0000:00"]}],
"gpu_direct": false,
"findings": [],
"gpus": {
"error": null,
"nvml": {"library": "libnvidia-ml.so.1", "found": true, "error": null, "code": null, "count": 1},
"cuda": {"library": "libcuda.so.1", "found": true, "error": null, "code": null, "count": 1},
"driver_version": "580.159.04",
"cuda_version": "13.0",
"environment": {"CUDA_VISIBLE_DEVICES": null, "CUDA_DEVICE_ORDER": null},
"on_bus": [{"bus_id": "0000:00:06.0", "vendor": "nvidia"}],
"devices": [{"index": 0, "error": null, "name": "NVIDIA H200", "uuid": "GPU-621b2938-8e28-8216-3d85-acfd0c90ba86", "bus_id": "0000:00:06.0", "memory_total_bytes": 150754820096, "memory_free_bytes": 150109880320, "compute_capability": "9.0", "pcie": {"gen": 5, "gen_max": 5, "width": 16, "width_max": 16}, "mig": false, "compute_mode": 0, "fabric_state": 0, "fabric_status": 0, "nvlinks": [], "numa": null, "path": ["pci0000:00"]}],
"visible": [{"ordinal": 0, "name": "NVIDIA H200", "uuid": "GPU-621b2938-8e28-8216-3d85-acfd0c90ba86", "bus_id": "0000:00:06.0", "memory_total_bytes": 150109880320, "compute_capability": "9.0"}]}})doctor");
  const Node& node = Only(cluster);
  EXPECT_EQ(node.name, "gpu-vm");
  ASSERT_EQ(node.devices.size(), 1u);
  EXPECT_EQ(node.devices[0], (Device{.kind = DeviceKind::kCuda,
                                     .model = "H200-SXM",
                                     .memory_bytes = 150754820096,
                                     .ordinal = 0,
                                     .bus_id = "0000:00:06.0",
                                     .at = {.socket = 0, .parent = -1, .link = {32, 16}}}));
  EXPECT_THAT(node.switches, IsEmpty());
  EXPECT_THAT(node.links, IsEmpty());
  ASSERT_EQ(node.nics.size(), 1u);
  EXPECT_EQ(node.nics[0].gigabits, 0);
  EXPECT_THAT(node.completed, IsEmpty());
}

// What doctor writes is what is read here: with the driver that stands for one in host/probe's tests, and on this host.
TEST(DoctorJson, IsWhatDoctorWrites) {
  doctor::ProbeOptions options;
  const auto written = [&options] {
    const doctor::Facts facts = doctor::Probe(options);
    return doctor::ToJson(facts, doctor::Judge(facts), "0.1.0");
  };
  options.libraries = {.nvml = MRS_FAKE_DRIVER, .cuda = MRS_FAKE_DRIVER};
  setenv("FAKE_DRIVER", "sound", 1);
  setenv("CUDA_VISIBLE_DEVICES", "1,0", 1);
  const Cluster cluster = Read(written());
  unsetenv("CUDA_VISIBLE_DEVICES");
  setenv("FAKE_DRIVER", "grace", 1);
  const Node grace = Only(Read(written()));
  EXPECT_THAT(grace.links, Contains(PeerLink{PeerKind::kC2c, 1, kSocket, 2, 44.712}));
  EXPECT_EQ(grace.nvlink_domain, "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf.32766");
  setenv("FAKE_DRIVER", "no fabric manager", 1);
  EXPECT_THAT(ParseDoctorJson(written(), "host.json").message(),
              HasSubstr("'gpus': the GPUs' driver failed there: cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802): said by the "
                        "driver; mend it"));
  unsetenv("FAKE_DRIVER");
  options.libraries = {.nvml = "/nowhere/libnvidia-ml.so.1", .cuda = "/nowhere/libcuda.so.1"};
  EXPECT_EQ(Only(Read(written())).devices.at(0).kind, DeviceKind::kCpu);
  const Node& node = Only(cluster);
  ASSERT_EQ(node.devices.size(), 2u);
  EXPECT_EQ(node.devices[0].bus_id, "0000:2a:00.0");
  EXPECT_EQ(node.devices[0].model, "H100-SXM");
  EXPECT_THAT(node.links, ElementsAre(PeerLink{PeerKind::kNvlink, 0, kFabric, 4, 26.562},
                                      PeerLink{PeerKind::kNvlink, 1, kFabric, 4, 26.562}));
}

TEST(DoctorJson, WithoutGpusIsACpuRank) {
  // Hidden on purpose: no fault of the driver's.
  std::string text = Changed(R"("cuda": {"error": null, "code": null})", R"("cuda": {"error": "none", "code": 100})");
  text.replace(text.find("\"visible\": ["), text.npos, "\"visible\": []}}");
  const Cluster cluster = Read(text);
  EXPECT_THAT(Only(cluster).devices,
              ElementsAre(Device{
                  .kind = DeviceKind::kCpu, .model = "CPU", .memory_bytes = 0, .ordinal = 0, .bus_id = "", .at = {}}));
}

TEST(DoctorJson, ANodeIsOfOneFabricThatHostsShare) {
  std::string text = Changed(R"("mig": null)", R"("fabric_cluster": "a-b", "fabric_clique": 2, "mig": null)");
  EXPECT_EQ(Only(Read(text)).nvlink_domain, "a-b.2");
  text.replace(text.find(R"("mig": false)"), 0, R"("fabric_cluster": "a-b", "fabric_clique": 1, )");
  EXPECT_THAT(ParseDoctorJson(text, "host.json").message(),
              HasSubstr("'gpus.devices[0]': device 1 is of NVLink fabric a-b.1, another of a-b.2; plans for a node of "
                        "several are not there yet: hide one with CUDA_VISIBLE_DEVICES and make the report anew"));
}

TEST(DoctorJson, TellsACpuByItsNumbers) {
  EXPECT_EQ(Only(Read(std::string(kNode))).sockets[0].cpu, "Xeon");
  EXPECT_EQ(
      Only(Read(Changed(R"("model": "Xeon")", R"("model": "Xeon", "family": 6, "model_number": 143)"))).sockets[1].cpu,
      "6/143");
  EXPECT_EQ(Only(Read(Changed(R"("model": "Xeon")", R"("model": "Xeon", "family": null, "model_number": null)")))
                .sockets[0]
                .cpu,
            "Xeon");
}

TEST(DoctorJson, BundlesLinksByTheirEnds) {
  // To the other GPU; to one that is hidden; to an end that the driver does not tell, on a fabric and off it.
  Cluster cluster =
      Read(Changed(R"("to": "switch", "bus_id": "0000:06:00.0")", R"("to": "gpu", "bus_id": "0000:98:00.0")"));
  ASSERT_EQ(Only(cluster).links.size(), 3u);
  EXPECT_EQ(Only(cluster).links[2],
            (PeerLink{.kind = PeerKind::kNvlink, .from = 1, .to = 0, .count = 1, .gigabytes = 25}));
  cluster = Read(Changed(R"("to": "switch", "bus_id": "0000:06:00.0")", R"("to": "gpu", "bus_id": "0000:99:00.0")"));
  EXPECT_EQ(Only(cluster).links[1].count, 1);
  EXPECT_THAT(Only(cluster).completed, IsEmpty());
  cluster = Read(Changed(R"("to": "switch", "bus_id": "0000:06:00.0")", R"("to": "unknown", "bus_id": null)"));
  EXPECT_EQ(Only(cluster).links[1].count, 2);
  cluster = Read(Changed(R"("to": "switch", "bus_id": "0000:06:00.0")", R"("to": "npu", "bus_id": null)"));
  EXPECT_EQ(Only(cluster).links[1].count, 1);
  EXPECT_THAT(Only(cluster).completed,
              ElementsAre("device 1: without 1 NVLinks, whose other end the driver does not tell"));
}

TEST(DoctorJson, MarksWhatTheKernelDoesNotName) {
  const Cluster cluster = Read(Changed(R"("numa": 1, "path": ["pci0000:97", "0000:97:01.0"], "pcie")",
                                       R"("numa": null, "path": ["pci0000:97", "0000:97:01.0"], "pcie")"));
  EXPECT_THAT(Only(cluster).completed, ElementsAre("device 0: socket 0, as the kernel names none"));
}

TEST(DoctorJson, IsRefusedWithItsPlace) {
  const struct {
    const char *from, *to, *message;
  } kCases[] = {
      {"mrs-doctor 1", "mrs-doctor 2",
       "line 1, column 12: 'format': expected \"mrs-doctor 1\", got \"mrs-doctor 2\": the mrs-exec that made it is of "
       "another version than this mrs-plan; use the same of both"},
      {"mrs-doctor 1", "topology",
       "line 1, column 12: 'format': expected \"mrs-doctor 1\": this is no report of mrs-exec doctor --json"},
      {"\"cores\": 104", "\"cores\": \"two\"",
       "line 3, column 61: 'cpu.cores': expected a whole number from 1 to 65536, got \"two\""},
      {"\"cores\": 104", "\"cores\": 0",
       "line 3, column 61: 'cpu.cores': expected a whole number from 1 to 65536, got 0"},
      {"\"cores\": 104", "\"core\": 1", "line 3, column 8: 'cpu': 'cores' is missing in it"},
      {"2164663517184", "-1",
       "line 4, column 27: 'memory.total_bytes': expected a whole number from 1 to "
       "4503599627370496, got -1"},
      {"\"gpu-0\"", "\"gpu 0\"", "line 2, column 18: 'host.name': expected a host name, got \"gpu 0\""},
      {"{\"node\": 1,", "{\"node\": 0,", "line 5, column 48: 'numa[1].node': node 0 stands here twice"},
      {"\"kind\": \"roce\"", "\"kind\": \"atm\"",
       "line 8, column 28: 'nics[1].kind': expected \"ethernet\", \"infiniband\" or \"roce\", got \"atm\""},
      {"\"mlx5_1\"", "\"mlx5_0\"", "line 8, column 10: 'nics[1].name': a second card of this name"},
      {"\"gigabits\": 400", "\"gigabits\": 1e300",
       "line 7, column 66: 'nics[0].gigabits': expected a number from 0.001 to 1000000, got 1e+300"},
      {"0000:1a:00.0", "1a:00.0",
       "line 7, column 81: 'nics[0].bus_id': expected a bus id like \"0000:18:00.0\", got \"1a:00.0\""},
      {"\"0000:97:01.0\"], \"pcie\"", "\"0000:97:01.0\", \"0000:16:00.0\", \"0000:17:09.0\"], \"pcie\"",
       "line 15, column 173: 'gpus.devices[0].path[2]': switch 0000:16:00.0 hangs from two places"},
      {"\"gpu_direct\": true", "\"gpu_direct\": 1", "line 12, column 15: 'gpu_direct': expected true or false, got 1"},
      {"\"ordinal\": 1", "\"ordinal\": 7",
       "line 24, column 13: 'gpus.visible[1].ordinal': expected the ordinal 1, in their "
       "order, got 7"},
      {"{\"gen\": 1, \"gen_max\": 5", "{\"gen\": 1, \"gen_max\": 9",
       "line 15, column 236: 'gpus.devices[0].pcie.gen_max': expected a whole number from 1 to 6, got 9"},
      {R"("mig": false)", R"("c2c": {}, "mig": false)",
       "line 15, column 97: 'gpus.devices[0].c2c': expected a list, got an object of 0 keys"},
      {"\"mig\": false", "\"mig\": true",
       "line 24, column 1: 'gpus.visible[1]': device 1 is a MIG instance of the GPU at 0000:18:00.0; plans for MIG "
       "instances are not there yet: turn MIG off (nvidia-smi -mig 0) and make the report anew"},
      {"\"to\": \"switch\"", "\"to\": \"moon\"",
       "line 16, column 35: 'gpus.devices[0].nvlinks[0].to': expected \"gpu\", \"switch\", \"npu\" or \"unknown\", got "
       "\"moon\""},
      {"\"to\": \"switch\", \"bus_id\": \"0000:05:00.0\"", "\"to\": \"gpu\", \"bus_id\": \"0000:18:00.0\"",
       "line 16, column 1: 'gpus.devices[0].nvlinks[0]': device 1 is linked with itself"},
      {"{\"index\": 1, \"error\": null", "{\"index\": 1, \"error\": \"NVML_ERROR_GPU_IS_LOST (15)\"",
       "line 19, column 1: 'gpus.devices[1]': device 0 failed there: NVML_ERROR_GPU_IS_LOST (15); mend it (mrs-exec "
       "doctor says how), and make the report anew"},
      {"\"gpus\": {\"error\": null", "\"gpus\": {\"error\": \"no answer within 60 s in cuInit\"",
       "line 13, column 9: 'gpus': the GPUs' driver failed there: no answer within 60 s in cuInit; mend it (mrs-exec "
       "doctor says how), and make the report anew"},
      {"\"cuda\": {\"error\": null, \"code\": null}",
       "\"cuda\": {\"error\": \"CUDA_ERROR_SYSTEM_NOT_READY (802)\", \"code\": 802}",
       "line 13, column 9: 'gpus': the GPUs' driver failed there: CUDA_ERROR_SYSTEM_NOT_READY (802); mend it (mrs-exec "
       "doctor says how), and make the report anew"},
      {"\"bus_id\": \"0000:18:00.0\", \"memory_total_bytes\": 85520809984, \"mig\": false",
       "\"bus_id\": \"0000:98:00.0\", \"memory_total_bytes\": 85520809984, \"mig\": false",
       "line 19, column 39: 'gpus.devices[1].bus_id': a second GPU at 0000:98:00.0"},
  };
  for (const auto& test : kCases) {
    const Result<Cluster> cluster = ParseDoctorJson(Changed(test.from, test.to), "host.json");
    ASSERT_FALSE(cluster.ok()) << test.to;
    EXPECT_EQ(cluster.message(), fmt::format("host.json: {}", test.message));
  }
}

TEST(DoctorJson, HasLimits) {
  std::string gpus;
  for (int i = 0; i < 65; ++i) gpus += fmt::format("{}{{}}", i == 0 ? "" : ",");
  std::string text(kNode);
  text.replace(text.find("\"visible\": ["), text.npos, fmt::format("\"visible\": [{}]}}}}", gpus));
  EXPECT_EQ(ParseDoctorJson(text, "host.json").message(),
            "host.json: line 22, column 12: 'gpus.visible': expected at most 64 entries, got 65");
  const std::string deep = fmt::format("{}{}", std::string(1000, '['), std::string(1000, ']'));
  EXPECT_THAT(ParseDoctorJson(deep, "host.json").message(), HasSubstr("host.json: "));
  EXPECT_FALSE(ParseDoctorJson(std::string(kMaxDoctorBytes + 1, ' '), "host.json").ok());
  EXPECT_EQ(ParseDoctorJson("[]", "host.json").message(),
            "host.json: line 1, column 1: expected an object, got an array of 0 values");
  EXPECT_EQ(ParseDoctorJson("{}", "host.json").message(), "host.json: line 1, column 1: 'format' is missing in it");
}

// Whatever is cut, doubled or changed: a cluster or a refusal that names the file.
TEST(DoctorJson, OfAnyBytesIsReadOrRefused) {
  std::mt19937 random(20);
  size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text(kNode);
    for (uint32_t edits = 1 + random() % 3; edits > 0; --edits) {
      const size_t at = random() % text.size(), size = std::min<size_t>(random() % 40, text.size() - at);
      switch (random() % 4) {
        case 0:
          text.erase(at, size);
          break;
        case 1:
          text.insert(random() % text.size(), text.substr(at, size));
          break;
        case 2:
          text[at] = static_cast<char>(random());
          break;
        default:
          text.replace(at, 1, "null");
      }
      if (text.empty()) text = "{}";
    }
    const Result<Cluster> cluster = ParseDoctorJson(text, "host.json");
    if (cluster.ok()) {
      ExpectACluster(*cluster);
      continue;
    }
    ++refused;
    EXPECT_TRUE(cluster.message().starts_with("host.json: ")) << cluster.message();
  }
  EXPECT_GT(refused, 2000u);
}

}  // namespace
}  // namespace mrs::cluster
