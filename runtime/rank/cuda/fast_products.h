// The products of a rank in fast numerics that are of many rows, by cuBLASLt: how each is done is asked once, and kept.
//
//   MRS_ASSIGN_OR_RETURN(auto products, FastProducts::Open(*device, workspace));
//   if (products->Takes(args)) MRS_RETURN_IF_ERROR(products->Run(args, stream));   // also while it is captured
//
// All of them are of one stream: they share a workspace, which is the plan's. Without one cuBLASLt has ways that take
// none.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kernels/cuda/exact.h"
#include "runtime/rank/cuda/cublaslt.h"
#include "runtime/rank/cuda/device.h"

namespace mrs {

class FastProducts {
 public:
  // `device` is borrowed, and the calling thread's. Errors: no cuBLASLt, or another version.
  static Result<std::unique_ptr<FastProducts>> Open(Device& device, const kernels::cuda::Workspace& workspace);
  // After the stream is done.
  ~FastProducts();
  FastProducts(const FastProducts&) = delete;
  FastProducts& operator=(const FastProducts&) = delete;

  // Of more rows than the kernel of this project is made for, and aligned as cuBLASLt's quick ways are: chunks of K
  // without padding between them, rows that begin at sixteen bytes.
  static bool Takes(const kernels::MatmulArgs& args);
  // So that a rank whose largest products cuBLASLt has no way for is refused before any forward. What it has no way for
  // among others is done by the kernel for few rows, which is said once a size.
  Status Prepare(const kernels::MatmulArgs& args);
  Status Run(const kernels::MatmulArgs& args, void* stream);

 private:
  FastProducts(Device& device, const kernels::cuda::Workspace& workspace) : device_(device), workspace_(workspace) {}
  Result<const cublaslt::Algorithm*> AlgorithmOf(const cublaslt::Product& product);

  Device& device_;
  const kernels::cuda::Workspace workspace_;
  cublaslt::Handle handle_ = nullptr;
  // No more than shapes of weights times rows; none: it has no way.
  std::map<cublaslt::Product, std::optional<cublaslt::Algorithm>> algorithms_;
  std::string why_none_;  // of the last such
};

}  // namespace mrs
