#include "planner/cluster/cluster_file.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "formats/json.h"
#include "host/source_dir_for_test.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/map_reader.h"
#include "planner/cluster/short_form.h"
#include "planner/cluster/this_host.h"

namespace mrs::cluster {
namespace {

std::string Message(const std::string& text) {
  const Result<Cluster> cluster = ParseCluster(text, "c.yaml");
  return cluster ? "accepted" : cluster.message();
}

// A cluster that uses every key.
constexpr const char* kFull = R"(version: 1
name: lab
network: 25Gbit/s
nodes:
  - name: gpu
    count: 2
    addresses: [10.0.0.1, "fe80::1%eth0"]
    memory: 2TiB
    cores: 96
    sockets:
      - {numa: 0, arch: x86_64, vendor: GenuineIntel, cpu: 6/143}
      - {numa: 4}
    switches:
      - {name: below, parent: "0000:15:00.0", pcie: 32GT/s x16}
      - {name: "0000:15:00.0", socket: 1, host_bridge: true}
    devices:
      - {model: NVIDIA H100 80GB HBM3, bus_id: "00000000:17:00.0", parent: below, pcie: gen5 x16}
      - {model: h100, count: 2, ordinal: 4, socket: 0}
      - {model: Home-made, memory: 20.5GB, kind: rocm, ordinal: 0, pcie: x8}
    nics:
      - {name: mlx5_0, rate: 50GB/s, gpu_direct: true, bus_id: "1B:00.1", parent: below, pcie: 32GT/s}
    links:
      - {between: [0, 1], count: 4}
      - {from: all, to: fabric, count: 18, rate: 26.5625GB/s}
      - {from: 3, to: socket, kind: c2c, count: 1}
    completed: ["device 3: memory"]
  - {ranks: 3, address: cpu-host}
  - {gpus: 4xL40S, nics: [{name: eth0, rate: 100Gbit/s, socket: 1}]}
)";

TEST(ClusterFile, SaysAll) {
  const Result<Cluster> cluster = ParseCluster(kFull, "c.yaml");
  ASSERT_TRUE(cluster) << cluster.message();
  EXPECT_EQ(cluster->name, "lab");
  EXPECT_EQ(cluster->network_gigabits, 25);
  ASSERT_EQ(cluster->nodes.size(), 4u);
  const Node& gpu = cluster->nodes[1];
  EXPECT_EQ(gpu.name, "gpu-1");
  EXPECT_EQ(gpu.address, "fe80::1%eth0");
  EXPECT_EQ(gpu.memory_bytes, uint64_t{2} << 40);
  EXPECT_EQ(gpu.cores, 96);
  EXPECT_EQ(gpu.sockets, (std::vector<Socket>{{0, "x86_64", "GenuineIntel", "6/143"}, {.numa = 4}}));
  EXPECT_EQ(gpu.switches, (std::vector<Switch>{{"below", false, {1, 1, {32, 16}}}, {"0000:15:00.0", true, {1, -1}}}));
  const uint64_t h100 = uint64_t{81559} << 20;
  EXPECT_EQ(gpu.devices, (std::vector<Device>{
                             {DeviceKind::kCuda, "H100-SXM", h100, 0, "0000:17:00.0", {1, 0, {32, 16}}},
                             {DeviceKind::kCuda, "H100-SXM", h100, 4},
                             {DeviceKind::kCuda, "H100-SXM", h100, 5},
                             {DeviceKind::kRocm, "Home-made", 20500000000, 0, "", {0, -1, {0, 8}}},
                         }));
  EXPECT_EQ(gpu.nics, (std::vector<Nic>{{"mlx5_0", 400, true, "0000:1b:00.1", {1, 0, {32, 0}}}}));
  EXPECT_EQ(gpu.links, (std::vector<PeerLink>{{PeerKind::kNvlink, 0, 1, 4, 25},
                                              {PeerKind::kNvlink, 1, 0, 4, 25},
                                              {PeerKind::kNvlink, 0, kFabric, 18, 26.5625},
                                              {PeerKind::kNvlink, 1, kFabric, 18, 26.5625},
                                              {PeerKind::kNvlink, 2, kFabric, 18, 26.5625},
                                              {PeerKind::kXgmi, 3, kFabric, 18, 26.5625},
                                              {PeerKind::kC2c, 3, kSocket, 1, 0}}));
  EXPECT_EQ(gpu.completed, (std::vector<std::string>{"device 3: memory"}));
  EXPECT_EQ(cluster->nodes[2].name, "node-2");
  EXPECT_EQ(cluster->nodes[2].devices, CpuRanks(3));
  EXPECT_EQ(cluster->nodes[2].sockets.size(), 1u);
  EXPECT_EQ(cluster->nodes[3].devices, ParseGpus("4xL40S")->nodes[0].devices);
  EXPECT_EQ(cluster->nodes[3].nics[0].at.socket, 1);
}

TEST(ClusterFile, CanonicalTextIsTheCluster) {
  std::vector<Cluster> clusters = {*ParseCluster(kFull, "c.yaml"), ThisHost(2)};
  for (const char* form : {"8xH100-SXM", "2x8xH200+400G", "8x8xH100+400G", "48GB,24GB", "4xL40S", "2x24GB", "8xMI300X",
                           "1x8xA100,1x4xL4,2x1x80GiB", "1024x8xMI300X", "16xA100"}) {
    clusters.push_back(*ParseGpus(form));
  }
  for (const char* form : {"4", "2x4x16GiB+25G"}) clusters.push_back(*ParseCpus(form));
  // What no file says, but an import may: a rate, a size, a socket or a device that is not known.
  clusters.push_back(*ParseGpus("2xH100"));
  clusters.back().nodes[0].links[0].gigabytes = 0;
  clusters.back().nodes[0].devices[1].memory_bytes = 0;
  clusters.back().nodes[0].devices[0].model = "";
  clusters.push_back(Cluster{.nodes = {Node{.name = "empty"}}});
  std::set<std::string> fingerprints;
  for (const Cluster& cluster : clusters) {
    const std::string text = CanonicalText(cluster);
    const Result<Cluster> again = ParseCluster(text, "again");
    ASSERT_TRUE(again) << again.message() << "\n" << text.substr(0, 4000);
    EXPECT_EQ(*again, cluster) << text.substr(0, 4000);
    EXPECT_EQ(CanonicalText(*again), text);
    EXPECT_TRUE(fingerprints.insert(Fingerprint(cluster)).second);
  }
}

// The example of README.md is read, and is what the text beside it says.
TEST(ClusterFile, TheReadmesExample) {
  const Result<std::string> readme = ReadFile(SourceDir() + "/planner/cluster/README.md", 1 << 20);
  ASSERT_TRUE(readme) << readme.message();
  const size_t begin = readme->find("```yaml\n");
  ASSERT_NE(begin, std::string::npos);
  const size_t end = readme->find("```", begin + 8);
  const Result<Cluster> cluster = ParseCluster(readme->substr(begin + 8, end - begin - 8), "README.md");
  ASSERT_TRUE(cluster) << cluster.message();
  ASSERT_EQ(cluster->nodes.size(), 4u);
  EXPECT_EQ(cluster->nodes[0].devices.size(), 8u);
  EXPECT_EQ(cluster->nodes[0].links.size(), 8u);
  EXPECT_EQ(cluster->nodes[1].address, "10.0.0.2");
  EXPECT_EQ(cluster->nodes[2].links.size(), 2u);
  EXPECT_EQ(cluster->nodes[2].devices[1].at, cluster->nodes[2].nics[0].at);
  EXPECT_EQ(cluster->nodes[3].devices, CpuRanks(4));
}

TEST(ClusterFile, CanonicalTextSaysNodesThatAreAlikeOnce) {
  EXPECT_EQ(CanonicalText(*ParseGpus("2x1xH100+400G")), R"(version: 1
network: 400Gbit/s
nodes:
  - names: ["node-0", "node-1"]
    sockets:
      - {numa: 0}
      - {numa: 1}
    devices:
      - {kind: cuda, model: "H100-SXM", memory: 81559MiB, ordinal: 0, socket: 0, pcie: 32GT/s x16}
    links:
      - {kind: nvlink, from: 0, to: fabric, count: 18, rate: 25GB/s}
)");
  EXPECT_EQ(Fingerprint(*ParseGpus("2x1xH100+400G")), Fingerprint(*ParseGpus("2 x 1 x h100-sxm5 + 50GB/s")));
}

// Each line: what stands under "nodes: [" ... "]", and the message after "c.yaml: line 1, column ".
TEST(ClusterFile, NodesThatAreWrongSayWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"3", "9: nodes[0]: expected a map with keys such as 'count', got \"3\""},
      {"{}", "9: nodes[0].devices: expected 'devices', 'gpus' or 'ranks': a node without devices is no use"},
      {"{ranks: 1, memroy: 1GB}", "20: nodes[0]: unknown key 'memroy'; did you mean 'memory'?"},
      {"{ranks: 1, colour: red}",
       "20: nodes[0]: unknown key 'colour'; known: count, name, names, address, addresses, memory, cores, "
       "nvlink_domain, ranks, gpus, sockets, switches, devices, nics, links or completed"},
      {"{gpus: 4xL40S, nvlink_domain: rack-0}",
       "39: nodes[0].nvlink_domain: none of the node's devices has NVLinks to a fabric, which nodes of a domain share; "
       "expected links such as {from: all, to: fabric, count: 18}"},
      {"{ranks: 1, memory: 80GX}", "28: nodes[0].memory: expected a size such as 80GiB, got \"80GX\""},
      {"{ranks: 1, memory: 0}", "28: nodes[0].memory: expected a size such as 80GiB, got \"0\""},
      {"{ranks: 1, memory: [1]}", "28: nodes[0].memory: expected a size such as 80GiB, got a list"},
      {"{ranks: 1, cores: 0}", "27: nodes[0].cores: expected a whole number from 1 to 1048576, got \"0\""},
      {"{ranks: 1, cores: 1.5}", "27: nodes[0].cores: expected a whole number from 1 to 1048576, got \"1.5\""},
      {"{ranks: 65}", "17: nodes[0].ranks: expected a whole number from 1 to 64, got \"65\""},
      {"{ranks: 1, count: 0}", "27: nodes[0].count: expected a whole number from 1 to 1024, got \"0\""},
      {"{ranks: 1, name: \"a\\nb\"}",
       "26: nodes[0].name: expected a name of 1 to 256 bytes, without control characters, got \"a\\x0ab\""},
      {"{ranks: 1, name: \"a\\Nb\"}", "26: an escape \\N or \\_; expected \\u0085 or \\u00a0, or the character itself"},
      {"{ranks: 1, \"na\\_me\": b}", "20: an escape \\N or \\_; expected \\u0085 or \\u00a0, or the character itself"},
      {"{ranks: 1, name: ''}",
       "26: nodes[0].name: expected a name of 1 to 256 bytes, without control characters, got \"\""},
      {"{ranks: 1, names: [a], name: b}",
       "38: nodes[0].name: stands beside 'names', which says it too; keep one of them"},
      {"{ranks: 1, names: [a, b], count: 3}", "27: nodes[0].names: 2 names of 3 nodes"},
      {"{ranks: 1, names: [a, []]}",
       "31: nodes[0].names[1]: expected a name of 1 to 256 bytes, without control characters, got a list"},
      {"{ranks: 1, names: [a, a]}", "27: nodes[0].names: a second node 'a'; names are unique"},
      {"{ranks: 1}, {ranks: 1, name: node-0}", "38: nodes[1].name: a second node 'node-0'; names are unique"},
      {"{ranks: 1, address: h, count: 2}", "29: nodes[0].address: one address of 2 nodes; expected 'addresses'"},
      {"{ranks: 1, address: 'a b'}", "29: nodes[0].address: expected a host name or an IP address, got \"a b\""},
      {"{ranks: 1, addresses: [h, h]}", "31: nodes[0].addresses: a second node at h; addresses are unique"},
      {"{ranks: 1, devices: []}", "29: nodes[0].devices: stands beside 'ranks', which says it too; keep one of them"},
      {"{gpus: 2xL4, ranks: 1}", "29: nodes[0].ranks: stands beside 'gpus', which says it too; keep one of them"},
      {"{gpus: 2xL4, sockets: [{}]}",
       "31: nodes[0].sockets: stands beside 'gpus', which says it too; keep one of them"},
      {"{gpus: 2x2xL4}", "16: nodes[0].gpus: 2 nodes; expected one, with 'count' for more of them"},
      {"{gpus: 2xL4+1G}", "16: nodes[0].gpus: a rate between nodes; expected it under 'network', above 'nodes'"},
      {"{gpus: 2xL5}",
       "16: nodes[0].gpus: expected one node in short form: 'L5' is no model of the catalogue (nearest: L4) and no "
       "size "
       "with a unit, such as 48GB or 24GiB"},
      {"{devices: 4}", "19: nodes[0].devices: expected a list, got \"4\""},
      {"{ranks: 64, count: 1024}", "28: nodes[0].count: 65536 devices in all; expected at most 8192"},
      {"{ranks: 1, count: 1000}, {ranks: 1, count: 25}",
       "52: nodes[1].count: 1025 nodes in all; expected at most 1024"},
      {"{ranks: 1, sockets: [{numa: -1}]}",
       "37: nodes[0].sockets[0].numa: expected a whole number from 0 to 1048576, got \"-1\""},
      {"{ranks: 1, completed: x}", "31: nodes[0].completed: expected a list, got \"x\""},
  };
  for (const auto& [node, message] : cases) {
    EXPECT_EQ(Message(fmt::format("nodes: [{}]", node)), fmt::format("c.yaml: line 1, column {}", message)) << node;
  }
}

// Each line: what stands in a node of two L4, and the message.
TEST(ClusterFile, PartsThatAreWrongSayWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"switches: [{}]", "switches[0].name: expected a name that is unique on the node, got nothing"},
      {"switches: [{name: a}, {name: a}]", "switches[1].name: a second switch 'a'; names are unique on a node"},
      {"switches: [{name: a, parent: b}]", "switches[0].parent: no switch of this node is called 'b'"},
      {"switches: [{name: sw-1}, {name: b, parent: sw-2}]",
       "switches[1].parent: no switch of this node is called 'sw-2'; did you mean 'sw-1'?"},
      {"switches: [{name: a, parent: a}]",
       "switches[0].parent: a switch hangs from itself in the end; expected a tree"},
      {"switches: [{name: a, parent: b}, {name: b, parent: a}]",
       "switches[0].parent: a switch hangs from itself in the end; expected a tree"},
      {"switches: [{name: a, socket: 1}, {name: b, parent: a, socket: 0}]",
       "switches[1].socket: socket 0, but its parent 'a' lies under socket 1"},
      {"switches: [{name: a, host_bridge: yes}]", "switches[0].host_bridge: expected false or true, got \"yes\""},
      {"switches: [{name: a, pcie: x0}]",
       "switches[0].pcie: expected a rate and lanes such as 32GT/s x16 or gen5 x16, got \"x0\""},
      {"nics: [{}]", "nics[0].name: expected a name that is unique on the node, got nothing"},
      {"nics: [{name: a}, {name: a}]", "nics[1].name: a second nic 'a'; names are unique on a node"},
      {"nics: [{name: a, rate: 400}]", "nics[0].rate: expected a rate such as 400Gbit/s or 25GB/s, got \"400\""},
      {"nics: [{name: a, bus_id: zz}]", "nics[0].bus_id: expected a PCI bus id such as 0000:17:00.0, got \"zz\""},
      {"nics: [{name: a, parent: x}]", "nics[0].parent: no switch of this node is called 'x'"},
      {"sockets: [{}], nics: [{name: a, socket: 1}]", "nics[0].socket: socket 1, but the node has 1, counted from 0"},
      {"links: [{from: 0, to: 1}]", "links[0].count: expected how many links there are, got nothing"},
      {"links: [{count: 1}]", "links[0].from: expected 'between', or 'from' and 'to', got nothing"},
      {"links: [{count: 1, from: 0}]", "links[0].to: expected 'between', or 'from' and 'to', got nothing"},
      {"links: [{count: 1, from: 0, to: 2}]", "links[0].to: expected a whole number from 0 to 1, got \"2\""},
      {"links: [{count: 1, from: 0, to: 0}]", "links[0].to: a link of device 0 to itself"},
      {"links: [{count: 1, from: all, to: 1}]", "links[0].to: expected fabric or socket beside 'from: all', got \"1\""},
      {"links: [{count: 1, between: [0]}]", "links[0].between: expected two devices such as [0, 1], each below 2"},
      {"links: [{count: 1, between: [0, 2]}]", "links[0].between: expected two devices such as [0, 1], each below 2"},
      {"links: [{count: 1, between: [1, 1]}]", "links[0].between: a link of device 1 to itself"},
      {"links: [{count: 1, between: [0, 1], to: 1}]",
       "links[0].to: stands beside 'between', which says it too; keep one of them"},
      {"links: [{count: 1, from: 0, to: 1}, {count: 1, from: 0, to: 1}]",
       "links[1].to: a second nvlink link from device 0 to the same; say 'count'"},
      {"links: [{count: 65, from: 0, to: 1}]", "links[0].count: expected a whole number from 1 to 64, got \"65\""},
      {"links: [{count: 1, from: 0, to: 1, kind: nvlnk}]",
       "links[0].kind: expected nvlink, xgmi or c2c, got \"nvlnk\""},
      {"links: [{count: 1, from: 0, to: 1, rate: fast}]",
       "links[0].rate: expected a rate such as 400Gbit/s or 25GB/s, got \"fast\""},
  };
  for (const auto& [part, message] : cases) {
    const std::string found = Message(fmt::format("nodes: [{{devices: [{{model: L4, count: 2}}], {}}}]", part));
    const size_t at = found.find("nodes[0].");
    EXPECT_EQ(at == std::string::npos ? found : found.substr(at + 9), message) << part;
  }
}

// Each line: the devices of a node, and the message.
TEST(ClusterFile, DevicesThatAreWrongSayWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "devices[0].memory: expected a size such as 80GiB, 'unknown', or a 'model' of the catalogue"},
      {"{model: H10O-SXM}",
       "devices[0].model: 'H10O-SXM' is no model of the catalogue (nearest: H100-SXM); name one, or say 'memory'"},
      {"{model: L4, kind: rocm}", "devices[0].kind: 'rocm', but L4 is cuda"},
      {"{model: L4, kind: gpu}", "devices[0].kind: expected cpu, cuda or rocm, got \"gpu\""},
      {"{model: L4, memory: 24}", "accepted"},
      {"{model: L4, memory: 24 gb}", "accepted"},
      {"{model: L4, memory: -1GB}", "devices[0].memory: expected a size such as 80GiB, got \"-1GB\""},
      {"{model: L4, memory: 99999999TB}", "devices[0].memory: expected a size such as 80GiB, got \"99999999TB\""},
      {"{memory: unknown}", "accepted"},
      {"{kind: cpu}", "accepted"},
      {"{model: L4, ordinal: 1024}", "devices[0].ordinal: expected a whole number from 0 to 1023, got \"1024\""},
      {"{model: L4, ordinal: 1023, count: 3}",
       "devices[0].ordinal: the last of 3 devices would have ordinal 1025; expected at most 1023"},
      {"{model: L4}, {model: L4, ordinal: 0}", "devices[1].ordinal: a second cuda device with ordinal 0"},
      {"{model: L4}, {kind: cpu, ordinal: 0}", "accepted"},
      {"{model: L4, count: 40}, {model: L4, count: 40}",
       "devices[1].count: 80 devices in one node; expected at most 64"},
      {"{model: L4, count: 2, bus_id: '17:00.0'}", "devices[0].bus_id: one bus id for 2 devices; list them one by one"},
      {"{model: L4, bus_id: '17:00.0'}, {model: L4, bus_id: '0000:17:00.0'}",
       "devices[1].bus_id: a second device at 0000:17:00.0"},
      {"{model: L4, socket: 256}", "devices[0].socket: expected a whole number from 0 to 255, got \"256\""},
      {"{model: L4, pcie: fast}",
       "devices[0].pcie: expected a rate and lanes such as 32GT/s x16 or gen5 x16, got \"fast\""},
  };
  for (const auto& [devices, message] : cases) {
    const std::string found = Message(fmt::format("nodes:\n- devices: [{}]", devices));
    const size_t at = found.find("nodes[0].");
    EXPECT_EQ(at == std::string::npos ? found : found.substr(at + 9), message) << devices;
  }
}

TEST(ClusterFile, WhatIsNoClusterSaysWhere) {
  const auto repeated = [](std::string_view text) {
    std::string all;
    while (all.size() + text.size() <= kMaxFileBytes) all += text;
    return all;
  };
  constexpr const char* kAhead =
      "c.yaml: line 1, column 1: more than 131072 brackets, quotes, commas, colons and lines before what begins here "
      "ends; write lists and maps as lines of their own";
  const std::pair<std::string, const char*> cases[] = {
      {"", "c.yaml: is empty; expected a map with 'nodes'"},
      {"# nothing\n", "c.yaml: is empty; expected a map with 'nodes'"},
      {"[1]", "c.yaml: line 1, column 1: expected a map with keys such as 'version', got a list"},
      {"hosts: []", "c.yaml: line 1, column 1: unknown key 'hosts'; known: version, name, network or nodes"},
      {"node: []", "c.yaml: line 1, column 1: unknown key 'node'; did you mean 'nodes'?"},
      {"<?xml version=\"1.0\"?>\n<system/>", "c.yaml: is XML, no cluster file; read it with mrs-plan cluster import"},
      {"\tGPU0\tGPU1\tCPU Affinity\nGPU0\t X \tNV18\t0-51",
       "c.yaml: is a matrix of nvidia-smi topo -m, no cluster file; read it with mrs-plan cluster import"},
      {"switches: {a: {}}\nblocks: []",
       "c.yaml: is a topograph topology, which says what switch a node hangs from and not what devices it has; "
       "expected "
       "a cluster file: write the nodes under 'nodes', such as {count: 18, gpus: 4xGB200, nvlink_domain: rack-0}"},
      {"name: x", "c.yaml: line 1, column 1: nodes: expected a list of at least one node, got nothing"},
      {"nodes: []", "c.yaml: line 1, column 8: nodes: expected a list of at least one node, got a list"},
      {"version: 2\nnodes: [{ranks: 1}]",
       "c.yaml: line 1, column 10: version: expected 1, the only version there is, got \"2\""},
      {"network: quick\nnodes: [{ranks: 1}]",
       "c.yaml: line 1, column 10: network: expected a rate such as 400Gbit/s or 25GB/s, got \"quick\""},
      {"nodes: [{ranks: 1}]\nnodes: []", "c.yaml: line 2, column 1: key 'nodes' stands twice, first in line 1"},
      {"nodes: [{ranks: 1}]\n---\nnodes: []", "c.yaml: line 2, column 1: a second document begins; expected one"},
      {"nodes: &a [{ranks: 1}]", "c.yaml: line 1, column 8: an anchor (&); anchors and aliases are not read"},
      {"nodes: !!seq [{ranks: 1}]", "c.yaml: line 1, column 8: a tag 'tag:yaml.org,2002:seq'; tags are not read"},
      {"nodes: [{<<: {ranks: 1}}]",
       "c.yaml: line 1, column 10: a merge key (<<); merge keys are not read: write its values out"},
      {"? [a]\n: b", "c.yaml: line 1, column 3: a list or map as a key; expected a name"},
      {"? \n: b", "c.yaml: line 2, column 1: a list or map as a key; expected a name"},
      {"nodes: [", "c.yaml: line 1, column 1: is no YAML: end of sequence flow not found"},
      {"nodes: \xFF", "c.yaml: line 1, column 8: a byte that is no UTF-8 text; expected a YAML file"},
      {std::string("nodes:\n \0", 9), "c.yaml: line 2, column 2: a byte that is no UTF-8 text; expected a YAML file"},
      {"nodes:\n- - - - - - - - - - - - - - - - - - 1",
       "c.yaml: line 2, column 31: lists and maps nested deeper than 16"},
      {std::string(900, '['), "c.yaml: line 1, column 1: a list or map as a key; expected a name"},
      {repeated("["), kAhead},
      {repeated("[']',"), kAhead},
      {repeated("[#]\n "), kAhead},
      {repeated("{a: "), kAhead},
      {"- [" + repeated("1,").substr(4), kAhead},
      {repeated("'' "), kAhead},
      {repeated("# a line\n"), kAhead},
      {repeated("- "), "c.yaml: line 1, column 33: lists and maps nested deeper than 16"},
      {repeated("? "), "c.yaml: line 1, column 3: a list or map as a key; expected a name"},
  };
  for (const auto& [text, message] : cases) EXPECT_EQ(Message(text), message) << text.substr(0, 60);
  const std::string longest(kMaxNameBytes - 2, 'n');
  EXPECT_EQ(Message(fmt::format("nodes: [{{ranks: 1, count: 11, name: {}}}]", longest)),
            "c.yaml: line 1, column 37: nodes[0].name: the name of node 10 of 11 has 257 bytes; expected at most 256");
  EXPECT_TRUE(ParseCluster(fmt::format("nodes: [{{ranks: 1, count: 10, name: {}}}]", longest), "c").ok());
  EXPECT_EQ(Message(std::string(kMaxFileBytes + 1, ' ')), "c.yaml: 8388609 bytes; expected at most 8388608");
  // Of what belongs together, and in all.
  EXPECT_EQ(Message(repeated("- 1\n")),
            "c.yaml: line 131072, column 3: more than 131072 keys and values that belong together");
  std::string many = "nodes:\n";
  for (size_t i = 0; i <= kMaxFileValues / 16; ++i) many += "- {a: , b: , c: , d: , e: , f: , g: , h: }\n";
  EXPECT_EQ(Message(many), "c.yaml: line 61682, column 34: more than 1048576 keys and values");
  EXPECT_EQ(Message("name: " + std::string((64 << 10) + 1, 'a')),
            "c.yaml: line 1, column 7: text of 65537 bytes; expected at most 65536");
  EXPECT_EQ(ReadClusterFile("/nowhere/c.yaml").message(),
            "/nowhere/c.yaml: cannot be opened: No such file or directory");
}

TEST(ClusterFile, AliasesAreNotRead) {
  // A few bytes, and 10^9 nodes.
  std::string bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n";
  for (char c = 'b'; c < 'j'; ++c) bomb += fmt::format("{}: &{} [*{},*{},*{},*{}]\n", c, c, c - 1, c - 1, c - 1, c - 1);
  EXPECT_EQ(Message(bomb), "c.yaml: line 1, column 4: an anchor (&); anchors and aliases are not read");
  EXPECT_EQ(Message("a: *b"), "c.yaml: line 1, column 4: is no YAML: the referenced anchor is not defined");
}

TEST(ClusterFile, BusIds) {
  const std::pair<const char*, const char*> cases[] = {
      {"0000:17:00.0", "0000:17:00.0"}, {"00000000:3B:00.0", "0000:3b:00.0"}, {"00010000:3b:00.0", "10000:3b:00.0"},
      {"17:00.0", "0000:17:00.0"},      {"0001:00:00", "0001:00:00"},
  };
  for (const auto& [text, id] : cases) EXPECT_EQ(NormalizedBusId(text), id);
  for (const char* text : {"", ":", "::", "17", "000:17:00.0", "000000000:17:00.0", "0000:17:00.", "0000:17:0.0",
                           "0000:1g:00.0", "0000:17:00.0 ", "0000:17:00:0"}) {
    EXPECT_EQ(NormalizedBusId(text), std::nullopt) << text;
  }
}

// What the schema and the parser say of keys is one: the same maps, the same keys, nothing beside them, the same words.
TEST(ClusterFile, SchemaHasTheParsersKeys) {
  const std::string path = SourceDir() + "/planner/cluster/cluster.schema.json";
  const Result<std::string> text = ReadFile(path, 1 << 20);
  ASSERT_TRUE(text) << text.message();
  const Result<Json> schema = ParseJson(*text, path);
  ASSERT_TRUE(schema) << schema.message();
  const Json& maps = *FindValue(*schema, "$defs");
  std::set<std::string> parsed;
  for (const ClusterFileMap& map : ClusterFileMaps()) {
    SCOPED_TRACE(map.name);
    parsed.emplace(map.name);
    const Json* of_map = FindValue(maps, map.name);
    ASSERT_NE(of_map, nullptr);
    EXPECT_EQ(FindValue(*of_map, "additionalProperties")->get<bool>(), false);
    std::set<std::string> in_schema, in_parser(map.keys.begin(), map.keys.end());
    for (const auto& [key, value] : FindValue(*of_map, "properties")->items()) in_schema.insert(key);
    EXPECT_EQ(in_schema, in_parser);
  }
  for (const auto& [name, value] : maps.items()) {
    EXPECT_EQ(FindValue(value, "properties") != nullptr, parsed.contains(name)) << name;
  }
  for (const auto& word : maps["device"]["properties"]["kind"]["enum"]) {
    EXPECT_EQ(Message(fmt::format("nodes: [{{devices: [{{memory: 1GB, kind: {}}}]}}]", word.get<std::string>())),
              "accepted");
  }
  for (const auto& word : maps["link"]["properties"]["kind"]["enum"]) {
    EXPECT_EQ(Message(fmt::format("nodes: [{{devices: [{{model: L4, count: 2}}], links: [{{between: [0, 1], count: 1, "
                                  "kind: {}}}]}}]",
                                  word.get<std::string>())),
              "accepted");
  }
}

// Every key is looked at: one with a value that nothing can have is refused by its path.
TEST(ClusterFile, EveryKeyIsRead) {
  const std::map<std::string_view, std::pair<std::string, std::string>> frames = {
      {"cluster", {"nodes: [{ranks: 1}]\n@", "@"}},
      {"node", {"nodes: [{devices: [{model: L4}], @}]", "nodes[0].@"}},
      {"socket", {"nodes: [{devices: [{model: L4}], sockets: [{@}]}]", "nodes[0].sockets[0].@"}},
      {"switch", {"nodes: [{devices: [{model: L4}], switches: [{name: a, @}]}]", "nodes[0].switches[0].@"}},
      {"device", {"nodes: [{devices: [{memory: 1GB, @}]}]", "nodes[0].devices[0].@"}},
      {"nic", {"nodes: [{devices: [{model: L4}], nics: [{name: a, @}]}]", "nodes[0].nics[0].@"}},
      {"link",
       {"nodes: [{devices: [{model: L4, count: 2}], links: [{from: 0, to: 1, count: 1, @}]}]", "nodes[0].links[0].@"}},
  };
  const auto filled = [](std::string frame, const std::string& text) {
    return frame.replace(frame.find('@'), 1, text);
  };
  for (const ClusterFileMap& map : ClusterFileMaps()) {
    for (const std::string_view key : map.keys) {
      auto [text, place] = frames.at(map.name);
      // What says the same makes way, and the frame's own value of that key.
      if (key == "ranks" || key == "gpus") text = "nodes: [{@}]";
      if (key == "between") text = "nodes: [{devices: [{model: L4, count: 2}], links: [{count: 1, @}]}]";
      for (const std::string& own :
           {fmt::format("{}: [{{ranks: 1}}]\n", key), fmt::format("{}: [{{model: L4}}], ", key),
            fmt::format("{}: a, ", key), fmt::format("{}: 1GB, ", key), fmt::format("{}: 0, ", key),
            fmt::format("{}: 1, ", key)}) {
        if (const size_t at = text.find(own); at != std::string::npos) text.erase(at, own.size());
      }
      const std::string message = Message(filled(text, fmt::format("{}: {{no: 1}}", key)));
      EXPECT_NE(message.find(fmt::format(": {}: ", filled(place, std::string(key)))), std::string::npos)
          << map.name << "." << key << ": " << message;
    }
  }
}

}  // namespace
}  // namespace mrs::cluster
