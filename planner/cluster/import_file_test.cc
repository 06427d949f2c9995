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
      {"{\"x\": 1}", fmt::format("f: is JSON without 'format' or 'nodes'{}", kExpected)},
      {"SwitchName=s0 Nodes=a,b\n", fmt::format("f: is a file of Slurm's, which says what switch a node hangs from and "
                                                "not how its devices are joined{}",
                                                kExpected)},
  };
  for (const auto& [text, message] : cases) {
    const auto cluster = ImportCluster(text, "f");
    ASSERT_FALSE(cluster.ok()) << text;
    EXPECT_EQ(cluster.message(), message);
  }
}

}  // namespace
}  // namespace mrs::cluster
