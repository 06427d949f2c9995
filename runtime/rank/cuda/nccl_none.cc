#include "runtime/rank/cuda/nccl.h"

namespace mrs::nccl {
namespace {

constexpr int kInvalidUsage = 5;  // of what nobody calls where Open refuses

}  // namespace

Result<int> Open() {
  return Refuse(
      "this mrs-exec was built where there is no nccl.h; build it where NCCL's headers are (libnccl-dev), or plan with "
      "mrs-plan build --collectives staged");
}
std::string VersionText(int) { return "none"; }
std::string Text(int, Comm) { return "no NCCL"; }
int MakeUniqueId(UniqueId*) { return kInvalidUsage; }
int Init(Comm*, int, const UniqueId&, int) { return kInvalidUsage; }
int AsyncError(Comm, int*) { return kInvalidUsage; }
int AllGather(const void*, void*, size_t, Comm, void*) { return kInvalidUsage; }
int Send(const void*, size_t, int, Comm, void*) { return kInvalidUsage; }
int Recv(void*, size_t, int, Comm, void*) { return kInvalidUsage; }
int GroupStart() { return kInvalidUsage; }
int GroupEnd() { return kInvalidUsage; }
int Finalize(Comm) { return kInvalidUsage; }
int Destroy(Comm) { return kInvalidUsage; }
int Abort(Comm) { return kInvalidUsage; }

}  // namespace mrs::nccl
