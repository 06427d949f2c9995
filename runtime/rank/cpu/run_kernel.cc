#include "runtime/rank/cpu/run_kernel.h"

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "plans/status.h"

namespace mrs {
namespace {

// What a thread does until it counts as having got on: a tenth of a second of the plainest loops, which no result
// depends on.
constexpr int64_t kMultiplyAddsPerCount = int64_t{1} << 24;
constexpr int64_t kItemsPerCount = 64;    // rows of kernels that go over them once or a few times
constexpr int64_t kTileRows = 16;         // whole tiles of any instruction set
constexpr int64_t kBlocksOfOneRow = 4;    // that a kernel takes together where there is one row (cpu/matmul.h)
constexpr int64_t kBlocksOfManyRows = 2;  // and where there are more

// How many work items they make (kernels.h, "Items").
template <typename Args>
int64_t ItemsOf(Args& args) {
  if constexpr (std::is_same_v<Args, kernels::AttentionArgs>) return args.tokens * args.cache.kv_heads;
  return RowsOf(args);
}

template <typename Args>
void Run(KernelLaunch<kernels::KernelSet, Args>& launch, int64_t rows, ThreadPool& pool) {
  RowsOf(launch.args) = rows * launch.rows_per_row;
  // An item of attention may be a long context.
  constexpr int64_t kStep = std::is_same_v<Args, kernels::AttentionArgs> ? 1 : kItemsPerCount;
  pool.For(ItemsOf(launch.args), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; item += kStep) {
      launch.kernel(launch.args, item, std::min(end, item + kStep));
      ThreadPool::CountWork();
    }
  });
}

// Items [begin, end) of one matrix, cut so that each piece counts: by items, and where few items of many rows are much,
// by rows.
void RunPart(const MatmulLaunch<kernels::KernelSet>& launch, const kernels::MatmulArgs& part, int64_t begin, int64_t end) {
  const int64_t row_cost = std::max<int64_t>(1, part.shape.chunk_k * part.shape.chunk_count * kernels::kLanes);
  const int64_t blocks = part.rows == 1 ? kBlocksOfOneRow : kBlocksOfManyRows;
  const int64_t groups = kMultiplyAddsPerCount / (row_cost * part.rows * blocks);
  const int64_t items = blocks * std::max<int64_t>(1, groups);
  const int64_t rows = std::max<int64_t>(1, kMultiplyAddsPerCount / (row_cost * blocks * kTileRows)) * kTileRows;
  kernels::MatmulArgs piece = part;
  for (int64_t item = begin; item < end; item += items) {
    for (int64_t row = 0; row < part.rows; row += rows) {
      piece.rows = std::min(rows, part.rows - row);
      piece.x = static_cast<const std::byte*>(part.x) + row * part.x_stride * launch.x_bytes;
      piece.y = part.y + row * part.y_stride;
      launch.kernel(piece, item, std::min(end, item + items));
      ThreadPool::CountWork();
    }
  }
}

// The parts' items lie end to end: [part 0 | part 1 | ...]. A thread's range may cover the end of one and the start of
// the next.
void Run(MatmulLaunch<kernels::KernelSet>& launch, int64_t rows, ThreadPool& pool) {
  int64_t item_count = 0;
  for (kernels::MatmulArgs& part : launch.parts) {
    part.rows = rows;
    item_count += kernels::MatmulItems(part);
  }
  if (rows == 0) return;
  pool.For(item_count, [&](int64_t begin, int64_t end) {
    int64_t part_begin = 0;
    for (const kernels::MatmulArgs& part : launch.parts) {
      const int64_t part_end = part_begin + kernels::MatmulItems(part);
      const int64_t from = std::max(begin, part_begin);
      const int64_t to = std::min(end, part_end);
      if (from < to) RunPart(launch, part, from - part_begin, to - part_begin);
      part_begin = part_end;
    }
  });
}

void Run(CollectiveLaunch&, int64_t, ThreadPool&) { MRS_CHECK(false); }
void Run(TransferLaunch&, int64_t, ThreadPool&) { MRS_CHECK(false); }

}  // namespace

void RunKernel(Launch<kernels::KernelSet>& launch, int64_t rows, ThreadPool& pool) {
  std::visit([&](auto& work) { Run(work, rows, pool); }, launch.work);
}

}  // namespace mrs
