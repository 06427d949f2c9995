// The driver as it answers, fails, hangs and crashes: by a library that stands for it (testing/fake_driver.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/probe/gpus.h"
#include "host/probe/in_child.h"
#include "host/probe/testing/fake_tree.h"

namespace mrs::probe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kLong = std::chrono::seconds(60);

class Gpus : public ::testing::Test {
 protected:
  void SetUp() override { Forget(); }
  void TearDown() override { Forget(); }

  static GpusFacts Read(const char* scenario, std::chrono::milliseconds limit = kLong, const std::string& root = "") {
    setenv("FAKE_DRIVER", scenario, 1);
    return ReadGpus({.nvml = MRS_FAKE_DRIVER, .cuda = MRS_FAKE_DRIVER}, limit, root);
  }

 private:
  static void Forget() {
    for (const char* name : {"FAKE_DRIVER", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"}) unsetenv(name);
  }
};

TEST_F(Gpus, SayAllThatIsAsked) {
  const std::string place = "/sys/devices/pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:00.0/0000:18:00.0";
  const FakeTree host({{place + "/numa_node", "0\n"}}, {{"/sys/bus/pci/devices/0000:18:00.0", place}});
  const GpusFacts facts = Read("sound", kLong, host.root());
  EXPECT_EQ(facts.child, "");
  EXPECT_EQ(facts.nvml.error + facts.cuda.error, "");
  EXPECT_EQ(facts.driver_version, "580.95.05");
  EXPECT_EQ(facts.cuda_version, 13000);
  ASSERT_EQ(facts.devices.size(), 2u);
  const GpuFacts& gpu = facts.devices[0];
  EXPECT_EQ(gpu.name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(gpu.uuid, "GPU-00000000-0000-0000-0000-000000000000");
  EXPECT_EQ(gpu.bus_id, "0000:18:00.0");
  EXPECT_EQ(gpu.memory_total_bytes, 85520809984u);
  EXPECT_EQ(gpu.memory_free_bytes, 84900000000u);
  EXPECT_EQ(gpu.compute_major * 10 + gpu.compute_minor, 90);
  EXPECT_EQ(gpu.pcie_gen, 1u);
  EXPECT_EQ(gpu.pcie_gen_max, 5u);
  EXPECT_EQ(gpu.pcie_width, 16u);
  EXPECT_EQ(gpu.pcie_width_max, 16u);
  EXPECT_EQ(gpu.mig, false);
  EXPECT_EQ(gpu.compute_mode, 0);
  EXPECT_EQ(gpu.fabric_state, 3);
  EXPECT_EQ(gpu.place.numa, 0);
  EXPECT_THAT(gpu.place.path, ElementsAre("pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:00.0"));
  ASSERT_EQ(gpu.nvlinks.size(), 4u);
  EXPECT_EQ(gpu.nvlinks[2].link, 2);
  EXPECT_TRUE(gpu.nvlinks[2].active);
  EXPECT_EQ(gpu.nvlinks[2].remote, NvlinkFacts::Remote::kSwitch);
  EXPECT_EQ(gpu.nvlinks[2].bus_id, "0000:07:00.0");
  EXPECT_EQ(gpu.nvlinks[2].megabytes, 26562u);
  EXPECT_EQ(facts.devices[1].bus_id, "0000:2a:00.0");
  EXPECT_THAT(facts.devices[1].place.path, IsEmpty());
  ASSERT_EQ(facts.visible.size(), 2u);
  EXPECT_EQ(facts.visible[1].ordinal, 1);
  EXPECT_EQ(facts.visible[1].bus_id, "0000:2a:00.0");
  EXPECT_EQ(facts.visible[1].uuid, "GPU-00000001-0000-0000-0000-000000000000");
  EXPECT_EQ(facts.visible[1].memory_total_bytes, 85017624576u);
}

TEST_F(Gpus, SayWhetherTheirMemoryIsSound) {
  const auto of = [](const GpusFacts& facts, size_t gpu) {
    const EccFacts& ecc = facts.devices.at(gpu).ecc;
    return std::tuple(ecc.enabled, ecc.uncorrected, ecc.remap_pending, ecc.remap_failed);
  };
  using Ecc = std::tuple<std::optional<bool>, std::optional<uint64_t>, std::optional<bool>, std::optional<bool>>;
  EXPECT_EQ(of(Read("sound"), 0), Ecc(true, 0, false, false));
  EXPECT_EQ(of(Read("ecc off"), 0), Ecc(false, std::nullopt, false, false));
  EXPECT_EQ(of(Read("no ecc"), 0), Ecc());
  const GpusFacts facts = Read("memory errors");
  EXPECT_EQ(of(facts, 0), Ecc(true, 0, false, true));
  EXPECT_EQ(of(facts, 1), Ecc(true, 5000000000, true, false));
}

TEST_F(Gpus, SayTheirLinksToTheCpu) {
  EXPECT_THAT(Read("sound").devices.at(0).c2c, IsEmpty());
  const GpusFacts facts = Read("grace");
  const std::vector<C2cFacts>& links = facts.devices.at(1).c2c;
  ASSERT_EQ(links.size(), 3u);
  EXPECT_TRUE(links[1].active);
  EXPECT_EQ(links[1].megabytes, 44712u);
  EXPECT_EQ(links[2].link, 2);
  EXPECT_FALSE(links[2].active);
  EXPECT_EQ(links[2].megabytes, 0u);
}

TEST_F(Gpus, SayWhichFabricTheyShareWithOtherHosts) {
  EXPECT_EQ(Read("sound").devices.at(0).fabric_cluster, "");
  const GpusFacts facts = Read("grace");
  EXPECT_EQ(facts.devices.at(0).fabric_cluster, "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf");
  EXPECT_EQ(facts.devices.at(0).fabric_clique, 32766u);
}

TEST_F(Gpus, AreNumberedAsCudaSeesThem) {
  setenv("CUDA_VISIBLE_DEVICES", "1,0", 1);
  const GpusFacts facts = Read("sound");
  EXPECT_EQ(facts.visible_devices, "1,0");
  ASSERT_EQ(facts.visible.size(), 2u);
  EXPECT_EQ(facts.visible[0].bus_id, facts.devices[1].bus_id);
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_THAT(Read("sound").visible, IsEmpty());
}

TEST_F(Gpus, OfNoDriverAreNone) {
  const GpusFacts facts = ReadGpus({.nvml = "/nowhere/libnvidia-ml.so.1", .cuda = "/nowhere/libcuda.so.1"}, kLong);
  EXPECT_EQ(facts.child, "");
  EXPECT_FALSE(facts.nvml.found || facts.cuda.found);
  EXPECT_THAT(facts.cuda.error, HasSubstr("/nowhere/libcuda.so.1: cannot open shared object file"));
  EXPECT_THAT(facts.devices, IsEmpty());
}

TEST_F(Gpus, OfALibraryThatLacksCallsSaySo) {
  const GpusFacts facts = ReadGpus({.nvml = "libm.so.6", .cuda = "libm.so.6"}, kLong);
  EXPECT_EQ(facts.nvml.error, "nvmlInit_v2: NVML_ERROR_FUNCTION_NOT_FOUND (13)");
  EXPECT_EQ(facts.cuda.error, "cuInit: a CUDA error (500)");
}

TEST_F(Gpus, SayByNameWhatTheDriverRefuses) {
  GpusFacts facts = Read("not loaded");
  EXPECT_EQ(facts.nvml.error, "nvmlInit_v2: NVML_ERROR_DRIVER_NOT_LOADED (9): Driver Not Loaded");
  EXPECT_EQ(facts.nvml.code, 9);
  EXPECT_EQ(facts.cuda.error, "cuInit: CUDA_ERROR_NO_DEVICE (100): said by the driver");
  EXPECT_EQ(facts.cuda.code, 100);
  facts = Read("lost");
  ASSERT_EQ(facts.devices.size(), 2u);
  EXPECT_EQ(facts.devices[1].error, "NVML_ERROR_GPU_IS_LOST (15): GPU is lost");
  EXPECT_EQ(facts.devices[0].error, "");
}

TEST_F(Gpus, WhoseMemoryCannotBeAskedForAreFaulty) {
  const GpusFacts facts = Read("falls off the bus");
  EXPECT_EQ(facts.devices[1].error, "nvmlDeviceGetMemoryInfo: NVML_ERROR_GPU_IS_LOST (15): GPU is lost");
  EXPECT_EQ(facts.devices[0].error, "");
}

// What was learnt before is kept.
TEST_F(Gpus, WhoseDriverHangsAreLeftAtTheDeadline) {
  GpusFacts facts = Read("cuInit hangs", std::chrono::milliseconds(3000));
  EXPECT_EQ(facts.child, "no answer within 3 s in cuInit");
  EXPECT_TRUE(facts.hung);
  EXPECT_EQ(facts.devices.size(), 2u);
  EXPECT_THAT(facts.visible, IsEmpty());
  facts = Read("hangs", std::chrono::milliseconds(500));
  EXPECT_THAT(facts.child, HasSubstr("no answer within 0.5 s in "));
  EXPECT_THAT(facts.devices, IsEmpty());
}

TEST_F(Gpus, WhoseDriverCrashesTakeTheChildAlone) {
  const GpusFacts facts = Read("crashes");
  EXPECT_THAT(facts.child, HasSubstr(" in nvmlDeviceGetName"));
  EXPECT_FALSE(facts.hung);
  ASSERT_EQ(facts.devices.size(), 2u);
  EXPECT_EQ(facts.devices[0].name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(facts.devices[1].name, "");
}

TEST_F(Gpus, AreBounded) {
  const GpusFacts facts = Read("many");
  EXPECT_EQ(facts.nvml.count, 100u);
  EXPECT_EQ(facts.devices.size(), static_cast<size_t>(kMaxGpus));
  EXPECT_EQ(facts.visible.size(), static_cast<size_t>(kMaxGpus));
}

TEST_F(Gpus, OfAStrangeNameAreShownPlainly) { EXPECT_EQ(Read("strange name").devices[0].name, "a??[31m?"); }

TEST(PlainBusIds, AreOfTheKernelsForm) {
  EXPECT_EQ(PlainBusId("00000000:2A:00.0"), "0000:2a:00.0");
  EXPECT_EQ(PlainBusId("0000:2A:00.0"), "0000:2a:00.0");
  EXPECT_EQ(PlainBusId("00010000:2A:00.0"), "10000:2a:00.0");
  EXPECT_EQ(PlainBusId("nonsense"), "");
  EXPECT_EQ(PlainBusId(""), "");
}

TEST(Child, SaysHowItEnded) {
  EXPECT_EQ(RunInChild([] {}, kLong).how, ChildEnd::How::kDone);
  EXPECT_EQ(RunInChild([] { _exit(7); }, kLong).why, "exit code 7");
  EXPECT_EQ(RunInChild([] { throw 1; }, kLong).why, "exit code 3");
  const ChildEnd killed = RunInChild([] { kill(getpid(), SIGKILL); }, kLong);
  EXPECT_EQ(killed.how, ChildEnd::How::kCrashed);
  EXPECT_EQ(killed.why, "signal 9 (Killed)");
  SharedRecord<int> record;
  RunInChild([&record] { *record.get() = 42; }, kLong);
  EXPECT_EQ(*record.get(), 42);
}

}  // namespace
}  // namespace mrs::probe
