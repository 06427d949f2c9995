// NCCL between processes of one host, or threads of one: memory that ranks share, whose file the unique id names. What
// NCCL refuses or hangs on is an error here, or ends the program by name. A call runs where its stream runs it, so the
// host waits in it; whoever waits looks whether the other is still there.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/stream.h"
#include "runtime/comm/fd.h"
#include "runtime/rank/cuda/emulated_faults.h"
#include "runtime/rank/cuda/nccl.h"

namespace mrs::nccl {
namespace {

using emulated::Fails;
using emulated::Point;
using std::chrono::steady_clock;

constexpr int kUnhandledCuda = 1, kSystem = 2, kInvalidArgument = 4, kInvalidUsage = 5, kRemote = 6;
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

struct Group {
  ~Group() { munmap(shared, sizeof(Shared)); }

  Shared* shared = nullptr;
  UniqueId id{};
  int rank = 0, size = 0;
  uint32_t device = 0;
  std::shared_ptr<int> held = std::make_shared<int>();  // by graphs, too
  bool is_ready = false, is_settling = false, is_final = false, hangs = false;
  int error = kSuccess;
  std::string why;

  RankLine& line(int of) { return shared->lines[of]; }
  void Fail(int code, std::string because) {
    if (error != kSuccess) return;
    error = code;
    why = std::move(because);
  }
};

// Of the process: files of ids that no communicator is made of yet, and communicators that are there.
struct Process {
  std::mutex mutex;
  std::map<UniqueId, Fd> files;
  std::set<Group*> groups;
};
Process& TheProcess() {
  static Process* const process = new Process;
  return *process;
}

Group& Of(Comm comm) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  auto* const group = static_cast<Group*>(comm);
  if (!process.groups.contains(group)) {
    emulation::EndByName("NCCL is given a communicator that is none, or is none any more");
  }
  return *group;
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
      group.Fail(kRemote, std::move(why));
      return false;
    }
    if (steady_clock::now() - begin > kLongest) {
      group.Fail(kSystem, fmt::format("rank {} has made no step for 60 s", rank));
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
        return group.Fail(kInvalidUsage, fmt::format("rank {} gathers {} bytes, and rank {} gathers {}", group.rank,
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
      return group.Fail(kInvalidUsage,
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

// A call on the stream: at once, or as a node of a graph.
template <typename Run>
int OnStream(Group& group, void* stream, const void* x, size_t x_bytes, const void* y, size_t y_bytes, Run run) {
  if (!group.is_ready || group.is_final) return kInvalidUsage;
  if (group.error != kSuccess) return group.error;
  if (const auto asked = Fails(Point::kNcclCall, group.device)) {
    group.Fail(kUnhandledCuda, *asked);
    return group.error;
  }
  if (!IsDevices(group, x, x_bytes) || !IsDevices(group, y, y_bytes)) {
    group.Fail(kInvalidArgument, "operands are no memory of the device");
    return group.error;
  }
  const auto work = [of = &group, held = group.held, run] {
    if (of->error != kSuccess) return;
    if (Fails(Point::kNcclLost, of->device)) _exit(9);
    if (const auto asked = Fails(Point::kNcclAsync, of->device)) return of->Fail(kRemote, *asked);
    run(*of);
  };
  if (emulation::DoOn(stream, work, emulation::WordsOf(x, y)) != 0) {
    group.Fail(kUnhandledCuda, "the stream takes no work");
    return group.error;
  }
  return std::exchange(group.is_settling, false) ? kInProgress : kSuccess;  // of the first
}

// Without the communicator, whose other ranks are told.
void End(Comm comm) {
  Group* const group = &Of(comm);
  if (group->held.use_count() > 1) {
    emulation::EndByName("a communicator of NCCL ends before the graphs that have calls of it");
  }
  group->line(group->rank).state.store(kGone, std::memory_order_release);
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  process.groups.erase(group);
  process.files.erase(group->id);
  delete group;
}

}  // namespace

Result<int> Open() {
  const uint32_t device = emulated::CurrentDevice();
  if (const auto asked = Fails(Point::kNcclOpen, device)) {
    return Unavailable("no NCCL on this host: {}; plan with mrs-plan build --collectives staged", *asked);
  }
  return Fails(Point::kNcclVersion, device) ? kAnotherVersion : kVersion;
}

std::string VersionText(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string Text(int code, Comm comm) {
  constexpr const char* kTexts[] = {"no error",
                                    "unhandled cuda error",
                                    "unhandled system error",
                                    "internal error",
                                    "invalid argument",
                                    "invalid usage",
                                    "remote process exited or there was a network error",
                                    "NCCL operation in progress"};
  const std::string text = code >= 0 && code <= kInProgress ? kTexts[code] : "unknown result code";
  if (comm == nullptr || Of(comm).why.empty()) return text;
  return fmt::format("{}: {}", text, Of(comm).why);
}

int MakeUniqueId(UniqueId* id) {
  if (Fails(Point::kNcclId, emulated::CurrentDevice())) return kSystem;
  Fd file(memfd_create("mrs-nccl", MFD_CLOEXEC));
  if (file.get() < 0 || ftruncate(file.get(), sizeof(Shared)) != 0) return kSystem;
  static std::atomic<uint64_t> made{0};
  id->fill('\0');
  const std::string text = fmt::format("/proc/{}/fd/{} {}", getpid(), file.get(), ++made);
  std::copy(text.begin(), text.end(), id->begin());
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  process.files.emplace(*id, std::move(file));
  return kSuccess;
}

int Init(Comm* comm, int size, const UniqueId& id, int rank) {
  const uint32_t device = emulated::CurrentDevice();
  if (Fails(Point::kNcclInit, device)) return kSystem;
  if (size < 1 || size > static_cast<int>(kMostRanks) || rank < 0 || rank >= size) return kInvalidArgument;
  const std::string text(id.data(), strnlen(id.data(), id.size()));
  const Fd file(open(text.substr(0, text.find(' ')).c_str(), O_RDWR | O_CLOEXEC));
  if (file.get() < 0) return kRemote;  // who made the id is gone
  void* const data = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  if (data == MAP_FAILED) return kSystem;
  auto group = std::make_unique<Group>();
  group->shared = static_cast<Shared*>(data);
  group->id = id;
  group->rank = rank;
  group->size = size;
  group->device = device;
  group->hangs = Fails(Point::kNcclHang, device).has_value();
  uint32_t none = 0;
  if (!group->shared->size.compare_exchange_strong(none, static_cast<uint32_t>(size)) &&
      none != static_cast<uint32_t>(size)) {
    return kInvalidArgument;
  }
  RankLine& line = group->line(rank);
  line.pid.store(getpid());
  line.device.store(device);
  line.host.store(emulated::HostOfProcess());
  uint32_t absent = kAbsent;
  if (!group->hangs && !line.state.compare_exchange_strong(absent, kThere)) return kInvalidUsage;  // twice
  line.has_come.store(!group->hangs, std::memory_order_release);
  *comm = group.get();
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  process.groups.insert(group.release());
  return kInProgress;
}

int AsyncError(Comm comm, int* state) {
  Group& group = Of(comm);
  *state = group.error;
  if (group.error != kSuccess || group.is_ready) return kSuccess;
  for (int rank = 0; rank < group.size; ++rank) {
    if (group.line(rank).has_come.load(std::memory_order_acquire)) continue;
    *state = kInProgress;
    return kSuccess;
  }
  for (int rank = 0; rank < group.size; ++rank) {
    if (rank == group.rank || group.line(rank).device.load() != group.device) continue;
    if (group.line(rank).host.load() != group.line(group.rank).host.load()) continue;
    group.Fail(kInvalidUsage, fmt::format("Duplicate GPU detected : rank {} and rank {} both on cuda:{}", group.rank,
                                          rank, group.device));
    *state = group.error;
    return kSuccess;
  }
  group.is_ready = group.is_settling = true;
  return kSuccess;
}

int AllGather(const void* x, void* y, size_t bytes, Comm comm, void* stream) {
  Group& group = Of(comm);
  return OnStream(group, stream, x, bytes, y, bytes * static_cast<size_t>(group.size), [=](Group& of) {
    RunGather(of, static_cast<const std::byte*>(x), static_cast<std::byte*>(y), bytes);
  });
}
int Send(const void* data, size_t bytes, int peer, Comm comm, void* stream) {
  Group& group = Of(comm);
  if (peer < 0 || peer >= group.size || peer == group.rank) return kInvalidArgument;
  return OnStream(group, stream, data, bytes, data, bytes,
                  [=](Group& of) { RunSend(of, static_cast<const std::byte*>(data), bytes, peer); });
}
int Recv(void* data, size_t bytes, int peer, Comm comm, void* stream) {
  Group& group = Of(comm);
  if (peer < 0 || peer >= group.size || peer == group.rank) return kInvalidArgument;
  return OnStream(group, stream, data, bytes, data, bytes,
                  [=](Group& of) { RunRecv(of, static_cast<std::byte*>(data), bytes, peer); });
}

int Finalize(Comm comm) {
  Group& group = Of(comm);
  if (group.error != kSuccess) return group.error;
  if (!group.is_ready || std::exchange(group.is_final, true)) return kInvalidUsage;
  return kInProgress;
}
int Destroy(Comm comm) {
  if (!Of(comm).is_final) emulation::EndByName("a communicator of NCCL is destroyed before it is final");
  End(comm);
  return kSuccess;
}
int Abort(Comm comm) {
  End(comm);
  return kSuccess;
}

}  // namespace mrs::nccl
