// Decodes as CUDA graphs: all that the plan counts are captured at start, and a decode launches those of its size.
//
//   DecodeGraphs graphs(*device, plan, rank, *exchange, steps, {.most_rows = 16, .pulse = pulse});
//   MRS_RETURN_IF_ERROR(graphs.CaptureAll(buckets, run_first));
//   MRS_RETURN_IF_ERROR(graphs.Run(Variant::kCandidates, program, rows));   // of GraphRows(rows, 16) rows
//
// What goes through the host is in no graph: a forward is a graph before, between and after it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cuda/exact.h"
#include "plans/collectives.h"
#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/bind.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/gpu_exchange.h"
#include "runtime/rank/cuda/graph_cache.h"
#include "runtime/rank/cuda/step_runner.h"
#include "runtime/rank/executor.h"

namespace mrs {

using GpuBucket = BoundBucket<kernels::cuda::CudaKernels>;

class DecodeGraphs {
 public:
  struct Options {
    int64_t most_rows = 1;         // of a decode
    bool dependent_launch = true;  // for errors: whether that may be why
    Pulse* pulse = nullptr;        // null: nobody looks
  };
  // All borrowed. Goes before the communicators of the exchange, on errors, too.
  DecodeGraphs(Device& device, const plan::Plan& plan, uint32_t rank, GpuExchange& exchange, StepRunner& steps,
               const Options& options);

  // Of the fewest rows first. `run_first` is called before any of a size is captured; also of what needs no graph here,
  // as ranks of another stage run it, and wait for this one.
  using RunFirst = std::function<Status(GpuBucket& bucket, GpuProgram& program, const RowCounts& rows)>;
  Status CaptureAll(std::vector<GpuBucket>& buckets, const RunFirst& run_first);
  // By graphs where its size has some, else step by step.
  Status Run(Variant variant, GpuProgram& program, const RowCounts& rows);
  // Of all of them; what was launched may still be under way (Device::Forsake).
  void Clear() { graphs_.Clear(); }
  const GraphCache::Counts& counts() const { return graphs_.counts; }

 private:
  GraphCache::Key KeyOf(int64_t rows, Variant variant) const;
  Result<GraphCache::Graphs> Capture(GpuProgram& program, const RowCounts& rows);
  size_t SegmentEnd(const GpuProgram& program, size_t begin) const;

  Device& device_;
  const uint32_t rank_;
  GpuExchange& exchange_;
  StepRunner& steps_;
  const Options options_;
  const size_t planned_;     // forwards of which there are graphs
  const bool has_variants_;  // whether candidates and all logits are programs of their own
  GraphCache graphs_;
};

}  // namespace mrs
