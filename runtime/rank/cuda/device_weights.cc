#include "runtime/rank/cuda/device_weights.h"

#include "kernels/cuda/pack.h"
#include "kernels/rows.h"

namespace mrs {
namespace {

using kernels::cuda::PackedLayout;

// Where a run's rows go, as the plan has its weight lie.
kernels::cuda::PackFromHostArgs PackingOf(const plan::Weight& weight, const WeightRead& read, const WeightRun& run,
                                          const std::byte* rows, std::byte* weights) {
  std::byte* const dst = weights + weight.offset();
  const auto row_begin = static_cast<int64_t>(read.dest_row + run.row_begin);
  const auto row_count = static_cast<int64_t>(run.row_end - run.row_begin);
  kernels::cuda::PackFromHostArgs args;
  args.src = rows;
  args.src_type = KernelType(read.dtype);
  args.add_one = read.transform == plan::Transform::add_one;
  if (read.encoding == plan::EncodingKind::dense) {  // its rows have an element each, so they are one row
    args.dst = reinterpret_cast<float*>(dst) + row_begin;
    args.dst_type = kernels::Type::kF32;
    args.layout = PackedLayout::kRows;
    args.row_count = 1;
    args.shape = {.n = 1, .chunk_k = row_count, .chunk_count = 1};
    return args;
  }
  args.dst = dst;
  args.dst_type = KernelType(weight.dtype());
  args.layout = read.encoding == plan::EncodingKind::rows ? PackedLayout::kRows : PackedLayout::kLanes;
  args.row_begin = row_begin;
  args.row_count = row_count;
  args.shape = {.n = static_cast<int64_t>(weight.n()),
                .chunk_k = static_cast<int64_t>(weight.chunk_k()),
                .chunk_count = static_cast<int64_t>(weight.chunk_count())};
  return args;
}

// Whether the rows lie on the device as in the file: all of one type, and nothing between them.
bool LieAsTheyAre(const kernels::cuda::PackFromHostArgs& args) {
  const kernels::PackedShape& shape = args.shape;
  const bool is_one_piece = shape.n == 1 && shape.chunk_count == 1;
  const bool has_gaps = !is_one_piece && kernels::RowElements(shape) != shape.chunk_count * shape.chunk_k;
  return args.layout == PackedLayout::kRows && args.src_type == args.dst_type && !args.add_one && !has_gaps;
}

}  // namespace

Result<StreamedWeights> LoadDeviceWeights(const plan::Plan& plan, uint32_t rank, Device& device, std::byte* weights,
                                          const DeviceWeightOptions& options) {
  ThreadPool pool(options.threads, /*spin=*/false, options.pulse);
  MRS_RETURN_IF_ERROR(pool.status());
  const plan::Stage& stage = StageOf(plan, rank);
  const WeightBuffers need = BuffersFor(PlanWeightReads(plan, rank), options.buffer_bytes);
  constexpr const char* kWhat = "weights on their way";
  DeviceArena one, other;
  MRS_ASSIGN_OR_RETURN(one, device.AllocateHost(kWhat, need.bytes));
  MRS_ASSIGN_OR_RETURN(other, device.AllocateHost(kWhat, need.count > 1 ? need.bytes : 0));
  const auto put = [&](const WeightRead& read, const WeightRun& run, const std::byte* rows) {
    const auto args = PackingOf(*stage.weights()->Get(read.weight), read, run, rows, weights);
    if (!LieAsTheyAre(args)) return device.Launched(kernels::cuda::StartPackFromHost(args, device.stream()));
    const uint64_t row_bytes = read.row_bytes, bytes = (run.row_end - run.row_begin) * row_bytes;
    return device.CopyIn(static_cast<std::byte*>(args.dst) + static_cast<uint64_t>(args.row_begin) * row_bytes, rows,
                         bytes);
  };
  const WeightSink sink = {
      .bytes = need.bytes, .buffers = {one.data(), other.data()}, .put = put, .wait = [&] { return device.Finish(); }};
  return StreamWeights(plan, rank, options.model_dir, pool, sink, options.progress);
}

}  // namespace mrs
