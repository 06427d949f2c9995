#include "plans/device_model.h"

#include <gtest/gtest.h>

#include "plans/cluster_nodes.h"
#include "plans/testing/tiny_plan.h"

namespace mrs {
namespace {

// What CUDA calls devices of these models.
TEST(MayBeModel, ADeviceIsWhatItCallsItself) {
  const struct {
    const char *model, *device;
  } rows[] = {{"H100-SXM", "NVIDIA H100 80GB HBM3"},
              {"H100-PCIe", "NVIDIA H100 PCIe"},
              {"H100-NVL", "NVIDIA H100 NVL"},
              {"H200-SXM", "NVIDIA H200"},
              {"A100-SXM-80GB", "NVIDIA A100-SXM4-80GB"},
              {"A100-PCIe-80GB", "NVIDIA A100 80GB PCIe"},
              {"L4", "NVIDIA L4"},
              {"L40S", "NVIDIA L40S"},
              {"B200", "NVIDIA B200"},
              {"GB200", "NVIDIA GB200"},
              {"GH200-96GB", "NVIDIA GH200 480GB"},
              {"RTX-4090", "NVIDIA GeForce RTX 4090"},
              {"RTX-4070-Ti-SUPER", "NVIDIA GeForce RTX 4070 Ti SUPER"},
              {"RTX-6000-Ada", "NVIDIA RTX 6000 Ada Generation"},
              {"RTX-PRO-6000", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"},
              {"RTX-PRO-6000-Server", "NVIDIA RTX PRO 6000 Blackwell Server Edition"}};
  for (const auto& planned : rows) {
    for (const auto& found : rows) {
      EXPECT_EQ(MayBeModel(planned.model, found.device), &planned == &found) << planned.model << ", " << found.device;
    }
  }
}

TEST(MayBeModel, SizesAreLeftToTheMemory) { EXPECT_TRUE(MayBeModel("A100-SXM-40GB", "NVIDIA A100-SXM4-80GB")); }

TEST(MayBeModel, APartOfADeviceOrALaptopsIsAnother) {
  EXPECT_FALSE(MayBeModel("H100-SXM", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"));
  EXPECT_FALSE(MayBeModel("RTX-4090", "NVIDIA GeForce RTX 4090 Laptop GPU"));
}

TEST(MayBeModel, WithoutAChipNothingIsSaid) {
  for (const char* model : {"", "EMU-2GB", "24GB", "gpu"}) EXPECT_TRUE(MayBeModel(model, "NVIDIA H200")) << model;
  EXPECT_FALSE(MayBeModel("H100-SXM", ""));
}

TEST(OtherModelText, NamesBoth) {
  plan::PlanT plan = testing::TinyPlan({.tp = 1});
  plan.cluster->description =
      "version: 1\nnodes:\n  - names: [\"a\", \"b\"]\n    devices:\n"
      "      - {kind: cuda, model: \"H100-SXM\", memory: 2GiB, ordinal: 1, socket: 0}\n"
      "      - {kind: cuda, model: \"L4\", memory: 2GiB, ordinal: 0, socket: 0}\n";
  plan.ranks[0].mutate_device(1);
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(plan::Plan::Pack(builder, &plan));
  const plan::Plan& packed = *flatbuffers::GetRoot<plan::Plan>(builder.GetBufferPointer());
  EXPECT_EQ(OtherModelText(packed, 0, "cuda:1 (NVIDIA H100 80GB HBM3)"), "");
  EXPECT_EQ(OtherModelText(packed, 0, "cuda:1 (NVIDIA A100-SXM4-80GB)"),
            "rank 0: cuda:1 (NVIDIA A100-SXM4-80GB) is another model than H100-SXM, which the plan is for: it runs as "
            "planned, but what the plan predicts and chose by rates is the other's; plan for this one (mrs-exec doctor "
            "says what it is)");
}

}  // namespace
}  // namespace mrs
