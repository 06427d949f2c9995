// Texts of other programs are known by name, and what is given instead is said; unknown ones are not taken for any.
#include "planner/cluster/foreign_text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace mrs::cluster {
namespace {

constexpr char kMatrix[] = "; give what nvidia-smi topo -m prints";
constexpr char kRccl[] = "; give the file that RCCL writes where NCCL_TOPO_DUMP_FILE says";
constexpr char kNodes[] = "; give a cluster file, which lists devices under 'nodes'";

TEST(ForeignText, IsKnownByName) {
  const std::pair<std::string, std::string> cases[] = {
      {"==== ROCm System Management Interface ====\n",
       std::string("is what rocm-smi prints, which is not read") + kRccl},
      {"== Hops between two GPUs ==\n", std::string("is what rocm-smi --showtopo prints, which is not read") + kRccl},
      {"$ amd-smi topology\nLINK TYPE TABLE:\n",
       std::string("is what amd-smi topology prints, which is not read") + kRccl},
      {"[{\"links\": [{\"link_status\": \"ENABLED\"}]}]",
       std::string("is what amd-smi topology --json prints, which is not read") + kRccl},
      {"           GPU 0/0  GPU 1/0\n",
       std::string("is what xpu-smi topology -m prints, of GPUs that are not planned for") + kNodes},
      {"NPU0 NPU1\nNPU0 X HCCS\n",
       std::string("is what npu-smi info -t topo prints, of devices that are not planned for") + kNodes},
      {"| GPU ID: 0 | Topology Information |\n",
       std::string("is what dcgmi topo prints, which has the ways from one GPU or of a group alone") + kMatrix},
      {"a:1:2 [0] NCCL INFO CPU/0\n",
       "is a log of NCCL's, which has a part of the topology alone; give the file that NCCL writes where "
       "NCCL_TOPO_DUMP_FILE says"},
      {"GPU 0: NVIDIA L4 (UUID: GPU-1)\n\t Link 0: 25 GB/s\n",
       std::string("is what nvidia-smi -L or nvlink -s prints, which does not say what is joined to what") + kMatrix},
      {"NVIDIA-SMI has failed because\n",
       std::string("is what nvidia-smi prints where it reaches no driver") + kMatrix},
      {"+---+\n| NVIDIA-SMI 535.1 |\n",
       std::string("is what nvidia-smi prints, which does not say how devices are joined") + kMatrix},
      {"# c\n nodename=a Gres=gpu:8\n",
       std::string(
           "is a file of Slurm's, which says what switch a node hangs from and not how its devices are joined") +
           kNodes},
      {"Machine (252GB total)\n", std::string("is a drawing of lstopo (hwloc), which is not read") + kMatrix},
      {"01:00.0 3D controller: A\n",
       std::string("is what lspci prints, which does not say how devices are joined") + kMatrix},
      {"available: 1 nodes (0)\nnode distances:\n",
       "is what numactl -H prints, which has the sockets alone; give what mrs-exec doctor --json prints there"},
      {"a slots=8\nb slots=8\n", std::string("is a hostfile, which has names and counts alone") + kNodes},
  };
  for (const auto& [text, message] : cases) EXPECT_EQ(ForeignText(text).value_or("unknown"), message) << text;
}

TEST(ForeignText, OtherTextIsNot) {
  for (const char* text : {"", "hello\n", "a Machine (1)\n", "GPU0 GPU1\nGPU0 X NV4\n", "machine\n"}) {
    EXPECT_FALSE(ForeignText(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace mrs::cluster
