// Fast numerics on the emulated device: products by its cuBLASLt, what that refuses, and whole forwards beside those of
// a CPU.
#include "runtime/rank/cuda/fast_products.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/math.h"
#include "kernels/rows.h"
#include "runtime/rank/cpu/cpu_executor.h"
#include "runtime/rank/cuda/cuda_executor.h"
#include "runtime/rank/cuda/emulated_faults.h"
#include "runtime/rank/cuda/random_batches_for_test.h"

namespace mrs {
namespace {

using kernels::bf16;
using kernels::MatmulArgs;
using kernels::PackedShape;
using testing::TestModel;

float Number(uint64_t i) { return static_cast<float>(i * 2654435761u >> 7 & 255) / 128 - 1; }

// A product on the device, and what it must be.
struct OnDevice {
  explicit OnDevice(int64_t rows, PackedShape shape, bool has_bias = false)
      : k(shape.chunk_k * shape.chunk_count),
        x(*device->Allocate("x", static_cast<uint64_t>(rows * k) * 2)),
        w(*device->Allocate("w", static_cast<uint64_t>(kernels::PackedElements(shape)) * 2)),
        y(*device->Allocate("y", static_cast<uint64_t>(rows * shape.n) * 4)),
        bias(*device->Allocate("bias", static_cast<uint64_t>(shape.n) * 4)) {
    EXPECT_TRUE(device->Finish().ok());  // zeros, before what the host writes there
    const int64_t row_elements = kernels::RowElements(shape);
    for (int64_t i = 0; i < rows * k; ++i) As<bf16>(x)[i] = kernels::Bf16FromF32(Number(static_cast<uint64_t>(i)));
    for (int64_t i = 0; i < shape.n * k; ++i) {  // of one chunk, or chunks without padding
      As<bf16>(w)[i / k * row_elements + i % k] = kernels::Bf16FromF32(Number(static_cast<uint64_t>(i) + 1000));
    }
    for (int64_t n = 0; n < shape.n; ++n) As<float>(bias)[n] = Number(static_cast<uint64_t>(n) + 7);
    args = {x.data(), w.data(), has_bias ? As<float>(bias) : nullptr, As<float>(y), rows, shape, k, shape.n};
  }
  template <typename T>
  static T* As(const DeviceArena& arena) {
    return reinterpret_cast<T*>(arena.data());
  }
  // Of sums of k products in any order: Higham, section 4.2 (kernels/cuda/gemv_split.h).
  void ExpectRight() const {
    ASSERT_TRUE(device->Finish().ok());
    const int64_t row_elements = kernels::RowElements(args.shape);
    const double bound = static_cast<double>(k + 1) * 0x1p-24 * 1.01;
    for (int64_t i = 0; i < args.rows * args.shape.n; ++i) {
      const int64_t row = i / args.shape.n, n = i % args.shape.n;
      double sum = args.bias == nullptr ? 0 : double{args.bias[n]}, magnitude = std::fabs(sum);
      for (int64_t at = 0; at < k; ++at) {
        const double one = double{kernels::F32FromBf16(As<bf16>(x)[row * k + at])} *
                           double{kernels::F32FromBf16(As<bf16>(w)[n * row_elements + at])};
        sum += one;
        magnitude += std::fabs(one);
      }
      ASSERT_LE(std::fabs(double{args.y[i]} - sum), bound * magnitude) << "row " << row << " output " << n;
    }
  }

  std::unique_ptr<Device> device = *Device::Open(0);
  const int64_t k;
  DeviceArena x, w, y, bias;
  DeviceArena workspace = *device->Allocate("workspace", 8192);
  MatmulArgs args{};
};

TEST(FastProducts, AreSumsOfAllOfK) {
  for (const auto& [rows, shape, has_bias] : {std::tuple{17, PackedShape{40, 64, 1}, true},
                                              {40, PackedShape{48, 32, 4}, false},
                                              {33, PackedShape{4, 8, 1}, true},
                                              {64, PackedShape{20, 200, 1}, false}}) {
    OnDevice of(rows, shape, has_bias);
    ASSERT_TRUE(FastProducts::Takes(of.args));
    for (const int64_t workspace_bytes : {0, 100, 8192}) {
      auto products = FastProducts::Open(*of.device, {of.workspace.data(), workspace_bytes});
      ASSERT_TRUE(products.ok()) << products.message();
      const Status ran = (*products)->Run(of.args, of.device->stream());
      ASSERT_TRUE(ran.ok()) << ran.message();
      of.ExpectRight();
      EXPECT_EQ(OnDevice::As<unsigned char>(of.workspace)[0], workspace_bytes == 0 ? 0 : 0xff);  // it is used
      std::fill_n(of.workspace.data(), 8192, std::byte{0});
      std::fill_n(of.args.y, of.args.rows * of.args.shape.n, 0.0f);
    }
  }
}

// How each is done is asked once.
TEST(FastProducts, AreChosenOnceASize) {
  OnDevice of(32, {40, 64, 1});
  emulated::UseFaults({});
  auto products = *FastProducts::Open(*of.device, {});
  for (const int64_t rows : {32, 32, 20, 32, 20}) {
    of.args.rows = rows;
    ASSERT_TRUE(products->Run(of.args, of.device->stream()).ok());
  }
  EXPECT_EQ(emulated::CountOf(emulated::Point::kCublasltChoose), 2u);
  EXPECT_EQ(emulated::CountOf(emulated::Point::kCublasltMultiply), 5u);
}

// Decided once a size, and right, with its bias; other sizes go on by cuBLASLt.
TEST(FastProducts, AreOurOwnKernelsWhereCublasltHasNoWay) {
  OnDevice of(32, {40, 64, 1}, true);
  emulated::UseFaults(*emulated::ParseFaults("cublaslt-choose:2"));
  auto products = *FastProducts::Open(*of.device, {});
  ASSERT_TRUE(products->Prepare(of.args).ok());
  ::testing::internal::CaptureStderr();
  for (const int64_t rows : {20, 20, 32, 20, 24}) {
    of.args.rows = rows;
    std::fill_n(of.args.y, 32 * 40, 0.0f);
    const Status ran = products->Run(of.args, of.device->stream());
    ASSERT_TRUE(ran.ok()) << ran.message();
    of.ExpectRight();
  }
  EXPECT_EQ(
      ::testing::internal::GetCapturedStderr(),
      "cuda:0 (emulated): cuBLASLt has no way to multiply 20 x 64 by 64 x 40 in 0 bytes of workspace: the requested "
      "functionality is not supported: MRS_EMULATED_FAULT=cublaslt-choose:2; products of this size are done by the "
      "kernel for few rows, more slowly\n");
  EXPECT_EQ(emulated::CountOf(emulated::Point::kCublasltChoose), 3u);
  EXPECT_EQ(emulated::CountOf(emulated::Point::kCublasltMultiply), 2u);
  emulated::UseFaults({});
}

TEST(FastProducts, TakeWhatIsOfManyRowsAndAligned) {
  OnDevice of(17, {40, 64, 1}, true);
  const auto takes = [&](auto change) {
    MatmulArgs args = of.args;
    change(args);
    return FastProducts::Takes(args);
  };
  EXPECT_TRUE(takes([](MatmulArgs&) {}));
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.rows = 16; }));
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.shape = {40, 16, 4}; }));  // padding between chunks
  EXPECT_TRUE(takes([](MatmulArgs& a) { a.shape = {40, 32, 2}; }));
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.x_stride = 65; }));
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.y_stride = 44; }));  // the bias is added to whole rows
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.x = static_cast<const bf16*>(a.x) + 1; }));
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.w = static_cast<const bf16*>(a.w) + 4; }));
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.y += 2; }));
  EXPECT_FALSE(takes([](MatmulArgs& a) { a.shape.n = 0; }));
}

// What cuBLASLt refuses, the emulated one refuses, too; it would be worth nothing as a test else. Its matrices are
// column after column: A is w, B is x, D is y.
TEST(CublasltEmulated, RefusesWhatIsNoProduct) {
  OnDevice of(32, {40, 64, 1});
  ASSERT_TRUE(cublaslt::Open().ok());
  cublaslt::Handle handle = nullptr;
  ASSERT_EQ(cublaslt::Create(&handle), cublaslt::kSuccess);
  const cublaslt::Product product = {.rows = 32, .n = 40, .k = 64, .x_stride = 64, .w_stride = 64, .y_stride = 40};
  cublaslt::Algorithm how;
  const auto choose = [&](auto change) -> std::string {
    cublaslt::Product changed = product;
    change(changed);
    cublaslt::Algorithm none;
    const int code = cublaslt::Choose(handle, changed, 8192, &none);
    return code == cublaslt::kSuccess ? "" : cublaslt::Text(code);
  };
  const std::string invalid = "an unsupported value or parameter was passed to the function: ";
  EXPECT_EQ(choose([](auto&) {}), "");
  EXPECT_EQ(choose([](auto& p) { p.x_stride = 56; }), invalid + "a leading dimension is less than its rows");
  EXPECT_EQ(choose([](auto& p) { p.w_stride = 32; }), invalid + "a leading dimension is less than its rows");
  EXPECT_EQ(choose([](auto& p) { p.y_stride = 36; }), invalid + "a leading dimension is less than its rows");
  EXPECT_EQ(choose([](auto& p) { p.x_stride = 68; }), invalid + "columns are not aligned as was asked for");
  EXPECT_EQ(choose([](auto& p) { p.rows = 0; }), invalid + "m, n and k are 40, 0 and 64: expected at least 1");
  EXPECT_EQ(cublaslt::Choose(nullptr, product, 0, &how), cublaslt::kNotInitialized);

  ASSERT_EQ(cublaslt::Choose(handle, product, 4096, &how), cublaslt::kSuccess);
  const cublaslt::Operands operands = {of.x.data(), of.w.data(), of.args.y, of.workspace.data(), 8192};
  const auto multiply = [&](auto change) -> std::string {
    cublaslt::Operands changed = operands;
    change(changed);
    const int code = cublaslt::Multiply(handle, product, how, changed, of.device->stream());
    return code == cublaslt::kSuccess ? "" : cublaslt::Text(code);
  };
  std::vector<float> of_host(32 * 40);
  EXPECT_EQ(multiply([](auto&) {}), "");
  EXPECT_EQ(multiply([](auto& o) { o.x = static_cast<const bf16*>(o.x) + 1; }),
            invalid + "B is not aligned to 16 bytes");
  EXPECT_EQ(multiply([](auto& o) { o.y += 1; }), invalid + "D is not aligned to 16 bytes");
  EXPECT_EQ(multiply([](auto& o) { o.w = static_cast<const bf16*>(o.w) + 64 * 16; }),
            invalid + "A: 5120 bytes at byte 2048 of 'allocation 2', which has 6144");
  EXPECT_EQ(multiply([](auto& o) { o.workspace_bytes = 4095; }), invalid + "the workspace is too small");
  EXPECT_EQ(multiply([](auto& o) { o.workspace = static_cast<std::byte*>(o.workspace) + 64; }),
            invalid + "the workspace is not aligned to 256 bytes");
  EXPECT_NE(multiply([&](auto& o) { o.y = of_host.data(); }), "");
  EXPECT_EQ(cublaslt::Multiply(nullptr, product, how, operands, of.device->stream()), cublaslt::kNotInitialized);
  cublaslt::Product another = product;
  another.rows = 31;
  EXPECT_EQ(cublaslt::Multiply(handle, another, how, operands, of.device->stream()), cublaslt::kInvalidValue);
  EXPECT_EQ(cublaslt::Text(cublaslt::kInvalidValue), invalid + "the algorithm is another product's");
  EXPECT_EQ(cublaslt::Destroy(handle), cublaslt::kSuccess);
}

// ---- Whole forwards ----

constexpr double kBound =
    0.03;  // of the RMS of a row's logits, of such small models (runtime/rank/cuda/README.md has the bound)

TEST(FastForwards, HaveTheLogitsOfACpuWithinTheBound) {
  for (const auto& [hidden, ffn] : {std::pair{48u, 96u}, {64u, 512u}}) {  // chunks of 6 and 32 of K
    testing::TestModelConfig config = {.dtype = plan::DType::bf16, .window = 40u, .hidden = hidden};
    config.ffn = ffn;
    config.max_seqs = 20;
    config.max_tokens = 256;
    const std::string folder = ::testing::TempDir() + "/fast-forwards";
    std::filesystem::create_directories(folder);
    const TestModel on_cpu = MakeTestModel(config, folder);
    config.chain = plan::Chain::fast;
    const TestModel on_gpu = OnGpus(config, folder, GraphCount(20, /*ends_model=*/true));
    const auto cpu = MakeCpuExecutor(on_cpu.plan(), 0, nullptr, {.model_dir = folder});
    ASSERT_TRUE(cpu.ok()) << cpu.message();
    emulated::UseFaults({});
    const auto gpu = MakeCudaExecutor(on_gpu.plan(), 0, nullptr, {.model_dir = folder});
    ASSERT_TRUE(gpu.ok()) << gpu.message();
    RandomBatches random(on_cpu, 20261126);
    const size_t vocab = on_cpu.tree.model->vocab;
    double worst = 0;
    size_t rows = 0;
    for (int i = 0; i < 30; ++i) {
      Batch batch = random.Next();
      batch.variant = Variant::kAllLogits;
      const Result<StepOutput> expected = RunForward(**cpu, batch), actual = RunForward(**gpu, batch);
      ASSERT_TRUE(expected.ok() && actual.ok());
      ASSERT_EQ(expected->logits.size(), actual->logits.size());
      const size_t width = expected->logits.size() / batch.logit_rows.size();
      for (size_t row = 0; row < batch.logit_rows.size(); ++row, ++rows) {
        double squares = 0, furthest = 0;
        for (size_t n = 0; n < vocab; ++n) {
          const double of_cpu = double{expected->logits[row * width + n]};
          squares += of_cpu * of_cpu;
          furthest = std::max(furthest, std::fabs(double{actual->logits[row * width + n]} - of_cpu));
        }
        worst = std::max(worst, furthest / std::sqrt(squares / static_cast<double>(vocab)));
      }
    }
    EXPECT_LE(worst, kBound) << rows << " rows of logits";
    EXPECT_GT(worst, 0) << "the control: the GPU's sums have another order";
    EXPECT_GT(emulated::CountOf(emulated::Point::kCublasltMultiply), 40u);
    std::printf("furthest logit of %zu rows: %.5f of their RMS\n", rows, worst);
  }
}

TEST(FastForwards, AreRefusedWhereThereIsNoCublaslt) {
  testing::TestModelConfig config = {.dtype = plan::DType::bf16, .chain = plan::Chain::fast};
  const TestModel model = OnGpus(config, ::testing::TempDir() + "/fast-refused", 1);
  std::string directory = model.directory;
  const auto refusal = [&](const char* fault) {
    emulated::UseFaults(*emulated::ParseFaults(fault));
    const auto executor = MakeCudaExecutor(model.plan(), 0, nullptr, {.model_dir = directory});
    emulated::UseFaults({});
    return executor.ok() ? std::string() : executor.message();
  };
  EXPECT_EQ(refusal(""), "");
  directory = "/nowhere";  // no weight is read before it is known
  EXPECT_EQ(refusal("cublaslt-open:1"),
            "rank 0 step 3 'l0.qkv': no cuBLASLt on this host: MRS_EMULATED_FAULT=cublaslt-open:1; install cuBLAS 13 "
            "(Debian, Ubuntu: libcublas-13-0 of NVIDIA's repository; pip: nvidia-cublas) where the loader finds it "
            "(LD_LIBRARY_PATH), or plan with mrs-plan build --numerics pair2");
  EXPECT_EQ(
      refusal("cublaslt-version:1"),
      "rank 0 step 3 'l0.qkv': libcublasLt.so.13 is 12.8.4, expected 13; install cuBLAS 13 (Debian, Ubuntu: "
      "libcublas-13-0 of NVIDIA's repository; pip: nvidia-cublas) where the loader finds it (LD_LIBRARY_PATH), or "
      "plan with mrs-plan build --numerics pair2");
  EXPECT_EQ(refusal("cublaslt-create:1"),
            "rank 0 step 3 'l0.qkv': cuda:0 (emulated): cuBLASLt cannot be used: the library was not initialized: "
            "MRS_EMULATED_FAULT=cublaslt-create:1");
  EXPECT_EQ(refusal("cublaslt-choose:1"),
            "rank 0 step 3 'l0.qkv': cuda:0 (emulated): cuBLASLt has no way to multiply 128 x 48 by 48 x 64 in 1 bytes "
            "of workspace: the requested functionality is not supported: MRS_EMULATED_FAULT=cublaslt-choose:1; plan "
            "with mrs-plan build --numerics pair2");
}

}  // namespace
}  // namespace mrs
