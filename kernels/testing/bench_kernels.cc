// Every kernel of the table on every instruction set of this host and both chains: GB/s and GFLOP/s beside ceilings
// measured in the same run, on one thread.
//
//   bench_kernels --benchmark_filter=matmul_bf16
//   matmul_bf16/avx512bf16/pair2   GB/s=19.8  of_read=0.81  GFLOP/s=19.8  of_fma=0.17
//
// of_read: part of what this thread reads from memory; of_fma: part of what it computes in f32 FMAs of that width
// (vdpbf16ps computes two in one instruction, so it may pass 1).
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/testing/cases.h"
#include "kernels/testing/hooks.h"

namespace mrs::kernels {
namespace {

// Of this thread's processor time, as the rates below are: a busy host then counts for neither.
double Seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// The best of five passes over 256 MiB, far past the caches.
double ReadCeiling() {
  std::vector<uint64_t> data((size_t{256} << 20) / sizeof(uint64_t), 1);
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const double start = Seconds();
    uint64_t sums[8] = {};
    for (size_t i = 0; i < data.size(); i += 8) {
      for (size_t j = 0; j < 8; ++j) sums[j] += data[i + j];
    }
    benchmark::DoNotOptimize(sums);
    best = std::max(best, static_cast<double>(data.size() * sizeof(uint64_t)) / (Seconds() - start));
  }
  return best;
}

double FmaCeiling(Isa isa) {
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const double start = Seconds();
    const double flops = isa >= Isa::kAvx512 ? FmaRoundsAvx512(4'000'000) : FmaRoundsAvx2(4'000'000);
    best = std::max(best, flops / (Seconds() - start));
  }
  return best;
}

template <typename Args>
void Register(const char* name, Kernel<Args> KernelSet::*member, Case<Args> (*make)(Type) = BenchCase<Args>) {
  static const double read_ceiling = ReadCeiling();
  static const double fma_ceiling = FmaCeiling(DetectIsa());
  for (int i = 0; i <= static_cast<int>(DetectIsa()); ++i) {
    const Isa isa = static_cast<Isa>(i);
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const Kernel<Args> kernel = SelectKernels(isa, chain).*member;
      const std::string full =
          std::string(name) + "/" + IsaName(isa) + (chain == Chain::kPair2 ? "/pair2" : "/block32");
      benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
        const ScopedFlushToZero flush;
        const Case<Args> c = make(TypeOfKernel(name));
        for (auto _ : state) {
          kernel(c.args, 0, c.items);
          benchmark::ClobberMemory();
        }
        const double calls = static_cast<double>(state.iterations());
        const auto rate = [&](double per_call) {
          return benchmark::Counter(per_call * calls, benchmark::Counter::kIsRate);
        };
        state.counters["GB/s"] = rate(c.bytes * 1e-9);
        state.counters["of_read"] = rate(c.bytes / read_ceiling);
        if (c.flops > 0) {
          state.counters["GFLOP/s"] = rate(c.flops * 1e-9);
          state.counters["of_fma"] = rate(c.flops / fma_ceiling);
        }
        state.SetLabel(c.name);
      });
    }
  }
}

}  // namespace
}  // namespace mrs::kernels

int main(int argc, char** argv) {
  using namespace mrs::kernels;
  if (!HostHasBaseline()) return 1;
#define ROW(name, Args) Register<Args>(#name, &KernelSet::name);
  MRS_KERNELS(ROW)
#undef ROW
  Register<AttentionArgs>("window_attention_bf16", &KernelSet::attention_bf16, BenchWindow);
  Register<AttentionArgs>("window_attention_f32", &KernelSet::attention_f32, BenchWindow);
  Register<AttentionArgs>("capped_attention_bf16", &KernelSet::attention_bf16, BenchCap);
  Register<AttentionArgs>("capped_attention_f32", &KernelSet::attention_f32, BenchCap);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
