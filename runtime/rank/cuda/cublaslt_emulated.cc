// cuBLASLt on the host, for the emulated device: a plain product. What cuBLASLt refuses is an error here: a handle that
// is none, rows that overlap, operands that are not aligned as was asked for, an algorithm that was chosen for another
// product, less of a workspace than it takes; and what it would not notice, too: operands that are no memory of the
// device. It writes all of its workspace, as an algorithm may.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>

#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/stream.h"
#include "kernels/math.h"
#include "runtime/rank/cuda/cublaslt.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs::cublaslt {
namespace {

using emulated::Fails;
using emulated::Point;
using kernels::bf16;

constexpr int kExecutionFailed = 13;
constexpr int kVersion = 130100, kAnotherVersion = 120804;
constexpr uint64_t kMostWorkspaceBytes = 4096;  // of an algorithm

thread_local std::string why_not;  // of the last call that failed

struct Process {
  std::mutex mutex;
  std::set<void*> handles;
};
Process& TheProcess() {
  static Process* const process = new Process;
  return *process;
}

int No(int code, std::string why) {
  why_not = std::move(why);
  return code;
}
// Where a test asks for it.
std::optional<int> Asked(Point point, int code) {
  std::optional<std::string> asked = Fails(point, emulated::CurrentDevice());
  if (!asked) return std::nullopt;
  return No(code, *std::move(asked));
}

bool IsHandle(Handle handle) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  return process.handles.contains(handle);
}

// Of an algorithm, so that one that was chosen for another product is seen.
uint64_t MarkOf(const Product& p) {
  uint64_t mark = 14695981039346656037u;
  for (const int64_t of : {p.rows, p.n, p.k, p.x_stride, p.w_stride, p.y_stride}) {
    mark = (mark ^ static_cast<uint64_t>(of)) * 1099511628211u;
  }
  return mark;
}

std::string WhyNoProduct(const Product& p) {
  if (p.rows < 1 || p.n < 1 || p.k < 1) return fmt::format("{} rows of {} of {}", p.rows, p.n, p.k);
  if (p.x_stride < p.k || p.w_stride < p.k || p.y_stride < p.n) return "a leading dimension is less than its rows";
  const int64_t of_bf16 = kAlignment / 2, of_f32 = kAlignment / 4;
  if (p.x_stride % of_bf16 != 0 || p.w_stride % of_bf16 != 0 || p.y_stride % of_f32 != 0) {
    return "rows are not aligned as was asked for";
  }
  return "";
}

std::string WhyNoMemory(const char* what, const void* data, int64_t elements, uint64_t element_bytes,
                        std::uintptr_t alignment) {
  if (reinterpret_cast<std::uintptr_t>(data) % alignment != 0) {
    return fmt::format("{} is not aligned to {} bytes", what, alignment);
  }
  const std::string why = emulation::WhyNot(data, static_cast<uint64_t>(elements) * element_bytes,
                                            emulation::Where::kDevice, static_cast<int>(emulated::CurrentDevice()));
  return why.empty() ? "" : fmt::format("{}: {}", what, why);
}

// In f32, in eight sums: an order that no other product here has.
float Dot(const bf16* x, const bf16* w, int64_t k) {
  constexpr int kSums = 8;
  float sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= k; i += kSums) {
    for (int s = 0; s < kSums; ++s) sums[s] += kernels::F32FromBf16(x[i + s]) * kernels::F32FromBf16(w[i + s]);
  }
  for (; i < k; ++i) sums[i % kSums] += kernels::F32FromBf16(x[i]) * kernels::F32FromBf16(w[i]);
  for (int s = 1; s < kSums; ++s) sums[0] += sums[s];
  return sums[0];
}

void Run(const Product& p, const Algorithm& algorithm, const Operands& of) {
  if (algorithm.workspace_bytes > 0) std::memset(of.workspace, 0xff, algorithm.workspace_bytes);
  const auto* const x = static_cast<const bf16*>(of.x);
  const auto* const w = static_cast<const bf16*>(of.w);
  for (int64_t n = 0; n < p.n; ++n) {
    for (int64_t row = 0; row < p.rows; ++row) {
      of.y[row * p.y_stride + n] = Dot(x + row * p.x_stride, w + n * p.w_stride, p.k);
    }
  }
}

}  // namespace

Result<int> Open() {
  const uint32_t device = emulated::CurrentDevice();
  if (const auto asked = Fails(Point::kCublasltOpen, device)) {
    return Unavailable("no cuBLASLt on this host: {}; plan with mrs-plan build --numerics pair2", *asked);
  }
  if (const auto asked = Fails(Point::kCublasltVersion, device)) {
    return Refuse("libcublasLt.so.13 is {}, expected 13: {}; plan with mrs-plan build --numerics pair2",
                  VersionText(kAnotherVersion), *asked);
  }
  return kVersion;
}

std::string VersionText(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string Text(int code) {
  const char* text = "unknown status code";
  if (code == kSuccess) text = "success";
  if (code == kNotInitialized) text = "the library was not initialized";
  if (code == kInvalidValue) text = "an unsupported value or parameter was passed to the function";
  if (code == kExecutionFailed) text = "the function failed to launch on the GPU";
  if (code == kNotSupported) text = "the requested functionality is not supported";
  return why_not.empty() ? text : fmt::format("{}: {}", text, why_not);
}

int Create(Handle* handle) {
  if (const auto failed = Asked(Point::kCublasltCreate, kNotInitialized)) return *failed;
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  *handle = new char;
  process.handles.insert(*handle);
  return kSuccess;
}

int Destroy(Handle handle) {
  Process& process = TheProcess();
  const std::lock_guard lock(process.mutex);
  if (process.handles.erase(handle) == 0) emulation::EndByName("cuBLASLt is given a handle that is none any more");
  delete static_cast<char*>(handle);
  return kSuccess;
}

int Choose(Handle handle, const Product& product, uint64_t workspace_bytes, Algorithm* algorithm) {
  if (!IsHandle(handle)) return No(kNotInitialized, "the handle is none");
  if (const auto failed = Asked(Point::kCublasltChoose, kNotSupported)) return *failed;
  if (std::string why = WhyNoProduct(product); !why.empty()) return No(kInvalidValue, std::move(why));
  *algorithm = {.data = {MarkOf(product)}, .workspace_bytes = std::min(workspace_bytes, kMostWorkspaceBytes)};
  return kSuccess;
}

int Multiply(Handle handle, const Product& product, const Algorithm& algorithm, const Operands& operands,
             void* stream) {
  if (!IsHandle(handle)) return No(kNotInitialized, "the handle is none");
  if (const auto failed = Asked(Point::kCublasltMultiply, kExecutionFailed)) return *failed;
  const Product& p = product;
  std::string why = WhyNoProduct(p);
  if (why.empty() && algorithm.data[0] != MarkOf(p)) why = "the algorithm is another product's";
  if (why.empty()) why = WhyNoMemory("x", operands.x, (p.rows - 1) * p.x_stride + p.k, 2, kAlignment);
  if (why.empty()) why = WhyNoMemory("w", operands.w, (p.n - 1) * p.w_stride + p.k, 2, kAlignment);
  if (why.empty()) why = WhyNoMemory("y", operands.y, (p.rows - 1) * p.y_stride + p.n, 4, kAlignment);
  if (why.empty() && algorithm.workspace_bytes > operands.workspace_bytes) why = "the workspace is too small";
  if (why.empty() && algorithm.workspace_bytes > 0) {
    why = WhyNoMemory("the workspace", operands.workspace, static_cast<int64_t>(operands.workspace_bytes), 1,
                      kWorkspaceAlignment);
  }
  if (!why.empty()) return No(kInvalidValue, std::move(why));
  const auto run = [product, algorithm, operands] { Run(product, algorithm, operands); };
  if (emulation::DoOn(stream, run, emulation::WordsOf(operands.x, operands.w, operands.y, operands.workspace)) != 0) {
    const std::string launched = emulated::WhyNotLaunched();
    return No(kExecutionFailed, launched.empty() ? "the stream takes no work" : launched);
  }
  return kSuccess;
}

}  // namespace mrs::cublaslt
