#include "runtime/rank/cuda/gpu_products.h"

#include <algorithm>

namespace mrs {
namespace {

using kernels::MatmulArgs;
using kernels::cuda::Activation;
using kernels::cuda::GroupOf;
using kernels::cuda::MatmulGroupArgs;

void SetRows(GpuProducts::Products& launch, int64_t rows) {
  for (MatmulArgs& part : launch.parts) part.rows = rows;
}

// The parts from `first` on that one launch takes: as many as it has room for, of chunks of one size.
MatmulGroupArgs GroupFrom(const GpuProducts::Products& launch, size_t first) {
  const kernels::Type type = launch.x_bytes == 2 ? kernels::Type::kBf16 : kernels::Type::kF32;
  MatmulGroupArgs group = GroupOf(launch.parts[first], type);
  for (size_t p = first + 1; p < launch.parts.size() && group.count < kernels::cuda::kMostParts; ++p) {
    const MatmulGroupArgs next = GroupOf(launch.parts[p], type);
    if (next.chunk_k != group.chunk_k || next.chunk_count != group.chunk_count) break;
    group.parts[group.count++] = next.parts[0];
  }
  return group;
}

}  // namespace

bool GpuProducts::CallsCublaslt(const Products& launch, int64_t rows) const {
  return is_fast_ && std::any_of(launch.parts.begin(), launch.parts.end(), [&](MatmulArgs part) {
           part.rows = rows;
           return FastProducts::Takes(part);
         });
}

Status GpuProducts::Prepare(Products& launch, int64_t rows) {
  SetRows(launch, rows);
  if (!CallsCublaslt(launch, rows)) return Status();
  if (fast_ == nullptr) {
    MRS_ASSIGN_OR_RETURN(fast_, FastProducts::Open(device_, workspace_));
  }
  for (const MatmulArgs& part : launch.parts) {
    if (FastProducts::Takes(part)) MRS_RETURN_IF_ERROR(fast_->Prepare(part));
  }
  return Status();
}

Status GpuProducts::Run(Products& launch, int64_t rows) {
  SetRows(launch, rows);
  if (CallsCublaslt(launch, rows)) return RunByCublaslt(launch);
  for (size_t first = 0; first < launch.parts.size();) {
    const MatmulGroupArgs group = GroupFrom(launch, first);
    MRS_RETURN_IF_ERROR(device_.Launched(kernels_.matmul_group(group, device_.stream())));
    first += static_cast<size_t>(group.count);
  }
  return Status();
}

Status GpuProducts::RunByCublaslt(const Products& launch) {
  for (const MatmulArgs& part : launch.parts) {
    MRS_RETURN_IF_ERROR(FastProducts::Takes(part) ? fast_->Run(part, device_.stream())
                                                  : device_.Launched(launch.kernel(part, device_.stream())));
  }
  return Status();
}

// cuBLASLt leaves gate's and up's sums in memory that the step has for it.
Status GpuProducts::Run(GatedMatmulLaunch& launch, int64_t rows) {
  SetRows(launch.products, rows);
  if (!CallsCublaslt(launch.products, rows)) {
    const MatmulGroupArgs group = GroupFrom(launch.products, 0);
    MRS_CHECK(group.count == 2);  // of equal chunks, as the verifier has seen
    return device_.Launched(kernels_.gated_matmul({group, launch.y, launch.out, launch.activation}, device_.stream()));
  }
  MRS_RETURN_IF_ERROR(RunByCublaslt(launch.products));
  const MatmulArgs& gate = launch.products.parts[0];
  const MatmulArgs& up = launch.products.parts[1];
  if (launch.activation == Activation::kSilu) {
    return device_.Launched(
        kernels_.silu_mul({gate.y, up.y, launch.y, rows, gate.shape.n, launch.out}, device_.stream()));
  }
  return device_.Launched(kernels_.gelu_mul(
      {gate.y, up.y, launch.y, rows, gate.shape.n, launch.out, launch.activation == Activation::kGeluTanh},
      device_.stream()));
}

// One launch where one has room for all products, else what follows is its own.
template <typename Args, typename Joined>
Status GpuProducts::RunThen(MatmulThenLaunch<Args>& launch, int64_t rows, kernels::cuda::CudaKernel<Joined> joined) {
  SetRows(launch.products, rows);
  RowsOf(launch.then.args) = rows;
  const MatmulGroupArgs group = GroupFrom(launch.products, 0);
  if (!CallsCublaslt(launch.products, rows) && static_cast<size_t>(group.count) == launch.products.parts.size()) {
    return device_.Launched(joined({group, launch.then.args}, device_.stream()));
  }
  MRS_RETURN_IF_ERROR(Run(launch.products, rows));
  return device_.Launched(launch.then.kernel(launch.then.args, device_.stream()));
}
Status GpuProducts::Run(MatmulRopeAppendLaunch& launch, int64_t rows) {
  return RunThen(launch, rows, kernels_.matmul_rope_append);
}
Status GpuProducts::Run(MatmulAddRmsNormLaunch& launch, int64_t rows) {
  return RunThen(launch, rows, kernels_.matmul_add_rms_norm);
}

}  // namespace mrs
