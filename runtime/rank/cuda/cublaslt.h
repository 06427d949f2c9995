// The few calls of cuBLASLt that a rank makes: products of bf16 with sums and results in f32.
//
//   MRS_ASSIGN_OR_RETURN(const int version, cublaslt::Open());   // 130100; or what is missing, and what to install
//   cublaslt::Handle handle = nullptr;
//   int code = cublaslt::Create(&handle);
//   cublaslt::Algorithm how;
//   code = cublaslt::Choose(handle, product, workspace_bytes, &how);          // on the host, once a product
//   code = cublaslt::Multiply(handle, product, how, operands, stream);        // y = x * transpose(w)
//
// cublaslt_library.cc opens libcublasLt where a plan needs it: the host's, or for the emulator the program's own
// (shared_library.h, emulated/cublaslt.cc). cublaslt_none.cc is of a build that found no cublasLt.h. What asks once and
// keeps is fast_products.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "plans/status.h"

namespace mrs::cublaslt {

// cublasStatus_t; all others are errors
constexpr int kSuccess = 0, kNotInitialized = 1, kInvalidValue = 7, kNotSupported = 15;
using Handle = void*;                      // cublasLtHandle_t
constexpr std::uintptr_t kAlignment = 16;  // of all operands and of their rows, in bytes: algorithms are asked for it
constexpr std::uintptr_t kWorkspaceAlignment = 256;

// y[rows, n] = x[rows, k] * transpose(w[n, k]); strides are elements from one row to the next.
struct Product {
  int64_t rows = 0, n = 0, k = 0;
  int64_t x_stride = 0, w_stride = 0, y_stride = 0;
  auto operator<=>(const Product&) const = default;
};
// How it is done: cublasLtMatmulAlgo_t, and what of a workspace it takes.
struct Algorithm {
  std::array<uint64_t, 8> data{};
  uint64_t workspace_bytes = 0;
};
struct Operands {
  const void* x = nullptr;  // bf16
  const void* w = nullptr;  // bf16
  float* y = nullptr;
  void* workspace = nullptr;
  uint64_t workspace_bytes = 0;
};

// Opens the library, or finds it open. Its version: 13.1.0 is 130100.
Result<int> Open();
std::string VersionText(int version);  // "13.1.0"
// What a code means, and in the emulation why.
std::string Text(int code);

// Of the calling thread's device.
int Create(Handle* handle);
int Destroy(Handle handle);
// The first that the library proposes; kNotSupported: it has none.
int Choose(Handle handle, const Product& product, uint64_t workspace_bytes, Algorithm* algorithm);
// In the order of the stream, a cudaStream_t, also while it is captured.
int Multiply(Handle handle, const Product& product, const Algorithm& algorithm, const Operands& operands, void* stream);

}  // namespace mrs::cublaslt
