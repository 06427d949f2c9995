// Products of one x on the emulated device, as one launch or as several: each as its kernel alone has it.
#include "runtime/rank/cuda/gpu_products.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/cuda/fast.h"
#include "kernels/math.h"
#include "kernels/rows.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs {
namespace {

using emulated::CountOf;
using emulated::Point;
using kernels::bf16;
using kernels::MatmulArgs;
using kernels::PackedShape;
using kernels::cuda::CudaKernels;

constexpr int64_t kK = 64;
constexpr int64_t kRows = 20;

struct Part {
  int64_t n, chunk_k;
  bool has_bias = false;
};

// Bf16 products of kRows rows of one x, and what each part's kernel alone gives.
class OnDevice {
 public:
  OnDevice(const CudaKernels& kernels, const std::vector<Part>& parts) : kernels_(kernels) {
    auto* const x = Take<bf16>(kRows * kK);
    for (int64_t i = 0; i < kRows * kK; ++i) x[i] = kernels::Bf16FromF32(Number());
    launch = {.kernel = kernels.matmul_bf16, .x_bytes = 2, .parts = {}};
    for (const Part& part : parts) {
      const PackedShape shape = {part.n, part.chunk_k, kK / part.chunk_k};
      auto* const w = Take<bf16>(kernels::PackedElements(shape));  // chunks without padding
      for (int64_t i = 0; i < part.n * kK; ++i) w[i] = kernels::Bf16FromF32(Number());
      float* const bias = part.has_bias ? Take<float>(part.n) : nullptr;
      for (int64_t i = 0; part.has_bias && i < part.n; ++i) bias[i] = Number();
      launch.parts.push_back({x, w, bias, Take<float>(kRows * part.n), kRows, shape, kK, part.n});
    }
  }

  // Of `run`, over memory that has something else.
  template <typename Run>
  std::vector<float> Outputs(const Run& run) {
    for (const MatmulArgs& part : launch.parts) std::fill_n(part.y, kRows * part.shape.n, -7.0f);
    const Status ran = run();
    EXPECT_TRUE(ran.ok()) << ran.message();
    std::vector<float> all;
    for (const MatmulArgs& part : launch.parts) all.insert(all.end(), part.y, part.y + kRows * part.shape.n);
    return all;
  }
  Status RunEach(int64_t rows) {
    for (MatmulArgs part : launch.parts) {
      part.rows = rows;
      MRS_RETURN_IF_ERROR(device->Launched(kernels_.matmul_bf16(part, device->stream())));
    }
    return Status();
  }
  template <typename T>
  T* Take(int64_t count) {
    arenas_.push_back(*device->Allocate("an array", static_cast<uint64_t>(count) * sizeof(T)));
    return reinterpret_cast<T*>(arenas_.back().data());
  }

  std::unique_ptr<Device> device = *Device::Open(0);
  GpuProducts::Products launch;

 private:
  float Number() { return static_cast<float>((state_ = state_ * 6364136223846793005u + 1) >> 40 & 255) / 128 - 1; }

  const CudaKernels& kernels_;
  uint64_t state_ = 7;
  std::vector<DeviceArena> arenas_;
};

TEST(GpuProducts, OfOneXAreOneLaunchWhereTheirChunksAreAlike) {
  const CudaKernels& exact = kernels::cuda::ExactKernels(kernels::Chain::kPair2);
  struct Row {
    std::vector<Part> parts;
    uint64_t launches;
  };
  const Row rows[] = {
      {{{40, 32}}, 1},
      {{{40, 32}, {16, 32, true}, {17, 32}}, 1},
      {{{40, 32}, {16, 64}, {17, 64}, {3, 32}}, 3},  // cut into other chunks of K
      {{{16, 64}, {17, 64, true}, {18, 64}, {19, 64}, {20, 64, true}}, 1},
      {{{16, 64}, {17, 64, true}, {18, 64}, {19, 64}, {20, 64, true}, {21, 64}}, 2},  // more than one launch takes
  };
  for (const Row& row : rows) {
    OnDevice of(exact, row.parts);
    GpuProducts products(*of.device, exact, {}, /*is_fast=*/false);
    const std::vector<float> expected = of.Outputs([&] { return of.RunEach(kRows); });
    emulated::UseFaults({});
    EXPECT_EQ(of.Outputs([&] { return products.Run(of.launch, kRows); }), expected);
    EXPECT_EQ(CountOf(Point::kLaunch), row.launches) << row.parts.size() << " parts";
  }
}

// Of many rows in fast numerics cuBLASLt has what it takes, and our kernel the rest of the step.
TEST(GpuProducts, OfManyRowsAreCublasltsWhereItTakesThem) {
  const CudaKernels& fast = kernels::cuda::FastKernels();
  const std::vector<Part> parts = {{40, 64}, {18, 64, true}, {16, 64}};
  for (const int64_t rows : {int64_t{16}, kRows}) {
    OnDevice of(fast, parts);
    GpuProducts products(*of.device, fast, {}, /*is_fast=*/true);
    ASSERT_TRUE(products.Prepare(of.launch, rows).ok());
    const std::vector<float> expected = of.Outputs([&] { return of.RunEach(rows); });
    emulated::UseFaults({});
    const std::vector<float> actual = of.Outputs([&] { return products.Run(of.launch, rows); });
    EXPECT_EQ(CountOf(Point::kCublasltMultiply), rows > 16 ? 2u : 0u);  // rows of 18 outputs are not aligned
    EXPECT_EQ(CountOf(Point::kLaunch), rows > 16 ? 3u : 1u);  // cuBLASLt's are launches, too
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-4) << i;
  }
}

// What gates up by gate, of few rows and of many: the table's own row over both products.
TEST(GpuProducts, AreGatedInOneLaunchOrByTheTable) {
  for (const bool is_fast : {false, true}) {
    const CudaKernels& table =
        is_fast ? kernels::cuda::FastKernels() : kernels::cuda::ExactKernels(kernels::Chain::kPair2);
    for (const int64_t rows : {int64_t{3}, kRows}) {
      for (const auto activation : {kernels::cuda::Activation::kSilu, kernels::cuda::Activation::kGeluTanh}) {
        OnDevice of(table, {{40, 64, true}, {40, 64}});
        GpuProducts products(*of.device, table, {}, is_fast);
        float *const expected = of.Take<float>(rows * 40), *const y = of.Take<float>(rows * 40);
        ASSERT_TRUE(of.RunEach(rows).ok());
        const float *const gate = of.launch.parts[0].y, *const up = of.launch.parts[1].y;
        const int code = activation == kernels::cuda::Activation::kSilu
                             ? table.silu_mul({gate, up, expected, rows, 40, kernels::Type::kF32}, nullptr)
                             : table.gelu_mul({gate, up, expected, rows, 40, kernels::Type::kF32, true}, nullptr);
        ASSERT_EQ(code, 0);
        GatedMatmulLaunch launch = {of.launch, y, kernels::Type::kF32, activation};
        ASSERT_TRUE(products.Prepare(launch, rows).ok());
        emulated::UseFaults({});
        const Status ran = products.Run(launch, rows);
        ASSERT_TRUE(ran.ok()) << ran.message();
        EXPECT_EQ(CountOf(Point::kCublasltMultiply), is_fast && rows > 16 ? 2u : 0u);
        for (int64_t i = 0; i < rows * 40; ++i) EXPECT_NEAR(y[i], expected[i], is_fast ? 1e-3 : 0) << i;
      }
    }
  }
}

}  // namespace
}  // namespace mrs
