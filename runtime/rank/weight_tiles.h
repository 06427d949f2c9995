// What of a rank's weights is read at once, and how what no host has whole is cut into windows of a buffer.
//
//   const std::vector<WeightTile> tiles = CutTiles(stage, reads);   // each a piece of a digest: about a MiB of rows
//   CutWindows(reads, tiles, 64 << 20)[1].runs   // {.read = 3, .row_begin = 1024, .row_end = 4096, .at = 0}, ...
//
// A window has rows as their file has them: tiles of one read are one run of rows, without anything between them.
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
};

// In the order of the arena. Pieces are whole blocks of rows where a source begins with one, so that two threads seldom
// write one cache line.
std::vector<WeightTile> CutTiles(const plan::Stage& stage, const std::vector<WeightRead>& reads);

// Rows [row_begin, row_end) of a read, which follow one another from byte `at` of a buffer on.
struct WeightRun {
  uint32_t read;
  uint64_t row_begin;
  uint64_t row_end;
  uint64_t at;  // a multiple of kRunAlignment
};
// What a device asks a host for at once begins with a run.
inline constexpr uint64_t kRunAlignment = 128;

// Tiles [first, last), of which each is within a run, and the bytes of the buffer that they take.
struct WeightWindow {
  size_t first;
  size_t last;
  std::vector<WeightRun> runs;
  uint64_t bytes;  // a multiple of kRunAlignment
};

// Of at most `bytes` each, or of one tile.
std::vector<WeightWindow> CutWindows(const std::vector<WeightRead>& reads, const std::vector<WeightTile>& tiles,
                                     uint64_t bytes);

// What of a host it takes to read weights window by window: one buffer while another is emptied.
struct WeightBuffers {
  uint64_t bytes;  // of each: `bytes` that were asked for, or the largest tile's, but no more than all reads'
  int count;       // 1 where all is one window
};
inline constexpr uint64_t kWeightBufferBytes = uint64_t{64} << 20;
WeightBuffers BuffersFor(const std::vector<WeightRead>& reads, uint64_t bytes = kWeightBufferBytes);
// What a GPU's rank needs of its host: all of its buffers.
uint64_t HostBytesOf(const plan::Plan& plan, uint32_t rank);

}  // namespace mrs
