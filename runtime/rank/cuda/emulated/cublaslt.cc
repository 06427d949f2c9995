// cuBLASLt's calls on the host, for the emulated device: a plain product. What cuBLASLt refuses is an error here: a
// handle that is none, columns that overlap, operands that are not aligned as was asked for, an algorithm that was
// chosen for another product, less of a workspace than it takes; and what it would not notice, too: operands that are
// no memory of the device. It writes all of its workspace, as an algorithm may. What a handle ends before must be gone
// by then.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/stream.h"
#include "kernels/math.h"
#include "runtime/rank/cuda/emulated/cublasLt.h"
#include "runtime/rank/cuda/emulated/libraries.h"
#include "runtime/rank/cuda/emulated_faults.h"

struct cublasLtContext {};
struct cublasLtMatmulDescription {
  cublasComputeType_t sums;
  cudaDataType_t scales;
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
};
struct cublasLtMatrixDescription {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t ld;
};
struct cublasLtPreferences {
  uint64_t workspace_bytes = 0;
  std::array<uint32_t, 4> alignments{256, 256, 256, 256};  // of A, B, C, D
};

namespace mrs::emulated {
namespace {

using kernels::bf16;

constexpr size_t kVersion = 130100, kAnotherVersion = 120804;
constexpr uint64_t kMostWorkspaceBytes = 4096;  // of an algorithm
constexpr std::uintptr_t kWorkspaceAlignment = 256;

thread_local cublasStatus_t last_code = CUBLAS_STATUS_SUCCESS;
thread_local std::string why_not;  // of the last call that failed, with that code
thread_local std::string said;

// Handles, and what describes products, that are there.
struct Process {
  std::mutex mutex;
  std::set<const void*> handles, descriptions;
  std::set<std::pair<const void*, uint64_t>> multiplied;  // by a handle, in no graph: marks of products
};
Process& TheProcess() {
  static Process* const process = new Process;
  return *process;
}

cublasStatus_t No(cublasStatus_t code, std::string why) {
  last_code = code;
  why_not = std::move(why);
  return code;
}
// Where a test asks for it.
std::optional<cublasStatus_t> Asked(Point point, cublasStatus_t code) {
  std::optional<std::string> asked = Fails(point, CurrentDevice());
  if (!asked) return std::nullopt;
  return No(code, *std::move(asked));
}

bool IsHandle(cublasLtHandle_t handle) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  return process.handles.contains(handle);
}

template <typename T>
void Keep(T* description) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  process.descriptions.insert(description);
}
template <typename T>
T& There(T* description) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  if (!process.descriptions.contains(description)) {
    emulation::EndByName("cuBLASLt is given a description that is none, or is none any more");
  }
  return *description;
}
template <typename T>
void Drop(T* description) {
  There(description);
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  process.descriptions.erase(description);
  delete description;
}

// A value that an attribute is set to, of no other size than it has.
template <typename T>
cublasStatus_t Read(const void* value, size_t bytes, T* to) {
  if (bytes != sizeof(T))
    return No(CUBLAS_STATUS_INVALID_VALUE, fmt::format("{} bytes, expected {}", bytes, sizeof(T)));
  std::memcpy(to, value, sizeof(T));
  return CUBLAS_STATUS_SUCCESS;
}

// D[m, n] = transpose(A)[m, k] * B[k, n], of bf16 into f32: all that there is here.
struct Product {
  int64_t m = 0, n = 0, k = 0, a_ld = 0, b_ld = 0, d_ld = 0;
};

std::string WhyNoProduct(const cublasLtMatmulDescription& of, const cublasLtMatrixDescription& a,
                         const cublasLtMatrixDescription& b, const cublasLtMatrixDescription& c,
                         const cublasLtMatrixDescription& d) {
  if (of.sums != CUBLAS_COMPUTE_32F || of.scales != CUDA_R_32F) return "sums are not in f32";
  if (a.type != CUDA_R_16BF || b.type != CUDA_R_16BF) return "A or B is not of bf16";
  if (c.type != CUDA_R_32F || d.type != CUDA_R_32F) return "C or D is not of f32";
  if (of.a != CUBLAS_OP_T || of.b != CUBLAS_OP_N) return "the emulated one transposes A, and A alone";
  return "";
}

std::string WhyNoSizes(const cublasLtMatrixDescription& a, const cublasLtMatrixDescription& b,
                       const cublasLtMatrixDescription& c, const cublasLtMatrixDescription& d,
                       const std::array<uint32_t, 4>& alignments) {
  if (a.rows != b.rows || a.columns != d.rows || b.columns != d.columns || c.rows != d.rows || c.columns != d.columns) {
    return fmt::format("A of {} x {}, B of {} x {} and D of {} x {} are no product", a.rows, a.columns, b.rows,
                       b.columns, d.rows, d.columns);
  }
  if (d.rows < 1 || d.columns < 1 || a.rows < 1) {
    return fmt::format("m, n and k are {}, {} and {}: expected at least 1", d.rows, d.columns, a.rows);
  }
  size_t at = 0;
  for (const cublasLtMatrixDescription* const matrix : {&a, &b, &c, &d}) {
    if (matrix->ld < static_cast<int64_t>(matrix->rows)) return "a leading dimension is less than its rows";
    const int64_t bytes = matrix->ld * (matrix->type == CUDA_R_32F ? 4 : 2);
    if (bytes % alignments[at++] != 0) return "columns are not aligned as was asked for";
  }
  return "";
}

// How an algorithm is known again.
struct Mark {
  uint64_t product = 0;  // of its sizes, so that one that was chosen for another product is seen
  uint64_t workspace_bytes = 0;
  std::array<uint32_t, 4> alignments{};
  uint64_t nothing[4] = {};
};
static_assert(sizeof(Mark) == sizeof(cublasLtMatmulAlgo_t));

Product ProductOf(const cublasLtMatrixDescription& a, const cublasLtMatrixDescription& b,
                  const cublasLtMatrixDescription& d) {
  return {
      static_cast<int64_t>(d.rows), static_cast<int64_t>(d.columns), static_cast<int64_t>(a.rows), a.ld, b.ld, d.ld};
}

uint64_t MarkOf(const Product& p) {
  uint64_t mark = 14695981039346656037u;
  for (const int64_t of : {p.m, p.n, p.k, p.a_ld, p.b_ld, p.d_ld}) {
    mark = (mark ^ static_cast<uint64_t>(of)) * 1099511628211u;
  }
  return mark;
}

std::string WhyNoMemory(const char* what, const void* data, int64_t bytes, std::uintptr_t alignment) {
  if (reinterpret_cast<std::uintptr_t>(data) % alignment != 0) {
    return fmt::format("{} is not aligned to {} bytes", what, alignment);
  }
  const std::string why = emulation::WhyNot(data, static_cast<uint64_t>(bytes), emulation::Where::kDevice,
                                            static_cast<int>(CurrentDevice()));
  return why.empty() ? "" : fmt::format("{}: {}", what, why);
}
int64_t BytesOf(const cublasLtMatrixDescription& of) {
  return ((static_cast<int64_t>(of.columns) - 1) * of.ld + static_cast<int64_t>(of.rows)) *
         (of.type == CUDA_R_32F ? 4 : 2);
}

// In f32, in eight sums: an order that no other product here has.
float Dot(const bf16* a, const bf16* b, int64_t k) {
  constexpr int kSums = 8;
  float sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= k; i += kSums) {
    for (int s = 0; s < kSums; ++s) sums[s] += kernels::F32FromBf16(a[i + s]) * kernels::F32FromBf16(b[i + s]);
  }
  for (; i < k; ++i) sums[i % kSums] += kernels::F32FromBf16(a[i]) * kernels::F32FromBf16(b[i]);
  for (int s = 1; s < kSums; ++s) sums[0] += sums[s];
  return sums[0];
}

void Run(const Product& p, const bf16* a, const bf16* b, float* d, void* workspace, uint64_t workspace_bytes) {
  if (workspace_bytes > 0) std::memset(workspace, 0xff, workspace_bytes);
  for (int64_t row = 0; row < p.m; ++row) {
    for (int64_t column = 0; column < p.n; ++column) {
      d[row + column * p.d_ld] = Dot(a + row * p.a_ld, b + column * p.b_ld, p.k);
    }
  }
}

}  // namespace
}  // namespace mrs::emulated

using namespace mrs::emulated;

size_t cublasLtGetVersion(void) { return Fails(Point::kCublasltVersion, CurrentDevice()) ? kAnotherVersion : kVersion; }

const char* cublasLtGetStatusString(cublasStatus_t code) {
  const char* text = "unknown status code";
  if (code == CUBLAS_STATUS_SUCCESS) text = "success";
  if (code == CUBLAS_STATUS_NOT_INITIALIZED) text = "the library was not initialized";
  if (code == CUBLAS_STATUS_INVALID_VALUE) text = "an unsupported value or parameter was passed to the function";
  if (code == CUBLAS_STATUS_EXECUTION_FAILED) text = "the function failed to launch on the GPU";
  if (code == CUBLAS_STATUS_NOT_SUPPORTED) text = "the requested functionality is not supported";
  said = code != last_code || why_not.empty() ? text : fmt::format("{}: {}", text, why_not);
  return said.c_str();
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (const auto failed = Asked(Point::kCublasltCreate, CUBLAS_STATUS_NOT_INITIALIZED)) return *failed;
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  *handle = new cublasLtContext;
  process.handles.insert(*handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  if (process.handles.erase(handle) == 0) {
    mrs::emulation::EndByName("cuBLASLt is given a handle that is none any more");
  }
  if (process.handles.empty() && !process.descriptions.empty()) {
    mrs::emulation::EndByName(
        fmt::format("cuBLASLt's last handle ends before {} descriptions", process.descriptions.size()));
  }
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* product, cublasComputeType_t sums,
                                        cudaDataType_t scales) {
  Keep(*product = new cublasLtMatmulDescription{sums, scales});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) return Read(value, bytes, &There(product).a);
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSB) return Read(value, bytes, &There(product).b);
  return No(CUBLAS_STATUS_NOT_SUPPORTED, "the emulated one has no such attribute of a product");
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
  Drop(product);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* matrix, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  Keep(*matrix = new cublasLtMatrixDescription{type, rows, columns, ld});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matrix) {
  Drop(matrix);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  Keep(*preference = new cublasLtPreferences);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  cublasLtPreferences& of = There(preference);
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return Read(value, bytes, &of.workspace_bytes);
  if (attribute < CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES ||
      attribute > CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) {
    return No(CUBLAS_STATUS_NOT_SUPPORTED, "the emulated one has no such preference");
  }
  uint32_t alignment = 0;
  if (const cublasStatus_t code = Read(value, bytes, &alignment); code != CUBLAS_STATUS_SUCCESS) return code;
  if (alignment == 0) return No(CUBLAS_STATUS_INVALID_VALUE, "an alignment of no bytes");
  of.alignments[static_cast<size_t>(attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES)] = alignment;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  Drop(preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t* ways, int* count) {
  if (!IsHandle(handle)) return No(CUBLAS_STATUS_NOT_INITIALIZED, "the handle is none");
  if (most < 1) return No(CUBLAS_STATUS_INVALID_VALUE, "no algorithm is asked for");
  *count = 0;
  if (const auto failed = Asked(Point::kCublasltChoose, CUBLAS_STATUS_NOT_SUPPORTED)) return *failed;
  const cublasLtPreferences& preferences = There(preference);
  if (std::string why = WhyNoProduct(There(product), There(a), There(b), There(c), There(d)); !why.empty()) {
    return No(CUBLAS_STATUS_NOT_SUPPORTED, std::move(why));
  }
  if (std::string why = WhyNoSizes(*a, *b, *c, *d, preferences.alignments); !why.empty()) {
    return No(CUBLAS_STATUS_INVALID_VALUE, std::move(why));
  }
  const Mark mark = {.product = MarkOf(ProductOf(*a, *b, *d)),
                     .workspace_bytes = std::min(preferences.workspace_bytes, kMostWorkspaceBytes),
                     .alignments = preferences.alignments};
  ways[0] = {};
  ways[0].algo = std::bit_cast<cublasLtMatmulAlgo_t>(mark);
  ways[0].workspaceSize = mark.workspace_bytes;
  ways[0].state = CUBLAS_STATUS_SUCCESS;
  ways[0].wavesCount = 1;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_matrix, const void* b, cublasLtMatrixLayout_t b_matrix,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_matrix, void* d,
                              cublasLtMatrixLayout_t d_matrix, const cublasLtMatmulAlgo_t* way, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  if (!IsHandle(handle)) return No(CUBLAS_STATUS_NOT_INITIALIZED, "the handle is none");
  if (const auto failed = Asked(Point::kCublasltMultiply, CUBLAS_STATUS_EXECUTION_FAILED)) return *failed;
  if (std::string why =
          WhyNoProduct(There(product), There(a_matrix), There(b_matrix), There(c_matrix), There(d_matrix));
      !why.empty()) {
    return No(CUBLAS_STATUS_NOT_SUPPORTED, std::move(why));
  }
  float scales[2];
  std::memcpy(&scales[0], alpha, sizeof(float));
  std::memcpy(&scales[1], beta, sizeof(float));
  if (scales[0] != 1 || scales[1] != 0 || c != d) {
    return No(CUBLAS_STATUS_NOT_SUPPORTED, "the emulated one has no scales but 1 and 0, and C is D");
  }
  const Product p = ProductOf(*a_matrix, *b_matrix, *d_matrix);
  const Mark mark = std::bit_cast<Mark>(*way);
  std::string why;
  if (mark.product != MarkOf(p)) why = "the algorithm is another product's";
  if (why.empty()) why = WhyNoSizes(*a_matrix, *b_matrix, *c_matrix, *d_matrix, mark.alignments);
  if (why.empty()) why = WhyNoMemory("A", a, BytesOf(*a_matrix), mark.alignments[0]);
  if (why.empty()) why = WhyNoMemory("B", b, BytesOf(*b_matrix), mark.alignments[1]);
  if (why.empty()) why = WhyNoMemory("D", d, BytesOf(*d_matrix), mark.alignments[3]);
  if (why.empty() && mark.workspace_bytes > workspace_bytes) why = "the workspace is too small";
  if (why.empty() && mark.workspace_bytes > 0) {
    why = WhyNoMemory("the workspace", workspace, static_cast<int64_t>(workspace_bytes), kWorkspaceAlignment);
  }
  if (!why.empty()) return No(CUBLAS_STATUS_INVALID_VALUE, std::move(why));
  // Of a product the first is in no graph: cuBLASLt may load a kernel by it.
  const bool is_captured =
      stream != nullptr && static_cast<mrs::emulation::Stream*>(static_cast<void*>(stream))->is_capturing();
  {
    Process& process = TheProcess();
    const std::lock_guard lock(process.mutex);
    if (!is_captured) {
      process.multiplied.emplace(handle, mark.product);
    } else if (!process.multiplied.contains({handle, mark.product})) {
      return No(CUBLAS_STATUS_EXECUTION_FAILED, "the first product of its sizes is captured");
    }
  }
  const auto run = [=] {
    Run(p, static_cast<const bf16*>(a), static_cast<const bf16*>(b), static_cast<float*>(d), workspace,
        mark.workspace_bytes);
  };
  if (mrs::emulation::DoOn(stream, run, mrs::emulation::WordsOf(a, b, d, workspace)) != 0) {
    const std::string launched = WhyNotLaunched();
    return No(CUBLAS_STATUS_EXECUTION_FAILED, launched.empty() ? "the stream takes no work" : launched);
  }
  return CUBLAS_STATUS_SUCCESS;
}

const Library& mrs::emulated::CublasltLibrary() {
#define CALL(name) \
  { #name, reinterpret_cast < void*>(name) }
  static const LibraryCall calls[] = {CALL(cublasLtGetVersion),
                                      CALL(cublasLtGetStatusString),
                                      CALL(cublasLtCreate),
                                      CALL(cublasLtDestroy),
                                      CALL(cublasLtMatmulDescCreate),
                                      CALL(cublasLtMatmulDescSetAttribute),
                                      CALL(cublasLtMatmulDescDestroy),
                                      CALL(cublasLtMatrixLayoutCreate),
                                      CALL(cublasLtMatrixLayoutDestroy),
                                      CALL(cublasLtMatmulPreferenceCreate),
                                      CALL(cublasLtMatmulPreferenceSetAttribute),
                                      CALL(cublasLtMatmulPreferenceDestroy),
                                      CALL(cublasLtMatmulAlgoGetHeuristic),
                                      CALL(cublasLtMatmul)};
#undef CALL
  static const Library library{"libcublasLt.so.13", Point::kCublasltOpen, calls};
  return library;
}
