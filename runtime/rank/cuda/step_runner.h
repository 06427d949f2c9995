// Runs a program's launches one after another: kernels in the device's stream, and what ranks tell each other there or
// by their hosts.
//
//   StepRunner steps(*device, plan, rank, *exchange, *products, {.pulse = pulse});
//   MRS_RETURN_IF_ERROR(steps.RunAll(program, {.of_kernels = {1, 8, 8, 8}, .of_batch = {1, 5, 5, 5}}));
//   MRS_RETURN_IF_ERROR(steps.OfRank(exchange->Finish()));
//
// Errors name the rank and the step; those of a wait for the stream the rank alone, as which step it was of is not
// known.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/cuda/exact.h"
#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/bind.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/gpu_exchange.h"
#include "runtime/rank/cuda/gpu_products.h"
#include "runtime/rank/launch.h"
#include "runtime/rank/measured.h"

namespace mrs {

using GpuProgram = Program<kernels::cuda::CudaKernels>;
using GpuLaunch = Launch<kernels::cuda::CudaKernels>;

// Rows of a step, by plan::Rows: as kernels run them, and those that the batch has.
using RowsBy = std::array<int64_t, 4>;
struct RowCounts {
  RowsBy of_kernels, of_batch;
};

class StepRunner {
 public:
  struct Watched {
    Pulse* pulse = nullptr;            // null: nobody looks
    CollectiveTimes* times = nullptr;  // null: nothing is timed
  };
  // All borrowed.
  StepRunner(Device& device, const plan::Plan& plan, uint32_t rank, GpuExchange& exchange, GpuProducts& products,
             const Watched& watched)
      : device_(device),
        plan_(plan),
        rank_(rank),
        exchange_(exchange),
        products_(products),
        pulse_(watched.pulse),
        times_(watched.times) {}

  enum class Which : uint8_t {
    kAll,
    kButCuts,   // what goes through the host is left out
    kLibraries  // what calls libraries for other ranks and products, in the stream: all that exchanges there, and
                // cuBLASLt
  };
  Status RunAll(GpuProgram& program, const RowCounts& rows, Which which = Which::kAll);
  // In the stream; also while it is captured.
  Status Run(GpuLaunch& launch, const RowCounts& rows);
  // Through the host. Only rows of the batch: with rows that pad, a gathering's parts would not lie as the batch's
  // result does.
  Status RunExchange(const GpuLaunch& launch, const RowCounts& rows);

  Error AtStep(uint32_t index, const Error& error) const;
  Status OfRank(const Status& done) const;

 private:
  bool CallsLibrary(const GpuLaunch& launch, const RowCounts& rows) const;
  template <typename Exchanged>
  Status RunInStream(const Exchanged& launch, int64_t rows);

  Device& device_;
  const plan::Plan& plan_;
  const uint32_t rank_;
  GpuExchange& exchange_;
  GpuProducts& products_;
  Pulse* const pulse_;
  CollectiveTimes* const times_;
};

}  // namespace mrs
