#include "planner/cluster/nccl_xml.h"

#include <gtest/gtest.h>

#include <string>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/paths.h"

namespace mrs::cluster {
namespace {

Cluster Read(const std::string& text) {
  const Result<Cluster> cluster = ParseNcclXml(text, "t.xml");
  EXPECT_TRUE(cluster) << cluster.message();
  if (!cluster) return {.name = {}, .nodes = {Node{}}};
  // What an import writes is what a cluster file reads.
  const Result<Cluster> again = ParseCluster(CanonicalText(*cluster), "again");
  EXPECT_TRUE(again) << again.message();
  if (again) {
    EXPECT_EQ(CanonicalText(*again), CanonicalText(*cluster));
  }
  return *cluster;
}

std::string Message(const std::string& text) {
  const Result<Cluster> cluster = ParseNcclXml(text, "t.xml");
  return cluster ? "accepted" : cluster.message();
}

std::string InCpu(const std::string& inner) {
  return R"(<system version="1"><cpu numaid="0" arch="x86_64" vendor="AuthenticAMD" familyid="25" modelid="1">)" +
         inner + "</cpu></system>";
}

std::string Gpu(const std::string& bus_id, const std::string& inner, const std::string& link_speed = "16.0 GT/s PCIe") {
  return R"(<pci busid=")" + bus_id + R"(" class="0x030200" vendor="0x10de" device="0x20b5" link_speed=")" +
         link_speed + R"(" link_width="16">)" + inner + "</pci>";
}

TEST(NcclXml, TwoBridgedCards) {
  const Cluster cluster =
      Read(InCpu(Gpu("0000:65:00.0", R"(<gpu dev="1" sm="80" rank="1" gdr="1">
        <nvlink target="0000:17:00.0" count="8" tclass="0x030200"/>
        <nvlink target="0000:17:00.0" count="4" tclass="0x030200"/></gpu>)") +
                 Gpu("0000:17:00.0", R"(<gpu dev="0" sm="80" rank="0" gdr="1">
        <nvlink target="0000:65:00.0" count="12" tclass="0x030200"/></gpu>)") +
                 R"(<pci busid="0000:4b:00.0" class="0x020000" link_speed="8 GT/s" link_width="8"><nic>
        <net name="mlx5_0" dev="0" speed="100000" gdr="1"/><net name="mlx5_1" speed="100000"/></nic></pci>
        <nic><net name="eth0" dev="1" speed="-1"/></nic>)"));
  ASSERT_EQ(cluster.nodes.size(), 1u);
  const Node& node = cluster.nodes[0];
  ASSERT_EQ(node.devices.size(), 2u);
  EXPECT_EQ(node.devices[0].bus_id, "0000:17:00.0");
  EXPECT_EQ(node.devices[0].model, "A100-PCIe-80GB");
  EXPECT_EQ(node.devices[1].memory_bytes, uint64_t{81920} << 20);
  EXPECT_EQ(node.devices[1].at.link, (PcieLink{.gigatransfers = 16, .lanes = 16}));
  EXPECT_EQ(node.sockets[0].cpu, "25/1");
  ASSERT_EQ(node.links.size(), 2u);
  EXPECT_EQ(node.links[1], (PeerLink{.kind = PeerKind::kNvlink, .from = 1, .to = 0, .count = 12, .gigabytes = 25}));
  ASSERT_EQ(node.nics.size(), 2u);  // mlx5_1 has no number: it is not used
  EXPECT_EQ(node.nics[0].gigabits, 100);
  EXPECT_TRUE(node.nics[0].gpu_direct);
  EXPECT_EQ(node.nics[1].gigabits, 0);
  EXPECT_EQ(node.completed[0], "device 0: memory of A100-PCIe-80GB, which its PCI id names");
  const Paths paths = PathsOf(node);
  EXPECT_EQ(paths.At(0, 1).gigabytes, 240);
  EXPECT_EQ(paths.At(0, paths.Nic(0)).path_class, PathClass::kPhb);
}

TEST(NcclXml, SkeletonIsCompletedAndSaysSo) {
  const auto gpu = [](const std::string& bus_id) {
    return "<pci busid=\"" + bus_id + R"(" class="0x030200" vendor="0x10de" device="0x20b0" link_speed="8 GT/s"/>)";
  };
  const std::string text =
      InCpu(R"(<pci busid="ffff:ff:01.0" class="0x060400" link_speed="8 GT/s" link_width="16">)" + gpu("0000:10:1d.0") +
            gpu("0000:10:1c.0") + R"(<pci busid="0000:10:1b.0" class="0x020000" vendor="0x1d0f" device="0xefa0"/>
            <pci busid="0000:10:1a.0" class="0x010802" link_speed="8 GT/s"/></pci>
            <pci busid="0000:02:00.0" class="0x030000" vendor="0x1a03" device="0x2000"/>)");
  const Node node = Read(text).nodes[0];
  ASSERT_EQ(node.devices.size(), 2u);
  EXPECT_EQ(node.devices[0].bus_id, "0000:10:1c.0");
  EXPECT_EQ(node.nics[0], (Nic{.name = "0000:10:1b.0",
                               .gigabits = 100,
                               .gpu_direct = false,
                               .bus_id = "0000:10:1b.0",
                               .at = {.socket = 0, .parent = 0}}));
  EXPECT_EQ(node.completed, (std::vector<std::string>{"nic 0000:10:1b.0: 100 Gbit/s, as its PCI id 1d0f:efa0 has",
                                                      "devices: ordinals by bus id",
                                                      "device 0: memory of A100-SXM-40GB, which its PCI id names",
                                                      "device 1: memory of A100-SXM-40GB, which its PCI id names",
                                                      "device 0: 12 links to the NVSwitches, as A100-SXM-40GB has",
                                                      "device 1: 12 links to the NVSwitches, as A100-SXM-40GB has"}));
  EXPECT_EQ(PathsOf(node).At(0, 1).path_class, PathClass::kNvl);
}

TEST(NcclXml, SkeletonWithoutIds) {
  const std::string text = InCpu(R"(<pci busid="0003:00:00.0" class="0x030200" link_speed="16 GT/s" link_width="16"/>
      <pci busid="0001:00:00.0" class="0x030200" link_speed="Unknown speed" link_width="255"/>)");
  const Node unknown = Read(text).nodes[0];
  EXPECT_EQ(unknown.devices[0].model, "");
  EXPECT_EQ(unknown.devices[0].memory_bytes, 0u);
  EXPECT_EQ(unknown.devices[0].at.link, PcieLink{});
  EXPECT_TRUE(unknown.links.empty());
  EXPECT_EQ(unknown.completed.back(), kLinksNotTold);
  const Result<Cluster> said = ParseNcclXml(text, "t.xml", FindDeviceModel("A100-SXM-40GB"));
  ASSERT_TRUE(said) << said.message();
  EXPECT_EQ(said->nodes[0].devices[1].model, "A100-SXM-40GB");
  EXPECT_EQ(said->nodes[0].links.size(), 2u);
  EXPECT_EQ(said->nodes[0].completed[1], "device 0: A100-SXM-40GB and its memory, as --model says");
}

TEST(NcclXml, AmdAndGraceAndHosts) {
  const Cluster amd = Read(R"(<!-- c --><system version="2"><cpu numaid="1" arch="x86_64" vendor="AuthenticAMD">
    <pci busid="0000:32:00.0" class="0x038000" vendor="0x1002" device="0x740c"><gpu dev="0" sm="104" gcn="910">
      <xgmi target="0000:35:00.0" count="4" tclass="0x038000"/></gpu></pci>
    <pci busid="0000:35:00.0" class="0x120000" vendor="0x1002" device="0x74a1"><gpu dev="1" sm="94" gcn="gfx942">
      <xgmi target="0000:32:00.0" count="4" tclass="0x038000"/>
      <xgmi target="0000:99:00.0" count="2" tclass="0x038000"/></gpu></pci></cpu></system>)");
  EXPECT_EQ(amd.nodes[0].devices[0].kind, DeviceKind::kRocm);
  EXPECT_EQ(amd.nodes[0].devices[1].model, "MI300X");
  EXPECT_EQ(amd.nodes[0].devices[0].model, "MI250X");
  EXPECT_EQ(amd.nodes[0].links[0].gigabytes, 50);
  EXPECT_EQ(PathsOf(amd.nodes[0]).At(1, 0).gigabytes, 144);  // 4 of 36 GB/s, RCCL's figure for gfx90a
  EXPECT_EQ(amd.nodes[0].completed[2], "device 1: without 2 links to \"0000:99:00.0\", which is not in the file");
  const auto host = [](const std::string& hash) {
    return "<cpu host_hash=\"" + hash + R"(" numaid="0" arch="arm64"><pci busid="0008:01:00.0" class="0x030200">
      <gpu dev="0" sm="100"><nvlink target="fffffff:ffff:ff" count="18" tclass="0x068000"/><c2c bw="44136" count="10"/>
      </gpu></pci></cpu>)";
  };
  const Cluster grace = Read("<system version=\"1\">" + host("0x1") + host("0x2") + "</system>");
  ASSERT_EQ(grace.nodes.size(), 2u);
  EXPECT_EQ(grace.nodes[1].name, "node-1");
  ASSERT_EQ(grace.nodes[1].links.size(), 2u);
  EXPECT_EQ(grace.nodes[1].links[0].to, kFabric);
  EXPECT_EQ(grace.nodes[1].links[1].to, kSocket);
  const Paths paths = PathsOf(grace.nodes[0]);
  EXPECT_EQ(paths.At(0, paths.Socket(0)).path_class, PathClass::kC2c);
  EXPECT_NEAR(paths.At(0, paths.Socket(0)).gigabytes, 441.36, 1e-3);
}

TEST(NcclXml, ANodeLinkedWithItselfIsSaid) {
  const Node node = Read(InCpu(Gpu("0001:00:00.0", R"(<gpu dev="0" sm="80">
      <nvlink target="0001:00:00.0" count="12" tclass="0x030200"/></gpu>)",
                                   "")))
                        .nodes[0];
  EXPECT_TRUE(node.links.empty());
  EXPECT_EQ(node.completed[1], "device 0: without 12 links to \"0001:00:00.0\", which is the device itself");
}

// As files have them that were put together by hand, or by several ranks.
TEST(NcclXml, WhatStandsTwice) {
  const auto net = [](const std::string& name, const std::string& more) {
    return "<net name=\"" + name + "\" " + more + "/>";
  };
  const auto bridge = [](const std::string& inner) {
    return R"(<pci busid="0000:15:00.0" class="0x060400">)" + inner + "</pci>";
  };
  const std::string text =
      R"(<system version="1"><cpu numaid="0">)" + bridge(Gpu("0000:17:00.0", R"(<gpu dev="0"/>)")) +
      bridge(Gpu("0000:18:00.0", R"(<gpu dev="1"/>)")) + "<nic>" + net("veth0", R"(dev="2" speed="10000")") +
      R"(</nic></cpu><cpu numaid="1"><pci busid="0000:65:00.0" class="0x020000"><nic>)" +
      net("mlx5_0", R"(dev="0" port="1" speed="100000")") + net("mlx5_0", R"(dev="1" port="2" speed="200000000")") +
      "</nic></pci><nic>" + net("veth0", R"(dev="2" speed="10000")") + "</nic></cpu></system>";
  const Node node = Read(text).nodes[0];
  ASSERT_EQ(node.switches.size(), 2u);
  EXPECT_EQ(node.switches[1].name, "0000:15:00.0-2");
  ASSERT_EQ(node.nics.size(), 3u);
  EXPECT_EQ(node.nics[0].name, "veth0");
  EXPECT_EQ(node.nics[0].at.socket, 0);
  EXPECT_EQ(node.nics[2].name, "mlx5_0:2");
  EXPECT_EQ(node.nics[2].gigabits, 0);
  EXPECT_EQ(node.completed[0], "nic mlx5_0:2: without its rate, 200000000 Mbit/s, which no card has");
}

// Both levels of one Broadcom switch, of PCIe 4.0 and 5.0; a switch of another maker stays.
TEST(NcclXml, TwoLevelsOfABroadcomSwitchAreOne) {
  const auto bridge = [](const std::string& bus_id, const std::string& ids, const std::string& inner) {
    return R"(<pci busid=")" + bus_id + R"(" class="0x060400" )" + ids + R"( link_speed="16 GT/s" link_width="16">)" +
           inner + "</pci>";
  };
  const std::string card = Gpu("0000:17:00.0", R"(<gpu dev="0" sm="80"/>)"),
                    other = Gpu("0000:18:00.0", R"(<gpu dev="1" sm="80"/>)");
  const auto ids = [](const std::string& vendor, const std::string& device, const std::string& kind) {
    return R"(vendor=")" + vendor + R"(" device=")" + device + R"(" subsystem_vendor=")" + vendor +
           R"(" subsystem_device=")" + kind + R"(")";
  };
  const std::tuple<std::string, std::string, size_t, PathClass> cases[] = {
      {ids("0x1000", "0xc010", "0xa096"), ids("0x1000", "0xc010", "0xa096"), 1, PathClass::kPix},
      {ids("0x1000", "0xc030", "0x0072"), ids("0x1000", "0xc030", "0x1003"), 1, PathClass::kPix},
      {ids("0x1000", "0xc030", "0x0072"), ids("0x1000", "0xc030", "0x0072"), 3, PathClass::kPxb},
      {ids("0x11f8", "0x4000", "0x4000"), ids("0x11f8", "0x4000", "0x4000"), 3, PathClass::kPxb},
  };
  for (const auto& [upper, lower, switches, path_class] : cases) {
    const Cluster cluster = Read(InCpu(
        bridge("0000:01:00.0", upper, bridge("0000:02:00.0", lower, card) + bridge("0000:03:00.0", lower, other))));
    ASSERT_EQ(cluster.nodes.at(0).devices.size(), 2u);
    EXPECT_EQ(cluster.nodes[0].switches.size(), switches) << upper;
    EXPECT_EQ(PathsOf(cluster.nodes[0]).At(0, 1).path_class, path_class) << upper;
  }
}

TEST(NcclXml, Refusals) {
  const auto gpu = [](const std::string& inner) { return InCpu(Gpu("0000:17:00.0", inner)); };
  const std::pair<std::string, std::string> kCases[] = {
      {"", "t.xml: line 1, column 1: expected an element such as <system>"},
      {"nodes:\n  - a", "t.xml: line 2, column 6: expected an element such as <system>"},
      {"<system version=\"1\">\n<cpu numaid=\"0\">",
       "t.xml: line 2, column 16: expected the end of the element that is open here: it ends otherwise, or the file is "
       "cut off"},
      {"<system version=\"1\"><cpu numaid=\"0\"",
       "t.xml: line 1, column 35: expected an element's name, attributes and "
       "\">\""},
      {std::string("<system/>\0<", 11), "t.xml: line 1, column 10: a zero byte; expected XML, which is text"},
      {"<graphs version=\"1\"/>",
       "t.xml: line 1, column 2: <graphs>: this is what NCCL found on a topology (NCCL_GRAPH_DUMP_FILE), not the "
       "topology; expected <system>: give the file that NCCL_TOPO_DUMP_FILE writes, or what nvidia-smi topo -m prints"},
      {"<topology version=\"2.0\"/>",
       "t.xml: line 1, column 2: <topology>: this is a topology of hwloc's (lstopo, xpu-smi), which is not read; "
       "expected "
       "<system>: give the file that NCCL_TOPO_DUMP_FILE writes, or what nvidia-smi topo -m prints"},
      {"<algo name=\"a\"/>",
       "t.xml: line 1, column 2: <algo name=\"a\">: this is a collective algorithm of MSCCL's, not a topology; "
       "expected "
       "<system>: give the file that NCCL_TOPO_DUMP_FILE writes, or what nvidia-smi topo -m prints"},
      {gpu("<gpu dev=\"0\" mlopart=\"0\"/><gpu dev=\"0\" mlopart=\"1\"/>"),
       "t.xml: line 1, column 219: <gpu dev=\"0\">: a second device at 0000:17:00.0; GPUs cut into several are not "
       "there "
       "yet"},
      {"<svg/>", "t.xml: line 1, column 2: <svg>: expected <system>, the outermost element of an NCCL topology"},
      {"<system version=\"3\"/>",
       "t.xml: line 1, column 2: <system>: version: expected 1 (NCCL) or 2 (RCCL), got \"3\""},
      {"<system version=\"1\"/>", "t.xml: line 1, column 2: <system>: no <cpu> in it; expected the sockets of a host"},
      {"<system version=\"1\"/><system version=\"1\"/>",
       "t.xml: line 1, column 23: <system>: a second outermost element; expected one"},
      {"<system version=\"1\"><cpu/></system>",
       "t.xml: line 1, column 22: <cpu>: numaid: expected the number of a NUMA node"},
      {InCpu(""),
       "t.xml: line 1, column 2: <system>: no GPU in a host of it; expected <gpu> elements, or PCI devices of class "
       "0x03"},
      {InCpu("\n<pci busid=\"1:2\"/>"),
       "t.xml: line 2, column 2: <pci busid=\"1:2\">: busid: expected a PCI bus id such as 0000:17:00.0, got \"1:2\""},
      {InCpu("\n<pci busid=\"0000:17:00.0\"/>"),
       "t.xml: line 2, column 2: <pci busid=\"0000:17:00.0\">: class: expected the PCI class, which says what this is, "
       "such as 0x030200 for a GPU; NCCL looks up on the machine what is left out here: give the file that "
       "NCCL_TOPO_DUMP_FILE writes there"},
      {InCpu("\n<pci busid=\"0000:17:00.0\" class=\"0x03\" link_width=\"3\"/>"),
       "t.xml: line 2, column 2: <pci busid=\"0000:17:00.0\">: link_width: expected 1, 2, 4, 8, 12, 16 or 32 lanes, 0 "
       "for "
       "unknown, got 3"},
      {InCpu("\n<pci busid=\"0000:17:00.0\" class=\"0x03\" link_speed=\"17 GT/s\"/>"),
       "t.xml: line 2, column 2: <pci busid=\"0000:17:00.0\">: link_speed: expected a PCIe rate such as \"16.0 GT/s "
       "PCIe\", got \"17 GT/s\""},
      {gpu("\n<gpu sm=\"80\"/>"), "t.xml: line 2, column 2: <gpu>: dev: expected the device's number"},
      {gpu("\n<gpu dev=\"-1\"/>"),
       "t.xml: line 2, column 2: <gpu dev=\"-1\">: dev: expected a whole number from 0 to 1023, got \"-1\""},
      {gpu("\n<gpu dev=\"38911\"/>"),
       "t.xml: line 2, column 2: <gpu dev=\"38911\">: dev: expected a whole number from 0 to 1023, got \"38911\""},
      {gpu("<gpu dev=\"0\">\n<nvlink target=\"0000:18:00.0\" count=\"999\"/></gpu>"),
       "t.xml: line 2, column 2: <nvlink target=\"0000:18:00.0\">: count: expected a whole number from 1 to 64, got "
       "\"999\""},
      {InCpu(Gpu("0000:17:00.0", "<gpu dev=\"0\"/>") + "\n" + Gpu("0000:18:00.0", "<gpu dev=\"0\"/>")),
       "t.xml: line 2, column 121: <gpu dev=\"0\">: a second GPU with dev 0"},
      {InCpu(Gpu("0000:17:00.0", "") + "\n" + Gpu("00000000:17:00.0", "")),
       "t.xml: line 2, column 2: <pci busid=\"00000000:17:00.0\">: a second GPU at 0000:17:00.0"},
      {"<?xml version=\"1.0\"?>\n<!DOCTYPE system SYSTEM \"x.dtd\">\n<system version=\"1\"/>",
       "t.xml: line 2, column 1: a document type (<!DOCTYPE), whose entities and files are not read; NCCL writes none: "
       "take it out, or give the file that NCCL_TOPO_DUMP_FILE writes"},
      {"<!-- <!DOCTYPE a> --><!DOCTYPE system [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;\">]><system "
       "version=\"1\">&b;</system>",
       "t.xml: line 1, column 22: a document type (<!DOCTYPE), whose entities and files are not read; NCCL writes "
       "none: "
       "take it out, or give the file that NCCL_TOPO_DUMP_FILE writes"},
      {"<!DOCTYPE system [<!ENTITY a \"",
       "t.xml: line 1, column 1: a document type (<!DOCTYPE), whose entities and files "
       "are not read; NCCL writes none: take it out, or give the file that NCCL_TOPO_DUMP_FILE writes"},
      {"<!ENTITY a \"aa\"><system version=\"1\"/>", "t.xml: line 1, column 3: expected an element's name after \"<\""},
      {InCpu("\n<gpu dev=\"0\"/>"), "t.xml: line 2, column 2: <gpu dev=\"0\">: expected <pci> or <nic> in <cpu>"},
  };
  for (const auto& [text, message] : kCases) EXPECT_EQ(Message(text), message) << text;
}

// The compute capability says what a device is as much as its PCI id and --model do.
TEST(NcclXml, ModelsAndComputeCapabilitiesAgree) {
  const auto gpu = [](const std::string& device, const std::string& sm) {
    return InCpu(R"(<pci busid="0000:17:00.0" class="0x030200" vendor="0x10de" device=")" + device +
                 R"("><gpu dev="0" sm=")" + sm +
                 R"("><nvlink target="0000:c1:00.0" count="2" tclass="0x068000"/></gpu></pci>)");
  };
  const auto link = [](const Cluster& cluster) {
    return PeerGigabytes(cluster.nodes[0], cluster.nodes[0].links.at(0));
  };
  EXPECT_EQ(link(Read(gpu("0x20b2", "80"))), 40);
  const Cluster unlike = Read(gpu("0x20b2", "90"));
  EXPECT_EQ(unlike.nodes[0].devices[0].model, "");
  EXPECT_EQ(unlike.nodes[0].completed[0],
            "device at 0000:17:00.0: sm 90 is not that of A100-SXM-80GB, which its PCI id names; so its model is not "
            "taken from that");
  EXPECT_NEAR(link(unlike), 2 * 20.6, 1e-9);  // as NCCL, by the sm
  const Cluster unnamed = Read(gpu("0xffff", "0"));
  EXPECT_FALSE(PeerKnown(unnamed.nodes[0], unnamed.nodes[0].links[0]));
  const auto as = [&](const std::string& text, const char* model) {
    const Result<Cluster> cluster = ParseNcclXml(text, "t.xml", FindDeviceModel(model));
    return cluster ? cluster->nodes[0].devices[0].model : cluster.message();
  };
  EXPECT_EQ(as(gpu("0xffff", "90"), "H100-SXM"), "H100-SXM");
  EXPECT_EQ(as(gpu("0x20b2", "80"), "H100-SXM"), "A100-SXM-80GB");
  EXPECT_EQ(
      as(gpu("0xffff", "80"), "H100-SXM"),
      "t.xml: line 1, column 175: <gpu dev=\"0\">: is no H100-SXM, which --model says: that is NVIDIA's, with sm 90");
  EXPECT_EQ(as(gpu("0xffff", "80"), "MI300X"),
            "t.xml: line 1, column 175: <gpu dev=\"0\">: is no MI300X, which --model says: that is AMD's, gfx942");
}

TEST(NcclXml, Limits) {
  std::string deep = "<system version=\"1\">", many = deep;
  for (int i = 0; i < 40; ++i) deep += "<pci>";
  for (int i = 0; i < 40; ++i) deep += "</pci>";
  EXPECT_NE(Message(deep + "</system>").find("expected elements at most 32 deep"), std::string::npos);
  for (int i = 0; i < 40000; ++i) many += "<cpu/>";
  EXPECT_NE(Message(many + "</system>").find("expected at most 32768 elements"), std::string::npos);
  std::string gpus;
  for (int i = 0; i < 65; ++i) {
    std::string bus = std::to_string(i);
    bus.insert(0, 4 - bus.size(), '0');
    gpus += Gpu(bus + ":00:00.0", "");
  }
  EXPECT_NE(Message(InCpu(gpus)).find("expected at most 64 GPUs in a host"), std::string::npos);
  std::string wide = "<system ";
  while (wide.size() < size_t{4} << 20) wide += "a='' ";
  EXPECT_EQ(Message(wide), "t.xml: line 1, column 2621450: expected at most 524288 attributes");
  EXPECT_NE(Message(std::string(kMaxXmlBytes + 1, ' ')).find("expected an XML file of at most"), std::string::npos);
  // Every cut of a good file is refused.
  const std::string good = InCpu(Gpu("0000:17:00.0", "<gpu dev=\"0\"/>"));
  for (size_t size = 0; size < good.size(); ++size) EXPECT_NE(Message(good.substr(0, size)), "accepted") << size;
}

}  // namespace
}  // namespace mrs::cluster
