// What a rank says of a device that has less memory than its plan takes. Numbers are made up, texts are whole.
#include "runtime/rank/cuda/device_memory.h"

#include <gtest/gtest.h>

#include "runtime/testing/llama_plan.h"

namespace mrs {
namespace {

using plan::KvKind;
using testing::TestModel;

// Needs 9,000 bytes: 8 blocks of 1,000, of which a sequence has 4, and 1,000 beside.
TestModel Made() {
  TestModel model = testing::MakeTestModel({}, ::testing::TempDir());
  plan::StageT& stage = *model.tree.stages[0];
  stage.weight_arena_bytes = 700;
  stage.activation_arena_bytes = 200;
  stage.workspace_bytes = 60;
  stage.graphs_bytes = 30;
  stage.communicators_bytes = 10;
  stage.kv_classes = {plan::KvClass(8, 1000, 0, 0, 0, 32, 2, 2, 16, 16, 4, plan::DType::f32, KvKind::full)};
  stage.kv_arena_bytes = 8000;
  model.tree.cluster->memory_bytes = {20000};
  Repack(&model);
  return model;
}

std::string Said(const TestModel& model, uint64_t free_bytes) {
  return CheckFreeMemory(model.plan(), 0, "cuda:0 (a GPU)", free_bytes).message();
}
constexpr const char* kNeeds =
    "rank 0: needs 9000 bytes of cuda:0 (a GPU) (weights 700, KV 8000, activations 200, CUDA 100 (workspace 60, graphs "
    "30, communicators 10)), but ";

TEST(DeviceMemory, AsMuchAsThePlanTakesIsEnough) {
  const TestModel model = Made();
  EXPECT_TRUE(CheckFreeMemory(model.plan(), 0, "cuda:0 (a GPU)", 9000).ok());
  EXPECT_TRUE(CheckFreeMemory(model.plan(), 0, "cuda:0 (a GPU)", UINT64_MAX).ok());
  EXPECT_FALSE(CheckFreeMemory(model.plan(), 0, "cuda:0 (a GPU)", 8999).ok());
}

TEST(DeviceMemory, WithLessFreeItSaysHowManyBlocksWouldFit) {
  const TestModel model = Made();
  const std::string end = "; end what else uses the device, or plan anew with mrs-plan build --memory ";
  EXPECT_EQ(Said(model, 8999),
            kNeeds + ("8999 are free now, in which about 7 of its 8 KV blocks would fit" + end + "8999"));
  EXPECT_EQ(Said(model, 5000),
            kNeeds + ("5000 are free now, in which about 4 of its 8 KV blocks would fit" + end + "5000"));
}

TEST(DeviceMemory, WhereNoSequenceWouldFitItSaysSo) {
  const TestModel model = Made();
  EXPECT_EQ(
      Said(model, 4999),
      std::string(kNeeds) +
          "4999 are free now, in which about 3 of its 8 KV blocks would fit, and a sequence of 128 tokens takes "
          "4000 bytes; end what else uses the device, or plan anew with mrs-plan build --memory 4999 and a smaller "
          "--max-len");
  for (const uint64_t free_bytes : {1000, 0}) {
    EXPECT_EQ(Said(model, free_bytes),
              std::string(kNeeds) + std::to_string(free_bytes) +
                  " are free now, and without any KV block it needs 1000; end what else uses the device, or plan for "
                  "more ranks (mrs-plan build --tp, --pp)");
  }
}

// Half of the cache is half of either class's blocks.
TEST(DeviceMemory, OfSeveralKindsOfCacheItSaysEach) {
  TestModel model = Made();
  plan::StageT& stage = *model.tree.stages[0];
  stage.kv_classes = {plan::KvClass(8, 700, 0, 0, 0, 32, 1, 2, 16, 16, 4, plan::DType::f32, KvKind::full),
                      plan::KvClass(4, 600, 40, 0, 0, 32, 1, 2, 16, 16, 2, plan::DType::f32, KvKind::window)};
  Repack(&model);
  EXPECT_EQ(Said(model, 5000), kNeeds + std::string("5000 are free now, in which about 4 of its 8 KV blocks and 2 of "
                                                    "its 4 KV blocks of window 40 would fit; end what else uses the "
                                                    "device, or plan anew with mrs-plan build --memory 5000"));
  EXPECT_EQ(Said(model, 4999).substr(0, Said(model, 4999).find("; ")),
            kNeeds + std::string("4999 are free now, in which about 3 of its 8 KV blocks and 1 of its 4 KV blocks of "
                                 "window 40 would fit, and a sequence of 128 tokens takes 4000 bytes"));
}

TEST(DeviceMemory, ADeviceIsAsLargeAsThePlanTakesItFor) {
  TestModel model = Made();
  EXPECT_TRUE(CheckTotalMemory(model.plan(), 0, "cuda:0 (a GPU)", 20000).ok());
  EXPECT_EQ(CheckTotalMemory(model.plan(), 0, "cuda:0 (a GPU)", 19999).message(),
            "rank 0: the plan uses up to 20000 bytes of its device, and cuda:0 (a GPU) has 19999: it is another one "
            "than the plan is for; run on a node that the plan is for, or plan for this one (mrs-exec doctor says what "
            "it has)");
  model.tree.cluster->memory_bytes = {};  // it is not said
  Repack(&model);
  EXPECT_TRUE(CheckTotalMemory(model.plan(), 0, "cuda:0 (a GPU)", 1).ok());
}

}  // namespace
}  // namespace mrs
