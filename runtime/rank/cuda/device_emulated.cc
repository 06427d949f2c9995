// Host memory, and an order of work that is the program's. What a device refuses is refused here, too, with its error:
// what no graph can hold while one is captured, memory that is not there, streams of another device. What it would not
// notice ends the program (kernels/cuda/emulation/memory.h), or is an error that it has no name for. And it fails where
// a test asks it to (emulated_faults.h).
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/stream.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs {
namespace {

using emulated::Fails;
using emulated::Point;
using emulation::Where;

// cudaError_t
enum Code : int {
  kInvalidValue = 1,
  kMemoryAllocation = 2,
  kDeviceUninitialized = 201,
  kAlreadyMapped = 208,
  kPeerAccessUnsupported = 217,
  kUnknown = 999,
  kInvalidResourceHandle = 400,
  kIllegalAddress = 700,
  kLaunchOutOfResources = 701,
  kLaunchFailure = 719,
  kCaptureInvalidated = 901,
};
const char* TextOf(int code) {
  switch (code) {
    case kInvalidValue:
      return "invalid argument (cudaErrorInvalidValue)";
    case kMemoryAllocation:
      return "out of memory (cudaErrorMemoryAllocation)";
    case kDeviceUninitialized:
      return "invalid device context (cudaErrorDeviceUninitialized)";
    case kAlreadyMapped:
      return "resource already mapped (cudaErrorAlreadyMapped)";
    case kPeerAccessUnsupported:
      return "peer access is not supported between these two devices (cudaErrorPeerAccessUnsupported)";
    case kInvalidResourceHandle:
      return "invalid resource handle (cudaErrorInvalidResourceHandle)";
    case kIllegalAddress:
      return "an illegal memory access was encountered (cudaErrorIllegalAddress)";
    case kLaunchOutOfResources:
      return "too many resources requested for launch (cudaErrorLaunchOutOfResources)";
    case kLaunchFailure:
      return "unspecified launch failure (cudaErrorLaunchFailure)";
    case kCaptureInvalidated:
      return "operation failed due to a previous error during capture (cudaErrorStreamCaptureInvalidated)";
    default:
      return "unknown error (cudaErrorUnknown)";
  }
}

thread_local int current_device = -1;       // of this thread, as cudaSetDevice has it
thread_local std::string why_not_launched;  // of the last launch that was refused

struct EmulatedGraph;

struct EmulatedStream final : emulation::Stream {
  explicit EmulatedStream(int of) : device(of) {}

  int Admit(const emulation::Words& words) override {
    if (lost != 0) return lost;
    if (device != current_device) {
      why_not_launched = fmt::format("the stream is of cuda:{}, and the thread's device is {}", device,
                                     current_device < 0 ? "none" : fmt::format("cuda:{}", current_device));
      return kInvalidResourceHandle;
    }
    if (std::optional<std::string> asked = Fails(Point::kLaunch, static_cast<uint32_t>(device))) {
      why_not_launched = std::move(*asked);
      return kLaunchOutOfResources;
    }
    for (const uint64_t word : words) {
      why_not_launched = emulation::WhyNoArgument(word, device);
      if (!why_not_launched.empty()) return kIllegalAddress;
    }
    return 0;
  }

  const int device;
  int lost = 0;                              // of the device: what every call returns from now on
  int graph_count = 0;                       // that are there
  std::vector<const EmulatedGraph*> flying;  // launched, not waited for
};
EmulatedStream& StreamOf(void* stream) {
  return *static_cast<EmulatedStream*>(static_cast<emulation::Stream*>(stream));
}

struct EmulatedGraph {
  EmulatedStream* stream;
  std::vector<emulation::Node> nodes;
  std::vector<const void*> held;  // memory whose addresses its nodes have

  ~EmulatedGraph() {
    if (std::find(stream->flying.begin(), stream->flying.end(), this) != stream->flying.end()) {
      emulation::EndByName("a graph is destroyed that was launched and not waited for");
    }
    emulation::LetGoOfMemory(held);
    --stream->graph_count;
  }
};

// As a test asks: the n-th dependency of all is forgotten.
void ForgetDependency(uint64_t number, std::vector<emulation::Node>* nodes) {
  for (emulation::Node& node : *nodes) {
    if (number > node.after.size()) {
      number -= node.after.size();
      continue;
    }
    node.after.erase(node.after.begin() + static_cast<std::ptrdiff_t>(number - 1));
    emulated::NoteForgotten();
    return;
  }
}

// What a stream in capture takes no part in.
Status OutsideCapture(const std::string& name, void* stream, const char* what) {
  emulation::Capture* const capture = StreamOf(stream).capture();
  if (capture == nullptr) return Status();
  if (capture->spoilt.empty()) capture->spoilt = fmt::format("{} while a graph is captured", what);
  return Refuse("{}: {} while a graph is captured", name, what);
}

Error FailureOf(const std::string& name, const std::string& what, int code, const std::string& why) {
  return Refuse("{}: {}: {}{}", name, what, TextOf(code), why.empty() ? "" : fmt::format(": {}", why));
}

// Where a test asks for it, or where the device is lost.
Status Ask(const std::string& name, void* stream, Point point, const std::string& what, int code) {
  EmulatedStream& of = StreamOf(stream);
  if (of.lost != 0) return FailureOf(name, what, of.lost, "");
  const std::optional<std::string> asked = Fails(point, static_cast<uint32_t>(of.device));
  return asked ? Status(FailureOf(name, what, code, *asked)) : Status();
}

// What a handle of the emulated device says.
struct HandleText {
  char made_by[8] = {'m', 'r', 's', '-', 'i', 'p', 'c', '\n'};
  int32_t pid = 0, fd = 0;
  uint64_t inode = 0, bytes = 0;
  char padding[32] = {};
};
static_assert(sizeof(HandleText) == sizeof(SharedHandle));

// Of a device: by this process, and by another program where a test asks for one.
uint64_t TakenOf(const emulated::Faults& faults, uint32_t ordinal) {
  return faults.device_bytes - faults.free_bytes.value_or(faults.device_bytes) +
         emulation::TakenBytes(static_cast<int>(ordinal), Where::kDevice);
}

void Copy(void* to, const void* from, size_t bytes) {
  if (bytes != 0) std::memcpy(to, from, bytes);
}

}  // namespace

std::string emulated::WhyNotLaunched() { return std::exchange(why_not_launched, {}); }
uint32_t emulated::CurrentDevice() { return static_cast<uint32_t>(std::max(current_device, 0)); }

struct Device::Marks {
  size_t marked = 0;  // since the last Finish
};

Device::Device(uint32_t ordinal, std::string name, void* stream, std::unique_ptr<Marks> marks)
    : ordinal_(ordinal), name_(std::move(name)), stream_(stream), marks_(std::move(marks)) {}

Result<std::unique_ptr<Device>> Device::Open(uint32_t ordinal) {
  MRS_RETURN_IF_ERROR(emulated::CurrentFaults().status());
  if (const std::optional<std::string> asked = Fails(Point::kOpen, ordinal)) {
    return FailureOf(fmt::format("cuda:{}", ordinal), "cannot be used", kUnknown, *asked);
  }
  current_device = static_cast<int>(ordinal);
  auto* const stream = new EmulatedStream(current_device);
  return std::unique_ptr<Device>(new Device(ordinal, fmt::format("cuda:{} (emulated)", ordinal),
                                            static_cast<emulation::Stream*>(stream), std::make_unique<Marks>()));
}

Device::~Device() {
  if (StreamOf(stream_).graph_count != 0) emulation::EndByName(name_ + " is closed before its graphs");
  const std::string left = emulation::LeftOf(stream_);
  if (!left.empty()) emulation::EndByName(fmt::format("{} is closed before {}", name_, left));
  delete &StreamOf(stream_);
}

Status Device::Checked(const char* what, int code) const {
  return code == 0 ? Status() : Status(FailureOf(name_, what, code, ""));
}

Status Device::Use() {
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kUse, "it cannot be used", kUnknown));
  current_device = static_cast<int>(ordinal_);
  return Status();
}

Result<uint64_t> Device::FreeBytes() {
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kMemoryQuery, "its memory cannot be asked for", kUnknown));
  MRS_ASSIGN_OR_RETURN(const emulated::Faults* const faults, emulated::CurrentFaults());
  return faults->device_bytes - TakenOf(*faults, ordinal_);
}
Result<uint64_t> Device::TotalBytes() {
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kMemoryQuery, "its memory cannot be asked for", kUnknown));
  MRS_ASSIGN_OR_RETURN(const emulated::Faults* const faults, emulated::CurrentFaults());
  return faults->device_bytes;
}

// Of a small one. Here all blocks have threads of their own, however many.
Result<int> Device::MultiprocessorCount() { return 64; }

// Of a number its own, in all processes of a host: they have the same devices.
Result<DeviceIdentity> Device::Identity() {
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kIdentity, "it does not say which device it is", kUnknown));
  DeviceIdentity identity{.uuid = {}, .bus_id = fmt::format("{:04x}:{:02x}:00.0", ordinal_ >> 8, ordinal_ & 0xff)};
  const uint64_t host = emulated::HostOfProcess();
  std::memcpy(identity.uuid.data(), "mrs-", 4);
  std::memcpy(identity.uuid.data() + 4, &host, sizeof(host));
  std::memcpy(identity.uuid.data() + 12, &ordinal_, sizeof(ordinal_));
  return identity;
}

Result<DeviceArena> Device::Allocate(const char* what, uint64_t bytes) {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "an allocation"));
  if (bytes == 0) return DeviceArena();
  const std::string failing = fmt::format("no {} bytes of memory for {}", bytes, what);
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kAllocation, failing, kMemoryAllocation));
  MRS_ASSIGN_OR_RETURN(const emulated::Faults* const faults, emulated::CurrentFaults());
  const uint64_t taken = TakenOf(*faults, ordinal_);
  if (bytes > faults->device_bytes || taken > faults->device_bytes - bytes) {
    return FailureOf(name_, failing, kMemoryAllocation, fmt::format("{} of {} are taken", taken, faults->device_bytes));
  }
  std::byte* const data = emulation::TakeMemory(
      {.what = what, .bytes = bytes, .device = static_cast<int>(ordinal_), .where = Where::kDevice, .owner = stream_});
  if (data == nullptr) return FailureOf(name_, failing, kMemoryAllocation, "of the host");
  return DeviceArena(data, emulation::GiveMemory);
}

Result<DeviceArena> Device::AllocateHost(const char* what, uint64_t bytes) {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "an allocation"));
  if (bytes == 0) return DeviceArena();
  const std::string failing = fmt::format("no {} bytes of the host's memory, pinned, for {}", bytes, what);
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kHostAllocation, failing, kMemoryAllocation));
  std::byte* const data = emulation::TakeMemory(
      {.what = what, .bytes = bytes, .device = static_cast<int>(ordinal_), .where = Where::kHost, .owner = stream_});
  if (data == nullptr) return FailureOf(name_, failing, kMemoryAllocation, "of the host");
  return DeviceArena(data, emulation::GiveMemory);
}

Result<SharedHandle> Device::Share(const DeviceArena& arena) {
  constexpr const char* kWhat = "memory cannot be shared with other processes";
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "sharing memory"));
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kIpcExport, kWhat, kInvalidValue));
  const std::string why = emulation::WhyNot(arena.data(), 1, Where::kDevice, static_cast<int>(ordinal_));
  if (!why.empty()) return FailureOf(name_, kWhat, kInvalidValue, why);
  const std::optional<emulation::Stretch> stretch = emulation::StretchOf(arena.data());
  if (stretch->bytes % kSharedUnit != 0) {
    return FailureOf(name_, kWhat, kInvalidValue,
                     fmt::format("{} bytes are no multiple of {}", stretch->bytes, kSharedUnit));
  }
  const std::optional<emulation::MemoryFile> file = emulation::ShareMemory(arena.data());
  if (!file) return FailureOf(name_, kWhat, kInvalidValue, "it is no allocation of this process's");
  HandleText text;
  text.pid = getpid();
  text.fd = file->fd;
  text.inode = file->inode;
  text.bytes = stretch->bytes;
  return std::bit_cast<SharedHandle>(text);
}

Result<DeviceArena> Device::OpenShared(const char* what, const SharedHandle& handle) {
  const std::string failing = fmt::format("{} cannot be opened", what);
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "opening what another process shares"));
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kIpcOpen, failing, kPeerAccessUnsupported));
  const auto text = std::bit_cast<HandleText>(handle);
  if (std::memcmp(text.made_by, HandleText().made_by, sizeof(text.made_by)) != 0) {
    return FailureOf(name_, failing, kInvalidResourceHandle, "it is no handle");
  }
  if (text.pid == getpid()) return FailureOf(name_, failing, kDeviceUninitialized, "it is of this process");
  // Newer drivers count how often; none is asked to here.
  if (emulation::IsOpen(text.inode)) return FailureOf(name_, failing, kAlreadyMapped, "");
  const emulation::Memory memory = {.what = what,
                                    .bytes = text.bytes,
                                    .device = static_cast<int>(ordinal_),
                                    .where = Where::kDevice,
                                    .owner = stream_};
  // As a test asks: memory that looks like it, in which nothing arrives.
  if (Fails(Point::kIpcAstray, ordinal_)) return DeviceArena(emulation::TakeMemory(memory), emulation::GiveMemory);
  std::byte* const data = emulation::OpenMemory(memory, fmt::format("/proc/{}/fd/{}", text.pid, text.fd), text.inode);
  if (data == nullptr) return FailureOf(name_, failing, kInvalidResourceHandle, "its owner has freed it, or is gone");
  return DeviceArena(data, emulation::GiveMemory);
}

void Device::Forsake(DeviceArena shared) {
  if (const std::byte* const data = shared.Release(); data != nullptr) emulation::ForsakeMemory(data);
}

// Kernels are of the program. Where a test says so, they count as loaded when they are launched first.
Result<bool> Device::LoadsLazily() {
  const char* const mode = std::getenv("CUDA_MODULE_LOADING");
  return mode != nullptr && std::string_view(mode) == "LAZY";
}

// `to_where`, `from_where`: on which side each must lie.
static Status CheckCopy(const std::string& name, int device, const char* what, const void* to, Where to_where,
                        const void* from, Where from_where, size_t bytes) {
  for (const auto& [at, where, which] : {std::tuple{to, to_where, "to"}, {from, from_where, "from"}}) {
    const std::string why = emulation::WhyNot(at, bytes, where, device);
    if (!why.empty()) return FailureOf(name, what, kInvalidValue, fmt::format("{} {}", which, why));
  }
  return Status();
}

Status Device::CopyIn(void* to, const void* from_host, size_t bytes) {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "a copy from the host"));
  constexpr const char* kWhat = "a copy to it failed";
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kCopyIn, kWhat, kInvalidValue));
  MRS_RETURN_IF_ERROR(
      CheckCopy(name_, static_cast<int>(ordinal_), kWhat, to, Where::kDevice, from_host, Where::kHost, bytes));
  Copy(to, from_host, bytes);
  return Status();
}
Status Device::CopyOut(void* to_host, const void* from, size_t bytes) {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "a copy to the host"));
  constexpr const char* kWhat = "a copy from it failed";
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kCopyOut, kWhat, kInvalidValue));
  MRS_RETURN_IF_ERROR(
      CheckCopy(name_, static_cast<int>(ordinal_), kWhat, to_host, Where::kHost, from, Where::kDevice, bytes));
  Copy(to_host, from, bytes);
  return Status();
}
Status Device::CopyWithin(void* to, const void* from, size_t bytes) {
  constexpr const char* kWhat = "a copy within it failed";
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kCopyWithin, kWhat, kInvalidValue));
  MRS_RETURN_IF_ERROR(
      CheckCopy(name_, static_cast<int>(ordinal_), kWhat, to, Where::kDevice, from, Where::kDevice, bytes));
  EmulatedStream& stream = StreamOf(stream_);
  if (!stream.is_capturing()) {
    Copy(to, from, bytes);
    return Status();
  }
  stream.Keep([=] { Copy(to, from, bytes); }, emulation::WordsOf(to, from));
  return Status();
}
Status Device::Launched(int code) {
  if (code == 0) return Status();
  return FailureOf(name_, "a kernel could not be launched", code, std::exchange(why_not_launched, {}));
}
Status Device::Finish() {
  constexpr const char* kWhat = "what was launched failed";
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "a wait"));
  EmulatedStream& stream = StreamOf(stream_);
  const Status asked = Ask(name_, stream_, Point::kWait, kWhat, kLaunchFailure);
  stream.flying.clear();
  for (; marks_->marked > 0; --marks_->marked) passed_();
  if (!asked.ok()) {
    stream.lost = kLaunchFailure;  // as an error of a kernel is: nothing brings the device back
    return asked;
  }
  return Status();
}

// What the stream is given is done at once.
Result<bool> Device::IsDone() {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "a look at the stream"));
  return true;
}
void Device::Forsake() { StreamOf(stream_).flying.clear(); }

Status Device::Mark() {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "a mark"));
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kMark, "its work could not be marked", kUnknown));
  ++marks_->marked;
  return Status();
}

Result<DeviceGraph> Device::Capture(const std::function<Status()>& work) {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "another capture"));
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kCapture, "no graph can be captured", kUnknown));
  EmulatedStream& stream = StreamOf(stream_);
  emulation::Capture capture;
  stream.Join(&capture);
  is_capturing_ = true;
  const Status done = work();
  is_capturing_ = false;
  stream.Leave();
  MRS_RETURN_IF_ERROR(done);
  constexpr const char* kWhat = "a graph could not be captured";
  if (!capture.spoilt.empty()) {
    return Refuse("{}: {}: something was done that no graph holds", name_, kWhat);
  }
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kInvalidated, kWhat, kCaptureInvalidated));
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kInstantiate, "a graph could not be made ready", kMemoryAllocation));
  MRS_ASSIGN_OR_RETURN(const emulated::Faults* const faults, emulated::CurrentFaults());
  if (faults->missing_dependency != 0) ForgetDependency(faults->missing_dependency, &capture.nodes);
  const size_t node_count = capture.nodes.size();
  emulation::Words words;
  for (const emulation::Node& node : capture.nodes) words.insert(words.end(), node.words.begin(), node.words.end());
  std::vector<const void*> held = emulation::MemoryAmong(words);
  emulation::HoldMemory(held);
  ++stream.graph_count;
  return DeviceGraph(new EmulatedGraph{&stream, std::move(capture.nodes), std::move(held)}, node_count,
                     [](void* of) { delete static_cast<EmulatedGraph*>(of); });
}

Status Device::Launch(const DeviceGraph& graph) {
  MRS_RETURN_IF_ERROR(OutsideCapture(name_, stream_, "a graph's launch"));
  constexpr const char* kWhat = "a graph could not be launched";
  MRS_RETURN_IF_ERROR(Ask(name_, stream_, Point::kGraphLaunch, kWhat, kLaunchOutOfResources));
  EmulatedStream& stream = StreamOf(stream_);
  const auto* const launched = static_cast<const EmulatedGraph*>(graph.get());
  if (launched == nullptr) return FailureOf(name_, kWhat, kInvalidValue, "it is none");
  if (launched->stream != &stream) return FailureOf(name_, kWhat, kInvalidValue, "it is another device's");
  stream.flying.push_back(launched);
  for (const uint32_t node : emulation::OrderOf(launched->nodes, emulated::NextOrderSeed())) {
    launched->nodes[node].work();
  }
  return Status();
}

}  // namespace mrs
