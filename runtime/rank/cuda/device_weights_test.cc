// Weights on the emulated device are those of a CPU's rank, through buffers of any size, and every error on their way
// has its name.
#include "runtime/rank/cuda/device_weights.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cstring>
#include <filesystem>

#include "plans/encoding.h"
#include "runtime/rank/cpu/weights.h"
#include "runtime/rank/cuda/emulated_faults.h"
#include "runtime/testing/weight_cases.h"

namespace mrs {
namespace {

using testing::TestModel;

// Matrices in lanes, or in rows, which are of bf16.
TestModel Model(const testing::TestModelConfig& config, plan::EncodingKind encoding = plan::EncodingKind::packed) {
  const std::string directory = ::testing::TempDir() + "/device_weights";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  TestModel model = testing::MakeTestModel(config, directory);
  testing::FuseInto(&model, {"l0.gate", "l0.up", "l0.gate"});
  model.tree.encodings[kMatrixEncoding]->kind = encoding;
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

void ExpectThoseOfACpu(const TestModel& model, uint64_t buffer_bytes) {
  ThreadPool pool(2, /*spin=*/false);
  for (uint32_t rank = 0; rank < model.config.tp; ++rank) {
    const Result<LoadedWeights> expected = LoadWeights(model.plan(), rank, model.directory, pool, {});
    ASSERT_TRUE(expected.ok()) << expected.message();
    const Loaded loaded = LoadOnDevice(model, rank, buffer_bytes);
    ASSERT_EQ(loaded.error, "");
    ASSERT_EQ(loaded.bytes.size(), expected->arena.size_bytes());
    EXPECT_EQ(std::memcmp(loaded.bytes.data(), expected->arena.data(), loaded.bytes.size()), 0)
        << "rank " << rank << ", buffers of " << buffer_bytes;
  }
}

TEST(DeviceWeights, AreThoseOfACpu) {
  for (const plan::DType file_dtype : {plan::DType::f32, plan::DType::bf16, plan::DType::f16}) {
    for (const plan::DType dtype : {plan::DType::f32, plan::DType::bf16}) {
      for (const plan::EncodingKind encoding : {plan::EncodingKind::packed, plan::EncodingKind::rows}) {
        if (FindEncoding(encoding, dtype) == nullptr) continue;
        // In rows, those of 64 elements lie as in the file; those of 48 have padding.
        for (const uint32_t hidden : {48u, 64u}) {
          const TestModel model = Model(
              {.tp = 2, .file_dtype = file_dtype, .dtype = dtype, .layers = 1, .hidden = hidden, .ffn = 12}, encoding);
          for (const uint64_t bytes : {uint64_t{1}, uint64_t{6000}, kWeightBufferBytes})
            ExpectThoseOfACpu(model, bytes);
        }
      }
    }
  }
}

TEST(DeviceWeights, HaveOneAddedWhereThePlanSaysSo) {
  for (const plan::DType file_dtype : {plan::DType::f32, plan::DType::bf16}) {
    TestModel model = Model({.file_dtype = file_dtype, .layers = 1});
    for (plan::WeightSource& source : model.tree.stages[0]->sources) {
      if (source.tensor_columns() == 1) source.mutate_transform(plan::Transform::add_one);
    }
    testing::Repack(&model);
    for (const uint64_t bytes : {uint64_t{1}, kWeightBufferBytes}) ExpectThoseOfACpu(model, bytes);
  }
}

// How a model's weights come where buffers are as small as can be.
struct Ways {
  uint64_t windows = 0, copies = 0, launches = 0;
};
Ways WaysOf(const TestModel& model, bool rows_lie_as_they_are) {
  const std::vector<WeightRead> reads = PlanWeightReads(model.plan(), 0);
  Ways ways;
  for (const WeightWindow& window :
       CutWindows(reads, CutTiles(StageOf(model.plan(), 0), reads), BuffersFor(reads, 1).bytes)) {
    ++ways.windows;
    for (const WeightRun& run : window.runs) {
      const bool is_vector = reads[run.read].encoding == plan::EncodingKind::dense;
      ++(is_vector != rows_lie_as_they_are ? ways.copies : ways.launches);
    }
  }
  return ways;
}
std::string ErrorOf(const TestModel& model, const std::string& fault) {
  emulated::UseFaults(*emulated::ParseFaults(fault));
  std::string error = LoadOnDevice(model, 0, 1).error;
  emulated::UseFaults({});
  return error;
}

// Vectors of f32 lie as in a file of it, and so do matrices in rows of bf16, where they need no padding, as in a file
// of that.
TEST(DeviceWeights, AreCopiedWhereTheyLieAsInTheFile) {
  const auto expect = [](const TestModel& model, const Ways& ways) {
    ASSERT_GT(ways.copies, 4u);
    ASSERT_GT(ways.launches, 4u);
    EXPECT_NE(ErrorOf(model, fmt::format("copy-in:{}", ways.copies)), "");
    EXPECT_NE(ErrorOf(model, fmt::format("launch:{}", ways.launches)), "");
    EXPECT_EQ(ErrorOf(model, fmt::format("copy-in:{},launch:{}", ways.copies + 1, ways.launches + 1)), "");
  };
  const TestModel lanes = Model({.layers = 2});
  expect(lanes, WaysOf(lanes, false));
  const TestModel rows = Model({.file_dtype = plan::DType::bf16,
                                .dtype = plan::DType::bf16,
                                .layers = 2,
                                .hidden = 512,
                                .heads = 32,
                                .ffn = 512},
                               plan::EncodingKind::rows);
  expect(rows, WaysOf(rows, true));
}

TEST(DeviceWeights, EveryFaultOnTheirWayHasItsName) {
  const TestModel model = Model({.layers = 3});
  const uint64_t bytes = BuffersFor(PlanWeightReads(model.plan(), 0), 1).bytes;
  for (const int n : {1, 2}) {
    EXPECT_EQ(
        ErrorOf(model, fmt::format("host-allocation:{}", n)),
        fmt::format("cuda:0 (emulated): no {} bytes of the host's memory, pinned, for weights on their way: out of "
                    "memory: MRS_EMULATED_FAULT=host-allocation:{} (cudaErrorMemoryAllocation)",
                    bytes, n));
  }
  const Ways ways = WaysOf(model, false);
  ASSERT_GT(ways.windows, 4u);
  for (uint64_t n = 1; n <= ways.copies; ++n) {
    EXPECT_EQ(ErrorOf(model, fmt::format("copy-in:{}", n)),
              fmt::format("cuda:0 (emulated): a copy to it failed: invalid argument: "
                          "MRS_EMULATED_FAULT=copy-in:{} (cudaErrorInvalidValue)",
                          n));
  }
  for (uint64_t n = 1; n <= ways.launches; ++n) {
    EXPECT_EQ(ErrorOf(model, fmt::format("launch:{}", n)),
              fmt::format("cuda:0 (emulated): a kernel could not be launched: too many resources requested for launch: "
                          "MRS_EMULATED_FAULT=launch:{} (cudaErrorLaunchOutOfResources)",
                          n));
  }
  for (uint64_t n = 1; n <= ways.windows; ++n) {
    EXPECT_EQ(ErrorOf(model, fmt::format("wait:{}", n)),
              fmt::format("cuda:0 (emulated): what was launched failed: unspecified launch failure: "
                          "MRS_EMULATED_FAULT=wait:{} (cudaErrorLaunchFailure)",
                          n));
  }
  EXPECT_EQ(ErrorOf(model, fmt::format("copy-in:{},launch:{},host-allocation:3", ways.copies + 1, ways.launches + 1)),
            "");
}

}  // namespace
}  // namespace mrs
