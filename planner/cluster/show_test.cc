#include "planner/cluster/show.h"

#include <gtest/gtest.h>

#include <set>

#include "formats/json.h"
#include "planner/cluster/catalogue.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/import_file.h"

namespace mrs::cluster {
namespace {

// Every class, and figures that are known and that are not: the second node tells neither CPUs nor rates.
constexpr const char* kTwoNodes = R"(
network: 100Gbit/s
nodes:
  - name: full
    address: 10.0.0.1
    memory: 256GiB
    cores: 32
    sockets: [{arch: x86_64, vendor: GenuineIntel, cpu: 6/143}, {numa: 1, arch: x86_64, vendor: GenuineIntel, cpu: 6/143}]
    switches: [{name: top, pcie: gen5 x16}, {name: low, parent: top, pcie: gen4 x16}]
    devices:
      - {model: A100-PCIe-80GB, bus_id: "0000:17:00.0", parent: low, pcie: gen4 x16}
      - {model: A100-PCIe-80GB, bus_id: "0000:18:00.0", parent: low, pcie: gen4 x8}
      - {model: A100-PCIe-80GB, parent: top, pcie: gen4 x16}
      - {model: A100-PCIe-80GB, socket: 1, pcie: gen4 x16}
    nics: [{name: mlx5_0, rate: 200Gbit/s, parent: low, pcie: gen4 x16}, {name: eth0, socket: 1, pcie: gen4 x16}]
    links:
      - {between: [0, 1], count: 12}
      - {between: [1, 2], count: 8}
      - {from: 3, to: socket, kind: c2c, count: 1, rate: 450GB/s}
  - name: bare
    sockets: [{numa: 0}, {numa: 1}]
    devices: [{memory: unknown, socket: 0}, {memory: unknown, socket: 1, pcie: gen4 x16}]
)";

Cluster TwoNodes() {
  const Result<Cluster> cluster = ParseCluster(kTwoNodes, "c.yaml");
  EXPECT_TRUE(cluster) << cluster.message();
  return cluster ? *cluster : Cluster{};
}

TEST(Show, TreeMatrixAndIslands) {
  EXPECT_EQ(ClusterText(TwoNodes()), &R"(
full  10.0.0.1  32 cores  256GiB
  socket 0  (NUMA 0, x86_64 GenuineIntel 6/143)
    switch top  PCIe 32 GT/s x16
      device 2  A100-PCIe-80GB, 80GiB  PCIe 16 GT/s x16  NVLink x8 to device 1
      switch low  PCIe 16 GT/s x16
        device 0  A100-PCIe-80GB, 80GiB, 0000:17:00.0  PCIe 16 GT/s x16  NVLink x12 to device 1
        device 1  A100-PCIe-80GB, 80GiB, 0000:18:00.0  PCIe 16 GT/s x8  NVLink x12 to device 0  NVLink x8 to device 2
        nic mlx5_0  200Gbit/s  PCIe 16 GT/s x16
  socket 1  (NUMA 1, x86_64 GenuineIntel 6/143)
    device 3  A100-PCIe-80GB, 80GiB  PCIe 16 GT/s x16  C2C x1 to its socket
    nic eth0  PCIe 16 GT/s x16
  GB/s         device 0     device 1     device 2     device 3     nic mlx5_0   nic eth0     socket 0     socket 1
  device 0     LOC          NVL 240.0    NVB 160.0    SYS 22.0     PIX 24.0     SYS unknown  PHB 24.0     SYS 22.0
  device 1     NVL 240.0    LOC          NVL 160.0    SYS 12.0     PIX 12.0     SYS unknown  PHB 12.0     SYS 12.0
  device 2     NVB 160.0    NVL 160.0    LOC          SYS 22.0     PXB 24.0     SYS unknown  PHB 24.0     SYS 22.0
  device 3     SYS 22.0     SYS 12.0     SYS 22.0     LOC          SYS 22.0     PHB unknown  SYS 22.0     C2C 450.0
  nic mlx5_0   PIX 24.0     PIX 12.0     PXB 24.0     SYS 22.0     LOC          SYS unknown  PHB 24.0     SYS 22.0
  nic eth0     SYS unknown  SYS unknown  SYS unknown  PHB unknown  SYS unknown  LOC          SYS unknown  PHB unknown
  socket 0     PHB 24.0     PHB 12.0     PHB 24.0     SYS 22.0     PHB 24.0     SYS unknown  LOC          SYS 22.0
  socket 1     SYS 22.0     SYS 12.0     SYS 22.0     C2C 450.0    SYS 22.0     PHB unknown  SYS 22.0     LOC
  other nodes  NET 12.5     NET 12.0     NET 12.5     NET 12.5
  island: devices 0, 1
bare
  socket 0  (NUMA 0)
    device 0  CUDA
  socket 1  (NUMA 1)
    device 1  CUDA  PCIe 16 GT/s x16
  GB/s         device 0     device 1     socket 0     socket 1
  device 0     LOC          SYS unknown  PHB unknown  SYS unknown
  device 1     SYS unknown  LOC          SYS unknown  PHB 24.0
  socket 0     PHB unknown  SYS unknown  LOC          SYS unknown
  socket 1     SYS unknown  PHB 24.0     SYS unknown  LOC
  other nodes  NET 12.5     NET 12.5
network  100Gbit/s
)"[1]);
}

// By class: each is there, with a figure where one is known and null where not. Between sockets of CPUs that are not
// told, and within one place, NCCL reckons with 5000 GB/s, which nothing has.
TEST(Show, PathsAsJson) {
  const Result<Json> json = ParseJson(ClusterJson(TwoNodes()), "json");
  ASSERT_TRUE(json) << json.message();
  const Json& nodes = (*json)["nodes"];
  std::set<std::string> classes;
  const auto path = [&](size_t node, std::string_view from, std::string_view to) {
    for (const Json& one : nodes[node]["paths"]) {
      classes.insert(one["class"].get<std::string>());
      if (one["from"] == from && one["to"] == to) return one;
    }
    return Json();
  };
  EXPECT_EQ(path(0, "device 0", "device 1").dump(),
            R"({"from":"device 0","to":"device 1","class":"NVL","gigabytes":240.0,"nccl_gigabytes":240.0,"hops":1})");
  EXPECT_EQ(path(0, "device 0", "nic eth0").dump(),
            R"({"from":"device 0","to":"nic eth0","class":"SYS","gigabytes":null,"nccl_gigabytes":22.0,"hops":5})");
  EXPECT_EQ(path(0, "device 1", "other nodes").dump(),
            R"({"from":"device 1","to":"other nodes","class":"NET","gigabytes":12.0,"nccl_gigabytes":12.0,"hops":0})");
  EXPECT_EQ(path(1, "socket 0", "socket 1").dump(),
            R"({"from":"socket 0","to":"socket 1","class":"SYS","gigabytes":null,"nccl_gigabytes":5000.0,"hops":1})");
  EXPECT_EQ(path(1, "device 0", "device 0").dump(),
            R"({"from":"device 0","to":"device 0","class":"LOC","gigabytes":null,"nccl_gigabytes":5000.0,"hops":0})");
  EXPECT_EQ(path(0, "none", "none"), Json());
  EXPECT_EQ(classes, (std::set<std::string>{"LOC", "NVL", "NVB", "C2C", "PIX", "PXB", "PHB", "SYS", "NET"}));
  EXPECT_EQ(nodes[0]["islands"].dump(), "[[0,1],[2],[3]]");
}

TEST(Show, NvlinkDomains) {
  const Result<Cluster> cluster =
      ParseCluster("network: 400Gbit/s\nnodes: [{count: 2, gpus: 2xGB200, nvlink_domain: rack-0}]\n", "c.yaml");
  ASSERT_TRUE(cluster) << cluster.message();
  EXPECT_EQ(ClusterText(*cluster), &R"(
node-0  NVLink domain rack-0
  socket 0  (NUMA 0)
    device 0  GB200, 189471MiB  PCIe 32 GT/s x16  NVLink x18 to the NVSwitch
  socket 1  (NUMA 1)
    device 1  GB200, 189471MiB  PCIe 32 GT/s x16  NVLink x18 to the NVSwitch
  GB/s           device 0       device 1       socket 0       socket 1
  device 0       LOC            NVL 721.8      PHB 48.0       SYS unknown
  device 1       NVL 721.8      LOC            SYS unknown    PHB 48.0
  socket 0       PHB 48.0       SYS unknown    LOC            SYS unknown
  socket 1       SYS unknown    PHB 48.0       SYS unknown    LOC
  NVLink domain  NVL 721.8      NVL 721.8
  other nodes    NET 50.0       NET 50.0
  island: devices 0, 1
node-1  NVLink domain rack-0  as node-0
NVLink domain rack-0: 2 nodes, 4 devices
network  400Gbit/s
)"[1]);
  const Result<Json> json = ParseJson(ClusterJson(*cluster), "json");
  ASSERT_TRUE(json) << json.message();
  EXPECT_EQ((*json)["nodes"][1]["nvlink_domain"], "rack-0");
  bool found = false;
  for (const Json& one : (*json)["nodes"][0]["paths"]) {
    if (one["to"] != "NVLink domain") continue;
    found = true;
    EXPECT_EQ(one["class"], "NVL");
    EXPECT_EQ(one["gigabytes"], 721.8);
  }
  EXPECT_TRUE(found);
}

// What nothing tells is unknown, whatever is between: a matrix without models, a card without a rate.
TEST(Show, AMatrixTellsNoRates) {
  const Result<Cluster> cluster =
      ImportCluster("GPU0 GPU1 NIC0\nGPU0 X NV4 PIX\nGPU1 NV4 X SYS\nNIC0 PIX SYS X\n", "m.txt");
  ASSERT_TRUE(cluster) << cluster.message();
  const std::string text = ClusterText(*cluster);
  EXPECT_NE(text.find("  device 0     LOC          NVL unknown  PIX unknown  PHB unknown  PHB unknown\n"), text.npos)
      << text;
  // With the model, NVLinks have its rate.
  const Result<Cluster> named =
      ImportCluster("GPU0 GPU1\nGPU0 X NV4\nGPU1 NV4 X\n", "m.txt", FindDeviceModel("RTX-3090"));
  ASSERT_TRUE(named) << named.message();
  EXPECT_NE(ClusterText(*named).find("  device 0     LOC          NVL 48.0     PHB unknown\n"), std::string::npos)
      << ClusterText(*named);
}

}  // namespace
}  // namespace mrs::cluster
