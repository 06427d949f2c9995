#include "runtime/rank/cuda/fast_products.h"

#include <fmt/format.h>

#include "host/output.h"
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

std::string SizesOf(const cublaslt::Product& p) { return fmt::format("{} x {} by {} x {}", p.rows, p.k, p.k, p.n); }

}  // namespace

Result<std::unique_ptr<FastProducts>> FastProducts::Open(Device& device, const kernels::cuda::Workspace& workspace) {
  MRS_RETURN_IF_ERROR(cublaslt::Open().status());
  std::unique_ptr<FastProducts> made(new FastProducts(device, workspace));
  if (const int code = cublaslt::Create(&made->handle_); code != cublaslt::kSuccess) {
    made->handle_ = nullptr;
    return Refuse("{}: cuBLASLt cannot be used: {}", device.name(), cublaslt::Text(code));
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

// Whether it has a way; null: it has none.
Result<const cublaslt::Algorithm*> FastProducts::AlgorithmOf(const cublaslt::Product& product) {
  const auto known = algorithms_.find(product);
  if (known != algorithms_.end()) return known->second.has_value() ? &*known->second : nullptr;
  cublaslt::Algorithm algorithm;
  const int code = cublaslt::Choose(handle_, product, static_cast<uint64_t>(workspace_.bytes), &algorithm);
  if (code == cublaslt::kSuccess) return &*algorithms_.emplace(product, algorithm).first->second;
  if (code != cublaslt::kNotSupported) {
    return Refuse("{}: cuBLASLt does not say how to multiply {}: {}", device_.name(), SizesOf(product),
                  cublaslt::Text(code));
  }
  why_none_ = fmt::format("{}: cuBLASLt has no way to multiply {} in {} bytes of workspace: {}", device_.name(),
                          SizesOf(product), workspace_.bytes, cublaslt::Text(code));
  algorithms_.emplace(product, std::nullopt);
  return nullptr;
}

Status FastProducts::Prepare(const MatmulArgs& args) {
  MRS_ASSIGN_OR_RETURN(const cublaslt::Algorithm* const algorithm, AlgorithmOf(ProductOf(args)));
  return algorithm != nullptr ? Status() : Refuse("{}; plan with mrs-plan build --numerics pair2", why_none_);
}

Status FastProducts::Run(const MatmulArgs& args, void* stream) {
  const cublaslt::Product product = ProductOf(args);
  const bool is_known = algorithms_.contains(product);
  MRS_ASSIGN_OR_RETURN(const cublaslt::Algorithm* const algorithm, AlgorithmOf(product));
  if (algorithm == nullptr) {
    if (!is_known) Say("{}; products of this size are done by the kernel for few rows, more slowly\n", why_none_);
    return device_.Launched(kernels::cuda::FastKernels().matmul_bf16(args, stream));
  }
  const cublaslt::Operands operands = {.x = args.x,
                                       .w = args.w,
                                       .y = args.y,
                                       .workspace = workspace_.data,
                                       .workspace_bytes = static_cast<uint64_t>(workspace_.bytes)};
  if (const int code = cublaslt::Multiply(handle_, product, *algorithm, operands, stream); code != cublaslt::kSuccess) {
    return Refuse("{}: cuBLASLt could not multiply {}: {}", device_.name(), SizesOf(product), cublaslt::Text(code));
  }
  if (args.bias == nullptr) return Status();
  return device_.Launched(kernels::cuda::FastKernels().add(
      {.a = args.y, .b = args.bias, .y = args.y, .rows = product.rows, .width = product.n, .broadcast_b = true},
      stream));
}

}  // namespace mrs
