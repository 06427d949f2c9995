#include "runtime/rank/cuda/fast_products.h"

#include <fmt/format.h>

#include "kernels/cuda/fast.h"
#include "kernels/rows.h"

namespace mrs {
namespace {

using cublaslt::kAlignment;
using kernels::MatmulArgs;

bool IsAligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % kAlignment == 0; }

cublaslt::Product ProductOf(const MatmulArgs& args) {
  return {.rows = args.rows,
          .n = args.shape.n,
          .k = args.shape.chunk_k * args.shape.chunk_count,
          .x_stride = args.x_stride,
          .w_stride = kernels::RowElements(args.shape),
          .y_stride = args.y_stride};
}

}  // namespace

Result<std::unique_ptr<FastProducts>> FastProducts::Open(Device& device, const kernels::cuda::Workspace& workspace) {
  MRS_RETURN_IF_ERROR(cublaslt::Open().status());
  std::unique_ptr<FastProducts> made(new FastProducts(device, workspace));
  if (const int code = cublaslt::Create(&made->handle_); code != cublaslt::kSuccess) {
    made->handle_ = nullptr;
    return Unavailable("{}: cuBLASLt cannot be used: {}", device.name(), cublaslt::Text(code));
  }
  return made;
}

FastProducts::~FastProducts() {
  if (handle_ != nullptr) cublaslt::Destroy(handle_);
}

bool FastProducts::Takes(const MatmulArgs& args) {
  const cublaslt::Product p = ProductOf(args);
  const bool is_one_chunk = args.shape.chunk_count == 1 || p.w_stride == p.k;
  const auto is_whole = [](int64_t elements, int64_t element_bytes) {
    return elements * element_bytes % static_cast<int64_t>(kAlignment) == 0;
  };
  return p.rows > kernels::cuda::kMostGemvRows && p.n > 0 && is_one_chunk && is_whole(p.x_stride, 2) &&
         is_whole(p.y_stride, 4) && IsAligned(args.x) && IsAligned(args.w) && IsAligned(args.y) &&
         (args.bias == nullptr || p.y_stride == p.n);
}

Result<const cublaslt::Algorithm*> FastProducts::AlgorithmOf(const cublaslt::Product& product) {
  const auto known = algorithms_.find(product);
  if (known != algorithms_.end()) return &known->second;
  cublaslt::Algorithm algorithm;
  const auto workspace_bytes = static_cast<uint64_t>(workspace_.bytes);
  if (const int code = cublaslt::Choose(handle_, product, workspace_bytes, &algorithm); code != cublaslt::kSuccess) {
    return Unavailable(
        "{}: cuBLASLt has no way to multiply {} x {} by {} x {} in {} bytes of workspace: {}; plan with mrs-plan build "
        "--numerics pair2",
        device_.name(), product.rows, product.k, product.k, product.n, workspace_bytes, cublaslt::Text(code));
  }
  return &algorithms_.emplace(product, algorithm).first->second;
}

Status FastProducts::Prepare(const MatmulArgs& args) { return AlgorithmOf(ProductOf(args)).status(); }

Status FastProducts::Run(const MatmulArgs& args, void* stream) {
  const cublaslt::Product product = ProductOf(args);
  MRS_ASSIGN_OR_RETURN(const cublaslt::Algorithm* const algorithm, AlgorithmOf(product));
  const cublaslt::Operands operands = {.x = args.x,
                                       .w = args.w,
                                       .y = args.y,
                                       .workspace = workspace_.data,
                                       .workspace_bytes = static_cast<uint64_t>(workspace_.bytes)};
  if (const int code = cublaslt::Multiply(handle_, product, *algorithm, operands, stream); code != cublaslt::kSuccess) {
    return Unavailable("{}: cuBLASLt could not multiply {} x {} by {} x {}: {}", device_.name(), product.rows,
                       product.k, product.k, product.n, cublaslt::Text(code));
  }
  if (args.bias == nullptr) return Status();
  return device_.Launched(kernels::cuda::FastKernels().add(
      {.a = args.y, .b = args.bias, .y = args.y, .rows = product.rows, .width = product.n, .broadcast_b = true},
      stream));
}

}  // namespace mrs
