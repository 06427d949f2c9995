// libnccl.so.2, opened when a plan needs it: mrs-exec starts where there is none. Its header is NCCL's own, or that of
// the emulated one.
#include <fmt/format.h>
#include <nccl.h>

#include <cstring>
#include <mutex>

#include "runtime/rank/cuda/nccl.h"
#include "runtime/rank/cuda/shared_library.h"

namespace mrs::nccl {
namespace {

#define MRS_NCCL_CALLS(CALL)   \
  CALL(ncclGetVersion)         \
  CALL(ncclGetErrorString)     \
  CALL(ncclGetLastError)       \
  CALL(ncclGetUniqueId)        \
  CALL(ncclCommInitRankConfig) \
  CALL(ncclCommGetAsyncError)  \
  CALL(ncclCommFinalize)       \
  CALL(ncclCommDestroy)        \
  CALL(ncclCommAbort)          \
  CALL(ncclAllGather)          \
  CALL(ncclSend)               \
  CALL(ncclRecv)               \
  CALL(ncclGroupStart)         \
  CALL(ncclGroupEnd)

struct Calls {
#define CALL(name) decltype(&::name) name = nullptr;
  MRS_NCCL_CALLS(CALL)
#undef CALL
};
Calls calls;  // filled by Open, once, before any other call

static_assert(kSuccess == ncclSuccess && kInProgress == ncclInProgress && kSystemError == ncclSystemError &&
              kInternalError == ncclInternalError && kRemoteError == ncclRemoteError);

constexpr const char* kName = "libnccl.so.2";
constexpr const char* kInstall =
    "install NCCL 2.14 or newer (Debian, Ubuntu: libnccl2 of NVIDIA's repository; pip: nvidia-nccl-cu13) where the "
    "loader finds it (LD_LIBRARY_PATH), or plan with mrs-plan build --collectives staged";

ncclComm_t Of(Comm comm) { return static_cast<ncclComm_t>(comm); }
cudaStream_t Stream(void* stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace

Result<int> Open() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::string why, missing;
  void* const library = OpenLibrary(kName, &why);
  if (library == nullptr) return Unavailable("no NCCL on this host: {}; {}", why, kInstall);
  Calls found;
#define CALL(name)                                                                     \
  found.name = reinterpret_cast<decltype(found.name)>(FindCall(library, #name, &why)); \
  if (found.name == nullptr && missing.empty()) missing = fmt::format("{}: {}", #name, why);
  MRS_NCCL_CALLS(CALL)
#undef CALL
  int version = 0;
  if (found.ncclGetVersion != nullptr) {  // first: an older one lacks calls, too
    if (const ncclResult_t code = found.ncclGetVersion(&version); code != ncclSuccess) {
      return Unavailable("{} does not say which version it is: code {}; {}", kName, static_cast<int>(code), kInstall);
    }
    if (version < kOldestVersion || version >= 30000) {
      return Refuse("{} is {}, expected 2.14 or a newer 2; {}", kName, VersionText(version), kInstall);
    }
  }
  if (!missing.empty()) return Unavailable("{} has no {}; {}", kName, missing, kInstall);
  if (calls.ncclGetVersion == nullptr) calls = found;
  return version;
}

std::string VersionText(int version) {
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int minor = version < 10000 ? version / 100 % 10 : version / 100 % 100;
  return fmt::format("{}.{}.{}", major, minor, version % 100);
}

std::string Text(int code, Comm comm) {
  const std::string text = calls.ncclGetErrorString(static_cast<ncclResult_t>(code));
  const char* const last = calls.ncclGetLastError(Of(comm));
  return last == nullptr || *last == '\0' ? text : fmt::format("{}: {}", text, last);
}

int MakeUniqueId(UniqueId* id) {
  ncclUniqueId made;
  static_assert(sizeof(made) == sizeof(*id));
  const ncclResult_t code = calls.ncclGetUniqueId(&made);
  std::memcpy(id->data(), &made, sizeof(made));
  return code;
}
int Init(Comm* comm, int size, const UniqueId& id, int rank) {
  ncclUniqueId told;
  std::memcpy(&told, id.data(), sizeof(told));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t made = nullptr;
  const ncclResult_t code = calls.ncclCommInitRankConfig(&made, size, told, rank, &config);
  *comm = made;
  return code;
}
int AsyncError(Comm comm, int* state) {
  ncclResult_t of_comm = ncclSuccess;
  const ncclResult_t code = calls.ncclCommGetAsyncError(Of(comm), &of_comm);
  *state = of_comm;
  return code;
}
int AllGather(const void* x, void* y, size_t bytes, Comm comm, void* stream) {
  return calls.ncclAllGather(x, y, bytes, ncclUint8, Of(comm), Stream(stream));
}
int Send(const void* data, size_t bytes, int peer, Comm comm, void* stream) {
  return calls.ncclSend(data, bytes, ncclUint8, peer, Of(comm), Stream(stream));
}
int Recv(void* data, size_t bytes, int peer, Comm comm, void* stream) {
  return calls.ncclRecv(data, bytes, ncclUint8, peer, Of(comm), Stream(stream));
}
int GroupStart() { return calls.ncclGroupStart(); }
int GroupEnd() { return calls.ncclGroupEnd(); }
int Finalize(Comm comm) { return calls.ncclCommFinalize(Of(comm)); }
int Destroy(Comm comm) { return calls.ncclCommDestroy(Of(comm)); }
int Abort(Comm comm) { return calls.ncclCommAbort(Of(comm)); }

}  // namespace mrs::nccl
