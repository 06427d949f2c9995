#include "planner/cluster/short_form.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "planner/cluster/this_host.h"

namespace mrs::cluster {
namespace {

std::string Described(const Result<Cluster>& cluster) {
  if (!cluster) return cluster.message();
  std::string text;
  for (const Node& node : cluster->nodes) {
    text += fmt::format("{}:", node.name);
    for (const Device& device : node.devices) {
      text += fmt::format(" {}{}@{}", device.model, device.memory_bytes >> 20, device.at.socket);
    }
    text += fmt::format(" links {}; ", node.links.size());
  }
  return fmt::format("{}network {}", text, cluster->network_gigabits);
}
std::string Gpus(std::string_view text) { return Described(ParseGpus(text)); }
std::string Cpus(std::string_view text) { return Described(ParseCpus(text)); }

TEST(ShortForm, OneNode) {
  EXPECT_EQ(Gpus("2xH100-SXM"), "node-0: H100-SXM81559@0 H100-SXM81559@1 links 2; network 0");
  EXPECT_EQ(Gpus("H100-SXM"), "node-0: H100-SXM81559@0 links 1; network 0");
  EXPECT_EQ(Gpus("4xL40S"), "node-0: L40S46068@0 L40S46068@0 L40S46068@1 L40S46068@1 links 0; network 0");
  EXPECT_EQ(Gpus("2x24GB"), "node-0: 22888@0 22888@0 links 0; network 0");
  EXPECT_EQ(Gpus("48GiB,24GiB"), "node-0: 49152@0 24576@0 links 0; network 0");
  EXPECT_EQ(Gpus(" 2 x rtx 4090 , 1x48 GiB "), "node-0: RTX-409024564@0 RTX-409024564@0 49152@0 links 0; network 0");
  EXPECT_EQ(Gpus("2x3090"), "node-0: RTX-309024576@0 RTX-309024576@0 links 0; network 0");
  EXPECT_EQ(Gpus("3XMI300X"), "node-0: MI300X196592@0 MI300X196592@0 MI300X196592@1 links 6; network 0");
}

TEST(ShortForm, SeveralNodes) {
  EXPECT_EQ(Gpus("2x1xH200+400G"), "node-0: H200-SXM143771@0 links 1; node-1: H200-SXM143771@0 links 1; network 400");
  EXPECT_EQ(Gpus("1x2xL4,2x1x24GiB + 25GB/s"),
            "node-0: L423034@0 L423034@1 links 0; node-1: 24576@0 links 0; node-2: 24576@0 links 0; network 200");
  const Result<Cluster> big = ParseGpus("8x8xH100+400G");
  ASSERT_TRUE(big) << big.message();
  ASSERT_EQ(big->nodes.size(), 8u);
  for (const Node& node : big->nodes) {
    ASSERT_EQ(node.devices.size(), 8u);
    ASSERT_EQ(node.links.size(), 8u);
    for (int d = 0; d < 8; ++d) {
      EXPECT_EQ(node.devices[d].ordinal, d);
      EXPECT_EQ(node.devices[d].at, (Attachment{.socket = d / 4, .parent = -1, .link = {32, 16}}));
      EXPECT_EQ(node.links[d], (PeerLink{PeerKind::kNvlink, d, kFabric, 18, 25}));
    }
  }
}

TEST(ShortForm, RatesBetweenNodes) {
  for (const char* rate : {"400G", "400g", "400Gbit", "400Gbit/s", "400Gb/s", "400Gbps", "0.4T", "50GB/s", " 400G "}) {
    const Result<Cluster> cluster = ParseGpus(fmt::format("2x8xH100+{}", rate));
    ASSERT_TRUE(cluster) << cluster.message();
    EXPECT_EQ(cluster->network_gigabits, 400) << rate;
  }
}

TEST(ShortForm, Cpus) {
  EXPECT_EQ(Cpus("2"), "node-0: CPU0@0 CPU0@0 links 0; network 0");
  EXPECT_EQ(Cpus("2x16GiB"), "node-0: CPU16384@0 CPU16384@0 links 0; network 0");
  EXPECT_EQ(Cpus("2x1+25G"), "node-0: CPU0@0 links 0; node-1: CPU0@0 links 0; network 25");
  EXPECT_EQ(Cpus("2x1x16GiB"), "node-0: CPU16384@0 links 0; node-1: CPU16384@0 links 0; network 0");
}

TEST(ShortForm, WhatIsNoFormSaysWhy) {
  const std::map<std::string, std::string> gpus = {
      {"", "--gpus: is empty; expected such as 8xH100-SXM, 2x8xH200+400G or 48GB,24GB"},
      {"  ", "--gpus: is empty; expected such as 8xH100-SXM, 2x8xH200+400G or 48GB,24GB"},
      {"+400G",
       "--gpus +400G: nothing stands before or after a comma; expected such as 8xH100-SXM, 2x8xH200+400G or "
       "48GB,24GB"},
      {"H100,",
       "--gpus H100,: nothing stands before or after a comma; expected such as 8xH100-SXM, 2x8xH200+400G or "
       "48GB,24GB"},
      {"8xH1O0",
       "--gpus 8xH1O0: 'H1O0' is no model of the catalogue (nearest: H100-SXM) and no size with a unit, such "
       "as 48GB or 24GiB"},
      {"H100x8", "--gpus H100x8: 'H100x8': the count stands before the model: 8xH100-SXM"},
      {"8x", "--gpus 8x: '8x': a model or a size is missing, such as H100-SXM or 48GB"},
      {"8", "--gpus 8: '8' is no model of the catalogue (nearest: T4) and no size with a unit, such as 48GB or 24GiB"},
      {"0xL4", "--gpus 0xL4: '0xL4': 0 devices; expected 1 to 64"},
      {"65xL4", "--gpus 65xL4: '65xL4': 65 devices; expected 1 to 64"},
      {"99999999999999999999xL4",
       "--gpus 99999999999999999999xL4: '99999999999999999999xL4': too many devices; expected 1 to 64"},
      {"0x8xL4", "--gpus 0x8xL4: '0x8xL4': 0 nodes; expected 1 to 1024"},
      {"1025x8xL4", "--gpus 1025x8xL4: '1025x8xL4': 1025 nodes; expected 1 to 1024"},
      {"1024x9xL4", "--gpus 1024x9xL4: 9216 devices in all; expected at most 8192"},
      {"1024x8xL4,1x8xL4", "--gpus 1024x8xL4,1x8xL4: 1025 nodes; expected at most 1024"},
      {"40xL4,40xL4", "--gpus 40xL4,40xL4: 80 devices in one node; expected at most 64"},
      {"2x2x2xL4", "--gpus 2x2x2xL4: '2x2x2xL4': 3 counts; expected NODESxDEVICESxMODEL at most"},
      {"-1xL4",
       "--gpus -1xL4: '-1xL4' is no model of the catalogue (nearest: L4) and no size with a unit, such as 48GB "
       "or 24GiB"},
      {"2x0GB", "--gpus 2x0GB: '0GB': a device without memory; expected a size such as 48GB"},
      {"4xCPU", "--gpus 4xCPU: '4xCPU': CPU is no GPU; for CPU ranks say --cpus N"},
      {"16xH100",
       "--gpus 16xH100: '16xH100': 16 H100-SXM in one node, which has at most 8; for 2 nodes of 8 write "
       "2x8xH100-SXM"},
      {"4xH100,8xH100",
       "--gpus 4xH100,8xH100: '8xH100': 12 H100-SXM in one node, which has at most 8; for several nodes "
       "write NODESx8xH100-SXM"},
      {"2x8xH100,4xL4",
       "--gpus 2x8xH100,4xL4: '4xL4' has no count of nodes, and another part has one; for a node of its own write "
       "1x4xL4"},
      {"L4,2x8xH100",
       "--gpus L4,2x8xH100: 'L4' has no count of nodes, and another part has one; for a node of its own write 1x1xL4"},
      {"8xH100+", "--gpus 8xH100+: '+' is no rate between nodes; expected one such as +400G, +400Gbit/s or +50GB/s"},
      {"8xH100+400",
       "--gpus 8xH100+400: '+400' is no rate between nodes; expected one such as +400G, +400Gbit/s or +50GB/s"},
      {"8xH100+1G+1G",
       "--gpus 8xH100+1G+1G: '+1G+1G' is no rate between nodes; expected one such as +400G, +400Gbit/s or +50GB/s"},
      {"a\nb",
       "--gpus a\\x0ab: 'a\\x0ab' is no model of the catalogue (nearest: A30) and no size with a unit, such as "
       "48GB or 24GiB"},
  };
  for (const auto& [text, message] : gpus) EXPECT_EQ(Gpus(text), message) << text;
  EXPECT_TRUE(Gpus(std::string(5000, 'x')).ends_with("...: 5000 bytes; expected at most 4096"));

  const std::map<std::string, std::string> cpus = {
      {"", "--cpus: is empty; expected such as 4, 4x16GiB or, for two hosts, 2x4 or 2x4x16GiB+25G"},
      {"0", "--cpus 0: '0': 0 ranks; expected 1 to 64"},
      {"65", "--cpus 65: '65': 65 ranks; expected 1 to 64"},
      {"-4",
       "--cpus -4: '-4' is no number of CPU ranks; expected one such as 4, 4x16GiB or, for two hosts, 2x4 or "
       "2x4x16GiB+25G"},
      {"16GiB",
       "--cpus 16GiB: '16GiB' is no number of CPU ranks; expected one such as 4, 4x16GiB or, for two hosts, 2x4 "
       "or 2x4x16GiB+25G"},
      {"2,2", "--cpus 2,2: a comma; expected one form such as 4, 4x16GiB or, for two hosts, 2x4 or 2x4x16GiB+25G"},
      {"2x2x2", "--cpus 2x2x2: '2x2x2': 3 counts; expected HOSTSxRANKS at most"},
      {"1024x64", "--cpus 1024x64: 65536 devices in all; expected at most 8192"},
      {"2000x2", "--cpus 2000x2: '2000x2': 2000 hosts; expected 1 to 1024"},
      {"4xH100",
       "--cpus 4xH100: '4xH100' is no number of CPU ranks; expected one such as 4, 4x16GiB or, for two hosts, "
       "2x4 or 2x4x16GiB+25G"},
  };
  for (const auto& [text, message] : cpus) EXPECT_EQ(Cpus(text), message) << text;
}

TEST(ThisHost, IsOneNodeOfCpuRanks) {
  const Cluster host = ThisHost(3);
  ASSERT_EQ(host.nodes.size(), 1u);
  const Node& node = host.nodes[0];
  EXPECT_EQ(node.name, "localhost");
  EXPECT_GT(node.memory_bytes, 0u);
  EXPECT_GE(node.cores, 1);
  ASSERT_EQ(node.devices.size(), 3u);
  for (int r = 0; r < 3; ++r) {
    EXPECT_EQ(node.devices[r], (Device{.kind = DeviceKind::kCpu, .model = "CPU", .ordinal = r}));
  }
  EXPECT_EQ(ThisHost(0).nodes[0].devices.size(), 1u);
  EXPECT_EQ(ThisHost(1, "/nowhere").nodes[0].memory_bytes, 0u);
}

}  // namespace
}  // namespace mrs::cluster
