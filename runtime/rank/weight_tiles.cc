#include "runtime/rank/weight_tiles.h"

#include <algorithm>
#include <tuple>

#include "plans/encoding.h"
#include "plans/slice_digest.h"
#include "plans/status.h"

namespace mrs {
namespace {

WeightTile TileOf(const plan::Weight& weight, const WeightRead& read, uint32_t index, uint64_t row_begin) {
  const EncodingRow* const encoding = FindEncoding(read.encoding, weight.dtype());
  MRS_CHECK(encoding != nullptr);  // the plan is verified
  const uint64_t block = encoding->row_multiple;
  const uint64_t block_bytes = EncodedBytes(*encoding, block, weight.chunk_k(), weight.chunk_count());
  const uint64_t rows = RowsOfAPiece(read.row_bytes);
  const uint64_t row_end = std::min(read.row_count, row_begin + rows);
  return {.read = index,
          .piece = row_begin / rows,
          .row_begin = row_begin,
          .row_end = row_end,
          .begin = weight.offset() + (read.dest_row + row_begin) / block * block_bytes,
          .end = weight.offset() + (read.dest_row + row_end + block - 1) / block * block_bytes};
}

}  // namespace

std::vector<WeightTile> CutTiles(const plan::Stage& stage, const std::vector<WeightRead>& reads) {
  std::vector<WeightTile> tiles;
  for (uint32_t i = 0; i < reads.size(); ++i) {
    const plan::Weight& weight = *stage.weights()->Get(reads[i].weight);
    for (uint64_t row = 0; row < reads[i].row_count; row = tiles.back().row_end) {
      tiles.push_back(TileOf(weight, reads[i], i, row));
    }
  }
  // Two that begin with the same block are of one weight, whose sources are in the order of their rows.
  std::ranges::sort(tiles, {},
                    [](const WeightTile& tile) { return std::tuple(tile.begin, tile.read, tile.row_begin); });
  return tiles;
}

std::vector<WeightWindow> CutWindows(const std::vector<WeightTile>& tiles, uint64_t bytes) {
  std::vector<WeightWindow> windows;
  for (size_t i = 0; i < tiles.size(); ++i) {
    if (windows.empty() || tiles[i].end - windows.back().begin > bytes) {
      windows.push_back({.first = i, .last = i, .begin = tiles[i].begin, .end = tiles[i].end});
    }
    windows.back().last = i + 1;
    windows.back().end = tiles[i].end;
  }
  return windows;
}

WeightBuffers BuffersFor(const plan::Stage& stage, const std::vector<WeightRead>& reads, uint64_t bytes) {
  // All tiles of a read but the last have as many rows, and begin as far into a block as its first: that is its
  // largest.
  for (uint32_t i = 0; i < reads.size(); ++i) {
    const WeightTile first = TileOf(*stage.weights()->Get(reads[i].weight), reads[i], i, 0);
    bytes = std::max(bytes, first.end - first.begin);
  }
  if (stage.weight_arena_bytes() <= bytes) return {.bytes = stage.weight_arena_bytes(), .count = 1};
  return {.bytes = bytes, .count = 2};
}

uint64_t HostBytesOf(const plan::Plan& plan, uint32_t rank) {
  const WeightBuffers buffers = BuffersFor(StageOf(plan, rank), PlanWeightReads(plan, rank));
  return buffers.bytes * static_cast<uint64_t>(buffers.count);
}

}  // namespace mrs
