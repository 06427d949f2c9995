// The products of a rank's steps: those of one x as one launch, with what gates or follows them; of many rows in
// fast numerics by cuBLASLt (fast_products.h), one after another, as they have one workspace. All in the
// device's stream.
//
//   GpuProducts products(*device, kernels, workspace, is_fast);
//   MRS_RETURN_IF_ERROR(products.Prepare(launch, most_rows));   // of each launch, before any forward
//   MRS_RETURN_IF_ERROR(products.Run(launch, rows));
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/exact.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/fast_products.h"
#include "runtime/rank/launch.h"

namespace mrs {

class GpuProducts {
 public:
  using Products = MatmulLaunch<kernels::cuda::CudaKernels>;

  // `device` and `kernels` are borrowed.
  GpuProducts(Device& device, const kernels::cuda::CudaKernels& kernels, const kernels::cuda::Workspace& workspace,
              bool is_fast)
      : device_(device), kernels_(kernels), workspace_(workspace), is_fast_(is_fast) {}

  // So that what cuBLASLt lacks for so many rows is known at start.
  Status Prepare(Products& launch, int64_t rows);
  Status Prepare(GatedMatmulLaunch& launch, int64_t rows) { return Prepare(launch.products, rows); }
  template <typename Args>
  Status Prepare(MatmulThenLaunch<Args>& launch, int64_t rows) {
    return Prepare(launch.products, rows);
  }
  // Whether cuBLASLt has a part in it.
  bool CallsCublaslt(const Products& launch, int64_t rows) const;
  bool CallsCublaslt(const GatedMatmulLaunch& launch, int64_t rows) const {
    return CallsCublaslt(launch.products, rows);
  }
  template <typename Args>
  bool CallsCublaslt(const MatmulThenLaunch<Args>& launch, int64_t rows) const {
    return CallsCublaslt(launch.products, rows);
  }
  Status Run(Products& launch, int64_t rows);
  Status Run(GatedMatmulLaunch& launch, int64_t rows);
  Status Run(MatmulRopeAppendLaunch& launch, int64_t rows);
  Status Run(MatmulAddRmsNormLaunch& launch, int64_t rows);

 private:
  template <typename Args, typename Joined>
  Status RunThen(MatmulThenLaunch<Args>& launch, int64_t rows, kernels::cuda::CudaKernel<Joined> joined);
  Status RunByCublaslt(const Products& launch);

  Device& device_;
  const kernels::cuda::CudaKernels& kernels_;
  const kernels::cuda::Workspace workspace_;
  const bool is_fast_;
  std::unique_ptr<FastProducts> fast_;  // null: no batch has products that cuBLASLt is for
};

}  // namespace mrs
