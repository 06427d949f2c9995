// Memory of an emulated device that another process opens: both see it, and what a real device refuses, or would not
// notice, is refused or ends the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "kernels/cuda/emulation/memory.h"
#include "runtime/rank/cuda/child_for_test.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr uint64_t kBytes = Device::kSharedUnit;

struct Asked {
  explicit Asked(const char* faults) { emulated::UseFaults(*emulated::ParseFaults(faults)); }
  ~Asked() { emulated::UseFaults({}); }
};

// A device of which something is shared.
struct Owner {
  std::unique_ptr<Device> device = *Device::Open(0);
  DeviceArena arena = *device->Allocate("exchange", kBytes);
  SharedHandle handle = *device->Share(arena);

  void Put(uint64_t at, int value) {
    ASSERT_TRUE(device->CopyIn(arena.data() + at, &value, sizeof(value)).ok() && device->Finish().ok());
  }
  int At(uint64_t at) {
    int value = -1;
    EXPECT_TRUE(device->CopyOut(&value, arena.data() + at, sizeof(value)).ok());
    return value;
  }
};

// What opening it says in another process.
std::string OpenIn(const SharedHandle& handle) {
  const std::unique_ptr<Device> device = *Device::Open(1);
  return TextOf(device->OpenShared("rank 0's memory", handle).status());
}

TEST(SharedMemory, BothProcessesSeeIt) {
  Owner owner;
  owner.Put(0, 7);
  owner.Put(kBytes - 4, 8);
  Child child([&](Child::Side& side) -> std::string {
    const std::unique_ptr<Device> device = *Device::Open(1);
    const auto opened = device->OpenShared("rank 0's memory", owner.handle);
    if (!opened.ok()) return opened.message();
    side.Tell();
    if (!side.Wait()) return "the owner is gone";
    int values[2] = {};
    if (const Status first = device->CopyOut(&values[0], opened->data(), 4); !first.ok()) return first.message();
    if (const Status last = device->CopyOut(&values[1], opened->data() + kBytes - 4, 4); !last.ok()) {
      return last.message();
    }
    // Of the opener's device, and as large as it is; nothing of that device's is taken.
    const Status past = device->CopyIn(opened->data() + kBytes - 4, values, 8);
    const uint64_t taken = emulation::TakenBytes(1, emulation::Where::kDevice);
    const int answer = values[0] + values[1];
    if (const Status put = device->CopyIn(opened->data() + 4, &answer, 4); !put.ok()) return put.message();
    return fmt::format("{} {} {} {}", values[0], values[1], taken, past.message());
  });
  ASSERT_TRUE(child.Wait());
  owner.Put(0, 9);  // after it was opened
  child.Tell();
  EXPECT_THAT(child.Said(),
              MatchesRegex("9 8 0 .*to 8 bytes at byte 2097148 of 'opened allocation 1', which has 2097152.*"));
  EXPECT_EQ(owner.At(4), 17);
  EXPECT_EQ(owner.At(kBytes - 4), 8);
}

TEST(SharedMemory, WhatADeviceRefusesIsRefused) {
  Owner owner;
  EXPECT_EQ(owner.device->OpenShared("rank 0's memory", owner.handle).status().message(),
            "cuda:0 (emulated): rank 0's memory cannot be opened: invalid device context: it is of "
            "this process (cudaErrorDeviceUninitialized)");
  EXPECT_THAT(owner.device->OpenShared("it", SharedHandle{}).status().message(),
              HasSubstr("invalid resource handle: it is no handle (cudaErrorInvalidResourceHandle)"));
  const DeviceArena odd = *owner.device->Allocate("odd", 4096);
  EXPECT_THAT(owner.device->Share(odd).status().message(), HasSubstr("4096 bytes are no multiple of 2097152"));
  EXPECT_THAT(owner.device->Share(DeviceArena()).status().message(), HasSubstr(" is no memory of cuda:0"));
  const auto captured = owner.device->Capture([&] { return owner.device->Share(owner.arena).status(); });
  EXPECT_THAT(captured.status().message(), HasSubstr("sharing memory while a graph is captured"));

  EXPECT_EQ(*owner.device->Share(owner.arena), owner.handle);  // any number of times
  Child twice([&](Child::Side&) -> std::string {
    const std::unique_ptr<Device> device = *Device::Open(1);
    const auto opened = device->OpenShared("it", owner.handle);
    if (!opened.ok()) return opened.message();
    if (!device->Share(*opened).ok() && emulation::LeftOf(1) == "'opened allocation 1' (2097152 bytes)") {
      return device->OpenShared("it again", owner.handle).status().message();
    }
    return "shared on, or not there";
  });
  EXPECT_THAT(twice.Said(), HasSubstr("it again cannot be opened: resource already mapped (cudaErrorAlreadyMapped)"));
  Child reopened([&](Child::Side&) -> std::string {
    const std::unique_ptr<Device> device = *Device::Open(1);
    for (int i = 0; i < 3; ++i) {
      if (const auto opened = device->OpenShared("it", owner.handle); !opened.ok()) return opened.message();
    }
    return "";
  });
  EXPECT_EQ(reopened.Said(), "");

  const SharedHandle old = owner.handle;
  owner.arena = DeviceArena();
  Child late([&](Child::Side&) { return OpenIn(old); });
  EXPECT_THAT(late.Said(), HasSubstr("its owner has freed it, or is gone (cudaErrorInvalidResourceHandle)"));
}

TEST(SharedMemory, WhatIsClosedIsRefused) {
  Owner owner;
  Child child([&](Child::Side&) -> std::string {
    const std::unique_ptr<Device> device = *Device::Open(1);
    auto opened = *device->OpenShared("rank 0's memory", owner.handle);
    const std::byte* const at = opened.data();
    opened = DeviceArena();
    int value = 0;
    return TextOf(device->CopyOut(&value, at, sizeof(value)));
  });
  EXPECT_THAT(child.Said(), HasSubstr("from 4 bytes of 'opened allocation 1', which was freed"));
}

TEST(SharedMemory, ATestMayAskForItsErrors) {
  {
    const Asked asked("ipc-export:1@0");
    const std::unique_ptr<Device> device = *Device::Open(0);
    const DeviceArena arena = *device->Allocate("exchange", kBytes);
    EXPECT_EQ(device->Share(arena).status().message(),
              "cuda:0 (emulated): memory cannot be shared with other processes: invalid argument: "
              "MRS_EMULATED_FAULT=ipc-export:1@0 (cudaErrorInvalidValue)");
    EXPECT_TRUE(device->Share(arena).ok());
  }
  Owner owner;
  const Asked asked("ipc-open:1@1");
  Child refused([&](Child::Side&) { return OpenIn(owner.handle); });
  EXPECT_EQ(refused.Said(),
            "cuda:1 (emulated): rank 0's memory cannot be opened: peer access is not supported between these two "
            "devices: MRS_EMULATED_FAULT=ipc-open:1@1 (cudaErrorPeerAccessUnsupported)");
  const Asked another("ipc-astray:1@1");
  Child astray([&](Child::Side&) -> std::string {
    const std::unique_ptr<Device> device = *Device::Open(1);
    const auto opened = device->OpenShared("rank 0's memory", owner.handle);
    const int value = 5;
    return TextOf(opened.ok() ? device->CopyIn(opened->data(), &value, sizeof(value)) : opened.status());
  });
  EXPECT_EQ(astray.Said(), "");
  EXPECT_EQ(owner.At(0), 0);
}

// Who was killed has closed it; who has it open is told from who had.
TEST(SharedMemory, AProcessThatEndsHasClosedIt) {
  Owner owner;
  Child child([&](Child::Side& side) -> std::string {
    const std::unique_ptr<Device> device = *Device::Open(1);
    const auto opened = device->OpenShared("rank 0's memory", owner.handle);
    side.Tell();
    side.Wait();
    return TextOf(opened.status());
  });
  ASSERT_TRUE(child.Wait());
  child.Kill();
  owner.arena = DeviceArena();
}

// In processes of their own, as they end.
std::string EndOf(const std::function<void(Owner&, Child::Side&)>& run) {
  ::testing::internal::CaptureStderr();
  Child owning([&](Child::Side& side) -> std::string {
    Owner owner;
    run(owner, side);
    return "";
  });
  const std::string said = owning.Said();
  return said + ": " + ::testing::internal::GetCapturedStderr();
}

TEST(SharedMemory, FreedWhileAnotherHasItOpenEndsTheProgram) {
  const auto with_reader = [](bool forsakes) {
    return EndOf([&](Owner& owner, Child::Side&) {
      Child reader([&](Child::Side& side) -> std::string {
        const std::unique_ptr<Device> device = *Device::Open(1);
        const auto opened = device->OpenShared("rank 0's memory", owner.handle);
        side.Tell();
        side.Wait();
        return TextOf(opened.status());
      });
      if (!reader.Wait()) return;
      if (forsakes) {
        owner.device->Forsake(std::move(owner.arena));
      } else {
        owner.arena = DeviceArena();
      }
    });
  };
  EXPECT_EQ(
      with_reader(false),
      "signal 6: emulated device: 'allocation 1' is freed, and another process has it open: it closes it first\n");
  EXPECT_EQ(with_reader(true), ": ");
}

TEST(SharedMemory, LeftOpenEndsTheProgram) {
  Owner owner;
  ::testing::internal::CaptureStderr();
  Child child([&](Child::Side&) -> std::string {
    const std::unique_ptr<Device> device = *Device::Open(1);
    auto opened = device->OpenShared("rank 0's memory", owner.handle);
    [[maybe_unused]] std::byte* const left = opened->Release();
    return "";  // and so closes the device
  });
  EXPECT_EQ(child.Said(), "signal 6");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("is closed before 'opened allocation 1' (2097152 bytes)"));
}

}  // namespace
}  // namespace mrs
