// A step of the plan with every address resolved: all that a forward still fills in is how many rows there are.
//
//   Launch{.step = 7, .rows = plan::Rows::tokens, .work = KernelLaunch<kernels::AddArgs>{k.add, {...}}}
//   RunKernel(launch, 5, pool);   // five tokens
//
// Made by bind.h, replayed by cpu_executor.cc.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "kernels/kernels.h"
#include "plans/plan_generated.h"
#include "runtime/rank/cpu/thread_pool.h"

namespace mrs {

template <typename Args>
struct KernelLaunch {
  kernels::Kernel<Args> kernel = nullptr;
  Args args{};
  int64_t rows_per_row = 1;  // kernel rows of one buffer row: heads, where a norm runs per head
};

// Matrices that read one x, run as one loop over all their items.
struct MatmulLaunch {
  kernels::Kernel<kernels::MatmulArgs> kernel = nullptr;
  std::vector<kernels::MatmulArgs> parts;
};

// One entry of the collective schedule. An in-place all-reduce has x == y.
struct CollectiveLaunch {
  bool is_gather = false;  // else it reduces
  plan::CollectiveAlgorithm algorithm = plan::CollectiveAlgorithm::none;
  const std::byte* x = nullptr;
  std::byte* y = nullptr;
  uint64_t row_bytes = 0;  // on this rank
};

// What goes to, or comes from, one rank of a neighbouring stage.
struct TransferLaunch {
  bool is_send = false;
  int peer = 0;  // in the world
  std::byte* data = nullptr;
  uint64_t row_bytes = 0;
};

struct Launch {
  // Every kernel of the table has its alternative; those with one kernel a type, which the table lists twice, by hand.
#define ROW(name, args) , KernelLaunch<kernels::args>
  using Work = std::variant<MatmulLaunch, CollectiveLaunch, TransferLaunch, KernelLaunch<kernels::AttentionArgs>,
                            KernelLaunch<kernels::KvAppendArgs> MRS_PLAIN_KERNELS(ROW)>;
#undef ROW

  uint32_t step = 0;  // Stage.steps, for messages
  plan::Rows rows = plan::Rows::one;
  Work work;
};

// Runs a launch that is a kernel over `rows` buffer rows, split over the pool by items.
void RunKernel(Launch& launch, int64_t rows, ThreadPool& pool);

}  // namespace mrs
