// How a product is spread over a device: what a thread, a warp and a block of it take. It changes no bit of a result:
// each output's sums are one thread's, and the tree over chunks is one.
//
//   const MatmulSplit s = SplitOf({.rows = 1, .n = 1024, .chunk_count = 1, .element_bytes = 2});
//   // one row and one output a thread, blocks of one warp, four tiles a stage
//
// The rule is fitted to times of every split of bf16 products of an 8B model, in pair2, on an H200 (2026-11-26): of K
// in one chunk 1024, 4096, 14336 and 128256 outputs, in sixteen 4096 of K 4096 and 14336; 1 to 16 rows, and 256. What
// it takes was within 7 % of the best in all of them; float32 and other devices were never timed.
#pragma once

#include <cstdint>

namespace mrs::kernels::cuda {

constexpr int kMatmulStages = 4;  // of weights in shared memory: one is read, three are on their way
constexpr int kMatmulTile = 32;   // k
// Of few chains a thread a warp's instructions are its time: another fetches for it.
constexpr bool HaveFetchers(int rows, int columns) { return rows * columns <= 2; }
// Groups of rows times warps that share chunks, in a block.
constexpr int MostMatmulWarps(int rows, int columns) { return HaveFetchers(rows, columns) ? 8 : 4; }
constexpr int MostMatmulThreads(int rows, int columns) {
  return 32 * MostMatmulWarps(rows, columns) * (HaveFetchers(rows, columns) ? 2 : 1);
}
// With two bytes an element a warp has at most this many tiles' 2 KiB of 32 outputs in a stage. A block alone on its
// multiprocessor so has 24 KiB on its way, about what a chain of one output a thread takes in the time of a load.
constexpr int kMostTiles = 4;

struct MatmulSize {
  int64_t rows, n, chunk_count, element_bytes;
};
// What a product is spread over; an H100 or H200 where nothing else is said.
struct MatmulDevice {
  int64_t multiprocessors = 132;     // of four schedulers each
  int64_t shared_bytes = 227 << 10;  // of a block at most; a multiprocessor has 1 KiB more, and keeps 1 KiB a block
};

struct MatmulSplit {
  int rows, columns;    // of a thread; a warp has 32 * columns outputs
  int64_t strips;       // such warps side by side
  int64_t groups;       // of rows in a block, each a warp, on the same weights
  int64_t warps;        // that share the chunks of an output
  int64_t tiles;        // of a stage
  int64_t ring_floats;  // a warp's stages, in words of four bytes
  int64_t x_floats;     // of a group and a warp: two stages of its rows
  int64_t sum_floats;   // of a group and a warp
  int64_t blocks_of_rows;
  constexpr int64_t SharedBytes() const { return warps * (ring_floats + groups * (x_floats + sum_floats)) * 4; }
};

constexpr int MostColumns(int64_t element_bytes) { return int(8 / element_bytes); }  // 16 bytes of a pair of k
// Tiles of a stage at most: a thread keeps its x of that many ahead.
constexpr int MostTiles(int64_t element_bytes, int columns) { return kMostTiles * 2 / (int(element_bytes) * columns); }
// Words from one block of sixteen outputs to the next in a stage; half a turn of the banks between neighbours.
constexpr int64_t RunFloats(int64_t element_bytes, int64_t tiles) {
  return tiles * kMatmulTile * 4 * element_bytes + 16;
}

constexpr int64_t CeilOf(int64_t a, int64_t b) { return (a + b - 1) / b; }

// With what a thread takes, the groups and the warps given.
constexpr MatmulSplit SplitWith(const MatmulSize& size, int rows, int columns, int64_t groups, int64_t warps) {
  MatmulSplit s{};
  s.rows = rows;
  s.columns = columns;
  s.groups = groups;
  s.warps = warps;
  s.strips = CeilOf(size.n, 32 * columns);
  s.blocks_of_rows = CeilOf(CeilOf(size.rows, rows), groups);
  s.tiles = MostTiles(size.element_bytes, columns);
  int64_t levels = 0;  // of the tree, that a warp has of its own chunks
  while (int64_t{1} << levels < size.chunk_count / warps) ++levels;
  s.ring_floats = kMatmulStages * 2 * columns * RunFloats(size.element_bytes, s.tiles);
  s.x_floats = 2 * rows * kMatmulTile * s.tiles;
  s.sum_floats = (levels < 1 ? 1 : levels) * rows * 32 * columns;
  return s;
}

constexpr bool AreNearlyAll(int64_t count, int64_t all) { return 10 * count >= 9 * all; }

constexpr MatmulSplit SplitInto(const MatmulSize& size, const MatmulDevice& device, int rows, int columns) {
  MatmulSplit s = SplitWith(size, rows, columns, 1, 1);
  // Rows that read the same weights together: two groups, which fetch twice as fast; four, where fetching takes time
  // from multiplying and blocks for all multiprocessors remain.
  const bool have_fetchers = HaveFetchers(rows, columns);
  while (s.blocks_of_rows > 1 && s.groups < (have_fetchers ? 2 : 4)) {
    const MatmulSplit next = SplitWith(size, rows, columns, 2 * s.groups, 1);
    if (next.SharedBytes() > device.shared_bytes) break;
    if (!have_fetchers && !AreNearlyAll(next.strips * next.blocks_of_rows, device.multiprocessors)) break;
    s = next;
  }
  // Chunks at once, as far as all blocks still run at once.
  constexpr int64_t kMostWarps = 4, kOfBlock = 1 << 10;
  while (s.warps < size.chunk_count && s.warps < kMostWarps &&
         2 * s.groups * s.warps <= MostMatmulWarps(rows, columns)) {
    const MatmulSplit next = SplitWith(size, rows, columns, s.groups, 2 * s.warps);
    if (next.SharedBytes() > device.shared_bytes) break;
    const int64_t at_once = (device.shared_bytes + kOfBlock) / (next.SharedBytes() + kOfBlock);
    if (next.strips * next.blocks_of_rows > device.multiprocessors * at_once) break;
    s = next;
  }
  return s;
}

// The larger a thread's part, the fewer reads of shared memory an FMA needs; but two groups of rows must be there to
// share the weights, and of the large parts a warp for nearly every scheduler.
constexpr MatmulSplit SplitOf(const MatmulSize& size, const MatmulDevice& device = {}) {
  const auto is_enough = [&](const MatmulSplit& s) {
    return size.rows > s.rows &&
           AreNearlyAll(s.strips * s.blocks_of_rows * s.groups * s.warps, 4 * device.multiprocessors);
  };
  const MatmulSplit largest = SplitInto(size, device, 8, MostColumns(size.element_bytes));
  if (is_enough(largest)) return largest;
  const MatmulSplit large = SplitInto(size, device, 4, 2);
  if (is_enough(large)) return large;
  // Two rows are two groups, but where chunks at once fetch as fast.
  const bool are_two = size.rows > 2 || (size.rows == 2 && size.chunk_count > 1);
  return SplitInto(size, device, are_two ? 2 : 1, 1);
}

}  // namespace mrs::kernels::cuda
