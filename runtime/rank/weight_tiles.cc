#include "runtime/rank/weight_tiles.h"

#include <algorithm>
#include <tuple>

#include "plans/slice_digest.h"

namespace mrs {
namespace {

uint64_t Aligned(uint64_t bytes) { return (bytes + kRunAlignment - 1) / kRunAlignment * kRunAlignment; }

}  // namespace

std::vector<WeightTile> CutTiles(const plan::Stage& stage, const std::vector<WeightRead>& reads) {
  std::vector<WeightTile> tiles;
  for (uint32_t i = 0; i < reads.size(); ++i) {
    const uint64_t rows = RowsOfAPiece(reads[i].row_bytes);
    for (uint64_t row = 0; row < reads[i].row_count; row += rows) {
      tiles.push_back(
          {.read = i, .piece = row / rows, .row_begin = row, .row_end = std::min(reads[i].row_count, row + rows)});
    }
  }
  // Sources of a weight are in the order of their rows.
  std::ranges::sort(tiles, {}, [&](const WeightTile& tile) {
    return std::tuple(stage.weights()->Get(reads[tile.read].weight)->offset(), tile.read, tile.row_begin);
  });
  return tiles;
}

std::vector<WeightWindow> CutWindows(const std::vector<WeightRead>& reads, const std::vector<WeightTile>& tiles,
                                     uint64_t bytes) {
  std::vector<WeightWindow> windows;
  for (size_t i = 0; i < tiles.size(); ++i) {
    const WeightTile& tile = tiles[i];
    const uint64_t row_bytes = reads[tile.read].row_bytes;
    if (!windows.empty()) {
      // With this tile the run of its read goes on, or one begins behind the others.
      WeightWindow& window = windows.back();
      WeightRun run = window.runs.back();
      const bool goes_on = run.read == tile.read;
      if (!goes_on) run = {.read = tile.read, .row_begin = tile.row_begin, .row_end = 0, .at = window.bytes};
      run.row_end = tile.row_end;
      const uint64_t end = Aligned(run.at + (run.row_end - run.row_begin) * row_bytes);
      if (end <= bytes) {
        if (goes_on) window.runs.pop_back();
        window.runs.push_back(run);
        window.last = i + 1;
        window.bytes = end;
        continue;
      }
    }
    const WeightRun alone = {.read = tile.read, .row_begin = tile.row_begin, .row_end = tile.row_end, .at = 0};
    windows.push_back(
        {.first = i, .last = i + 1, .runs = {alone}, .bytes = Aligned((tile.row_end - tile.row_begin) * row_bytes)});
  }
  return windows;
}

WeightBuffers BuffersFor(const std::vector<WeightRead>& reads, uint64_t bytes) {
  bytes = Aligned(bytes);
  uint64_t all_bytes = 0;
  for (const WeightRead& read : reads) {
    bytes = std::max(bytes, Aligned(std::min(read.row_count, RowsOfAPiece(read.row_bytes)) * read.row_bytes));
    all_bytes += Aligned(read.row_count * read.row_bytes);
  }
  if (all_bytes <= bytes) return {.bytes = all_bytes, .count = 1};
  return {.bytes = bytes, .count = 2};
}

uint64_t HostBytesOf(const plan::Plan& plan, uint32_t rank) {
  const WeightBuffers buffers = BuffersFor(PlanWeightReads(plan, rank));
  return buffers.bytes * static_cast<uint64_t>(buffers.count);
}

}  // namespace mrs
