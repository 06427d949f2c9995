// On a machine with a GPU and cuBLASLt: products of fast numerics against sums in double precision, by the kernel for
// few rows and by cuBLASLt for more, then how fast they are at the sizes of an 8B model. The same program runs on the
// emulated device, where its rates say nothing.
//
//   cmake --build build --target products_check && build/runtime/rank/cuda/products_check
//   ... products_check_emulated --small       rates of small products alone
//
// Exit code 1: a product is outside of its bound. 2: it could not be run.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/cuda/fast.h"
#include "kernels/math.h"
#include "kernels/rows.h"
#include "runtime/rank/cuda/fast_products.h"

namespace mrs {
namespace {

using kernels::bf16;
using kernels::MatmulArgs;
using kernels::PackedShape;

constexpr uint64_t kWorkspaceBytes = uint64_t{32} << 20;  // as a plan has
constexpr int64_t kMostChecked = 20000;                   // outputs of a product, spread evenly

template <typename T>
T Must(Result<T> made) {
  if (made.ok()) return std::move(*made);
  fmt::print(stderr, "products_check: {}\n", made.message());
  std::exit(2);
}
void Must(const Status& done) {
  if (done.ok()) return;
  fmt::print(stderr, "products_check: {}\n", done.message());
  std::exit(2);
}

// Uniform in [-1, 1), rounded: of many exponents, so that sums round.
bf16 Value(uint64_t i) {
  uint64_t bits = (i + 1) * 0x9e3779b97f4a7c15u;
  bits = (bits ^ bits >> 29) * 0xbf58476d1ce4e5b9u;
  return kernels::Bf16FromF32(static_cast<float>(bits >> 40) * 0x1p-23f - 1);
}

// What a product reads and writes on the device, and what it reads here. `copies` of the weights lie one after another,
// so that what is timed reads memory and no cache.
struct Operands {
  Operands(Device& device, int64_t most_rows, const PackedShape& shape, int64_t copies)
      : k(shape.chunk_k * shape.chunk_count), w_elements(kernels::PackedElements(shape)) {
    for (int64_t i = 0; i < most_rows * k; ++i) x.push_back(Value(static_cast<uint64_t>(i)));
    w.resize(static_cast<size_t>(w_elements));
    for (int64_t n = 0; n < shape.n; ++n) {
      for (int64_t i = 0; i < k; ++i) w[IndexOf(shape, n, i)] = Value(static_cast<uint64_t>(n * k + i) + (1u << 30));
    }
    for (int64_t n = 0; n < shape.n; ++n) bias.push_back(kernels::F32FromBf16(Value(static_cast<uint64_t>(n) + 99)));
    device_x = Must(device.Allocate("x", x.size() * sizeof(bf16)));
    device_w = Must(device.Allocate("w", w.size() * sizeof(bf16) * static_cast<size_t>(copies)));
    device_bias = Must(device.Allocate("bias", bias.size() * sizeof(float)));
    device_y = Must(device.Allocate("y", static_cast<uint64_t>(most_rows * shape.n) * sizeof(float)));
    Must(device.CopyIn(device_x.data(), x.data(), x.size() * sizeof(bf16)));
    for (int64_t copy = 0; copy < copies; ++copy) {
      Must(device.CopyIn(OfCopy(copy), w.data(), w.size() * sizeof(bf16)));
    }
    Must(device.CopyIn(device_bias.data(), bias.data(), bias.size() * sizeof(float)));
    Must(device.Finish());
    args = {device_x.data(), OfCopy(0), nullptr, reinterpret_cast<float*>(device_y.data()),
            most_rows,       shape,     k,       shape.n};
  }
  static size_t IndexOf(const PackedShape& shape, int64_t n, int64_t i) {
    const int64_t row_elements = kernels::RowElements(shape);
    return static_cast<size_t>(n * row_elements + i / shape.chunk_k * (row_elements / shape.chunk_count) +
                               i % shape.chunk_k);
  }
  std::byte* OfCopy(int64_t copy) const {
    return device_w.data() + static_cast<size_t>(copy * w_elements) * sizeof(bf16);
  }

  const int64_t k, w_elements;
  std::vector<bf16> x, w;
  std::vector<float> bias;
  DeviceArena device_x, device_w, device_bias, device_y;
  MatmulArgs args{};
};

// As a rank does: by cuBLASLt what it takes.
Status Run(FastProducts& products, Device& device, const MatmulArgs& args) {
  if (FastProducts::Takes(args)) return products.Run(args, device.stream());
  return device.Launched(kernels::cuda::FastKernels().matmul_bf16(args, device.stream()));
}

// A product of two bf16 is exact in f32, and each of k additions is off by no more than its last place: tensor cores
// may truncate, and bring what they add at once to the exponent of the largest first (M. Fasi et al., Numerical
// behavior of NVIDIA tensor cores, PeerJ CS 2021), so a unit is 2^-23 and not half of it, and one more for what is lost
// so.
double BoundOf(int64_t k) { return static_cast<double>(k + 2) * 0x1p-22; }

struct Outcome {
  int64_t checked = 0, outside = 0;
  double furthest = 0;  // of the RMS of all that were looked at
};

void Tell(const MatmulArgs& args, const Outcome& outcome) {
  if (outcome.outside == 0) return;
  fmt::print("  {} rows of {} x {} chunks of {}: {} of {} DIFFER by more than their bound\n", args.rows, args.shape.n,
             args.shape.chunk_count, args.shape.chunk_k, outcome.outside, outcome.checked);
}

Outcome Compare(Device& device, const Operands& of, const MatmulArgs& args) {
  const int64_t count = args.rows * args.shape.n, step = std::max<int64_t>(1, count / kMostChecked);
  std::vector<float> y(static_cast<size_t>(count));
  Must(device.CopyOut(y.data(), args.y, y.size() * sizeof(float)));
  Must(device.Finish());
  Outcome outcome;
  double squares = 0, furthest = 0;
  for (int64_t at = 0; at < count; at += step) {
    const int64_t row = at / args.shape.n, n = at % args.shape.n;
    double sum = args.bias == nullptr ? 0 : double{of.bias[static_cast<size_t>(n)]}, magnitude = std::fabs(sum);
    for (int64_t i = 0; i < of.k; ++i) {
      const double one = double{kernels::F32FromBf16(of.x[static_cast<size_t>(row * of.k + i)])} *
                         double{kernels::F32FromBf16(of.w[Operands::IndexOf(args.shape, n, i)])};
      sum += one;
      magnitude += std::fabs(one);
    }
    const double off = std::fabs(double{y[static_cast<size_t>(at)]} - sum);
    if (!(off <= BoundOf(of.k) * magnitude)) ++outcome.outside;  // a NaN is outside
    squares += sum * sum;
    furthest = std::max(furthest, off);
    ++outcome.checked;
  }
  outcome.furthest = furthest / std::sqrt(squares / static_cast<double>(outcome.checked));
  return outcome;
}

// Whether all are within the bound.
bool Check(FastProducts& products, Device& device) {
  struct Shape {
    PackedShape shape;
    bool has_bias;
  };
  // Whole and odd widths, chunks with and without padding between them.
  const Shape shapes[] = {{{40, 64, 1}, true},   {{48, 32, 4}, false}, {{33, 1024, 1}, true},
                          {{129, 43, 4}, false}, {{7, 5, 8}, true},    {{1024, 512, 2}, false}};
  int64_t cases = 0, by_cublaslt = 0, outside = 0;
  double furthest = 0;
  for (const Shape& of : shapes) {
    Operands operands(device, 300, of.shape, 1);
    for (const int64_t rows : {1, 2, 5, 8, 16, 17, 33, 64, 300}) {
      MatmulArgs args = operands.args;
      args.rows = rows;
      if (of.has_bias) args.bias = reinterpret_cast<const float*>(operands.device_bias.data());
      const std::vector<float> nothing(static_cast<size_t>(rows * of.shape.n), NAN);
      Must(device.CopyIn(args.y, nothing.data(), nothing.size() * sizeof(float)));
      Must(Run(products, device, args));
      const Outcome outcome = Compare(device, operands, args);
      ++cases;
      if (FastProducts::Takes(args)) ++by_cublaslt;
      outside += outcome.outside;
      furthest = std::max(furthest, outcome.furthest);
      Tell(args, outcome);
    }
  }
  fmt::print("products         {:>4} cases  {} by cuBLASLt; {}, off by {:.1e} of the RMS\n", cases, by_cublaslt,
             outside == 0 ? "within their bounds" : "some DIFFER", furthest);
  return outside == 0;
}

// Seconds of one: the best of some, each of several in a row.
template <typename Launch>
double Seconds(Device& device, int launches, Launch launch) {
  double best = INFINITY;
  for (int round = 0; round < 4; ++round) {
    Must(device.Finish());
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < launches; ++i) Must(launch(i));
    Must(device.Finish());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (round > 0) best = std::min(best, took.count() / launches);  // the first is for the library
  }
  return best;
}

double CopyRate(Device& device, uint64_t bytes) {
  const DeviceArena from = Must(device.Allocate("a copy", bytes)), to = Must(device.Allocate("a copy", bytes));
  return 2.0 * static_cast<double>(bytes) /
         Seconds(device, 10, [&](int) { return device.CopyWithin(to.data(), from.data(), bytes); });
}

struct Bench {
  const char* name;
  int64_t n, k;
};

struct Measured {
  double most_tflops = 0;  // of those by cuBLASLt
  bool holds = true;
};

// Rows as a decode and a prompt have them; each is compared, too.
Measured Measure(FastProducts& products, Device& device, const Bench& of, const std::vector<int64_t>& all_rows,
                 double copy_rate, uint64_t apart_bytes) {
  const PackedShape shape = {of.n, of.k, 1};
  const auto bytes = static_cast<uint64_t>(kernels::PackedElements(shape)) * sizeof(bf16);
  const auto copies = static_cast<int64_t>(std::max<uint64_t>(1, apart_bytes / bytes));
  const Operands operands(device, all_rows.back(), shape, copies);
  Measured measured;
  for (const int64_t rows : all_rows) {
    MatmulArgs args = operands.args;
    args.rows = rows;
    const double seconds = Seconds(device, rows > 64 ? 5 : 20, [&](int i) {
      args.w = operands.OfCopy(i % copies);
      return Run(products, device, args);
    });
    const double flops = 2e-12 * static_cast<double>(rows * of.n * of.k) / seconds;
    if (FastProducts::Takes(args)) measured.most_tflops = std::max(measured.most_tflops, flops);
    fmt::print(
        "{:<10} {} x {} rows {:>4}  {:>8.1f} us {:>6.0f} GB/s of weights {:>4.0f} % of the copy {:>7.1f} TFLOP/s\n",
        of.name, of.n, of.k, rows, seconds * 1e6, static_cast<double>(bytes) / seconds / 1e9,
        100 * static_cast<double>(bytes) / seconds / copy_rate, flops);
    const Outcome outcome = Compare(device, operands, args);
    Tell(args, outcome);
    measured.holds = measured.holds && outcome.outside == 0;
  }
  return measured;
}

int Main(bool is_small) {
  const std::unique_ptr<Device> device = Must(Device::Open(0));
  Must(device->Use());
  const int version = Must(cublaslt::Open());
  fmt::print("{}, cuBLASLt {}\n", device->name(), cublaslt::VersionText(version));
  const DeviceArena workspace = Must(device->Allocate("a workspace", kWorkspaceBytes));
  const kernels::cuda::Workspace shared = kernels::cuda::WorkspaceOf(workspace.data(), int64_t{kWorkspaceBytes});
  const std::unique_ptr<FastProducts> products = Must(FastProducts::Open(*device, shared));
  kernels::cuda::UseWorkspace(shared);
  bool holds = Check(*products, *device);
  const double copy_rate = CopyRate(*device, is_small ? uint64_t{1} << 20 : uint64_t{2} << 30);
  fmt::print("copy       {:.0f} GB/s read and written\n", copy_rate / 1e9);
  // Of an 8B model: query, gate, down.
  const std::vector<Bench> benches =
      is_small ? std::vector<Bench>{{"tiny", 64, 128}}
               : std::vector<Bench>{{"query", 4096, 4096}, {"gate", 14336, 4096}, {"down", 4096, 14336}};
  const std::vector<int64_t> rows =
      is_small ? std::vector<int64_t>{1, 32} : std::vector<int64_t>{1, 8, 16, 64, 512, 4096};
  double gemm = 0;
  for (const Bench& bench : benches) {
    const Measured measured = Measure(*products, *device, bench, rows, copy_rate, is_small ? 0 : uint64_t{1} << 30);
    gemm = std::max(gemm, measured.most_tflops);
    holds = holds && measured.holds;
  }
  fmt::print("GEMM       {:.3g} TFLOP/s at most, by cuBLASLt\n", gemm);
  return holds ? 0 : 1;
}

}  // namespace
}  // namespace mrs

int main(int argc, char** argv) {
  const bool is_small = argc == 2 && std::string_view(argv[1]) == "--small";
  if (argc > 1 && !is_small) {
    fmt::print(stderr, "products_check: '{}': expected --small or nothing\n", argv[1]);
    return 2;
  }
  return mrs::Main(is_small);
}
