// Runs a grid of CUDA threads on one OS thread: a fiber each, block after block, in an order of choice; or all blocks by
// turns, where they are resident together (a cooperative launch) and wait for others by Poll.
//
//   SetSchedule({.order = Order::kRandom, .seed = 7});
//   RunGrid({.grid = {4}, .block = {256}, .shared_bytes = 1024}, [&] { Kernel(args); });
//
// What a device would leave undefined or hang on ends the program with what every thread waits for, with file and line:
// threads of a block at different barriers, lanes of a warp at different operations, a lane outside its mask, waits
// that nobody ends. Shared memory starts as NaNs and has exactly its size, for the address sanitizer. A missing barrier
// shows as other results in another order. Flush-to-zero is on, as nvcc -ftz=true has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

namespace mrs::emulation {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// In which order threads that could run do, and blocks.
enum class Order : uint8_t { kForward, kReverse, kRandom };
struct Schedule {
  Order order = Order::kForward;
  uint64_t seed = 1;
};
// For the launches of this OS thread from now on.
void SetSchedule(Schedule schedule);

struct Grid {
  Dim3 grid, block;
  size_t shared_bytes = 0;
  bool is_resident = false;      // all of its blocks at once
  bool is_dependent = false;     // its threads await the launch before
  const void* kernel = nullptr;  // for messages
};
// A block a multiprocessor, of which an A100 has so many.
inline constexpr unsigned kMostResidentBlocks = 108;
// Past what every device from sm_80 on takes (1024 threads a block, 163 KiB of shared memory, 2^31 - 1, 65535 and 65535
// blocks, kMostResidentBlocks of a resident grid) the program ends: those are bugs of the caller.
void RunGrid(const Grid& grid, const std::function<void()>& thread);

// What a thread of the running grid asks: where it is.
struct Place {
  Dim3 thread, block, block_dim, grid_dim;
  std::byte* shared = nullptr;
  size_t shared_bytes = 0;
};
const Place& Here();

// Where an operation stands in its source; a default argument, as std::source_location is, which clang 14 does not
// have.
#if __has_builtin(__builtin_COLUMN)
#define MRS_COLUMN static_cast<unsigned>(__builtin_COLUMN())
#else
#define MRS_COLUMN std::source_location::current().column()
#endif
struct Site {
  const char* file = "";
  unsigned line = 0, column = 0;
  static constexpr Site Current(const char* file = __builtin_FILE(),
                                unsigned line = static_cast<unsigned>(__builtin_LINE()), unsigned column = MRS_COLUMN) {
    return {file, line, column};
  }
};
#undef MRS_COLUMN

// Of what is no part of a kernel, and reads what the host has (watch.h).
#define MRS_NOT_WATCHED __attribute__((no_sanitize("thread")))

// __syncthreads.
void SyncBlock(const Site& site);

// An operation of the lanes in `mask`: each leaves `in`; when the last has come, `combine` makes every lane's `out` of
// them, and all go on. Null: they only meet.
inline constexpr size_t kLaneBytes = 64;
using LaneSlots = std::byte (*)[kLaneBytes];
using Combine = void (*)(uint32_t mask, const std::byte (*in)[kLaneBytes], LaneSlots out);
void SyncWarp(uint32_t mask, const void* in, size_t in_bytes, void* out, size_t out_bytes, Combine combine,
              const Site& site);

// In each turn of a loop that waits for what another block, device or the host does: all other threads of the grid get a
// turn before this one, and other OS threads. Of a grid that is not resident the program ends: what it waits for might
// come after it.
void Poll(const Site& site);
// Between blocks, OS threads and processes that share memory (signals.h).
void StoreRelease(uint64_t* at, uint64_t word);
uint64_t LoadAcquire(const uint64_t* at);
uint32_t CountBlock(uint32_t* count);
uint64_t Nanoseconds();

// Copies that the calling thread starts, ends a group of, and waits for, until its last `left` groups remain. They are
// done when they are waited for, the latest time that a device may choose, or in reverse order at once, the first. A
// thread that ends with some that it has not waited for ends the program.
void StartCopy(void* to, const void* from, size_t bytes);
void CommitCopies();
void WaitForCopies(unsigned left);

// A grid that is dependent may be there before the launch before it has ended, so each of its threads awaits that
// before it touches memory of a device: who ends without ends the program, and with each access told (watch.h) who
// touches some before. A prefetch is told of to whoever watches, and nothing else.
void AwaitPrevious();
void Prefetch(const void* global, size_t bytes);
// Of the thread that runs; true, too, where it need not.
bool HasAwaited();
// That this OS thread has run.
uint64_t DependentGrids();

// What is read of shared memory there is used for nothing, so nobody needs to have written it.
void AnyBytesDo(const void* shared, size_t bytes);

// Ends the program with a word and with what every thread waits for.
[[noreturn]] void Fault(const char* what);

}  // namespace mrs::emulation
