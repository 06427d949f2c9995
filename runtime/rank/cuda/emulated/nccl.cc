// NCCL's calls between processes of one host, or threads of one: memory that ranks share, whose file the unique id
// names (nccl_group.h). What NCCL refuses or hangs on is an error here, or ends the program by name. A call runs where
// its stream runs it. Its variables are NCCL's, of which it knows NCCL_HOSTID and NCCL_COMM_BLOCKING.
#include "runtime/rank/cuda/emulated/nccl.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/stream.h"
#include "runtime/comm/fd.h"
#include "runtime/rank/cuda/emulated/libraries.h"
#include "runtime/rank/cuda/emulated/nccl_group.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs::emulated {
namespace {

using std::chrono::steady_clock;

constexpr unsigned int kMagic = 0xcafebeef;  // of a configuration that the initializer made
constexpr int kVersion = 22809, kAnotherVersion = 22703;

// Of the process: files of ids that no communicator is made of yet, and communicators that are there.
struct Process {
  std::mutex mutex;
  std::map<std::string, Fd> files;
  std::map<const void*, std::shared_ptr<Group>> groups;  // by the ncclComm_t
};
Process& TheProcess() {
  static Process* const process = new Process;
  return *process;
}

std::shared_ptr<Group> Of(ncclComm_t comm) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  const auto group = process.groups.find(comm);
  if (group == process.groups.end()) {
    emulation::EndByName("NCCL is given a communicator that is none, or is none any more");
  }
  return group->second;
}

// Memory of the device that it runs on.
bool IsDevices(const Group& group, const void* data, size_t bytes) {
  return emulation::WhyNot(data, bytes, emulation::Where::kDevice, static_cast<int>(group.device)).empty();
}

// Of a communicator that does not wait nothing may be called before it has said that what was called last is done,
// whether or not that has long been so. The communicator is as good as before.
ncclResult_t WhilePending(Group& group) {
  if (group.error != ncclSuccess) return group.error;
  if (!group.is_pending) return ncclSuccess;
  group.why = "Attempt to use communicator before the previous operation returned ncclSuccess";
  return ncclInvalidArgument;
}

// What a call that no group holds returns where all went well; also one that is captured.
ncclResult_t Begun(Group& group) {
  group.is_pending = !group.is_blocking;
  return group.is_pending ? ncclInProgress : ncclSuccess;
}

// What a call is refused with, before it is anywhere.
template <typename Operands>
ncclResult_t Refusal(Group& group, const Operands& operands) {
  if (const ncclResult_t refused = WhilePending(group); refused != ncclSuccess) return refused;
  if (group.is_final) return ncclInvalidUsage;
  if (const auto asked = Fails(Point::kNcclCall, group.device)) {
    group.Fail(ncclUnhandledCudaError, *asked);
    return group.error;
  }
  for (const auto& [data, bytes] : operands) {
    if (IsDevices(group, data, bytes)) continue;
    group.Fail(ncclInvalidArgument, "operands are no memory of the device");
    return group.error;
  }
  return ncclSuccess;
}

// Calls on the stream, which runs them in their turn, or keeps them for a graph. Of its kind the first is in none: NCCL
// may connect by it, and take memory, which nobody has tried while a graph is captured.
template <typename Run>
ncclResult_t OnStream(const std::shared_ptr<Group>& of, const std::vector<Call>& calls, cudaStream_t stream,
                      emulation::Words words, Run run) {
  Group& group = *of;
  const bool is_captured =
      stream != nullptr && static_cast<emulation::Stream*>(static_cast<void*>(stream))->is_capturing();
  if (is_captured && !std::ranges::all_of(calls, [&](const Call& call) { return group.called.contains(call); })) {
    group.Fail(ncclInvalidUsage, "the first call of its kind is captured");
    return group.error;
  }
  const auto graphs = std::make_shared<std::shared_ptr<int>>();  // what a graph holds of the group; null: it is none's
  const auto work = [of, graphs, run] {
    if (of->error != ncclSuccess || of->is_gone) return;
    if (Fails(Point::kNcclLost, of->device)) _exit(9);
    if (const auto asked = Fails(Point::kNcclAsync, of->device)) return of->Fail(ncclRemoteError, *asked);
    run(*of);
  };
  if (emulation::DoOn(stream, work, std::move(words)) != 0) {
    group.Fail(ncclUnhandledCudaError, "the stream takes no work");
    return group.error;
  }
  if (is_captured) {
    *graphs = group.held;
  } else {
    group.called.insert(calls.begin(), calls.end());
  }
  return Begun(group);
}

// What the thread has said since ncclGroupStart.
struct Grouped {
  int depth = 0;
  std::shared_ptr<Group> of;  // null: nothing yet
  cudaStream_t stream = nullptr;
  std::vector<Message> messages;
  emulation::Words words;
  ncclResult_t error = ncclSuccess;  // the first

  ncclResult_t Keep(ncclResult_t code) {
    if (error == ncclSuccess) error = code;
    return code;
  }
};
thread_local Grouped grouped;

// Of groups it knows those that this project has: of one communicator, one stream, and one message to each and from
// each.
ncclResult_t AddToGroup(const std::shared_ptr<Group>& of, const Message& message, cudaStream_t stream) {
  if (grouped.of == nullptr) {
    grouped.of = of;
    grouped.stream = stream;
  }
  if (grouped.of != of || grouped.stream != stream) {
    of->Fail(ncclInvalidUsage, "a group of two communicators or streams, which the emulated NCCL has not");
    return of->error;
  }
  for (const Message& other : grouped.messages) {
    if (other.peer != message.peer || other.is_send != message.is_send) continue;
    of->Fail(ncclInvalidUsage, "two messages of one kind with one rank in a group, which the emulated NCCL has not");
    return of->error;
  }
  grouped.messages.push_back(message);
  const emulation::Words words = emulation::WordsOf(message.data);
  grouped.words.insert(grouped.words.end(), words.begin(), words.end());
  return of->is_blocking ? ncclSuccess : ncclInProgress;  // the next of the group may come all the same
}

// In bytes; of what else nobody here gathers or sends.
bool IsBytes(Group& group, ncclDataType_t type) {
  if (type == ncclUint8) return true;
  group.Fail(ncclInvalidArgument,
             fmt::format("elements of type {}, where the emulated NCCL has bytes alone", static_cast<int>(type)));
  return false;
}

Call CallOf(const Message& message) { return {message.is_send ? Call::kSend : Call::kRecv, message.peer}; }

ncclResult_t Transfer(ncclComm_t comm, ncclDataType_t type, const Message& message, cudaStream_t stream) {
  const auto group = Of(comm);
  const bool in_group = grouped.depth > 0;
  const ncclResult_t refused = [&] {
    if (message.peer < 0 || message.peer >= group->size) return ncclInvalidArgument;
    if (message.peer == group->rank && !in_group) return ncclInvalidArgument;  // nobody would take it
    if (!IsBytes(*group, type)) return group->error;
    return Refusal(*group, std::array{std::pair<const void*, size_t>(message.data, message.bytes)});
  }();
  if (refused != ncclSuccess) return in_group ? grouped.Keep(refused) : refused;
  if (!in_group) {
    return OnStream(group, {CallOf(message)}, stream, emulation::WordsOf(message.data),
                    [message](Group& of) { RunMessages(of, {message}); });
  }
  const ncclResult_t added = AddToGroup(group, message, stream);
  return added == ncclInProgress ? added : grouped.Keep(added);
}

ncclResult_t StateOf(Group& group) {
  if (group.error != ncclSuccess || group.is_ready) return group.error;
  for (int rank = 0; rank < group.size; ++rank) {
    if (!group.line(rank).has_come.load(std::memory_order_acquire)) return ncclInProgress;
  }
  for (int rank = 0; rank < group.size; ++rank) {
    if (rank == group.rank || group.line(rank).device.load() != group.device) continue;
    if (group.line(rank).host.load() != group.line(group.rank).host.load()) continue;
    group.Fail(ncclInvalidUsage, fmt::format("Duplicate GPU detected : rank {} and rank {} both on cuda:{}", group.rank,
                                             rank, group.device));
    return group.error;
  }
  group.is_ready = true;
  return ncclSuccess;
}

// As the configuration says, where NCCL_COMM_BLOCKING says nothing else.
bool IsBlocking(const ncclConfig_t& config) {
  const char* const told = std::getenv("NCCL_COMM_BLOCKING");
  const long value = told == nullptr || *told == '\0' ? -1 : std::strtol(told, nullptr, 0);
  return value == 0 || value == 1 ? value == 1 : config.blocking != 0;
}

// Without the communicator, whose other ranks are told. What is still to come of its calls does nothing.
void End(Group& group, ncclComm_t comm) {
  if (group.held.use_count() > 1) {
    emulation::EndByName("a communicator of NCCL ends before the graphs that have calls of it");
  }
  group.line(group.rank).state.store(kGone, std::memory_order_release);
  group.is_gone = true;
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  process.files.erase(group.id);
  process.groups.erase(comm);
}

}  // namespace
}  // namespace mrs::emulated

using namespace mrs::emulated;

ncclResult_t ncclGetVersion(int* version) {
  *version = Fails(Point::kNcclVersion, CurrentDevice()) ? kAnotherVersion : kVersion;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t code) {
  constexpr const char* kTexts[] = {"no error",
                                    "unhandled cuda error",
                                    "unhandled system error",
                                    "internal error",
                                    "invalid argument",
                                    "invalid usage",
                                    "remote process exited or there was a network error",
                                    "NCCL operation in progress"};
  return code >= 0 && code <= ncclInProgress ? kTexts[code] : "unknown result code";
}

const char* ncclGetLastError(ncclComm_t comm) { return comm == nullptr ? "" : Of(comm)->why.c_str(); }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (Fails(Point::kNcclId, CurrentDevice())) return ncclSystemError;
  mrs::Fd file(memfd_create("mrs-nccl", MFD_CLOEXEC));
  if (file.get() < 0 || ftruncate(file.get(), sizeof(Shared)) != 0) return ncclSystemError;
  static std::atomic<uint64_t> made{0};
  const std::string text = fmt::format("/proc/{}/fd/{} {}", getpid(), file.get(), ++made);
  *id = {};
  text.copy(id->internal, sizeof(id->internal) - 1);
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  process.files.emplace(text, std::move(file));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const uint32_t device = CurrentDevice();
  *comm = nullptr;
  if (Fails(Point::kNcclInit, device)) return ncclSystemError;
  if (size < 1 || size > static_cast<int>(kMostRanks) || rank < 0 || rank >= size) return ncclInvalidArgument;
  if (config == nullptr || config->size != sizeof(ncclConfig_t) || config->magic != kMagic) return ncclInvalidArgument;
  const std::string text(id.internal, strnlen(id.internal, sizeof(id.internal)));
  const mrs::Fd file(open(text.substr(0, text.find(' ')).c_str(), O_RDWR | O_CLOEXEC));
  if (file.get() < 0) return ncclRemoteError;  // who made the id is gone
  void* const data = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  if (data == MAP_FAILED) return ncclSystemError;
  const auto group = std::make_shared<Group>();
  group->shared = static_cast<Shared*>(data);
  group->id = text;
  group->rank = rank;
  group->size = size;
  group->device = device;
  group->is_blocking = IsBlocking(*config);
  group->hangs = Fails(Point::kNcclHang, device).has_value();
  uint32_t none = 0;
  if (!group->shared->size.compare_exchange_strong(none, static_cast<uint32_t>(size)) &&
      none != static_cast<uint32_t>(size)) {
    return ncclInvalidArgument;
  }
  RankLine& line = group->line(rank);
  line.pid.store(getpid());
  line.device.store(device);
  line.host.store(HostOfProcess());
  uint32_t absent = kAbsent;
  if (!group->hangs && !line.state.compare_exchange_strong(absent, kThere)) return ncclInvalidUsage;  // twice
  line.has_come.store(!group->hangs, std::memory_order_release);
  *comm = reinterpret_cast<ncclComm_t>(group.get());
  {
    Process& process = TheProcess();
    const std::lock_guard lock(process.mutex);
    process.groups.emplace(*comm, group);
  }
  if (!group->is_blocking) return Begun(*group);
  const auto begin = steady_clock::now();
  ncclResult_t state = StateOf(*group);
  for (; state == ncclInProgress && steady_clock::now() - begin < kLongest; state = StateOf(*group)) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  if (state == ncclSuccess) return state;
  End(*group, std::exchange(*comm, nullptr));
  return state == ncclInProgress ? ncclSystemError : state;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  const auto group = Of(comm);
  *state = StateOf(*group);
  if (*state == ncclSuccess) group->is_pending = false;
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* x, void* y, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const auto group = Of(comm);
  if (!IsBytes(*group, type)) return group->error;
  const size_t y_bytes = count * static_cast<size_t>(group->size);
  const ncclResult_t refused =
      Refusal(*group, std::array{std::pair<const void*, size_t>(x, count), std::pair<const void*, size_t>(y, y_bytes)});
  if (refused != ncclSuccess) return refused;
  const auto from = reinterpret_cast<uintptr_t>(x), to = reinterpret_cast<uintptr_t>(y);
  const bool is_in_place = from == to + static_cast<size_t>(group->rank) * count;
  if (!is_in_place && from < to + y_bytes && to < from + count) {
    group->Fail(ncclInvalidArgument, "a gathering into what it reads, but not in the rank's own place");
    return group->error;
  }
  if (grouped.depth > 0) {
    group->Fail(ncclInvalidUsage, "a gathering in a group, which the emulated NCCL has not");
    return grouped.Keep(group->error);
  }
  return OnStream(group, {{Call::kGather, -1}}, stream, mrs::emulation::WordsOf(x, y), [=](Group& of) {
    RunGather(of, static_cast<const std::byte*>(x), static_cast<std::byte*>(y), count);
  });
}
ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  auto* const sent = static_cast<std::byte*>(const_cast<void*>(data));
  return Transfer(comm, type, {.is_send = true, .data = sent, .bytes = count, .peer = peer}, stream);
}
ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return Transfer(comm, type, {.data = static_cast<std::byte*>(data), .bytes = count, .peer = peer}, stream);
}
ncclResult_t ncclGroupStart() {
  ++grouped.depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (grouped.depth == 0) return ncclInvalidUsage;
  if (grouped.depth > 1) {
    --grouped.depth;
    return ncclSuccess;
  }
  const Grouped all = std::exchange(grouped, {});
  if (all.error != ncclSuccess || all.of == nullptr) return all.error;
  const ncclResult_t refused = Refusal(*all.of, std::array<std::pair<const void*, size_t>, 0>());
  if (refused != ncclSuccess) return refused;
  if (std::ranges::count(all.messages, all.of->rank, &Message::peer) == 1) {
    all.of->Fail(ncclInvalidUsage, fmt::format("rank {} sends to itself and takes nothing, or likewise", all.of->rank));
    return all.of->error;
  }
  std::vector<Call> calls;
  for (const Message& message : all.messages) calls.push_back(CallOf(message));
  return OnStream(all.of, calls, all.stream, all.words,
                  [messages = all.messages](Group& of) { RunMessages(of, messages); });
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const auto group = Of(comm);
  if (const ncclResult_t refused = WhilePending(*group); refused != ncclSuccess) return refused;
  if (std::exchange(group->is_final, true)) return ncclInvalidUsage;
  return Begun(*group);
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const auto group = Of(comm);
  if (!group->is_final) mrs::emulation::EndByName("a communicator of NCCL is destroyed before it is final");
  if (group->is_pending && group->error == ncclSuccess) return WhilePending(*group);
  End(*group, comm);
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  End(*Of(comm), comm);
  return ncclSuccess;
}

const Library& mrs::emulated::NcclLibrary() {
#define CALL(name) \
  { #name, reinterpret_cast < void*>(name) }
  static const LibraryCall calls[] = {CALL(ncclGetVersion),
                                      CALL(ncclGetErrorString),
                                      CALL(ncclGetLastError),
                                      CALL(ncclGetUniqueId),
                                      CALL(ncclCommInitRankConfig),
                                      CALL(ncclCommFinalize),
                                      CALL(ncclCommGetAsyncError),
                                      CALL(ncclCommDestroy),
                                      CALL(ncclCommAbort),
                                      CALL(ncclAllGather),
                                      CALL(ncclSend),
                                      CALL(ncclRecv),
                                      CALL(ncclGroupStart),
                                      CALL(ncclGroupEnd)};
#undef CALL
  static const Library library{"libnccl.so.2", Point::kNcclOpen, calls};
  return library;
}
