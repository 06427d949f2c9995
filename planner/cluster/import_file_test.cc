// What a file is, and what it is not, is told from its text.
#include "planner/cluster/import_file.h"

#include <gtest/gtest.h>

namespace mrs::cluster {
namespace {

constexpr char kExpected[] =
    "; expected NCCL's topology XML, nvidia-smi topo -m, mrs-exec doctor --json or a cluster file";

TEST(ImportFile, TakesEveryKind) {
  for (const char* text :
       {"GPU0 GPU1\nGPU0 X PIX\nGPU1 PIX X\n", "\n{\"nodes\": [{\"gpus\": \"2xL4\"}]}", "nodes:\n  - gpus: 2xL4\n"}) {
    const auto cluster = ImportCluster(text, "f");
    ASSERT_TRUE(cluster.ok()) << cluster.message();
    EXPECT_EQ(cluster->nodes.at(0).devices.size(), 2u);
  }
}

TEST(ImportFile, TakesWhatIsPastedAmongText) {
  for (const char* text :
       {"NCCL INFO here:\n```\n<system version=\"1\"><cpu numaid=\"0\"><pci busid=\"0000:17:00.0\"><gpu "
        "dev=\"0\"/></pci>"
        "<pci busid=\"0000:18:00.0\"><gpu dev=\"1\"/></pci></cpu></system>\n```\nthanks\n"}) {
    const auto cluster = ImportCluster(text, "f");
    ASSERT_TRUE(cluster.ok()) << cluster.message();
    EXPECT_EQ(cluster->nodes.at(0).devices.size(), 2u);
  }
}

TEST(ImportFile, GivesDevicesTheModelThatIsAskedFor) {
  const auto cluster = ImportCluster("GPU0 GPU1\nGPU0 X PIX\nGPU1 PIX X\n", "f", FindDeviceModel("L4"));
  ASSERT_TRUE(cluster.ok()) << cluster.message();
  EXPECT_EQ(cluster->nodes[0].devices[1].model, "L4");
  EXPECT_EQ(cluster->nodes[0].devices[1].memory_bytes, FindDeviceModel("L4")->memory_bytes);
  EXPECT_EQ(cluster->nodes[0].completed.back(), "device 1: model as asked for, memory");
}

TEST(ImportFile, RefusesOtherFilesByName) {
  const std::pair<const char*, std::string> cases[] = {
      {" \n", fmt::format("f: is empty{}", kExpected)},
      {"{\"gpus_per_node\": 8}",
       fmt::format("f: is a topology of TACCL, which has times and rates of an abstract node and no devices or links{}",
                   kExpected)},
      {"$ nvidia-smi topo -p2p rw\n GPU0 GPU1\n GPU0 X NS\n GPU1 NS X\n",
       "f: line 2: is what nvidia-smi topo -p2p prints, which says what GPUs may reach each other and not by what way; "
       "give what nvidia-smi topo -m prints"},
      {"{\"x\": 1}", fmt::format("f: is JSON without 'format' or 'nodes'{}", kExpected)},
      {"SwitchName=s0 Nodes=a,b\n",
       "f: is a file of Slurm's, which says what switch a node hangs from and not how its "
       "devices are joined; give a cluster file, which lists devices under 'nodes'"},
      {"$ rocm-smi\n== Weight between two GPUs ==\n GPU0 GPU1\nGPU0 0 15\nGPU1 15 0\n",
       "f: is what rocm-smi --showtopo prints, which is not read; give the file that RCCL writes where "
       "NCCL_TOPO_DUMP_FILE says"},
      {"$ nvidia-smi topo -m\nGPU0GPU1CPU Affinity\nGPU0 X NV120-95\n",
       "f: line 2: looks like what nvidia-smi topo -m prints, but the blanks between its words were lost; copy it with "
       "its tabs: nvidia-smi topo -m > matrix.txt"},
      {"```xml\n <system version=\"1\">\n  <cpu/>\n</system>\n```\n",
       "f: line 3, column 4: <cpu>: numaid: expected the number of a NUMA node"},
  };
  for (const auto& [text, message] : cases) {
    const auto cluster = ImportCluster(text, "f");
    ASSERT_FALSE(cluster.ok()) << text;
    EXPECT_EQ(cluster.message(), message);
  }
}

}  // namespace
}  // namespace mrs::cluster
