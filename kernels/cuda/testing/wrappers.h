// Kernels of one PTX wrapper each, and what each must give: the emulator's meaning of them, and the device's.
//
//   for (const WrapperCheck& check : WrapperChecks()) EXPECT_EQ(check.differs(finish), "") << check.name;
//
// Arrays come from Buffers (kernels/testing/cases.h), as of any case. Values are such that every order of sums is
// exact.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace mrs::kernels::cuda {

// One product of tiles, by a warp.
struct ProductArgs {
  const bf16* a;  // [16][16]
  const bf16* b;  // [16][8]
  float* c;       // [16][8], in and out
};
// What each lane gets of tiles of 32 rows in all, and the two halves of a word of two floats.
struct TransposeArgs {
  const uint16_t* rows;  // [32][8]
  uint32_t* words;       // [32][4]
};
struct PackArgs {
  const float* x;   // [32][2]
  uint32_t* words;  // [32]
};
// Sixteen bytes a lane in each of three groups; a lane leaves what its neighbour copied.
struct CopyArgs {
  const uint32_t* from;  // [3][32][4], aligned to sixteen bytes
  uint32_t* to;          // [3][32]
};
// Two blocks hand a sum to and fro; each adds what it reads of the other's memory.
struct HandOverArgs {
  uint64_t* told;    // [2], zeros
  uint64_t* sums;    // [2][32], zeros
  uint64_t* passed;  // [1]: nanoseconds, as block 0 saw it
};
constexpr uint64_t kHandOvers = 50;
// The block that comes last adds what each left, and leaves the count at zero.
struct CountArgs {
  uint32_t* count;  // [1], zero
  uint64_t* parts;  // [blocks][32]
  uint64_t* sums;   // [32]; added to
};
constexpr uint32_t kCountedBlocks = 100;
// Launches in turn, each of which waits for the one before it, then dawdles, reads backwards what the two before it
// wrote, and writes over what they read. It has asked for all of that too early.
constexpr int kDependWords = 128, kDependBuffers = 3, kDependTurns = 24;
constexpr uint64_t kLateNs = 20'000;
struct DependArgs {
  uint32_t* words;  // [kDependBuffers][kDependWords], aligned to sixteen bytes; of turn t in buffer t % kDependBuffers
  uint32_t* read;   // [kDependWords]: of all turns
  uint64_t* came;   // [kDependTurns]: the first block, and when its wait ended
  uint64_t* began;
  int turn;
};
constexpr uint32_t DependWord(int turn, int i) { return uint32_t(turn * 1000 + i * i); }
// Of several launches, each in a stream: every block waits for the one of its number of each other launch, as exchanges
// of peer_exchange.h do.
struct SideBySideArgs {
  uint64_t* there;  // [launches][kPeerBlocks], zeros
  uint64_t* met;    // [launches][kPeerBlocks]: 1 where all others were there within longest_ns
  int launch, launches;
  uint64_t longest_ns;
};

int StartProduct(const ProductArgs& args, void* stream);
int StartTranspose(const TransposeArgs& args, void* stream);
int StartPack(const PackArgs& args, void* stream);
int StartCopies(const CopyArgs& args, void* stream);
int StartDepend(const DependArgs& args, void* stream);
int StartHandOver(const HandOverArgs& args, void* stream);
int StartCount(const CountArgs& args, void* stream);
int StartSideBySide(const SideBySideArgs& args, void* stream);

struct WrapperCheck {
  const char* name;
  // Launches, waits by `finish`, which returns 0 or an error, and says what is not as it should be; empty: all is.
  std::string (*differs)(int (*finish)());
};
std::vector<WrapperCheck> WrapperChecks();  // wrapper_checks.cc
// Of kDependTurns - 1 launches those that were there before the one before them had ended, which none must be; -1: they
// failed.
int EarlyLaunches(int (*finish)(), void* stream = nullptr);

}  // namespace mrs::kernels::cuda
