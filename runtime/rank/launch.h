// A step of the plan, or those that it joins, with every address resolved: all that a forward still fills in is how
// many rows there are.
//
//   Launch<KernelSet>{.step = 7, .rows = plan::Rows::tokens, .work = KernelLaunch<KernelSet, AddArgs>{k.add, {...}}}
//
// `Set` is the kernel table of a device: kernels::KernelSet of a CPU, kernels::cuda::CudaKernels of a GPU. Made by
// bind.h, replayed by the device's executor.
#pragma once

#include <cstdint>
#include <type_traits>
#include <variant>
#include <vector>

#include "kernels/cuda/exact.h"
#include "kernels/kernels.h"
#include "plans/plan_generated.h"

namespace mrs {

template <typename Set, typename Args>
struct KernelLaunch {
  typename Set::template Function<Args> kernel = nullptr;
  Args args{};
  int64_t rows_per_row = 1;  // kernel rows of one buffer row: heads, where a norm runs per head
};

// Matrices that read one x.
template <typename Set>
struct MatmulLaunch {
  typename Set::template Function<kernels::MatmulArgs> kernel = nullptr;
  int64_t x_bytes = 0;  // of an element
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

// Gate's and up's product and what gates them, as one step.
struct GatedMatmulLaunch {
  MatmulLaunch<kernels::cuda::CudaKernels> products;  // gate, up, whose y is memory that it may use
  void* y = nullptr;                                  // [rows, width] bf16 or f32 (out)
  kernels::Type out{};
  kernels::cuda::Activation activation{};
};

// A sum of ranks by each other's memory, and the residual's sum and its norm of it, which are a step of their own.
struct SumNormLaunch {
  CollectiveLaunch sum;  // its y is the norm's a or b
  KernelLaunch<kernels::cuda::CudaKernels, kernels::cuda::AddRmsNormArgs> norm;
};

// Products of one x and what follows them, which is a step of its own: q, k and v, turned and appended to the cache, or
// one, added to the residual and normed. Their y are operands of it.
template <typename Args>
struct MatmulThenLaunch {
  MatmulLaunch<kernels::cuda::CudaKernels> products;
  KernelLaunch<kernels::cuda::CudaKernels, Args> then;
};
using MatmulRopeAppendLaunch = MatmulThenLaunch<kernels::cuda::RopeAppendArgs>;
using MatmulAddRmsNormLaunch = MatmulThenLaunch<kernels::cuda::AddRmsNormArgs>;

// What several steps of the plan are as one: of a device whose table has rows for it.
template <typename Set, typename... Rows>
struct WorkOf {
  using Type = std::variant<Rows...>;
};
#define ROW(name, args) , KernelLaunch<kernels::cuda::CudaKernels, kernels::cuda::args>
template <typename... Rows>
struct WorkOf<kernels::cuda::CudaKernels, Rows...> {
  using Type = std::variant<Rows..., GatedMatmulLaunch, SumNormLaunch, MatmulRopeAppendLaunch,
                            MatmulAddRmsNormLaunch MRS_FUSED_KERNELS(ROW)>;
};
#undef ROW

template <typename Set>
struct Launch {
  // Every kernel of the table has its alternative; those with one kernel a type, which the table lists twice, by hand.
#define ROW(name, args) , KernelLaunch<Set, kernels::args>
  using Work = typename WorkOf<Set, MatmulLaunch<Set>, CollectiveLaunch, TransferLaunch,
                               KernelLaunch<Set, kernels::AttentionArgs>,
                               KernelLaunch<Set, kernels::KvAppendArgs> MRS_PLAIN_KERNELS(ROW)>::Type;
#undef ROW

  uint32_t step = 0;  // Stage.steps, for messages; of several the first
  plan::Rows rows = plan::Rows::one;
  Work work;
};

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

}  // namespace mrs
