// The few calls of NCCL that a rank makes, as NCCL has them: a code each, and most not done when they return.
//
//   MRS_ASSIGN_OR_RETURN(const int version, nccl::Open());     // 22809; or what is missing, and what to install
//   nccl::UniqueId id;                                         // made by a group's first rank, told to the others
//   int code = nccl::Init(&comm, /*size=*/2, id, /*rank=*/0);  // kInProgress, until AsyncError says otherwise
//
// nccl_library.cc opens libnccl.so.2 where a plan needs it: the host's, or for the emulator the program's own
// (shared_library.h, emulated/nccl.cc). nccl_none.cc is of a build that found no nccl.h. What waits and reports is
// nccl_exchange.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "plans/status.h"

namespace mrs::nccl {

// ncclResult_t; all others are errors
constexpr int kSuccess = 0, kInProgress = 7;
constexpr int kSystemError = 2, kInternalError = 3, kRemoteError = 6;  // which other ranks' ends also come as
using UniqueId = std::array<char, 128>;                                // ncclUniqueId
using Comm = void*;                                                    // ncclComm_t
constexpr int kOldestVersion = 21400;                                  // 2.14, the first with ncclCommInitRankConfig

// Opens the library, or finds it open. Its version: 2.28.9 is 22809.
Result<int> Open();
std::string VersionText(int version);  // "2.28.9"
// What a code means, and what NCCL says of `comm` beyond it (null: of nothing in particular).
std::string Text(int code, Comm comm);

int MakeUniqueId(UniqueId* id);
// Without waiting for the others (ncclConfig_t.blocking = 0), unless NCCL_COMM_BLOCKING=1 is set, which NCCL heeds
// first.
int Init(Comm* comm, int size, const UniqueId& id, int rank);
// *state: of the last call, or of what went wrong since.
int AsyncError(Comm comm, int* state);

// In the order of the stream, a cudaStream_t, also while it is captured. `y` is [size][bytes].
int AllGather(const void* x, void* y, size_t bytes, Comm comm, void* stream);
int Send(const void* data, size_t bytes, int peer, Comm comm, void* stream);
int Recv(void* data, size_t bytes, int peer, Comm comm, void* stream);
// Sends and receipts between them are one step, in which none waits for another; there a rank may send to itself. What
// they return says nothing of when they are done, and GroupEnd returns the first error of them, too. It is called once
// for each GroupStart.
int GroupStart();
int GroupEnd();

// After all graphs that have calls of `comm`, which spin on such. Finalize may be kInProgress; Destroy comes after it,
// Abort at any time.
int Finalize(Comm comm);
int Destroy(Comm comm);
int Abort(Comm comm);

}  // namespace mrs::nccl
