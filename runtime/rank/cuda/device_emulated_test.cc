// The emulated device: what it refuses as a device does, what it ends the program for, and the errors that tests ask
// it for. Its own tests: nothing here is of CUDA.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/stream.h"
#include "kernels/cuda/exact.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs {
namespace {

using emulated::ParseFaults;
using kernels::Chain;
using kernels::ScaleArgs;
using kernels::Type;

struct Asked {
  explicit Asked(const char* faults) { emulated::UseFaults(*ParseFaults(faults)); }
  ~Asked() { emulated::UseFaults({}); }
};

// ---- What a test may ask for ----

TEST(EmulatedFaults, EachIsRead) {
  const auto faults = ParseFaults("launch:17,allocation:3@1,device-memory:3MiB,free-memory:2MiB,order:9,count:/tmp/x");
  ASSERT_TRUE(faults.ok()) << faults.message();
  ASSERT_EQ(faults->faults.size(), 2u);
  EXPECT_EQ(faults->faults[0].point, emulated::Point::kLaunch);
  EXPECT_EQ(faults->faults[0].number, 17u);
  EXPECT_FALSE(faults->faults[0].device);
  EXPECT_EQ(faults->faults[1].device, 1u);
  EXPECT_EQ(faults->device_bytes, uint64_t{3} << 20);
  EXPECT_EQ(faults->free_bytes, uint64_t{2} << 20);
  EXPECT_EQ(faults->order_seed, 9u);
  EXPECT_EQ(faults->count_file, "/tmp/x");
  EXPECT_EQ(ParseFaults("")->faults.size(), 0u);
  for (size_t i = 0; i < emulated::kPointNames.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(ParseFaults(fmt::format("{}:1", emulated::kPointNames[i]))->faults[0].point), i);
  }
}

TEST(EmulatedFaults, WhatIsNoneIsRefused) {
  const std::pair<const char*, const char*> rows[] = {
      {"launch", "'launch': expected launch:NUMBER, from 1"},
      {"launch:0", "'launch:0': expected launch:NUMBER, from 1"},
      {"launch:-1", "'launch:-1': expected launch:NUMBER, from 1"},
      {"launch:18446744073709551616", "'launch:18446744073709551616': expected launch:NUMBER, from 1"},
      {"launch:1@", "'launch:1@': expected a device's number after @"},
      {"launch:1@x", "'launch:1@x': expected a device's number after @"},
      {"missing-dependency:x", "'missing-dependency:x': expected missing-dependency:NUMBER, from 1"},
      {"order:0", "'order:0': expected order:SEED, a number from 1"},
      {"device-memory:1TiB",
       "'device-memory:1TiB': expected device-memory:BYTES, up to 1024GiB, in KiB, MiB, GiB or "
       "none"},
      {"device-memory:99999999999GiB",
       "'device-memory:99999999999GiB': expected device-memory:BYTES, up to 1024GiB, "
       "in KiB, MiB, GiB or none"},
      {"free-memory:1TiB", "'free-memory:1TiB': expected free-memory:BYTES, up to 1024GiB, in KiB, MiB, GiB or none"},
      {"free-memory:5MiB,device-memory:4MiB",
       "free-memory: 5242880 bytes of a device that has 4194304: expected no more than those (device-memory:)"},
      {"lunch:1",
       "'lunch:1': expected POINT:NUMBER[@DEVICE] of open, use, memory-query, identity, allocation, "
       "host-allocation, copy-in, copy-out, copy-within, launch, mark, capture, "
       "capture-invalidated, instantiate, graph-launch, wait, nccl-open, nccl-version, nccl-id, nccl-init, nccl-hang, "
       "nccl-call, nccl-async, nccl-lost, ipc-export, ipc-open, ipc-astray, cublaslt-open, cublaslt-version, "
       "cublaslt-create, cublaslt-choose, cublaslt-multiply, or device-memory:, free-memory:, order:, "
       "missing-dependency: or count:"},
      {",",
       "'': expected POINT:NUMBER[@DEVICE] of open, use, memory-query, identity, allocation, host-allocation, copy-in, "
       "copy-out, copy-within, launch, mark, capture, capture-invalidated, instantiate, graph-launch, "
       "wait, "
       "nccl-open, nccl-version, nccl-id, nccl-init, nccl-hang, nccl-call, nccl-async, nccl-lost, "
       "ipc-export, ipc-open, ipc-astray, cublaslt-open, cublaslt-version, cublaslt-create, cublaslt-choose, "
       "cublaslt-multiply, or device-memory:, free-memory:, order:, missing-dependency: or count:"},
  };
  for (const auto& [text, said] : rows) {
    const auto faults = ParseFaults(text);
    ASSERT_FALSE(faults.ok()) << text;
    EXPECT_EQ(faults.message(), std::string("MRS_EMULATED_FAULT: ") + said);
  }
  std::string many = "wait:1";
  for (int i = 0; i < 64; ++i) many += ",wait:1";
  EXPECT_EQ(ParseFaults(many).message(), "MRS_EMULATED_FAULT: more than 64 faults");
}

// ---- A device with two stretches, and a kernel ----

struct Host {
  explicit Host(uint32_t ordinal = 0) : device(*Device::Open(ordinal)) {}
  std::unique_ptr<Device> device;
  DeviceArena from = *device->Allocate("from", 40), to = *device->Allocate("to", 40);
  DeviceArena pinned = *device->AllocateHost("pinned", 40);

  static ScaleArgs Twice(const DeviceArena& x, const DeviceArena& y) {
    ScaleArgs args{};
    args.x = reinterpret_cast<float*>(x.data());
    args.y = y.data();
    args.factor = 2;
    args.rows = 1;
    args.width = 10;
    args.out = Type::kF32;
    return args;
  }
  Status Scale(const DeviceArena& x, const DeviceArena& y, void* stream = nullptr) {
    const auto& kernels = kernels::cuda::ExactKernels(Chain::kPair2);
    return device->Launched(kernels.scale(Twice(x, y), stream == nullptr ? device->stream() : stream));
  }
  void Set(float value) {
    const std::vector<float> values(10, value);
    ASSERT_TRUE(device->CopyIn(from.data(), values.data(), 40).ok());
  }
  float First(const DeviceArena& arena) {
    float value = 0;
    EXPECT_TRUE(device->CopyOut(&value, arena.data(), 4).ok());
    return value;
  }
};

constexpr const char* kInvalid = "invalid argument: ";

TEST(EmulatedDevice, CopiesAreRefusedOutsideWhatWasAllocated) {
  Host host;
  int word = 0;
  Device& device = *host.device;
  std::byte* const from = host.from.data();
  const std::pair<Status, std::string> rows[] = {
      {device.CopyIn(&word, from, 4), "a copy to it failed: "},
      {device.CopyIn(from + 38, &word, 4), "to 4 bytes at byte 38 of 'allocation 1', which has 40"},
      {device.CopyIn(from + 40, &word, 1), "to 1 bytes at byte 40 of 'allocation 1', which has 40"},
      {device.CopyIn(from, &word, UINT64_MAX),
       "to 18446744073709551615 bytes at byte 0 of 'allocation 1', which has 40"},
      {device.CopyIn(from, host.to.data(), 4), "from 'allocation 2' is a device's, not the host's"},
      {device.CopyIn(from, host.pinned.data() + 37, 4), "from 4 bytes at byte 37 of 'host allocation 1', which has 40"},
      {device.CopyIn(host.pinned.data(), &word, 4), "to 'host allocation 1' is the host's"},
      {device.CopyOut(host.to.data(), from, 4), "to 'allocation 2' is a device's, not the host's"},
      {device.CopyOut(&word, from + 37, 4), "from 4 bytes at byte 37 of 'allocation 1', which has 40"},
      {device.CopyWithin(host.to.data(), host.pinned.data(), 4), "from 'host allocation 1' is the host's"},
      {device.CopyWithin(host.to.data(), from, 41), "to 41 bytes at byte 0 of 'allocation 2', which has 40"},
  };
  for (const auto& [status, said] : rows) {
    ASSERT_FALSE(status.ok()) << said;
    EXPECT_NE(status.message().find(kInvalid), std::string::npos) << status.message();
    EXPECT_NE(status.message().find(said), std::string::npos) << status.message() << "\n" << said;
  }
  EXPECT_TRUE(device.CopyIn(nullptr, nullptr, 0).ok());
  EXPECT_TRUE(device.CopyWithin(host.to.data(), from, 40).ok());
}

TEST(EmulatedDevice, WhatWasFreedIsRefused) {
  Host host;
  int word = 0;
  Result<DeviceArena> arena = host.device->Allocate("a batch", 40);
  const std::byte* const freed = arena->data();
  const ScaleArgs args = Host::Twice(*arena, host.to);
  *arena = DeviceArena();
  EXPECT_EQ(
      host.device->CopyOut(&word, freed, 4).message(),
      "cuda:0 (emulated): a copy from it failed: invalid argument: from 4 bytes of 'allocation 3', which was freed "
      "(cudaErrorInvalidValue)");
  const auto& kernels = kernels::cuda::ExactKernels(Chain::kPair2);
  EXPECT_EQ(host.device->Launched(kernels.scale(args, host.device->stream())).message(),
            "cuda:0 (emulated): a kernel could not be launched: an illegal memory access was encountered: an argument "
            "points to 'allocation 3', which was freed (cudaErrorIllegalAddress)");
}

TEST(EmulatedDevice, MemoryIsAsMuchAsItHas) {
  const Asked asked("device-memory:1KiB");
  const std::unique_ptr<Device> device = *Device::Open(3);
  EXPECT_EQ(*device->FreeBytes(), 1024u);
  const DeviceArena first = *device->Allocate("first", 1000);
  EXPECT_EQ(*device->FreeBytes(), 24u);
  EXPECT_EQ(device->Allocate("second", 25).message(),
            "cuda:3 (emulated): no 25 bytes of memory for second: out of memory: 1000 of 1024 are taken "
            "(cudaErrorMemoryAllocation)");
  EXPECT_EQ(device->Allocate("second", UINT64_MAX).message(),
            "cuda:3 (emulated): no 18446744073709551615 bytes of memory for second: out of memory: 1000 of 1024 "
            "are taken (cudaErrorMemoryAllocation)");
  EXPECT_TRUE(device->Allocate("second", 24).ok());
  EXPECT_TRUE(device->AllocateHost("the host's", 4096).ok());
}

TEST(EmulatedDevice, EachHasAnIdentityOfItsOwn) {
  std::set<std::pair<std::array<std::byte, 16>, std::string>> seen;
  for (const uint32_t ordinal : {0u, 1u, 255u, 256u, 0u}) {
    const DeviceIdentity identity = *(*Device::Open(ordinal))->Identity();
    seen.emplace(identity.uuid, identity.bus_id);
  }
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ((*Device::Open(0x117))->Identity()->bus_id, "0001:17:00.0");
  const auto device = *Device::Open(0);
  const DeviceIdentity here = *device->Identity();
  setenv("NCCL_HOSTID", "another", 1);
  const DeviceIdentity there = *device->Identity();
  unsetenv("NCCL_HOSTID");
  EXPECT_NE(there.uuid, here.uuid);
  EXPECT_EQ(there.bus_id, here.bus_id);
}

TEST(EmulatedDevice, AnotherProgramHasWhatIsNotFree) {
  const Asked asked("device-memory:1KiB,free-memory:600");
  const std::unique_ptr<Device> device = *Device::Open(3);
  EXPECT_EQ(*device->TotalBytes(), 1024u);
  EXPECT_EQ(*device->FreeBytes(), 600u);
  const DeviceArena first = *device->Allocate("first", 500);
  EXPECT_EQ(*device->FreeBytes(), 100u);
  EXPECT_EQ(device->Allocate("second", 101).message(),
            "cuda:3 (emulated): no 101 bytes of memory for second: out of memory: 924 of 1024 are taken "
            "(cudaErrorMemoryAllocation)");
  EXPECT_TRUE(device->Allocate("second", 100).ok());
}

TEST(EmulatedDevice, StreamsAreOfOneDevice) {
  Host first(0), second(1);  // the thread's device is cuda:1 now
  EXPECT_EQ(
      first.Scale(first.from, first.to).message(),
      "cuda:0 (emulated): a kernel could not be launched: invalid resource handle: the stream is of cuda:0, and the "
      "thread's device is cuda:1 (cudaErrorInvalidResourceHandle)");
  EXPECT_EQ(second.Scale(first.from, second.to).message(),
            "cuda:1 (emulated): a kernel could not be launched: an illegal memory access was encountered: an argument "
            "points to 'allocation 1' of cuda:0, not of cuda:1 (cudaErrorIllegalAddress)");
  EXPECT_TRUE(first.device->Use().ok());
  EXPECT_TRUE(first.Scale(first.from, first.to).ok());
  void* const gone = [] { return Host(2).device->stream(); }();
  EXPECT_TRUE(first.device->Use().ok());
  EXPECT_EQ(first.Scale(first.from, first.to, gone).message(),
            "cuda:0 (emulated): a kernel could not be launched: invalid resource handle "
            "(cudaErrorInvalidResourceHandle)");
  Result<DeviceGraph> graph = first.device->Capture([&] { return first.Scale(first.from, first.to); });
  ASSERT_TRUE(graph.ok()) << graph.message();
  EXPECT_EQ(second.device->Launch(*graph).message(),
            "cuda:1 (emulated): a graph could not be launched: invalid argument: it is another device's "
            "(cudaErrorInvalidValue)");
  EXPECT_EQ(first.device->Launch(DeviceGraph()).message(),
            "cuda:0 (emulated): a graph could not be launched: invalid argument: it is none (cudaErrorInvalidValue)");
}

// ---- When it is done ----

// What a host does to a buffer that its copy still needs gives other bits, as it may on a device.
TEST(EmulatedDevice, PinnedMemoryIsReadAndWrittenInTheStreamsTurn) {
  Host host;
  auto* const pinned = reinterpret_cast<float*>(host.pinned.data());
  pinned[0] = 1;
  ASSERT_TRUE(host.device->CopyIn(host.from.data(), pinned, 4).ok());
  pinned[0] = 2;  // planted: nobody has waited
  EXPECT_EQ(host.First(host.from), 2);
  pinned[1] = 0;
  ASSERT_TRUE(host.device->CopyOut(pinned + 1, host.from.data(), 4).ok());
  EXPECT_EQ(pinned[1], 0);
  ASSERT_TRUE(host.device->Finish().ok());
  EXPECT_EQ(pinned[1], 2);
}

TEST(EmulatedDevice, OtherMemoryOfTheHostIsDoneWithWhenTheCallReturns) {
  Host host;
  float word = 3;
  ASSERT_TRUE(host.device->CopyIn(host.from.data(), &word, 4).ok());
  word = 4;
  EXPECT_EQ(host.First(host.from), 3);
}

// As far as a mark, where a mark is waited for; all of it, where somebody asks whether it is done.
TEST(EmulatedDevice, WhatAStreamIsGivenIsDoneWhenItIsWaitedFor) {
  Host host;
  host.Set(1);
  ASSERT_TRUE(host.device->Finish().ok());
  const auto* const to = reinterpret_cast<const float*>(host.to.data());
  std::vector<float> seen;
  host.device->OnPassed([&] { seen.push_back(*to); });
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(host.Scale(i == 0 ? host.from : host.to, host.to).ok());
    if (i == 2) break;
    ASSERT_TRUE(host.device->Mark().ok());
  }
  EXPECT_EQ(*to, 0);
  ASSERT_TRUE(host.device->Finish().ok());
  EXPECT_EQ(seen, (std::vector<float>{2, 4}));
  EXPECT_EQ(*to, 8);
  ASSERT_TRUE(host.Scale(host.to, host.to).ok());
  EXPECT_EQ(*to, 8);
  EXPECT_TRUE(*host.device->IsDone());
  EXPECT_EQ(*to, 16);
}

// Memory is given back when nothing uses it any more: the call waits.
TEST(EmulatedDevice, GivingMemoryBackWaits) {
  Host host;
  host.Set(1);
  DeviceArena between = *host.device->Allocate("between", 40);
  DeviceArena pinned = *host.device->AllocateHost("pinned", 40);
  ASSERT_TRUE(host.Scale(host.from, between).ok() && host.Scale(between, host.to).ok());
  { const DeviceArena gone = std::move(between); }
  EXPECT_EQ(*reinterpret_cast<const float*>(host.to.data()), 4);
  std::memset(pinned.data(), 0, 40);
  ASSERT_TRUE(host.device->CopyIn(host.to.data(), pinned.data(), 40).ok());
  { const DeviceArena gone = std::move(pinned); }
  EXPECT_EQ(*reinterpret_cast<const float*>(host.to.data()), 0);
}

// Of a device that is lost nothing more is done.
TEST(EmulatedDevice, WhatWasLaunchedWhenTheDeviceWasLostIsNotDone) {
  const Asked asked("wait:2");
  Host host;
  host.Set(1);
  ASSERT_TRUE(host.device->Finish().ok());
  ASSERT_TRUE(host.Scale(host.from, host.to).ok());
  EXPECT_FALSE(host.device->Finish().ok());
  EXPECT_EQ(*reinterpret_cast<const float*>(host.to.data()), 0);
}

// ---- What ends the program ----

using EmulatedDeviceDeathTest = ::testing::Test;

TEST(EmulatedDeviceDeathTest, WhatADeviceWouldNotNotice) {
  EXPECT_DEATH(
      {
        Host host;
        emulation::GiveMemory(host.from.data());
        emulation::GiveMemory(host.from.data());
      },
      "emulated device: 'allocation 1' is freed twice");
  EXPECT_DEATH(
      {
        Host host;
        emulation::GiveMemory(host.from.data() + 1);
      },
      "emulated device: 0x[0-9a-f]+ is freed, which nobody was given");
  EXPECT_DEATH(
      {
        Host host;
        const auto graph = host.device->Capture([&] { return host.Scale(host.from, host.to); });
        host.to = DeviceArena();  // swaps: it goes with the temporary
      },
      "emulated device: 'allocation 2' is freed, and 1 graph\\(s\\) that use it are there: graphs go first");
  EXPECT_DEATH(
      {
        Host host;
        auto graph = host.device->Capture([&] { return host.Scale(host.from, host.to); });
        if (host.device->Launch(*graph).ok()) *graph = DeviceGraph();
      },
      "emulated device: a graph is destroyed that was launched and not waited for");
  EXPECT_DEATH(
      {
        Result<DeviceGraph> graph = DeviceGraph();
        const std::unique_ptr<Device> device = *Device::Open(0);
        graph = device->Capture([] { return Status(); });
      },
      "emulated device: cuda:0 \\(emulated\\) is closed before its graphs");
  EXPECT_DEATH(
      {
        DeviceArena arena;
        const std::unique_ptr<Device> device = *Device::Open(0);
        arena = *device->Allocate("weights", 12);
      },
      "emulated device: cuda:0 \\(emulated\\) is closed before 'allocation 1' \\(12 bytes\\)");
  EXPECT_EXIT(
      {
        emulation::TakeMemory({.what = "weights", .bytes = 12});
        std::exit(0);
      },
      ::testing::ExitedWithCode(1), "emulated device: the program ends without giving back 'weights' \\(12 bytes\\)");
  EXPECT_DEATH(  // a kernel that runs later than its memory
      {
        Host host;
        const float* const x = reinterpret_cast<const float*>(host.from.data());
        host.from = DeviceArena();
        const volatile float y = *x;
        (void)y;
      },
      "");
}

// ---- Errors that a test asks for ----

TEST(EmulatedFaults, EachPointFails) {
  const std::pair<const char*, const char*> rows[] = {
      {"use:1", "cuda:0 (emulated): it cannot be used: unknown error: MRS_EMULATED_FAULT=use:1 (cudaErrorUnknown)"},
      {"memory-query:1",
       "cuda:0 (emulated): its memory cannot be asked for: unknown error: "
       "MRS_EMULATED_FAULT=memory-query:1 (cudaErrorUnknown)"},
      {"allocation:2@0",
       "cuda:0 (emulated): no 12 bytes of memory for b: out of memory: "
       "MRS_EMULATED_FAULT=allocation:2@0 (cudaErrorMemoryAllocation)"},
      {"host-allocation:1",
       "cuda:0 (emulated): no 12 bytes of the host's memory, pinned, for c: out of memory: "
       "MRS_EMULATED_FAULT=host-allocation:1 (cudaErrorMemoryAllocation)"},
      {"copy-in:2",
       "cuda:0 (emulated): a copy to it failed: invalid argument: "
       "MRS_EMULATED_FAULT=copy-in:2 (cudaErrorInvalidValue)"},
      {"copy-out:1",
       "cuda:0 (emulated): a copy from it failed: invalid argument: "
       "MRS_EMULATED_FAULT=copy-out:1 (cudaErrorInvalidValue)"},
      {"copy-within:1",
       "cuda:0 (emulated): a copy within it failed: invalid argument: "
       "MRS_EMULATED_FAULT=copy-within:1 (cudaErrorInvalidValue)"},
      {"launch:1",
       "cuda:0 (emulated): a kernel could not be launched: too many resources requested for launch: "
       "MRS_EMULATED_FAULT=launch:1 (cudaErrorLaunchOutOfResources)"},
      {"capture:1",
       "cuda:0 (emulated): no graph can be captured: unknown error: MRS_EMULATED_FAULT=capture:1 (cudaErrorUnknown)"},
      {"capture-invalidated:1",
       "cuda:0 (emulated): a graph could not be captured: operation failed due to a previous error during capture: "
       "MRS_EMULATED_FAULT=capture-invalidated:1 (cudaErrorStreamCaptureInvalidated)"},
      {"instantiate:1",
       "cuda:0 (emulated): a graph could not be made ready: out of memory: "
       "MRS_EMULATED_FAULT=instantiate:1 (cudaErrorMemoryAllocation)"},
      {"graph-launch:1",
       "cuda:0 (emulated): a graph could not be launched: too many resources requested for launch: "
       "MRS_EMULATED_FAULT=graph-launch:1 (cudaErrorLaunchOutOfResources)"},
      {"wait:1",
       "cuda:0 (emulated): what was launched failed: unspecified launch failure: "
       "MRS_EMULATED_FAULT=wait:1 (cudaErrorLaunchFailure)"},
      {"wait:1@1", ""},  // of another device: nothing fails
      {"launch:3", ""},  // there are two
  };
  const auto all = [](Device& device) -> Status {
    MRS_RETURN_IF_ERROR(device.Use());
    MRS_RETURN_IF_ERROR(device.FreeBytes().status());
    MRS_ASSIGN_OR_RETURN(const DeviceArena a, device.Allocate("a", 40));
    MRS_ASSIGN_OR_RETURN(const DeviceArena b, device.Allocate("b", 12));
    MRS_ASSIGN_OR_RETURN(const DeviceArena c, device.AllocateHost("c", 12));
    for (int i = 0; i < 2; ++i) MRS_RETURN_IF_ERROR(device.CopyIn(b.data(), c.data(), 12));
    const ScaleArgs args = Host::Twice(a, a);
    const auto work = [&]() -> Status {
      MRS_RETURN_IF_ERROR(device.CopyWithin(a.data(), b.data(), 12));
      return device.Launched(kernels::cuda::ExactKernels(Chain::kPair2).scale(args, device.stream()));
    };
    MRS_RETURN_IF_ERROR(work());
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, device.Capture(work));
    const auto launched = [&]() -> Status {
      MRS_RETURN_IF_ERROR(device.Launch(graph));
      return device.CopyOut(c.data(), a.data(), 12);
    };
    const Status done = launched(), waited = device.Finish();  // a graph that is under way may not go
    return done.ok() ? waited : done;
  };
  for (const auto& [text, said] : rows) {
    const Asked asked(text);
    const std::unique_ptr<Device> device = *Device::Open(0);
    const Status done = all(*device);
    EXPECT_EQ(done.ok() ? "" : done.message(), said) << text;
    EXPECT_EQ(device->Finish().ok(), std::string(text) != "wait:1") << text;  // a lost device stays so
  }
  const Asked asked("open:1");
  EXPECT_EQ(Device::Open(0).status().message(),
            "cuda:0: cannot be used: unknown error: MRS_EMULATED_FAULT=open:1 (cudaErrorUnknown)");
}

// ---- In which order nodes of a graph run ----

TEST(GraphOrder, EachAfterThoseItComesAfter) {
  // 0, then 1 beside 2 and 3, then 4.
  const auto node = [](std::vector<uint32_t> after) { return emulation::Node{{}, {}, std::move(after)}; };
  const std::vector<emulation::Node> nodes = {node({}), node({0}), node({0}), node({2}), node({1, 3})};
  EXPECT_EQ(emulation::OrderOf(nodes, 0), (std::vector<uint32_t>{0, 2, 3, 1, 4}));
  std::set<std::vector<uint32_t>> orders;
  for (uint64_t seed = 1; seed <= 50; ++seed) orders.insert(emulation::OrderOf(nodes, seed));
  EXPECT_EQ(orders, (std::set<std::vector<uint32_t>>{{0, 1, 2, 3, 4}, {0, 2, 1, 3, 4}, {0, 2, 3, 1, 4}}));
}

// What does not wait for what it reads is found by an order in which it comes first.
TEST(GraphOrder, AMissingDependencyShows) {
  const auto doubled = [](const char* faults) {
    const Asked asked(faults);
    Host host;
    const auto graph = host.device->Capture([&]() -> Status {
      MRS_RETURN_IF_ERROR(host.Scale(host.from, host.to));
      return host.Scale(host.to, host.to);
    });
    EXPECT_TRUE(graph.ok()) << graph.message();
    std::set<float> results;
    for (int i = 0; i < 40; ++i) {
      host.Set(1);
      EXPECT_TRUE(host.device->CopyWithin(host.to.data(), host.from.data(), 40).ok());
      EXPECT_TRUE(host.device->Launch(*graph).ok());
      EXPECT_TRUE(host.device->Finish().ok());
      results.insert(host.First(host.to));
    }
    return results;
  };
  EXPECT_EQ(doubled("order:1"), (std::set<float>{4}));
  EXPECT_EQ(doubled("missing-dependency:1,order:1"), (std::set<float>{2, 4})) << "twice the read before it was written";
}

}  // namespace
}  // namespace mrs
