// Latency of small all-reduces and bandwidth of large ones, each beside the memcpy of the same bytes: the ceiling.
//
//   bench_comm --benchmark_filter=local        // ranks are threads here; shm differs from local by the mapping alone
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "runtime/comm/region.h"
#include "runtime/comm/tcp.h"

namespace mrs {
namespace {

using World = std::vector<std::unique_ptr<Communicator>>;

template <typename T>
T ValueOrExit(Result<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "bench_comm: %s\n", result.message().c_str());
  std::exit(1);
}

World MakeTcp(int size, const CommOptions& options) {
  std::vector<TcpListener> listeners;
  std::vector<TcpEndpoint> endpoints;
  for (int rank = 0; rank < size; ++rank) {
    listeners.push_back(ValueOrExit(TcpListener::Bind()));
    endpoints.push_back({"127.0.0.1", listeners.back().port()});
  }
  World world(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      world[rank] =
          ValueOrExit(ConnectMesh(listeners[rank], {.rank = rank, .endpoints = endpoints, .secret = ""}, options));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return world;
}

// Args: elements, ranks, spin. One iteration: an all-reduce on every rank; rank 0 is timed.
void AllReduce(benchmark::State& state, bool tcp, ReduceAlgorithm algorithm) {
  const auto count = static_cast<size_t>(state.range(0));
  const int size = static_cast<int>(state.range(1));
  const CommOptions options{.spin = static_cast<int>(state.range(2))};
  World world = tcp ? MakeTcp(size, options) : ValueOrExit(MakeLocalCommunicators(size, options));
  std::vector<std::thread> threads;
  for (int rank = 1; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      std::vector<float> data(count);
      // Until rank 0 is done and goes.
      while (world[rank]->AllReduce(data, data, algorithm).ok()) {
      }
    });
  }
  std::vector<float> data(count);
  for (auto _ : state) {
    if (const Status status = world[0]->AllReduce(data, data, algorithm); !status.ok()) {
      state.SkipWithError(status.message().c_str());
      break;
    }
  }
  world[0]->Abort();
  for (std::thread& thread : threads) thread.join();
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(count * sizeof(float)));
}

void Memcpy(benchmark::State& state) {
  std::vector<float> from(static_cast<size_t>(state.range(0)));
  std::vector<float> to(from.size());
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(from.size() * sizeof(float)));
}

constexpr int kSpin = 20000;
BENCHMARK(Memcpy)->Arg(1 << 10)->Arg(1 << 20);
BENCHMARK_CAPTURE(AllReduce, local_doubling, false, ReduceAlgorithm::kDoubling)
    ->Args({256, 2, 0})
    ->Args({256, 2, kSpin})
    ->Args({1 << 20, 2, kSpin})
    ->UseRealTime();
BENCHMARK_CAPTURE(AllReduce, local_halving, false, ReduceAlgorithm::kHalvingDoubling)
    ->Args({256, 2, kSpin})
    ->Args({1 << 20, 2, kSpin})
    ->UseRealTime();
BENCHMARK_CAPTURE(AllReduce, tcp_doubling, true, ReduceAlgorithm::kDoubling)
    ->Args({256, 2, 0})
    ->Args({256, 2, kSpin})
    ->Args({1 << 20, 2, kSpin})
    ->UseRealTime();
BENCHMARK_CAPTURE(AllReduce, tcp_halving, true, ReduceAlgorithm::kHalvingDoubling)
    ->Args({256, 2, kSpin})
    ->Args({1 << 20, 2, kSpin})
    ->UseRealTime();

}  // namespace
}  // namespace mrs

BENCHMARK_MAIN();
