#include "kernels/cuda/testing/cuda_bench.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/cuda/exact.h"
#include "kernels/cuda/flash_attention.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/testing/device_memory.h"
#include "kernels/cuda/testing/fused_cases.h"
#include "kernels/cuda/testing/splits.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {
namespace {

// Seconds of one launch: the best of some, each of several in a row.
template <typename Launch>
double Seconds(Launch launch) {
  cudaEvent_t begin, end;
  Must(cudaEventCreate(&begin), "event");
  Must(cudaEventCreate(&end), "event");
  double best = INFINITY;
  for (int round = 0; round < 5; ++round) {
    constexpr int kLaunches = 10;
    Must(cudaEventRecord(begin), "event");
    for (int i = 0; i < kLaunches; ++i) launch(i);
    Must(cudaEventRecord(end), "event");
    Must(cudaEventSynchronize(end), "a measured launch");
    float milliseconds = 0;
    Must(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    best = std::min(best, milliseconds / 1000.0 / kLaunches);
  }
  return best;
}

// Bytes that a copy on the device reads, a second; as many are written.
double CopyRate() {
  constexpr size_t kBytes = size_t{2} << 30;
  void* const from = OnDevice(kBytes);
  void* const to = OnDevice(kBytes);
  const double seconds =
      Seconds([&](int) { Must(cudaMemcpyAsync(to, from, kBytes, cudaMemcpyDeviceToDevice), "copy"); });
  cudaFree(from);
  cudaFree(to);
  return 2.0 * kBytes / seconds;
}

// Bytes a second from pinned memory of the host, by which weights come, copied.
double BusRate() {
  constexpr size_t kBytes = size_t{256} << 20;
  void* const from = TakePinned(kBytes);
  void* const to = OnDevice(kBytes);
  const double seconds = Seconds([&](int) { Must(cudaMemcpyAsync(to, from, kBytes, cudaMemcpyHostToDevice), "copy"); });
  cudaFree(to);
  GivePinned(from);
  return kBytes / seconds;
}

// The same, packed as they come: an exact plan's of 4096 columns in sixteen chunks.
double PackRate() {
  constexpr PackedShape kShape = {.n = int64_t{32} << 10, .chunk_k = 256, .chunk_count = 16};
  constexpr size_t kBytes = size_t{256} << 20;
  static_assert(PackedElements(kShape) * 2 == kBytes);
  void* const from = TakePinned(kBytes);
  void* const to = OnDevice(kBytes);
  PackFromHostArgs args;
  args.src = static_cast<const std::byte*>(from);
  args.dst = to;
  args.row_count = kShape.n;
  args.shape = kShape;
  args.src_type = args.dst_type = Type::kBf16;
  const double seconds = Seconds([&](int) { Must(StartPackFromHost(args, nullptr), "pack"); });
  cudaFree(to);
  GivePinned(from);
  return kBytes / seconds;
}

// Weights lie further apart than the caches are large, so that each launch reads memory.
void BenchProduct(const char* name, double copy_rate, int64_t n, int64_t k, int64_t chunk_count) {
  const PackedShape shape = {n, k / chunk_count, chunk_count};
  const size_t bytes = static_cast<size_t>(PackedElements(shape)) * 2;
  const int copies = static_cast<int>(std::max<size_t>(1, (size_t{1} << 30) / bytes));
  std::byte* const w = static_cast<std::byte*>(OnDevice(bytes * copies));
  for (int64_t rows : {1, 2, 4, 8, 16}) {
    void* const x = OnDevice(static_cast<size_t>(rows * k) * 2);
    float* const y = static_cast<float*>(OnDevice(static_cast<size_t>(rows * n) * 4));
    std::string line;
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const double seconds = Seconds([&](int i) {
        const MatmulArgs args = {x, w + bytes * static_cast<size_t>(i % copies), nullptr, y, rows, shape, k, n};
        Must(ExactKernels(chain).matmul_bf16(args, nullptr), "product");
      });
      const double rate = static_cast<double>(bytes) / seconds;
      line += fmt::format("  {} {:>6.1f} us {:>6.0f} GB/s {:>4.0f} %", chain == Chain::kPair2 ? "pair2" : "block32",
                          seconds * 1e6, rate / 1e9, 100 * rate / copy_rate);
    }
    fmt::print("{:<10} {} x {} rows {:>2}{}\n", name, n, k, rows, line);
    cudaFree(x);
    cudaFree(y);
  }
  cudaFree(w);
}

// Of `sequences` prompts the last `tokens` tokens, after `length` - `tokens` others, of a model of 8 billion weights.
struct BenchedAttention {
  AttentionArgs args{};
  double cache_bytes = 0;  // of K, and as many of V
  double flops = 0;
  std::vector<void*> memory;
  ~BenchedAttention() {
    for (void* const taken : memory) cudaFree(taken);
  }
};
std::unique_ptr<BenchedAttention> AttentionOf(int64_t sequences, int64_t tokens, int64_t length) {
  constexpr int64_t kHeads = 32, kKvHeads = 8, kHeadDim = 128;
  auto bench = std::make_unique<BenchedAttention>();
  const auto take = [&](int64_t bytes) { return bench->memory.emplace_back(OnDevice(static_cast<size_t>(bytes))); };
  const auto to_device = [&](const std::vector<int32_t>& values) {
    void* const memory = take(static_cast<int64_t>(values.size()) * 4);
    Must(cudaMemcpy(memory, values.data(), values.size() * 4, cudaMemcpyHostToDevice), "copy");
    return static_cast<int32_t*>(memory);
  };
  const int64_t blocks = (length + kBlockTokens - 1) / kBlockTokens;
  std::vector<int32_t> table, sequence, positions;
  for (int64_t i = 0; i < sequences * blocks; ++i) table.push_back(static_cast<int32_t>(i));
  for (int64_t i = 0; i < sequences * tokens; ++i) {
    sequence.push_back(static_cast<int32_t>(i / tokens));
    positions.push_back(static_cast<int32_t>(length - tokens + i % tokens));
    bench->flops += 4.0 * kHeads * kHeadDim * (positions.back() + 1);
  }
  const int64_t cache_bytes = sequences * blocks * kBlockTokens * kKvHeads * kHeadDim * 2;
  const int64_t q_bytes = sequences * tokens * kHeads * kHeadDim * 2;
  bench->cache_bytes = static_cast<double>(cache_bytes);
  AttentionArgs& args = bench->args;
  args.q = take(q_bytes);
  args.cache = {take(cache_bytes), take(cache_bytes), sequences * blocks, kKvHeads, kHeadDim};
  args.sequence = to_device(sequence);
  args.positions = to_device(positions);
  args.block_table = to_device(table);
  args.table_stride = blocks;
  args.y = take(q_bytes);
  args.tokens = sequences * tokens;
  args.heads = kHeads;
  args.scale = 0.088f;
  return bench;
}

// One new token of each of `sequences`: reads each sequence's cache once.
void BenchAttention(double copy_rate, int64_t sequences, int64_t length) {
  const std::unique_ptr<BenchedAttention> bench = AttentionOf(sequences, 1, length);
  std::string line;
  const std::pair<const char*, const CudaKernels*> tables[] = {
      {"pair2", &ExactKernels(Chain::kPair2)}, {"block32", &ExactKernels(Chain::kBlock32)}, {"fast", &FastKernels()}};
  for (const auto& [name, kernels] : tables) {
    const double seconds = Seconds([&](int) { Must(kernels->attention_bf16(bench->args, nullptr), "attention"); });
    const double rate = 2.0 * bench->cache_bytes / seconds;
    line += fmt::format("  {} {:>6.1f} us {:>6.0f} GB/s {:>4.0f} %", name, seconds * 1e6, rate / 1e9,
                        100 * rate / copy_rate);
  }
  fmt::print("attention  {} sequences of {} tokens{}\n", sequences, length, line);
}

// The last `tokens` tokens of a prompt, by the exact kernel and by that of fast numerics.
void BenchPrefill(int64_t sequences, int64_t tokens, int64_t length) {
  const std::unique_ptr<BenchedAttention> bench = AttentionOf(sequences, tokens, length);
  std::string line;
  const std::pair<const char*, const CudaKernels*> tables[] = {{"pair2", &ExactKernels(Chain::kPair2)},
                                                               {"fast", &FastKernels()}};
  for (const auto& [name, kernels] : tables) {
    const double seconds = Seconds([&](int) { Must(kernels->attention_bf16(bench->args, nullptr), "attention"); });
    line += fmt::format("  {} {:>9.1f} us {:>6.1f} TFLOP/s", name, seconds * 1e6, bench->flops / seconds / 1e12);
  }
  fmt::print("prefill    {} sequences, {} tokens after {}{}\n", sequences, tokens, length - tokens, line);
}

// Weights of a launch, as often as no cache holds them, turn after turn.
class ManyWeights {
 public:
  explicit ManyWeights(const MatmulGroupArgs& of) {
    for (int p = 0; p < of.count; ++p) {
      const int64_t elements = PackedElements({of.parts[p].n, of.chunk_k, of.chunk_count});
      bytes_.push_back(static_cast<size_t>(elements * TypeBytes(of.type)));
    }
    const size_t all = std::accumulate(bytes_.begin(), bytes_.end(), size_t{0});
    copies_ = static_cast<int>(std::max<size_t>(1, (size_t{1} << 29) / all));
    w_ = static_cast<std::byte*>(OnDevice(all * static_cast<size_t>(copies_)));
  }
  ~ManyWeights() { cudaFree(w_); }
  ManyWeights(const ManyWeights&) = delete;
  ManyWeights& operator=(const ManyWeights&) = delete;
  void UseFor(MatmulGroupArgs* of, int turn) const {
    std::byte* at = w_;
    for (int p = 0; p < of->count; ++p) {
      of->parts[p].w = at + bytes_[static_cast<size_t>(p)] * static_cast<size_t>(turn % copies_);
      at += bytes_[static_cast<size_t>(p)] * static_cast<size_t>(copies_);
    }
  }

 private:
  std::vector<size_t> bytes_;  // of each part
  int copies_ = 0;
  std::byte* w_ = nullptr;
};

// A launch of the row's case of benchmarks, of a model of 8 billion weights, as it follows others. Arrays move to the
// device when it first reads them.
template <typename Args>
void BenchRow(const char* name, const CudaKernels& table, CudaKernel<Args> CudaKernels::*fused) {
  Case<Args> c = BenchCase<Args>(Type::kBf16);
  fmt::print("{:<20} {}, {}", name, c.name, &table == &FastKernels() ? "fast" : "exact");
  if constexpr (requires { ProductsOf(c.args); }) {
    auto& of = const_cast<MatmulGroupArgs&>(ProductsOf(c.args));
    const ManyWeights weights(of);
    const auto time = [&](const auto& start) {
      return 1e6 * Seconds([&](int turn) {
               weights.UseFor(&of, turn);
               start();
             });
    };
    fmt::print("  {:.1f} us", time([&] { Must((table.*fused)(c.args, nullptr), name); }));
    if constexpr (requires { c.args.then; }) {
      fmt::print(", in two launches {:.1f} us", time([&] {
                   Must(table.matmul_group(of, nullptr), name);
                   Must(StartThen(c.args.then), name);
                 }));
    }
  } else {
    fmt::print("  {:.1f} us", 1e6 * Seconds([&](int) { Must((table.*fused)(c.args, nullptr), name); }));
  }
  fmt::print("\n");
}

}  // namespace

void BenchKernels() {
  const double copy_rate = CopyRate();
  fmt::print("copy       {:.0f} GB/s read and written\n", copy_rate / 1e9);
  fmt::print("bus        {:.1f} GB/s from pinned memory\n", BusRate() / 1e9);
  fmt::print("pack       {:.1f} GB/s from pinned memory\n", PackRate() / 1e9);
  Buffers::Use({.take = TakeManaged, .give = GiveManaged});
#define ROW(name, Args) BenchRow<Args>(#name, ExactKernels(Chain::kPair2), &CudaKernels::name);
  MRS_PLAIN_KERNELS(ROW)
  MRS_FUSED_KERNELS(ROW)
  MRS_FUSED_PRODUCTS(ROW)
#undef ROW
#define ROW(name, Args) BenchRow<Args>(#name, FastKernels(), &CudaKernels::name);
  MRS_FUSED_PRODUCTS(ROW)
#undef ROW
  // Of an 8B model what ranks that do not share K have, in one chunk: key, query, gate, output.
  BenchProduct("key", copy_rate, 1024, 4096, 1);
  BenchProduct("query", copy_rate, 4096, 4096, 1);
  BenchProduct("gate", copy_rate, 14336, 4096, 1);
  BenchProduct("lm_head", copy_rate, 128256, 4096, 1);
  // In sixteen: query, key and value together; down; gate and up; the output.
  BenchProduct("qkv", copy_rate, 6144, 4096, 16);
  BenchProduct("down", copy_rate, 4096, 14336, 16);
  BenchProduct("gate_up", copy_rate, 28672, 4096, 16);
  BenchProduct("lm_head", copy_rate, 128256, 4096, 16);
  for (int64_t tokens : {1, 8, 64}) {
    for (int64_t length : {512, 4096, 32768}) {
      if (tokens * length <= 8 * 32768) BenchAttention(copy_rate, tokens, length);
    }
  }
  BenchPrefill(1, 512, 512);
  BenchPrefill(1, 2048, 2048);
  BenchPrefill(1, 512, 8192);
  BenchPrefill(8, 256, 1024);
}

}  // namespace mrs::kernels::cuda
