#include "runtime/rank/cpu/launch.h"

#include <algorithm>
#include <type_traits>

#include "plans/status.h"

namespace mrs {
namespace {

// What a kernel calls its rows: tokens, where they must be such; `count`, where `rows` is an array that says which.
template <typename Args>
int64_t& RowsOf(Args& args) {
  if constexpr (requires { args.tokens; }) {
    return args.tokens;
  } else if constexpr (requires { args.count; }) {
    static_assert(!std::is_same_v<decltype(args.rows), int64_t>);
    return args.count;
  } else {
    return args.rows;
  }
}

// How many work items they make (kernels.h, "Items").
template <typename Args>
int64_t ItemsOf(Args& args) {
  if constexpr (std::is_same_v<Args, kernels::AttentionArgs>) return args.tokens * args.cache.kv_heads;
  return RowsOf(args);
}

template <typename Args>
void Run(KernelLaunch<Args>& launch, int64_t rows, ThreadPool& pool) {
  RowsOf(launch.args) = rows * launch.rows_per_row;
  pool.For(ItemsOf(launch.args), [&](int64_t begin, int64_t end) { launch.kernel(launch.args, begin, end); });
}

// The parts' items lie end to end: [part 0 | part 1 | ...]. A thread's range may cover the end of one and the start of
// the next.
void Run(MatmulLaunch& launch, int64_t rows, ThreadPool& pool) {
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
      if (from < to) launch.kernel(part, from - part_begin, to - part_begin);
      part_begin = part_end;
    }
  });
}

void Run(CollectiveLaunch&, int64_t, ThreadPool&) { MRS_CHECK(false); }
void Run(TransferLaunch&, int64_t, ThreadPool&) { MRS_CHECK(false); }

}  // namespace

void RunKernel(Launch& launch, int64_t rows, ThreadPool& pool) {
  std::visit([&](auto& work) { Run(work, rows, pool); }, launch.work);
}

}  // namespace mrs
