// NCCL's calls between processes of one host, or threads of one: memory that ranks share, whose file the unique id
// names. What NCCL refuses or hangs on is an error here, or ends the program by name. A call runs where its stream runs
// it; whoever waits looks whether the other is still there. Its variables are NCCL's, of which it knows NCCL_HOSTID and
// NCCL_COMM_BLOCKING.
#include "runtime/rank/cuda/emulated/nccl.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <compare>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/stream.h"
#include "runtime/comm/fd.h"
#include "runtime/rank/cuda/emulated/libraries.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs::emulated {
namespace {

using std::chrono::steady_clock;

constexpr unsigned int kMagic = 0xcafebeef;  // of a configuration that the initializer made
constexpr int kVersion = 22809, kAnotherVersion = 22703;
constexpr size_t kMostRanks = 64;
constexpr size_t kPiece = size_t{64} << 10;
constexpr auto kLongest = std::chrono::seconds(60);  // without a step of the rank that is waited for

enum State : uint32_t { kAbsent, kThere, kGone };

// All of it begins as zeros.
struct alignas(64) RankLine {
  std::atomic<uint32_t> state;
  std::atomic<bool> has_come;  // and may have left since
  std::atomic<int32_t> pid;
  std::atomic<uint32_t> device;
  std::atomic<uint64_t> host;   // emulated::HostOfProcess
  std::atomic<uint64_t> step;   // of gatherings, two a piece
  std::atomic<uint64_t> bytes;  // of the gathering under way
};
struct alignas(64) Box {
  std::atomic<uint64_t> sent, taken;  // pieces
  std::atomic<uint64_t> bytes;        // of the message under way
};
struct Shared {
  std::atomic<uint32_t> size;  // as the first rank has it
  RankLine lines[kMostRanks];
  Box boxes[kMostRanks][kMostRanks];  // [from][to]
  std::byte gathered[kMostRanks][kPiece];
  std::byte letters[kMostRanks][kMostRanks][kPiece];
};

// What is called, with whom; of a gathering -1.
struct Call {
  enum Kind : uint8_t { kGather, kSend, kRecv } kind;
  int peer;
  auto operator<=>(const Call&) const = default;
};

struct Group {
  ~Group() { munmap(shared, sizeof(Shared)); }

  Shared* shared = nullptr;
  std::string id;
  int rank = 0, size = 0;
  uint32_t device = 0;
  std::shared_ptr<int> held = std::make_shared<int>();  // by graphs, too
  std::set<Call> called;                                // in no graph
  bool is_blocking = true, is_ready = false, is_settling = false, is_final = false, is_gone = false, hangs = false;
  ncclResult_t error = ncclSuccess;
  std::string why;

  RankLine& line(int of) { return shared->lines[of]; }
  void Fail(ncclResult_t code, std::string because) {
    if (error != ncclSuccess) return;
    error = code;
    why = std::move(because);
  }
};

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

// "" while a rank is there.
std::string WhyGone(Group& group, int rank) {
  RankLine& line = group.line(rank);
  if (line.state.load(std::memory_order_acquire) == kGone) return fmt::format("rank {} has left", rank);
  const int pid = line.pid.load();
  if (pid == 0 || pid == getpid()) return "";
  char path[64], state = '?';
  std::snprintf(path, sizeof(path), "/proc/%d/stat", pid);
  if (std::FILE* const file = std::fopen(path, "re")) {
    if (std::fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = '?';
    std::fclose(file);
  } else {
    state = 'X';
  }
  return state == 'Z' || state == 'X' ? fmt::format("rank {} has ended (process {})", rank, pid) : "";
}

// Whether `rank` got there; else the group has failed.
template <typename Condition>
bool Await(Group& group, int rank, const Condition& is_there) {
  const auto begin = steady_clock::now();
  for (uint64_t looks = 0; !is_there(); ++looks) {
    if (looks < 200) {
      sched_yield();
      continue;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (looks % 20 != 0) continue;
    std::string why = WhyGone(group, rank);
    if (is_there()) return true;  // it did, and left
    if (!why.empty()) {
      group.Fail(ncclRemoteError, std::move(why));
      return false;
    }
    if (steady_clock::now() - begin > kLongest) {
      group.Fail(ncclSystemError, fmt::format("rank {} has made no step for 60 s", rank));
      return false;
    }
  }
  return true;
}

bool AllStep(Group& group) {
  const uint64_t step = group.line(group.rank).step.fetch_add(1, std::memory_order_acq_rel) + 1;
  for (int rank = 0; rank < group.size; ++rank) {
    RankLine& line = group.line(rank);
    if (!Await(group, rank, [&] { return line.step.load(std::memory_order_acquire) >= step; })) return false;
  }
  return true;
}

void RunGather(Group& group, const std::byte* x, std::byte* y, size_t bytes) {
  group.line(group.rank).bytes.store(bytes, std::memory_order_relaxed);
  size_t done = 0;
  do {
    const size_t piece = std::min(kPiece, bytes - done);
    if (piece > 0) std::memcpy(group.shared->gathered[group.rank], x + done, piece);
    if (!AllStep(group)) return;
    for (int rank = 0; rank < group.size; ++rank) {
      if (const uint64_t other = group.line(rank).bytes.load(std::memory_order_relaxed); other != bytes) {
        return group.Fail(ncclInvalidUsage, fmt::format("rank {} gathers {} bytes, and rank {} gathers {}", group.rank,
                                                        bytes, rank, other));
      }
      if (piece > 0) {
        std::memcpy(y + static_cast<size_t>(rank) * bytes + done, group.shared->gathered[rank], piece);
      }
    }
    if (!AllStep(group)) return;
    done += piece;
  } while (done < bytes);
}

void RunSend(Group& group, const std::byte* data, size_t bytes, int peer) {
  Box& box = group.shared->boxes[group.rank][peer];
  size_t done = 0;
  do {
    const size_t piece = std::min(kPiece, bytes - done);
    const uint64_t sent = box.sent.load(std::memory_order_relaxed);
    if (!Await(group, peer, [&] { return box.taken.load(std::memory_order_acquire) == sent; })) return;
    box.bytes.store(bytes, std::memory_order_relaxed);
    if (piece > 0) std::memcpy(group.shared->letters[group.rank][peer], data + done, piece);
    box.sent.store(sent + 1, std::memory_order_release);
    done += piece;
  } while (done < bytes);
}

void RunRecv(Group& group, std::byte* data, size_t bytes, int peer) {
  Box& box = group.shared->boxes[peer][group.rank];
  size_t done = 0;
  do {
    const size_t piece = std::min(kPiece, bytes - done);
    const uint64_t taken = box.taken.load(std::memory_order_relaxed);
    if (!Await(group, peer, [&] { return box.sent.load(std::memory_order_acquire) > taken; })) return;
    if (const uint64_t other = box.bytes.load(std::memory_order_relaxed); other != bytes) {
      return group.Fail(ncclInvalidUsage,
                        fmt::format("rank {} sends {} bytes, and rank {} expects {}", peer, other, group.rank, bytes));
    }
    if (piece > 0) std::memcpy(data + done, group.shared->letters[peer][group.rank], piece);
    box.taken.store(taken + 1, std::memory_order_release);
    done += piece;
  } while (done < bytes);
}

// Memory of the device that it runs on.
bool IsDevices(const Group& group, const void* data, size_t bytes) {
  return emulation::WhyNot(data, bytes, emulation::Where::kDevice, static_cast<int>(group.device)).empty();
}

// A call on the stream, which runs it in its turn, or keeps it for a graph. Of its kind the first is in none: NCCL may
// connect by it, and take memory, which nobody has tried while a graph is captured.
template <typename Run>
ncclResult_t OnStream(const std::shared_ptr<Group>& of, Call call, cudaStream_t stream, const void* x, size_t x_bytes,
                      const void* y, size_t y_bytes, Run run) {
  Group& group = *of;
  if (!group.is_ready || group.is_final) return ncclInvalidUsage;
  if (group.error != ncclSuccess) return group.error;
  if (const auto asked = Fails(Point::kNcclCall, group.device)) {
    group.Fail(ncclUnhandledCudaError, *asked);
    return group.error;
  }
  if (!IsDevices(group, x, x_bytes) || !IsDevices(group, y, y_bytes)) {
    group.Fail(ncclInvalidArgument, "operands are no memory of the device");
    return group.error;
  }
  const bool is_captured =
      stream != nullptr && static_cast<emulation::Stream*>(static_cast<void*>(stream))->is_capturing();
  if (is_captured && !group.called.contains(call)) {
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
  if (emulation::DoOn(stream, work, emulation::WordsOf(x, y)) != 0) {
    group.Fail(ncclUnhandledCudaError, "the stream takes no work");
    return group.error;
  }
  if (is_captured) {
    *graphs = group.held;
  } else {
    group.called.insert(call);
  }
  return std::exchange(group.is_settling, false) ? ncclInProgress : ncclSuccess;  // of the first
}

// In bytes; of what else nobody here gathers or sends.
bool IsBytes(Group& group, ncclDataType_t type) {
  if (type == ncclUint8) return true;
  group.Fail(ncclInvalidArgument,
             fmt::format("elements of type {}, where the emulated NCCL has bytes alone", static_cast<int>(type)));
  return false;
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
  group.is_settling = !group.is_blocking;
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
  if (!group->is_blocking) return ncclInProgress;
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
  *state = StateOf(*Of(comm));
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* x, void* y, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const auto group = Of(comm);
  if (!IsBytes(*group, type)) return group->error;
  return OnStream(
      group, {Call::kGather, -1}, stream, x, count, y, count * static_cast<size_t>(group->size),
      [=](Group& of) { RunGather(of, static_cast<const std::byte*>(x), static_cast<std::byte*>(y), count); });
}
ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  const auto group = Of(comm);
  if (peer < 0 || peer >= group->size || peer == group->rank) return ncclInvalidArgument;
  if (!IsBytes(*group, type)) return group->error;
  return OnStream(group, {Call::kSend, peer}, stream, data, count, data, count,
                  [=](Group& of) { RunSend(of, static_cast<const std::byte*>(data), count, peer); });
}
ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  const auto group = Of(comm);
  if (peer < 0 || peer >= group->size || peer == group->rank) return ncclInvalidArgument;
  if (!IsBytes(*group, type)) return group->error;
  return OnStream(group, {Call::kRecv, peer}, stream, data, count, data, count,
                  [=](Group& of) { RunRecv(of, static_cast<std::byte*>(data), count, peer); });
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const auto group = Of(comm);
  if (group->error != ncclSuccess) return group->error;
  if (!group->is_ready || std::exchange(group->is_final, true)) return ncclInvalidUsage;
  return group->is_blocking ? ncclSuccess : ncclInProgress;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const auto group = Of(comm);
  if (!group->is_final) mrs::emulation::EndByName("a communicator of NCCL is destroyed before it is final");
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
                                      CALL(ncclRecv)};
#undef CALL
  static const Library library{"libnccl.so.2", Point::kNcclOpen, calls};
  return library;
}
