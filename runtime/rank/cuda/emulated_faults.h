// Where an emulated device fails, as a test asks: the n-th time that it is asked to do something.
//
//   MRS_EMULATED_FAULT=launch:17            the 17th kernel is not launched
//   MRS_EMULATED_FAULT=allocation:3@1       the third allocation of cuda:1
//   MRS_EMULATED_FAULT=device-memory:1GiB   a device has that much (KiB, MiB, GiB or bytes)
//   MRS_EMULATED_FAULT=free-memory:40MiB    so much of it is free: another program has the rest
//   MRS_EMULATED_FAULT=order:7              nodes of graphs in another legal order at each launch, from this seed
//   MRS_EMULATED_FAULT=missing-dependency:3 the third dependency of each graph is not there
//   MRS_EMULATED_FAULT=count:/tmp/counts    fails nowhere; how often each was asked for, a line as the program ends
//
// Several are separated by commas. Only the emulated device reads it. Points, by name, in kPointNames.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs::emulated {

enum class Point : uint8_t {
  kOpen,
  kUse,
  kMemoryQuery,
  kIdentity,
  kAllocation,
  kHostAllocation,
  kCopyIn,
  kCopyOut,
  kCopyWithin,
  kLaunch,
  kMark,
  kCapture,      // cannot begin
  kInvalidated,  // was spoilt by something else, which its end says
  kInstantiate,
  kGraphLaunch,
  kWait,  // what was launched failed: the device is lost
  // Of NCCL (emulated/nccl.cc).
  kNcclOpen,
  kNcclVersion,  // is another one
  kNcclId,
  kNcclInit,
  kNcclHang,  // a rank never comes to its communicator
  kNcclCall,
  kNcclAsync,  // a call fails later, as it runs
  kNcclLost,   // the process ends, as a call runs
  // Of memory that processes share.
  kIpcExport,
  kIpcOpen,
  kIpcAstray,  // what is opened is other memory
  // Of cuBLASLt (emulated/cublaslt.cc).
  kCublasltOpen,
  kCublasltVersion,  // is another one
  kCublasltCreate,
  kCublasltChoose,  // there is no way to multiply
  kCublasltMultiply,
};
constexpr std::array<const char*, 32> kPointNames = {"open",
                                                     "use",
                                                     "memory-query",
                                                     "identity",
                                                     "allocation",
                                                     "host-allocation",
                                                     "copy-in",
                                                     "copy-out",
                                                     "copy-within",
                                                     "launch",
                                                     "mark",
                                                     "capture",
                                                     "capture-invalidated",
                                                     "instantiate",
                                                     "graph-launch",
                                                     "wait",
                                                     "nccl-open",
                                                     "nccl-version",
                                                     "nccl-id",
                                                     "nccl-init",
                                                     "nccl-hang",
                                                     "nccl-call",
                                                     "nccl-async",
                                                     "nccl-lost",
                                                     "ipc-export",
                                                     "ipc-open",
                                                     "ipc-astray",
                                                     "cublaslt-open",
                                                     "cublaslt-version",
                                                     "cublaslt-create",
                                                     "cublaslt-choose",
                                                     "cublaslt-multiply"};

struct Fault {
  Point point = Point::kOpen;
  uint64_t number = 1;
  std::optional<uint32_t> device;  // none: whichever comes to that number, all counted together
};
struct Faults {
  std::vector<Fault> faults;
  uint64_t device_bytes = uint64_t{2} << 30;
  std::optional<uint64_t> free_bytes;  // at first, no more than those; none: all of them
  uint64_t order_seed = 0;             // 0: one order, always
  uint64_t missing_dependency = 0;     // of each graph, from 1; 0: all are there
  std::string count_file;
};
// Errors: what is not as above, with where and what there is.
Result<Faults> ParseFaults(std::string_view text);

// From now on, counted from the start. Before the first use the environment's.
void UseFaults(Faults faults);
// Errors: of the environment's.
Result<const Faults*> CurrentFaults();
// Counts it; whether it is to fail, and if so as what: "MRS_EMULATED_FAULT=launch:17".
std::optional<std::string> Fails(Point point, uint32_t device);
// How often it was asked for.
uint64_t CountOf(Point point);
// A graph has forgotten a dependency, as was asked for; how many have.
void NoteForgotten();
uint64_t ForgottenCount();
// As NCCL tells hosts apart where it is told how (NCCL_HOSTID): processes of one host are of two for a test.
uint64_t HostOfProcess();
// The calling thread's, as cudaGetDevice has it; 0 where it has chosen none.
uint32_t CurrentDevice();
// Why the calling thread's last call failed, or why a stream took no work of it; empty: nothing is known.
std::string WhyNotLaunched();
// A seed for the next launch of a graph; 0 where there is one order.
uint64_t NextOrderSeed();

}  // namespace mrs::emulated
