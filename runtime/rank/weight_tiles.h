// What of a rank's weights is read at once, where it lies in the arena, and how an arena that is nowhere whole is cut
// into windows.
//
//   const std::vector<WeightTile> tiles = CutTiles(stage, reads);   // each a piece of a digest: about a MiB of rows
//   CutWindows(tiles, 64 << 20)[1]                                  // {.begin = 67100672, .end = ..., tiles [61, 118)}
//
// Sources of one weight may meet within a block of rows that is stored together, and a window may end there: the next
// one begins with that block again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "plans/plan_generated.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {

// Rows [row_begin, row_end) of a read, a piece of its digest: what one thread does at a time.
struct WeightTile {
  uint32_t read;  // of PlanWeightReads
  size_t piece;
  uint64_t row_begin;
  uint64_t row_end;
  // Bytes of the arena: of the blocks that hold a row of it.
  uint64_t begin;
  uint64_t end;
};

// In the order of the arena. Pieces are whole blocks of rows where a source begins with one, so that two threads seldom
// write one cache line.
std::vector<WeightTile> CutTiles(const plan::Stage& stage, const std::vector<WeightRead>& reads);

// Tiles [first, last) and the bytes of the arena from the first's to the last's.
struct WeightWindow {
  size_t first;
  size_t last;
  uint64_t begin;
  uint64_t end;
};

// Of at most `bytes` each, or of one tile.
std::vector<WeightWindow> CutWindows(const std::vector<WeightTile>& tiles, uint64_t bytes);

// What of a host an arena needs that is packed there window by window: one buffer while another is copied from.
struct WeightBuffers {
  uint64_t bytes;  // of each: `bytes` that were asked for, or the largest tile, but no more than the arena
  int count;       // 1 where the arena is one window
};
inline constexpr uint64_t kWeightBufferBytes = uint64_t{64} << 20;
WeightBuffers BuffersFor(const plan::Stage& stage, const std::vector<WeightRead>& reads,
                         uint64_t bytes = kWeightBufferBytes);
// What a GPU's rank needs of its host: all of its buffers.
uint64_t HostBytesOf(const plan::Plan& plan, uint32_t rank);

}  // namespace mrs
