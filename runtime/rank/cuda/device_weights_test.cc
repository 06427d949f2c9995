// Weights on the emulated device are those of a CPU's rank, through buffers of any size, and every error on their way
// has its name.
#include "runtime/rank/cuda/device_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "runtime/rank/cpu/weights.h"
#include "runtime/rank/cuda/emulated_faults.h"
#include "runtime/testing/weight_cases.h"

namespace mrs {
namespace {

using testing::TestModel;

TestModel Model(const testing::TestModelConfig& config) {
  const std::string directory = ::testing::TempDir() + "/device_weights";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  TestModel model = testing::MakeTestModel(config, directory);
  testing::FuseInto(&model, {"l0.gate", "l0.up", "l0.gate"});
  testing::Repack(&model);
  return model;
}

// "" or the error; the device's bytes.
struct Loaded {
  std::string error;
  std::vector<std::byte> bytes;
};
Loaded LoadOnDevice(const TestModel& model, uint32_t rank, uint64_t buffer_bytes) {
  const std::unique_ptr<Device> device = *Device::Open(rank);
  std::vector<std::byte> bytes(StageOf(model.plan(), rank).weight_arena_bytes());
  const DeviceArena weights = *device->Allocate("weights", bytes.size());
  const Result<StreamedWeights> streamed =
      LoadDeviceWeights(model.plan(), rank, *device, weights.data(),
                        {.model_dir = model.directory, .threads = 2, .buffer_bytes = buffer_bytes});
  if (!streamed.ok()) return {.error = streamed.message(), .bytes = {}};
  EXPECT_TRUE(device->CopyOut(bytes.data(), weights.data(), bytes.size()).ok());
  EXPECT_TRUE(device->Finish().ok());
  return {.error = "", .bytes = std::move(bytes)};
}

TEST(DeviceWeights, AreThoseOfACpu) {
  ThreadPool pool(2, /*spin=*/false);
  for (const plan::DType file_dtype : {plan::DType::f32, plan::DType::bf16, plan::DType::f16}) {
    for (const plan::DType dtype : {plan::DType::f32, plan::DType::bf16}) {
      const TestModel model = Model({.tp = 2, .file_dtype = file_dtype, .dtype = dtype, .layers = 1, .ffn = 12});
      for (uint32_t rank = 0; rank < 2; ++rank) {
        const Result<LoadedWeights> expected = LoadWeights(model.plan(), rank, model.directory, pool, {});
        ASSERT_TRUE(expected.ok()) << expected.message();
        for (const uint64_t buffer_bytes : {uint64_t{1}, uint64_t{30000}, kWeightBufferBytes}) {
          const Loaded loaded = LoadOnDevice(model, rank, buffer_bytes);
          ASSERT_EQ(loaded.error, "");
          ASSERT_EQ(loaded.bytes.size(), expected->arena.size_bytes());
          EXPECT_EQ(std::memcmp(loaded.bytes.data(), expected->arena.data(), loaded.bytes.size()), 0)
              << "rank " << rank << ", buffers of " << buffer_bytes;
        }
      }
    }
  }
}

TEST(DeviceWeights, EveryFaultOnTheirWayHasItsName) {
  const TestModel model = Model({.layers = 3});
  const auto error_of = [&](const std::string& fault) {
    emulated::UseFaults(*emulated::ParseFaults(fault));
    std::string error = LoadOnDevice(model, 0, 1).error;
    emulated::UseFaults({});
    return error;
  };
  const uint64_t bytes = BuffersFor(StageOf(model.plan(), 0), PlanWeightReads(model.plan(), 0), 1).bytes;
  for (const int n : {1, 2}) {
    EXPECT_EQ(
        error_of(fmt::format("host-allocation:{}", n)),
        fmt::format("cuda:0 (emulated): no {} bytes of the host's memory, pinned, for weights on their way: out of "
                    "memory: MRS_EMULATED_FAULT=host-allocation:{} (cudaErrorMemoryAllocation)",
                    bytes, n));
  }
  const size_t copies = CutWindows(CutTiles(StageOf(model.plan(), 0), PlanWeightReads(model.plan(), 0)), bytes).size();
  ASSERT_GT(copies, 4u);
  for (size_t n = 1; n <= copies; ++n) {
    EXPECT_EQ(error_of(fmt::format("copy-in:{}", n)),
              fmt::format("cuda:0 (emulated): a copy to it failed: invalid argument: "
                          "MRS_EMULATED_FAULT=copy-in:{} (cudaErrorInvalidValue)",
                          n));
    EXPECT_EQ(error_of(fmt::format("wait:{}", n)),
              fmt::format("cuda:0 (emulated): what was launched failed: unspecified launch failure: "
                          "MRS_EMULATED_FAULT=wait:{} (cudaErrorLaunchFailure)",
                          n));
  }
  EXPECT_EQ(error_of(fmt::format("copy-in:{},host-allocation:3", copies + 1)), "");
}

}  // namespace
}  // namespace mrs
