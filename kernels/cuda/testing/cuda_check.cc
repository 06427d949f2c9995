// On a machine with a GPU: each PTX wrapper, then every exact kernel against the CPU's reference, bit for bit,
// attention of fast numerics within its bound, and how fast kernels are (cuda_bench.h).
// Prints a line a kernel; exits with 1 if one differs.
//
//   cmake --build build --target cuda_check && build/kernels/cuda/cuda_check
//   build/kernels/cuda/cuda_check --wrappers      those alone
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/exact.h"
#include "kernels/cuda/fast.h"
#include "kernels/cuda/sum_parts.h"
#include "kernels/cuda/testing/attention_truth.h"
#include "kernels/cuda/testing/cuda_bench.h"
#include "kernels/cuda/testing/device_memory.h"
#include "kernels/cuda/testing/flash_shapes.h"
#include "kernels/cuda/testing/fused_cases.h"
#include "kernels/cuda/testing/pack_cases.h"
#include "kernels/cuda/testing/peer_check.h"
#include "kernels/cuda/testing/splits.h"
#include "kernels/cuda/testing/wrappers.h"
#include "kernels/math.h"
#include "kernels/rows.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {
namespace {

constexpr uint64_t kSeed = 20261126;

int differing = 0;

// Of a NaN the payload may differ: the CPU's is that of an operand, the GPU's one for all.
bool AreBothNan(const std::byte* a, const std::byte* b) {
  float x, y;
  std::memcpy(&x, a, sizeof(x));
  std::memcpy(&y, b, sizeof(y));
  return x != x && y != y;
}

// Where the first word (of records, f32 and i32) or byte differs; the size where none does.
template <typename Args>
size_t Difference(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  constexpr size_t kStep = std::is_same_v<Args, TopCandidatesArgs> ? 4 : 1;
  for (size_t i = 0; i < a.size(); i += kStep) {
    if (std::memcmp(&a[i], &b[i], kStep) != 0 && !(kStep == 4 && AreBothNan(&a[i], &b[i]))) return i;
  }
  return a.size();
}

template <typename Args>
void Check(const char* name, Kernel<Args> KernelSet::*of_cpu, CudaKernel<Args> CudaKernels::*of_cuda) {
  int count = 0, differ = 0;
  std::string first;
  for (const Case<Args>& c : TestCases<Args>(TypeOfKernel(name), kSeed)) {
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const auto expected = [&] {
        const ScopedFlushToZero flush;
        return OutputsOf(c, [&] { (SelectKernels(Isa::kReference, chain).*of_cpu)(c.args, 0, c.items); });
      }();
      const auto actual = OutputsOf(c, [&] {
        Must((ExactKernels(chain).*of_cuda)(c.args, nullptr), name);
        Must(cudaDeviceSynchronize(), name);
      });
      ++count;
      const size_t at = Difference<Args>(actual, expected);
      if (at == actual.size()) continue;
      ++differ;
      if (first.empty()) first = fmt::format(": {}, byte {} of {}", c.name, at, actual.size());
    }
  }
  fmt::print("{:<16} {:>4} cases  {}\n", name, count,
             differ == 0 ? "the CPU's bits" : fmt::format("{} DIFFER{}", differ, first));
  differing += differ;
}

// Kernels of several steps against the CPU's rows of those steps in turn.
template <typename Args>
void CheckFused(const char* name, CudaKernel<Args> CudaKernels::*fused, Type type = Type::kF32,
                Chain chain = Chain::kPair2) {
  int count = 0, differ = 0;
  for (const Case<Args>& c : TestCases<Args>(type, kSeed)) {
    const auto expected = [&] {
      const ScopedFlushToZero flush;
      return OutputsOf(c, [&] { RunPlain(SelectKernels(Isa::kReference, chain), c.args); });
    }();
    const auto actual = OutputsOf(c, [&] {
      Must((ExactKernels(chain).*fused)(c.args, nullptr), name);
      Must(cudaDeviceSynchronize(), name);
    });
    ++count;
    if (actual == expected) continue;
    fmt::print("  {}: DIFFERS\n", c.name);
    ++differ;
  }
  fmt::print("{:<16} {:>4} cases  {}\n", name, count,
             differ == 0 ? "the CPU's bits" : fmt::format("{} DIFFER", differ));
  differing += differ;
}

// Products however they are spread, as those of the cases are too small for most ways.
template <typename Args>
void CheckSplits(const char* name, Type type) {
  int count = 0, differ = 0;
  for (const Case<Args>& c : TestCases<Args>(type, kSeed)) {
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const auto expected = [&] {
        const ScopedFlushToZero flush;
        return OutputsOf(c, [&] { RunPlain(SelectKernels(Isa::kReference, chain), c.args); });
      }();
      const MatmulGroupArgs& of = ProductsOf(c.args);
      for (const MatmulSplit& split : SplitsOf({of.rows, 1, of.chunk_count, TypeBytes(type)})) {
        if (!CanBeOne(c.args, split)) continue;
        ++count;
        const auto actual = OutputsOf(c, [&] {
          Must(chain == Chain::kPair2 ? StartSplit<Chain::kPair2>(c.args, split, nullptr)
                                      : StartSplit<Chain::kBlock32>(c.args, split, nullptr),
               "a product");
          Must(cudaDeviceSynchronize(), "a product");
        });
        if (actual == expected) continue;
        fmt::print("  {} x {}, {} groups, {} warps, {}: DIFFERS\n", split.rows, split.columns, split.groups,
                   split.warps, c.name);
        ++differ;
      }
    }
  }
  if (count == 0) return;  // none of this type is one launch
  fmt::print("{:<28} {:>4} cases  {}\n", fmt::format("{}, spreads of {}", name, TypeName(type)), count,
             differ == 0 ? "the CPU's bits" : fmt::format("{} DIFFER", differ));
  differing += differ;
}

// In fast numerics one launch has the bits of the two.
template <typename Args>
void CheckFastThen(const char* name, CudaKernel<Args> CudaKernels::*fused) {
  int count = 0, differ = 0;
  for (const Case<Args>& c : TestCases<Args>(Type::kBf16, kSeed)) {
    const auto expected = OutputsOf(c, [&] {
      Must(FastKernels().matmul_group(c.args.of, nullptr), name);
      Must(StartThen(c.args.then), name);
      Must(cudaDeviceSynchronize(), name);
    });
    const auto actual = OutputsOf(c, [&] {
      Must((FastKernels().*fused)(c.args, nullptr), name);
      Must(cudaDeviceSynchronize(), name);
    });
    ++count;
    if (actual == expected) continue;
    fmt::print("  fast {}: DIFFERS\n", c.name);
    ++differ;
  }
  fmt::print("{:<28} {:>4} cases  {}\n", fmt::format("{}, fast", name), count,
             differ == 0 ? "the bits of two launches" : fmt::format("{} DIFFER", differ));
  differing += differ;
}

// Counts of blocks are for the next launch what they were for this one.
void CheckCounts() {
  uint32_t counts[kMostCounts];
  Must(cudaMemcpy(counts, WorkspaceOfThread().counts, sizeof(counts), cudaMemcpyDefault), "counts");
  const auto left = std::count_if(counts, counts + kMostCounts, [](uint32_t count) { return count != 0; });
  fmt::print("{:<28} {}\n", "counts of blocks",
             left == 0 ? "zero between launches" : fmt::format("{} of {} DIFFER from zero", left, kMostCounts));
  differing += static_cast<int>(left);
}

// However a context is spread over blocks, as a device with as many multiprocessors spreads none of the cases.
template <typename T>
void CheckAttentionSplits(Type type) {
  int count = 0, differ = 0;
  for (const Case<AttentionArgs>& c : TestCases<AttentionArgs>(type, kSeed)) {
    const AttentionArgs& a = c.args;
    const AttentionSize size = {a.tokens, a.heads, a.cache.kv_heads, a.cache.head_dim, a.table_stride, a.window};
    const int64_t segments = SplitOf(size, 1, 0).segments;
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const auto expected = [&] {
        const ScopedFlushToZero flush;
        const KernelSet& reference = SelectKernels(Isa::kReference, chain);
        const auto of_cpu = type == Type::kBf16 ? reference.attention_bf16 : reference.attention_f32;
        return OutputsOf(c, [&] { of_cpu(a, 0, c.items); });
      }();
      const auto start = chain == Chain::kPair2 ? StartSpread<T, Chain::kPair2> : StartSpread<T, Chain::kBlock32>;
      for (int64_t blocks = 2; blocks <= segments + 1; ++blocks) {
        const AttentionSplit split = {blocks, segments};
        // In the device's memory, as what blocks leave each other goes through its caches.
        void* const parts = OnDevice(static_cast<size_t>(split.Bytes(size)) + 1);
        const size_t count_bytes = static_cast<size_t>(a.tokens * a.cache.kv_heads) * sizeof(uint32_t);
        auto* const counts = static_cast<uint32_t*>(OnDevice(count_bytes));
        const auto actual = OutputsOf(c, [&] {
          Must(start(a, split, {parts, split.Bytes(size), counts}, nullptr), "attention");
          Must(cudaDeviceSynchronize(), "attention");
        });
        cudaFree(parts);
        cudaFree(counts);
        ++count;
        if (actual == expected) continue;
        fmt::print("  {} blocks, {}: DIFFERS\n", blocks, c.name);
        ++differ;
      }
    }
  }
  fmt::print("{:<16} {:>4} cases  {}\n", type == Type::kBf16 ? "spread_attn_bf16" : "spread_attn_f32", count,
             differ == 0 ? "the CPU's bits" : fmt::format("{} DIFFER", differ));
  differing += differ;
}

// The sums of ranks, in either order, which no row of the table is.
void CheckSumParts() {
  int count = 0, differ = 0;
  Random random{kSeed};
  for (const int64_t ranks : {1, 2, 3, 8, 64}) {
    for (const int64_t size : {1, 255, 1000}) {
      Buffers buffers;
      const float* const parts = NewFloats(&buffers, &random, ranks * size);
      float* const y = buffers.New<float>(size);
      for (const bool canonical : {true, false}) {
        if (canonical && ranks == 3) continue;
        Must(StartSumParts({parts, y, size, ranks, canonical}, nullptr), "sum_parts");
        Must(cudaDeviceSynchronize(), "sum_parts");
        ++count;
        for (int64_t i = 0; i < size; ++i) {
          std::vector<float> sums;
          for (int64_t rank = 0; rank < ranks; ++rank) sums.push_back(parts[rank * size + i]);
          // Neighbours first, then what is twice as far apart, or the first with each.
          for (int64_t apart = 1; apart < ranks; apart = canonical ? 2 * apart : apart + 1) {
            for (int64_t at = 0; at + apart < ranks; at += canonical ? 2 * apart : ranks) {
              sums[static_cast<size_t>(at)] += sums[static_cast<size_t>(at + apart)];
            }
          }
          if (BitsOf(y[i]) == BitsOf(sums[0])) continue;
          fmt::print("  {} of {} ranks, {}: DIFFERS\n", size, ranks, canonical ? "canonical" : "in order");
          ++differ;
          break;
        }
      }
    }
  }
  fmt::print("{:<28} {:>4} cases  {}\n", "sum_parts", count,
             differ == 0 ? "the host's bits" : fmt::format("{} DIFFER", differ));
  differing += differ;
}

// Weights on their way: rows in pinned memory, as the device packs them.
void CheckPack() {
  int count = 0, differ = 0;
  const ScopedFlushToZero flush;
  for (const PackCase& c : PackCases(kSeed)) {
    c.Clear();
    Must(StartPackFromHost(c.args, nullptr), "pack");
    Must(cudaDeviceSynchronize(), "pack");
    ++count;
    if (c.IsAsExpected()) continue;
    fmt::print("  {}: DIFFERS\n", c.name);
    ++differ;
  }
  fmt::print("{:<28} {:>4} cases  {}\n", "pack", count,
             differ == 0 ? "the host's bits" : fmt::format("{} DIFFER", differ));
  differing += differ;
}

// Embeddings of fast numerics, whose table lies row after row.
void CheckRowsEmbedded() {
  Buffers buffers;
  Random random{kSeed};
  int count = 0, differ = 0;
  for (const int64_t width : {1, 43, 300, 4096}) {
    const PackedShape shape = {.n = 37, .chunk_k = width, .chunk_count = 1};
    const int64_t row_elements = RowElements(shape);
    const auto* const table = static_cast<const bf16*>(NewValues(&buffers, &random, Type::kBf16, 48 * row_elements));
    int32_t* const ids = buffers.New<int32_t>(5);
    const int32_t wanted[] = {1000, 1036, 1037, 999, 1017};  // two of other ranks
    std::copy_n(wanted, 5, ids);
    float* const y = buffers.New<float>(5 * width);
    Must(FastKernels().embed({ids, table, Type::kBf16, y, 5, shape, 1000}, nullptr), "embed");
    Must(cudaDeviceSynchronize(), "embed");
    ++count;
    for (int64_t i = 0; i < 5 * width; ++i) {
      const int64_t id = wanted[i / width] - 1000;
      const float expected = id < 0 || id >= shape.n ? 0.0f : F32FromBf16(table[id * row_elements + i % width]) + 0.0f;
      if (BitsOf(y[i]) == BitsOf(expected)) continue;
      fmt::print("  width {}: DIFFERS\n", width);
      ++differ;
      break;
    }
  }
  fmt::print("{:<28} {:>4} cases  {}\n", "embed, fast", count,
             differ == 0 ? "the host's bits" : fmt::format("{} DIFFER", differ));
  differing += differ;
}

// What kernels are made of. Where one differs nothing else is tried: a kernel would hang, or what it says be worthless.
void CheckWrappers() {
  int count = 0, differ = 0;
  for (const WrapperCheck& check : WrapperChecks()) {
    ++count;
    const std::string wrong = check.differs([] { return static_cast<int>(cudaDeviceSynchronize()); });
    if (wrong.empty()) continue;
    fmt::print("  {}: DIFFERS: {}\n", check.name, wrong);
    ++differ;
  }
  fmt::print("{:<16} {:>4} cases  {}\n", "wrappers", count,
             differ == 0 ? "what the emulator has them mean" : fmt::format("{} DIFFER", differ));
  if (differ > 0) std::exit(1);
  cudaStream_t stream;  // as a rank has one
  Must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "no stream");
  fmt::print("{:<16} {:>4} of {} launches were there before the one before had ended\n", "dependents",
             EarlyLaunches([] { return static_cast<int>(cudaDeviceSynchronize()); }, stream), kDependTurns - 1);
  cudaStreamDestroy(stream);
}

// Attention of fast numerics, of many and few runs side by side.
void CheckFlash() {
  int count = 0, differ = 0;
  double furthest = 0;
  std::vector<Case<AttentionArgs>> cases = TestCases<AttentionArgs>(Type::kBf16, kSeed);
  Random random{kSeed};
  for (const AttentionShape& shape : FlashShapes()) cases.push_back(AttentionCase(Type::kBf16, &random, shape));
  for (const Case<AttentionArgs>& c : cases) {
    if (!FlashHas(c.args.cache.head_dim)) continue;
    for (const int runs_at_once : {1, kFlashRunsAtOnce}) {
      OutputsOf(c, [&] {
        Must(StartFlash(c.args, runs_at_once, nullptr), "flash attention");
        Must(cudaDeviceSynchronize(), "flash attention");
      });
      const AttentionVerdict verdict = Judge(c);
      ++count;
      furthest = std::max(furthest, verdict.furthest);
      if (verdict.outside == 0) continue;
      if (++differ == 1) fmt::print("  DIFFERS: {}\n", verdict.first);
    }
  }
  fmt::print("{:<16} {:>4} cases  {}\n", "flash_bf16", count,
             differ == 0 ? fmt::format("within the bound, the furthest {:.2f} of it", furthest)
                         : fmt::format("{} DIFFER", differ));
  differing += differ;
}

int Main(bool only_wrappers) {
  cudaDeviceProp properties;
  Must(cudaGetDeviceProperties(&properties, 0), "no GPU");
  fmt::print("{}, sm_{}{}, {} multiprocessors\n", properties.name, properties.major, properties.minor,
             properties.multiProcessorCount);
  Buffers::Use({.take = TakeManaged, .give = GiveManaged});  // by the device's caches
  CheckWrappers();
  if (only_wrappers) return 0;
  Buffers::Use({.take = TakePinned, .give = GivePinned});
  constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;  // as a plan has
  UseWorkspace(WorkspaceOf(OnDevice(kWorkspaceBytes), kWorkspaceBytes));
#define ROW(name, Args) Check<Args>(#name, &KernelSet::name, &CudaKernels::name);
  MRS_KERNELS(ROW)
#undef ROW
#define ROW(name, Args) CheckFused<Args>(#name, &CudaKernels::name);
  MRS_FUSED_KERNELS(ROW)
#undef ROW
  for (const Type type : {Type::kBf16, Type::kF32}) {
    for (const Chain chain : {Chain::kPair2, Chain::kBlock32}) {
#define ROW(name, Args) CheckFused<Args>(#name, &CudaKernels::name, type, chain);
      MRS_FUSED_PRODUCTS(ROW)
#undef ROW
    }
  }
  for (const Type type : {Type::kBf16, Type::kF32}) {
#define ROW(name, Args) CheckSplits<Args>(#name, type);
    MRS_FUSED_PRODUCTS(ROW)
#undef ROW
  }
  CheckFastThen<MatmulRopeAppendArgs>("matmul_rope_append", &CudaKernels::matmul_rope_append);
  CheckFastThen<MatmulAddRmsNormArgs>("matmul_add_rms_norm", &CudaKernels::matmul_add_rms_norm);
  CheckRowsEmbedded();
  CheckSumParts();
  CheckPack();
  CheckAttentionSplits<bf16>(Type::kBf16);
  CheckAttentionSplits<float>(Type::kF32);
  CheckFlash();
  for (const int ranks : {2, 4}) {
    if (const std::string why = WhyNotSideBySide(ranks); !why.empty()) {
      fmt::print("{:<16} skipped: {}\n", fmt::format("peers_of_{}", ranks), why);
      continue;
    }
    differing += CheckPeerExchange(ranks) + CheckPeerSumNorm(ranks) + CheckPeerTransfers(ranks);
  }
  CheckCounts();
  BenchKernels();
  return differing == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mrs::kernels::cuda

int main(int argc, char** argv) {
  const std::string_view option = argc > 1 ? argv[1] : "";
  if (argc > 2 || (argc == 2 && option != "--wrappers")) {
    fmt::print(stderr, "cuda_check: '{}': expected nothing, or --wrappers\n", option);
    return 2;
  }
  return mrs::kernels::cuda::Main(argc == 2);
}
