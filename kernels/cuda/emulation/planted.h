// A kernel with a fault of choice, for the test of what is told of it. Its source is watched, the test's is not.
#pragma once

#include <cstdint>

namespace mrs::kernels::cuda {

// What a kernel leaves out, or does wrong.
enum class Plant : uint8_t {
  kNothing,
  kBarrier,         // between a write and the others' reads
  kSecondBarrier,   // before what was read is written anew
  kWarpBarrier,     // between lanes of a warp
  kShuffleInstead,  // which orders no memory
  kHalfOfTheWarp,   // in the mask of the barrier: the others go on
  kWait,            // for a copy
  kCommit,          // so that the wait waits for nothing
  kWarpAfterWait,   // a copy is there for its thread alone
  kCopyTooEarly,    // over what others still read
  kCopyPastShared,
  kReadPastShared,
  kWritePastShared,
  kReadPastGlobal,
  kWritePastGlobal,
  kReadNowhere,
  kReadFreed,
  kAllWriteOne,  // word of global memory, of one block
  kBlocksWriteOne,
  kBlocksReadOthers,
  kSharedOverlap,  // two warps' parts by one word
  kReadUnwritten,
  kAnyPastShared,
  kReadOfBlockBefore,  // what it left in shared memory
  kTileTooEarly,       // rows that other lanes write
  kBeforeCount,        // no barrier between what a block's threads write and its count
  kAfterCount,         // no barrier between the count and the others' reads
  kNoCount,            // blocks that read what others wrote, and do not count
  kResetEarly,         // the word, by who does not come last
  kAwait,              // the launch before, by one thread
  kReadBeforeAwait,
  kWriteBeforeAwait,
  kCopyBeforeAwait,
  kPrefetchPastGlobal,
};

struct PlantArgs {
  const float* x;  // [256], aligned to sixteen bytes
  float* y;        // [blocks][64]
  const float* freed;
  uint32_t* count;  // zero, and left so
  Plant plant;
};

// Two blocks of 64 threads, with 256 floats of shared memory.
void StartPlanted(const PlantArgs& args);

}  // namespace mrs::kernels::cuda
