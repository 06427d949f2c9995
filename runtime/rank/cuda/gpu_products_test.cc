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
    EXPECT_TRUE(device->Finish().ok());
    std::vector<float> all;
    for (const MatmulArgs& part : launch.parts) all.insert(all.end(), part.y, part.y + kRows * part.shape.n);
    return all;
  }
  Status RunEach(int64_t rows) {
    for (MatmulArgs part : launch.parts) {
      part.rows = rows;
      MRS_RETURN_IF_ERROR(device->Launched(kernels_.matmul_bf16(part, device->stream())));
    }
    return device->Finish();
  }
  template <typename T>
  T* Take(int64_t count) {
    arenas_.push_back(*device->Allocate("an array", static_cast<uint64_t>(count) * sizeof(T)));
    EXPECT_TRUE(device->Finish().ok());  // zeros, before what the host writes there
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
    EXPECT_EQ(products.CallsCublaslt(of.launch, rows), rows > 16);  // whatever rows the launch had last
    ASSERT_TRUE(products.Prepare(of.launch, rows).ok());
    const std::vector<float> expected = of.Outputs([&] { return of.RunEach(rows); });
    emulated::UseFaults({});
    const std::vector<float> actual = of.Outputs([&] { return products.Run(of.launch, rows); });
    EXPECT_EQ(CountOf(Point::kCublasltMultiply), rows > 16 ? 2u : 0u);  // rows of 18 outputs are not aligned
    EXPECT_EQ(CountOf(Point::kLaunch), rows > 16 ? 3u : 1u);            // cuBLASLt's are launches, too
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
        EXPECT_EQ(products.CallsCublaslt(launch, rows), is_fast && rows > 16);
        ASSERT_TRUE(products.Prepare(launch, rows).ok());
        emulated::UseFaults({});
        const Status ran = products.Run(launch, rows);
        ASSERT_TRUE(ran.ok()) << ran.message();
        ASSERT_TRUE(of.device->Finish().ok());
        EXPECT_EQ(CountOf(Point::kCublasltMultiply), is_fast && rows > 16 ? 2u : 0u);
        for (int64_t i = 0; i < rows * 40; ++i) EXPECT_NEAR(y[i], expected[i], is_fast ? 1e-3 : 0) << i;
      }
    }
  }
}

// What follows products: in their launch, or after them where that has no room for all, or where cuBLASLt has them.
TEST(GpuProducts, AreTurnedAndAppendedInOneLaunchOrAfterThem) {
  constexpr int64_t kHeadDim = 32, kHeads = 2, kBlocks = 3;
  struct Row {
    bool is_fast;
    int64_t rows, chunk_of_k;
    uint64_t launches;
  };
  // cuBLASLt's are launches, too, and so is the bias after one.
  for (const Row& row : {Row{false, 3, 64, 1},
                         {false, kRows, 64, 1},
                         {false, 3, 32, 3 + 1},
                         {true, 3, 64, 1},
                         {true, kRows, 64, 3 + 1 + 1}}) {
    const CudaKernels& table =
        row.is_fast ? kernels::cuda::FastKernels() : kernels::cuda::ExactKernels(kernels::Chain::kPair2);
    OnDevice of(table, {{kHeads * kHeadDim, 64, true}, {kHeadDim, row.chunk_of_k}, {kHeadDim, 64}});
    GpuProducts products(*of.device, table, {}, row.is_fast);
    const int64_t of_cache = kBlocks * kernels::kBlockTokens * kHeadDim, of_y = row.rows * kHeads * kHeadDim;
    auto* const cos_sin = of.Take<float>(row.rows * kHeadDim);
    for (int64_t i = 0; i < row.rows * kHeadDim; ++i) cos_sin[i] = static_cast<float>(i % 7) / 4 - 1;
    auto* const slots = of.Take<int32_t>(row.rows);
    for (int64_t i = 0; i < row.rows; ++i) slots[i] = static_cast<int32_t>(i == 1 ? -1 : 5 + i);
    const auto outputs = [&](const auto& run) {
      float* const all = of.Take<float>(2 * of_cache + of_y);
      std::fill_n(all, 2 * of_cache + of_y, -7.0f);
      MatmulRopeAppendLaunch launch = {of.launch,
                                       {table.rope_append,
                                        {.q = of.launch.parts[0].y,
                                         .k = of.launch.parts[1].y,
                                         .v = of.launch.parts[2].y,
                                         .cos_sin = cos_sin,
                                         .slots = slots,
                                         .y = all + 2 * of_cache,
                                         .cache = {all, all + of_cache, kBlocks, 1, kHeadDim},
                                         .tokens = row.rows,
                                         .heads = kHeads,
                                         .half = kHeadDim / 2,
                                         .type = kernels::Type::kF32,
                                         .interleaved = false}}};
      const Status ran = run(launch);
      EXPECT_TRUE(ran.ok()) << ran.message();
      EXPECT_TRUE(of.device->Finish().ok());
      return std::vector<float>(all, all + 2 * of_cache + of_y);
    };
    const std::vector<float> expected = outputs([&](MatmulRopeAppendLaunch& launch) -> Status {
      MRS_RETURN_IF_ERROR(of.RunEach(row.rows));
      return of.device->Launched(table.rope_append(launch.then.args, of.device->stream()));
    });
    const std::vector<float> actual = outputs([&](MatmulRopeAppendLaunch& launch) -> Status {
      launch.then.args.tokens = 0;
      MRS_RETURN_IF_ERROR(products.Prepare(launch, row.rows));
      emulated::UseFaults({});
      return products.Run(launch, row.rows);
    });
    EXPECT_EQ(CountOf(Point::kLaunch), row.launches) << row.is_fast << " " << row.rows << " " << row.chunk_of_k;
    const bool is_cublaslt = row.is_fast && row.rows > 16;
    EXPECT_EQ(CountOf(Point::kCublasltMultiply), is_cublaslt ? 3u : 0u);
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], is_cublaslt ? 1e-3 : 0) << i;
  }
}

TEST(GpuProducts, AreAddedAndNormedInOneLaunchOrAfterThem) {
  constexpr int64_t kWidth = 48;
  struct Row {
    bool is_fast;
    int64_t rows;
    uint64_t launches;
  };
  for (const Row& row : {Row{false, 1, 1}, {false, 3, 2}, {true, 2, 1}, {true, kRows, 1 + 1 + 1}}) {
    const CudaKernels& table =
        row.is_fast ? kernels::cuda::FastKernels() : kernels::cuda::ExactKernels(kernels::Chain::kPair2);
    OnDevice of(table, {{kWidth, 64, true}});
    GpuProducts products(*of.device, table, {}, row.is_fast);
    constexpr int64_t kBytes = 1 << 20;
    auto* const workspace = of.Take<std::byte>(kBytes);
    std::fill_n(workspace, kBytes, std::byte{0});
    kernels::cuda::UseWorkspace(kernels::cuda::WorkspaceOf(workspace, kBytes));
    auto *const residual = of.Take<float>(row.rows * kWidth), *const w = of.Take<float>(kWidth);
    for (int64_t i = 0; i < row.rows * kWidth; ++i) residual[i] = static_cast<float>(i % 11) - 5;
    for (int64_t i = 0; i < kWidth; ++i) w[i] = static_cast<float>(i % 5) / 4;
    const auto outputs = [&](const auto& run) {
      auto *const sum = of.Take<float>(row.rows * kWidth), *const y = of.Take<float>(row.rows * kWidth);
      MatmulAddRmsNormLaunch launch = {
          of.launch,
          {table.add_rms_norm,
           {residual, of.launch.parts[0].y, w, sum, y, row.rows, kWidth, 1e-5f, kernels::Type::kF32}}};
      const Status ran = run(launch);
      EXPECT_TRUE(ran.ok()) << ran.message();
      EXPECT_TRUE(of.device->Finish().ok());
      std::vector<float> all(sum, sum + row.rows * kWidth);
      all.insert(all.end(), y, y + row.rows * kWidth);
      return all;
    };
    const std::vector<float> expected = outputs([&](MatmulAddRmsNormLaunch& launch) -> Status {
      MRS_RETURN_IF_ERROR(of.RunEach(row.rows));
      return of.device->Launched(table.add_rms_norm(launch.then.args, of.device->stream()));
    });
    const std::vector<float> actual = outputs([&](MatmulAddRmsNormLaunch& launch) -> Status {
      launch.then.args.rows = 0;
      MRS_RETURN_IF_ERROR(products.Prepare(launch, row.rows));
      emulated::UseFaults({});
      return products.Run(launch, row.rows);
    });
    kernels::cuda::UseWorkspace({});
    EXPECT_EQ(CountOf(Point::kLaunch), row.launches) << row.is_fast << " " << row.rows;
    const bool is_cublaslt = row.is_fast && row.rows > 16;
    EXPECT_EQ(CountOf(Point::kCublasltMultiply), is_cublaslt ? 1u : 0u);
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], is_cublaslt ? 1e-3 : 0) << i;
  }
}

}  // namespace
}  // namespace mrs
