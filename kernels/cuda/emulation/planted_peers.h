// Kernels of two ranks that meet with a fault of choice, for the test of what the thread sanitizer tells of them.
#pragma once

#include <cstdint>

namespace mrs::kernels::cuda {

// What a rank does wrong; both do.
enum class PeerPlant : uint8_t {
  kNothing,
  kRelaxedStore,  // of the flag: what was put before it need not be there yet
  kRelaxedLoad,   // of the flag: what is read after it may have been fetched before
  kRelaxedCount,  // likewise both
  kNoFlag,        // nobody waits before it reads what the other has put
  kNoClosing,     // no rendezvous after the reads: the next part is put where the last one may still be read
  kOthersSecond,  // a block reads what another block of the other rank has put
};

constexpr int kPlantedFloats = 32;  // of a block
constexpr int kPlantedBlocks = 2;   // at most
constexpr int kPlantedTimes = 2;
struct PeerPlantArgs {
  float* own;              // [kPlantedBlocks][kPlantedFloats], which the other rank reads
  const float* others;     // its
  uint64_t* flags;         // [kPlantedTimes][2][kPlantedBlocks], zeros; not so: the other has put, has read
  uint64_t* others_flags;  // likewise, of this rank
  uint32_t* count;         // of both, zero: as if they were blocks of one device
  float* y;                // [kPlantedBlocks][kPlantedFloats]
  PeerPlant plant;
};

// Of one rank, what both have is summed; and once more, of those sums.
void StartPlantedSums(const PeerPlantArgs& args, unsigned blocks);
// Of one rank, which puts its part and counts; who comes last reads the other's.
void StartPlantedCount(const PeerPlantArgs& args);

}  // namespace mrs::kernels::cuda
