// libcublasLt, opened when a plan needs it: mrs-exec starts where there is none. Its header is cuBLASLt's own, or that
// of the emulated one.
#include <cublasLt.h>
#include <fmt/format.h>

#include <cstring>
#include <mutex>
#include <utility>

#include "runtime/rank/cuda/cublaslt.h"
#include "runtime/rank/cuda/shared_library.h"

namespace mrs::cublaslt {
namespace {

#define MRS_CUBLASLT_CALLS(CALL)             \
  CALL(cublasLtGetVersion)                   \
  CALL(cublasLtGetStatusString)              \
  CALL(cublasLtCreate)                       \
  CALL(cublasLtDestroy)                      \
  CALL(cublasLtMatmulDescCreate)             \
  CALL(cublasLtMatmulDescSetAttribute)       \
  CALL(cublasLtMatmulDescDestroy)            \
  CALL(cublasLtMatrixLayoutCreate)           \
  CALL(cublasLtMatrixLayoutDestroy)          \
  CALL(cublasLtMatmulPreferenceCreate)       \
  CALL(cublasLtMatmulPreferenceSetAttribute) \
  CALL(cublasLtMatmulPreferenceDestroy)      \
  CALL(cublasLtMatmulAlgoGetHeuristic)       \
  CALL(cublasLtMatmul)

struct Calls {
#define CALL(name) decltype(&::name) name = nullptr;
  MRS_CUBLASLT_CALLS(CALL)
#undef CALL
};
Calls calls;  // filled by Open, once, before any other call

static_assert(kSuccess == CUBLAS_STATUS_SUCCESS && kNotInitialized == CUBLAS_STATUS_NOT_INITIALIZED &&
              kInvalidValue == CUBLAS_STATUS_INVALID_VALUE && kNotSupported == CUBLAS_STATUS_NOT_SUPPORTED);

// Structs and enums are those of the header's major version, which the library's name has.
constexpr int kMajor = CUBLAS_VER_MAJOR;

std::string LibraryName() { return fmt::format("libcublasLt.so.{}", kMajor); }
std::string HowToInstall() {
  return fmt::format(
      "install cuBLAS {} (Debian, Ubuntu: libcublas-{}-0 of NVIDIA's repository; pip: nvidia-cublas) where the loader "
      "finds it (LD_LIBRARY_PATH), or plan with mrs-plan build --numerics pair2",
      kMajor, kMajor);
}

cublasLtHandle_t Of(Handle handle) { return static_cast<cublasLtHandle_t>(handle); }

// What describes a product to cuBLASLt, whose matrices are column after column: ours are transposed there, so that
// D = transpose(A) * B with A = w [k, n], B = x [k, rows], D = y [n, rows].
class Description {
 public:
  explicit Description(const Product& p) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    Do(calls.cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    if (code_ != kSuccess) return;
    Do(calls.cublasLtMatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)));
    Do(calls.cublasLtMatrixLayoutCreate(&w_, CUDA_R_16BF, Size(p.k), Size(p.n), p.w_stride));
    Do(calls.cublasLtMatrixLayoutCreate(&x_, CUDA_R_16BF, Size(p.k), Size(p.rows), p.x_stride));
    Do(calls.cublasLtMatrixLayoutCreate(&y_, CUDA_R_32F, Size(p.n), Size(p.rows), p.y_stride));
  }
  ~Description() {
    if (y_ != nullptr) calls.cublasLtMatrixLayoutDestroy(y_);
    if (x_ != nullptr) calls.cublasLtMatrixLayoutDestroy(x_);
    if (w_ != nullptr) calls.cublasLtMatrixLayoutDestroy(w_);
    if (product_ != nullptr) calls.cublasLtMatmulDescDestroy(product_);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  int code() const { return code_; }  // of what makes it
  cublasLtMatmulDesc_t product() const { return product_; }
  cublasLtMatrixLayout_t w() const { return w_; }
  cublasLtMatrixLayout_t x() const { return x_; }
  cublasLtMatrixLayout_t y() const { return y_; }

 private:
  static uint64_t Size(int64_t size) { return static_cast<uint64_t>(size); }
  void Do(cublasStatus_t code) {
    if (code_ == kSuccess) code_ = code;
  }
  int code_ = kSuccess;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr, x_ = nullptr, y_ = nullptr;
};

// What an algorithm may count on.
class Preference {
 public:
  explicit Preference(uint64_t workspace_bytes) {
    code_ = calls.cublasLtMatmulPreferenceCreate(&preference_);
    Set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      Set(attribute, static_cast<uint32_t>(kAlignment));
    }
  }
  ~Preference() {
    if (preference_ != nullptr) calls.cublasLtMatmulPreferenceDestroy(preference_);
  }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;

  int code() const { return code_; }
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  template <typename T>
  void Set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    if (code_ == kSuccess) {
      code_ = calls.cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof(value));
    }
  }
  int code_ = kSuccess;
  cublasLtMatmulPreference_t preference_ = nullptr;
};

}  // namespace

Result<int> Open() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const std::string name = LibraryName();
  std::string why, missing;
  void* const library = OpenLibrary(name.c_str(), &why);
  if (library == nullptr) return Unavailable("no cuBLASLt on this host: {}; {}", why, HowToInstall());
  Calls found;
#define CALL(call)                                                                     \
  found.call = reinterpret_cast<decltype(found.call)>(FindCall(library, #call, &why)); \
  if (found.call == nullptr && missing.empty()) missing = fmt::format("{}: {}", #call, why);
  MRS_CUBLASLT_CALLS(CALL)
#undef CALL
  int version = 0;
  if (found.cublasLtGetVersion != nullptr) {  // first: another one may lack calls, too
    version = static_cast<int>(found.cublasLtGetVersion());
    if (version < kMajor * 10000 || version >= (kMajor + 1) * 10000) {
      return Refuse("{} is {}, expected {}; {}", name, VersionText(version), kMajor, HowToInstall());
    }
  }
  if (!missing.empty()) return Unavailable("{} has no {}; {}", name, missing, HowToInstall());
  if (calls.cublasLtGetVersion == nullptr) calls = found;
  return version;
}

std::string VersionText(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string Text(int code) { return calls.cublasLtGetStatusString(static_cast<cublasStatus_t>(code)); }

int Create(Handle* handle) {
  cublasLtHandle_t made = nullptr;
  const cublasStatus_t code = calls.cublasLtCreate(&made);
  *handle = made;
  return code;
}
int Destroy(Handle handle) { return calls.cublasLtDestroy(Of(handle)); }

int Choose(Handle handle, const Product& product, uint64_t workspace_bytes, Algorithm* algorithm) {
  const Description of(product);
  if (of.code() != kSuccess) return of.code();
  const Preference preference(workspace_bytes);
  if (preference.code() != kSuccess) return preference.code();
  cublasLtMatmulHeuristicResult_t proposed = {};
  int count = 0;
  const cublasStatus_t code = calls.cublasLtMatmulAlgoGetHeuristic(Of(handle), of.product(), of.w(), of.x(), of.y(),
                                                                   of.y(), preference.get(), 1, &proposed, &count);
  if (code != CUBLAS_STATUS_SUCCESS) return code;
  if (count < 1) return kNotSupported;
  if (proposed.state != CUBLAS_STATUS_SUCCESS) return proposed.state;
  static_assert(sizeof(proposed.algo) == sizeof(algorithm->data));
  std::memcpy(algorithm->data.data(), &proposed.algo, sizeof(proposed.algo));
  algorithm->workspace_bytes = proposed.workspaceSize;
  return kSuccess;
}

int Multiply(Handle handle, const Product& product, const Algorithm& algorithm, const Operands& operands,
             void* stream) {
  const Description of(product);
  if (of.code() != kSuccess) return of.code();
  cublasLtMatmulAlgo_t how;
  std::memcpy(&how, algorithm.data.data(), sizeof(how));
  const float one = 1, zero = 0;
  return calls.cublasLtMatmul(Of(handle), of.product(), &one, operands.w, of.w(), operands.x, of.x(), &zero, operands.y,
                              of.y(), operands.y, of.y(), &how, operands.workspace, operands.workspace_bytes,
                              static_cast<cudaStream_t>(stream));
}

}  // namespace mrs::cublaslt
