#include "kernels/cuda/testing/peer_check.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/peer_exchange.h"
#include "kernels/cuda/peer_transfer.h"
#include "kernels/cuda/testing/device_memory.h"
#include "kernels/cuda/testing/fused_cases.h"
#include "kernels/cuda/testing/wrappers.h"

namespace mrs::kernels::cuda {
namespace {

struct Peers {
  explicit Peers(int count) : size(count), streams(static_cast<size_t>(count)) {
    for (int rank = 0; rank < size; ++rank) {
      buffers.push_back(OnDevice(kPeerBufferBytes));
      Must(cudaStreamCreateWithFlags(&streams[static_cast<size_t>(rank)], cudaStreamNonBlocking), "stream");
      states.push_back(new (TakePinned(sizeof(PeerState))) PeerState);
    }
    Must(cudaDeviceSynchronize(), "memset");
  }
  Peers(const Peers&) = delete;
  ~Peers() {
    for (int rank = 0; rank < size; ++rank) {
      cudaFree(buffers[static_cast<size_t>(rank)]);
      cudaStreamDestroy(streams[static_cast<size_t>(rank)]);
      GivePinned(states[static_cast<size_t>(rank)]);
    }
  }
  PeerExchangeArgs Args(int rank, const void* x, void* y, size_t bytes) const {
    PeerExchangeArgs args;
    args.x = x;
    args.y = y;
    args.bytes = static_cast<int64_t>(bytes);
    for (int other = 0; other < size; ++other) args.buffers[other] = buffers[static_cast<size_t>(other)];
    args.state = states[static_cast<size_t>(rank)];
    args.rank = rank;
    args.ranks = size;
    args.longest_ns = 5'000'000'000;
    return args;
  }

  const int size;
  std::vector<void*> buffers;
  std::vector<cudaStream_t> streams;
  std::vector<PeerState*> states;
};

std::vector<float> PartOf(int rank, int64_t floats) {
  std::vector<float> part;
  for (int64_t i = 0; i < floats; ++i) {
    part.push_back(static_cast<float>((i * 7919 + rank * 104729) % 2000003) * 1.3e-5f - 11);
  }
  return part;
}
std::vector<float> TreeOf(std::vector<std::vector<float>> parts) {
  for (size_t distance = 1; distance < parts.size(); distance *= 2) {
    for (size_t rank = 0; rank + distance < parts.size(); rank += 2 * distance) {
      for (size_t i = 0; i < parts[0].size(); ++i) parts[rank][i] += parts[rank + distance][i];
    }
  }
  return parts[0];
}

// What is taken goes with it.
class Taken {
 public:
  Taken() = default;
  Taken(const Taken&) = delete;
  ~Taken() {
    for (void* const memory : all_) cudaFree(memory);
  }
  void* Take(size_t bytes) { return all_.emplace_back(OnDevice(bytes)); }
  float* Copy(const std::vector<float>& values) {
    void* const memory = Take(values.size() * sizeof(float));
    Must(cudaMemcpy(memory, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice), "copy");
    return static_cast<float*>(memory);
  }

 private:
  std::vector<void*> all_;
};

// Counts what is compared; of what differs it keeps the first.
struct Verdict {
  int count = 0, differ = 0;
  std::string first;

  void Compare(const PeerState& state, const void* actual, const void* expected, size_t bytes,
               const std::string& what) {
    std::vector<std::byte> read(bytes);
    Must(cudaMemcpy(read.data(), actual, bytes, cudaMemcpyDeviceToHost), "copy");
    ++count;
    const PeerFailure failure = FailureOf(state);
    if (failure.kind == PeerFailure::kNone && std::memcmp(read.data(), expected, bytes) == 0) return;
    ++differ;
    if (!first.empty()) return;
    first = failure.kind == PeerFailure::kNone
                ? fmt::format(": {}", what)
                : fmt::format(": a wait for rank {} ended ({})", failure.rank, static_cast<int>(failure.kind));
  }
  int Print(const char* name, int ranks) const {
    fmt::print("{:<16} {:>4} cases  {}\n", fmt::format("{}_of_{}", name, ranks), count,
               differ == 0 ? "the host's bits" : fmt::format("{} DIFFER{}", differ, first));
    return differ;
  }
};

struct Shape {
  int64_t rows, width;
  Type out;
};
// Three times over, of which the second takes two launches; each has results of its own.
void CheckShape(const Peers& peers, const Shape& shape, Verdict* verdict) {
  constexpr int kTimes = 3;
  const int64_t count = shape.rows * shape.width;
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  const size_t normed_bytes = static_cast<size_t>(count * TypeBytes(shape.out));
  Taken taken;
  std::vector<std::vector<float>> parts;
  std::vector<PeerSumNormArgs> launches;  // [rank][times]
  const std::vector<float> w = PartOf(-1, shape.width);
  for (int rank = 0; rank < peers.size; ++rank) {
    parts.push_back(PartOf(rank, count));
    const float* const x = taken.Copy(parts.back());
    const float* const other = taken.Copy(PartOf(100 + rank, count));
    const float* const of_w = taken.Copy(w);
    float* const y = static_cast<float*>(taken.Take(bytes));
    for (int times = 0; times < kTimes; ++times) {
      PeerSumNormArgs args = {};
      args.exchange = peers.Args(rank, x, y, bytes);
      args.exchange.two_shots = times == 1;
      args.norm = {.a = other,
                   .b = y,
                   .w = of_w,
                   .sum = static_cast<float*>(taken.Take(bytes)),
                   .y = taken.Take(normed_bytes),
                   .rows = shape.rows,
                   .width = shape.width,
                   .eps = 1e-5f,
                   .out = shape.out};
      launches.push_back(args);
    }
  }
  Must(cudaDeviceSynchronize(), "copies");
  for (int times = 0; times < kTimes; ++times) {
    for (int rank = 0; rank < peers.size; ++rank) {
      Must(StartPeerSumNorm(launches[static_cast<size_t>(rank * kTimes + times)],
                            peers.streams[static_cast<size_t>(rank)]),
           "a sum and its norm");
    }
  }
  Must(cudaDeviceSynchronize(), "a sum and its norm");
  const ScopedFlushToZero flush;
  const std::vector<float> all = TreeOf(parts);
  for (int rank = 0; rank < peers.size; ++rank) {
    const std::vector<float> other = PartOf(100 + rank, count);
    std::vector<float> sum(all.size());
    std::vector<std::byte> normed(normed_bytes);
    AddRmsNormArgs plain = launches[0].norm;
    plain.a = other.data();
    plain.b = all.data();
    plain.w = w.data();
    plain.sum = sum.data();
    plain.y = normed.data();
    RunPlain(SelectKernels(Isa::kReference, Chain::kPair2), plain);
    for (int times = 0; times < kTimes; ++times) {
      const AddRmsNormArgs& of = launches[static_cast<size_t>(rank * kTimes + times)].norm;
      const PeerState& state = *peers.states[static_cast<size_t>(rank)];
      const std::string what =
          fmt::format("{} rows of {} in {}, time {}", shape.rows, shape.width, TypeName(shape.out), times);
      verdict->Compare(state, of.sum, sum.data(), bytes, "the sum of " + what);
      verdict->Compare(state, of.y, normed.data(), normed_bytes, what);
    }
  }
}

}  // namespace

std::string WhyNotSideBySide(int ranks) {
  int multiprocessors = 0;
  Must(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), "a device's size");
  if (ranks * kPeerBlocks > multiprocessors * kPeerBlocksAMultiprocessor) {
    return fmt::format("{} multiprocessors hold {} blocks at once, and {} wait for each other", multiprocessors,
                       multiprocessors * kPeerBlocksAMultiprocessor, ranks * kPeerBlocks);
  }
  const auto words = static_cast<size_t>(ranks * kPeerBlocks);
  const Peers peers(ranks);
  Taken taken;
  SideBySideArgs args = {};
  args.there = static_cast<uint64_t*>(taken.Take(words * sizeof(uint64_t)));
  args.met = static_cast<uint64_t*>(taken.Take(words * sizeof(uint64_t)));
  args.launches = ranks;
  args.longest_ns = 1'000'000'000;
  Must(cudaDeviceSynchronize(), "memset");
  for (args.launch = 0; args.launch < ranks; ++args.launch) {
    Must(StartSideBySide(args, peers.streams[static_cast<size_t>(args.launch)]), "launches side by side");
  }
  Must(cudaDeviceSynchronize(), "launches side by side");
  std::vector<uint64_t> met(words);
  Must(cudaMemcpy(met.data(), args.met, words * sizeof(uint64_t), cudaMemcpyDeviceToHost), "copy");
  const auto count = std::count(met.begin(), met.end(), 1u);
  if (std::cmp_equal(count, words)) return "";
  return fmt::format("its cooperative launches of {} streams do not run side by side: {} of {} blocks met", ranks,
                     count, words);
}

// Three times over, so that both parities of a piece's number come; sums the second time in two shots.
int CheckPeerExchange(int ranks) {
  Verdict verdict;
  const Peers peers(ranks);
  for (const int64_t floats : {int64_t{1}, int64_t{1023}, int64_t{4096}, int64_t{40000}, int64_t{1200001}}) {
    for (const bool gathers : {false, true}) {
      const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
      Taken taken;
      std::vector<std::vector<float>> parts;
      std::vector<void*> x, y;
      for (int rank = 0; rank < ranks; ++rank) {
        parts.push_back(PartOf(rank, floats));
        x.push_back(taken.Copy(parts.back()));
        y.push_back(taken.Take(bytes * static_cast<size_t>(ranks)));
      }
      Must(cudaDeviceSynchronize(), "copies");
      for (int times = 0; times < 3; ++times) {
        for (int rank = 0; rank < ranks; ++rank) {
          const auto of = static_cast<size_t>(rank);
          PeerExchangeArgs args = peers.Args(rank, x[of], y[of], bytes);
          args.is_gather = gathers;
          args.two_shots = !gathers && times == 1;
          Must(StartPeerExchange(args, peers.streams[of]), "an exchange");
        }
      }
      Must(cudaDeviceSynchronize(), "an exchange");
      std::vector<float> expected;
      if (gathers) {
        for (const std::vector<float>& part : parts) expected.insert(expected.end(), part.begin(), part.end());
      } else {
        expected = TreeOf(parts);
      }
      const std::string what = fmt::format("{} floats, {}", floats, gathers ? "gathered" : "summed");
      for (int rank = 0; rank < ranks; ++rank) {
        const auto of = static_cast<size_t>(rank);
        verdict.Compare(*peers.states[of], y[of], expected.data(), expected.size() * sizeof(float), what);
      }
      if (verdict.differ > 0) return verdict.Print("peers", ranks);  // what ended one wait ends all
    }
  }
  return verdict.Print("peers", ranks);
}

// Three times over, each of what the rank before has: the last one has what the first had.
int CheckPeerTransfers(int ranks) {
  Verdict verdict;
  const Peers inboxes(ranks), outboxes(ranks);  // of a rank, its buffer and its state
  for (const int64_t floats : {int64_t{1}, int64_t{1023}, int64_t{4096}, int64_t{40000}, int64_t{1200001}}) {
    const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
    Taken taken;
    std::vector<float*> data;
    for (int rank = 0; rank < ranks; ++rank) data.push_back(taken.Copy(PartOf(rank, floats)));
    Must(cudaDeviceSynchronize(), "copies");
    for (int times = 0; times < 3; ++times) {
      for (int rank = 0; rank < ranks; ++rank) {
        const auto of = static_cast<size_t>(rank);
        PeerTransferArgs args;
        args.data = data[of];
        args.bytes = static_cast<int64_t>(bytes);
        args.state = inboxes.states[of];
        args.longest_ns = 5'000'000'000;
        if (rank > 0) {
          args.own = inboxes.buffers[of];
          args.peer = outboxes.buffers[of - 1];
          args.peer_number = rank - 1;
          Must(StartPeerTransfer(args, inboxes.streams[of]), "a receipt");
        }
        if (rank + 1 == ranks) continue;
        args.is_send = true;
        args.own = outboxes.buffers[of];
        args.peer = inboxes.buffers[of + 1];
        args.peer_number = rank + 1;
        Must(StartPeerTransfer(args, inboxes.streams[of]), "a send");
      }
    }
    Must(cudaDeviceSynchronize(), "transfers");
    const std::vector<float> expected = PartOf(0, floats);
    for (int rank = 0; rank < ranks; ++rank) {
      const auto of = static_cast<size_t>(rank);
      verdict.Compare(*inboxes.states[of], data[of], expected.data(), bytes, fmt::format("{} floats", floats));
    }
    if (verdict.differ > 0) break;  // likewise
  }
  return verdict.Print("transfers", ranks);
}

// Of one row and of more than blocks, by sixteen bytes and by floats, of rows larger than a piece.
int CheckPeerSumNorm(int ranks) {
  Verdict verdict;
  const Peers peers(ranks);
  const Shape shapes[] = {{1, 4096, Type::kBf16}, {3, 1028, Type::kF32}, {40, 4096, Type::kBf16},
                          {70, 100, Type::kF32},  {2, 1021, Type::kF32}, {2, kPeerPieceBytes / 4 + 516, Type::kBf16}};
  for (const Shape& shape : shapes) {
    CheckShape(peers, shape, &verdict);
    if (verdict.differ > 0) break;  // likewise
  }
  return verdict.Print("sum_norm", ranks);
}

}  // namespace mrs::kernels::cuda
