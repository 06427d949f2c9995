#include "runtime/rank/cuda/decode_graphs.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

#include "plans/cuda_graphs.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

// How many forwards' graphs the plan counts.
size_t PlannedGraphs(Collectives collectives, const plan::Stage& stage) {
  int64_t cuts = 0;
  for (const plan::Step* step : *stage.steps()) cuts += IsCutBy(collectives, step->op()) ? 1 : 0;
  return static_cast<size_t>(stage.graphs_bytes()) / static_cast<size_t>(GraphBytes(stage.steps()->size(), cuts));
}

// Whether the stage runs anything for one of the variants alone. One that does not end the model runs nothing such, and
// its graphs of a size are one.
bool HasVariants(const plan::Stage& stage) {
  return std::any_of(stage.steps()->begin(), stage.steps()->end(),
                     [](const plan::Step* step) { return step->variant() != plan::Variant::always; });
}

}  // namespace

DecodeGraphs::DecodeGraphs(Device& device, const plan::Plan& plan, uint32_t rank, GpuExchange& exchange,
                           StepRunner& steps, const Options& options)
    : device_(device),
      rank_(rank),
      exchange_(exchange),
      steps_(steps),
      options_(options),
      planned_(PlannedGraphs(CollectivesOf(plan), StageOf(plan, rank))),
      has_variants_(HasVariants(StageOf(plan, rank))) {}

GraphCache::Key DecodeGraphs::KeyOf(int64_t rows, Variant variant) const {
  return {.rows = rows, .variant = has_variants_ ? variant : Variant::kCandidates};
}

Status DecodeGraphs::CaptureAll(std::vector<GpuBucket>& buckets, const RunFirst& run_first) {
  const auto begun = std::chrono::steady_clock::now();
  for (int64_t rows = 0; rows < options_.most_rows;) {
    rows = GraphRows(rows + 1, options_.most_rows);
    const RowCounts counts = {.of_kernels = {1, rows, rows, rows}, .of_batch = {1, 0, 0, 0}};
    GpuBucket& bucket = BucketFor(buckets, rows, rows, rows);
    for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) {
      GpuProgram& program = variant == Variant::kCandidates ? bucket.candidates : bucket.all_logits;
      MRS_RETURN_IF_ERROR(run_first(bucket, program, counts));
      const GraphCache::Key key = KeyOf(rows, variant);
      if (graphs_.Find(key) != nullptr || graphs_.size() == planned_) continue;  // of more, steps run one by one
      MRS_ASSIGN_OR_RETURN(GraphCache::Graphs captured, Capture(program, counts));
      graphs_.Keep(key, std::move(captured));
    }
  }
  graphs_.counts.capture_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return Status();
}

Status DecodeGraphs::Run(Variant variant, GpuProgram& program, const RowCounts& rows) {
  const GraphCache::Graphs* const graphs = graphs_.Find(KeyOf(rows.of_kernels[1], variant));
  if (graphs == nullptr) return steps_.RunAll(program, rows);
  Pulse* const pulse = options_.pulse;
  if (pulse != nullptr) pulse->Expect(static_cast<uint32_t>(program.launches.size()));
  size_t next = 0;
  for (size_t at = 0; at < program.launches.size();) {
    if (pulse != nullptr) pulse->At(static_cast<uint32_t>(at + 1), program.launches[at].step);
    const size_t end = SegmentEnd(program, at);
    Status done = end > at ? device_.Launch((*graphs)[next++]) : steps_.RunExchange(program.launches[at], rows);
    if (done.ok() && end > at) done = device_.Mark();
    if (!done.ok()) return steps_.AtStep(program.launches[at].step, done.error());
    MRS_RETURN_IF_ERROR(steps_.OfRank(exchange_.MakeRoom()));
    at = std::max(end, at + 1);
  }
  ++graphs_.counts.launched;
  return Status();
}

// A graph a segment; nothing runs, and nothing is exchanged.
Result<GraphCache::Graphs> DecodeGraphs::Capture(GpuProgram& program, const RowCounts& rows) {
  GraphCache::Graphs graphs;
  for (size_t at = 0; at < program.launches.size();) {
    const size_t end = SegmentEnd(program, at);
    if (end > at) {
      Result<DeviceGraph> captured = device_.Capture([&]() -> Status {
        for (size_t i = at; i < end; ++i) {
          const Status kept = steps_.Run(program.launches[i], rows);
          if (!kept.ok()) return steps_.AtStep(program.launches[i].step, kept.error());
        }
        return Status();
      });
      if (!captured.ok()) {
        return Error{
            captured.error().kind,
            fmt::format("rank {}: {}; --cuda-graphs off runs every step by itself{}", rank_, captured.message(),
                        options_.dependent_launch ? ", --dependent-launch off no kernel before its turn" : "")};
      }
      graphs.push_back(std::move(*captured));
    }
    at = std::max(end, at + 1);
  }
  return graphs;
}

// Of the launches from `begin` on that one graph holds; `begin`, where it is an exchange.
size_t DecodeGraphs::SegmentEnd(const GpuProgram& program, size_t begin) const {
  const auto first = program.launches.begin();
  const auto cut = std::find_if(first + static_cast<std::ptrdiff_t>(begin), program.launches.end(),
                                [&](const GpuLaunch& launch) { return exchange_.IsCut(launch); });
  return static_cast<size_t>(cut - first);
}

}  // namespace mrs
