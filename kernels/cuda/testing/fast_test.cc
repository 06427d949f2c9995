// The kernels of fast numerics on the emulator, with the threads in three orders: products within the bound that
// gemv_split.h states, of sums in double precision; rows of a table, to the bit. (Attention: flash_test.cc.)
#include "kernels/cuda/fast.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/testing/orders.h"
#include "kernels/rows.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {
namespace {

constexpr uint64_t kSeed = 20261126;
constexpr float kPattern = 12345.0f;   // of memory that nobody writes
constexpr int64_t kGap = 3;            // elements after each row of y
constexpr int kMultiprocessors = 108;  // of the emulator (dialect.h)

struct Shape {
  int64_t rows;
  PackedShape shape;
  int64_t x_gap;  // elements after each row of x
  bool has_bias;
};
// Whole: x is read sixteen bytes at a time. Else by element: odd widths, chunks that are padded, rows apart by odd
// gaps.
constexpr Shape kShapes[] = {
    {0, {40, 64, 1}, 0, false},  {1, {0, 64, 1}, 0, false},    {1, {1, 1, 1}, 0, true},
    {1, {17, 64, 1}, 0, true},   {1, {1009, 8, 1}, 0, false},  {2, {37, 40, 1}, 0, true},
    {3, {64, 256, 4}, 8, false}, {4, {33, 1024, 1}, 0, true},  {5, {16, 6, 16}, 0, true},
    {7, {5, 997, 1}, 0, false},  {8, {48, 43, 4}, 1, true},    {9, {21, 2048, 1}, 0, false},
    {13, {40, 72, 2}, 0, true},  {16, {19, 512, 2}, 0, false}, {17, {12, 120, 1}, 0, true},
    {33, {7, 5, 8}, 2, false},   {1, {24, 4096, 1}, 0, true},
};

struct Product {
  explicit Product(const Shape& of, uint64_t number = 0) : k(of.shape.chunk_k * of.shape.chunk_count) {
    Random random{kSeed + static_cast<uint64_t>(k) + (number << 32)};
    const int64_t row_elements = RowElements(of.shape), padded = row_elements / of.shape.chunk_count;
    const int64_t padded_rows = (of.shape.n + kLanes - 1) / kLanes * kLanes;
    bf16* const w = buffers.New<bf16>(padded_rows * row_elements);
    for (int64_t n = 0; n < of.shape.n; ++n) {
      for (int64_t i = 0; i < k; ++i) {
        const int64_t at = n * row_elements + i / of.shape.chunk_k * padded + i % of.shape.chunk_k;
        w[at] = Bf16FromF32(random.Value());
        weights.push_back(F32FromBf16(w[at]));
      }
    }
    const int64_t x_stride = k + of.x_gap;
    bf16* const x_memory = buffers.New<bf16>(of.rows * x_stride);
    const bf16 nan = {0x7fc0};  // between rows
    for (int64_t i = 0; i < of.rows * x_stride; ++i) {
      x_memory[i] = i % x_stride < k ? Bf16FromF32(random.Value()) : nan;
      if (i % x_stride < k) x.push_back(F32FromBf16(x_memory[i]));
    }
    const int64_t y_stride = of.shape.n + kGap;
    y = buffers.New<float>(of.rows * y_stride);
    float* const bias = of.has_bias ? NewFloats(&buffers, &random, of.shape.n) : nullptr;
    args = {x_memory, w, bias, y, of.rows, of.shape, x_stride, y_stride};
  }

  // The sum of the products of one output, and of their magnitudes.
  struct Truth {
    double sum = 0, magnitude = 0;
  };
  Truth At(int64_t row, int64_t n) const {
    Truth truth;
    for (int64_t i = 0; i < k; ++i) {
      const double one = double{x[static_cast<size_t>(row * k + i)]} * double{weights[static_cast<size_t>(n * k + i)]};
      truth.sum += one;
      truth.magnitude += std::fabs(one);
    }
    if (args.bias == nullptr) return truth;
    return {truth.sum + double{args.bias[n]}, truth.magnitude + std::fabs(double{args.bias[n]})};
  }

  Buffers buffers;
  const int64_t k;
  std::vector<float> weights, x;  // [n][k], [rows][k]
  MatmulArgs args{};
  float* y = nullptr;
};

// How many outputs are further from the truth than the bound; what lies between rows must be as it was.
int64_t OutsideOf(const Product& product, const GemvSplit& split) {
  const MatmulArgs& a = product.args;
  int64_t outside = 0;
  for (int64_t row = 0; row < a.rows; ++row) {
    for (int64_t n = 0; n < a.y_stride; ++n) {
      const float y = product.y[row * a.y_stride + n];
      if (n >= a.shape.n) {
        EXPECT_EQ(y, kPattern) << "row " << row << ", past its end";
        continue;
      }
      const Product::Truth truth = product.At(row, n);
      const double bound = GemvBound(split, RowElements(a.shape)) * truth.magnitude +
                           static_cast<double>(product.k) * 0x1p-126;  // flushed
      if (!(std::fabs(double{y} - truth.sum) <= bound)) ++outside;
    }
  }
  return outside;
}

template <typename Launch>
std::vector<float> RunOn(const Product& product, const Launch& launch) {
  const int64_t count = product.args.rows * product.args.y_stride;
  std::fill(product.y, product.y + count, kPattern);
  EXPECT_EQ(launch(product.args), 0);
  return {product.y, product.y + count};
}

TEST(FastCuda, ProductsAreWithinTheBoundHoweverTheyAreSpread) {
  const ScopedFlushToZero flush;
  for (const Shape& of : kShapes) {
    const Product product(of);
    for (const int parts : {1, 8}) {
      for (const auto& [rows, columns] : {std::pair{1, 4}, {2, 4}, {4, 4}, {8, 4}, {16, 2}}) {
        const GemvSplit split = {rows, columns, parts};
        SCOPED_TRACE(fmt::format("{} rows of {} x {} chunks of {}, {} x {} a warp, {} parts", of.rows, of.shape.n,
                                 of.shape.chunk_count, of.shape.chunk_k, rows, columns, parts));
        std::vector<float> first;
        for (const emulation::Order order : Orders()) {
          emulation::SetSchedule({.order = order, .seed = kSeed});
          const auto launch = [&](const MatmulArgs& args) {
            return StartGemvSplit(GroupOf(args, Type::kBf16), split, nullptr);
          };
          const std::vector<float> y = RunOn(product, launch);
          EXPECT_EQ(OutsideOf(product, split), 0);
          if (first.empty()) first = y;
          EXPECT_EQ(y, first);  // whatever the order
        }
      }
    }
  }
  emulation::SetSchedule({});
}

TEST(FastCuda, TheTablesProductTakesTheSplitOfItsSize) {
  const ScopedFlushToZero flush;
  for (const Shape& of : kShapes) {
    const Product product(of);
    const GemvSplit split = GemvSplitOf({of.rows, of.shape.n, RowElements(of.shape)}, kMultiprocessors);
    const std::vector<float> y =
        RunOn(product, [](const MatmulArgs& a) { return FastKernels().matmul_bf16(a, nullptr); });
    EXPECT_EQ(OutsideOf(product, split), 0);
    const auto launch = [&](const MatmulArgs& args) {
      return StartGemvSplit(GroupOf(args, Type::kBf16), split, nullptr);
    };
    EXPECT_EQ(RunOn(product, launch), y);
  }
}

// A group's parts, and what gates the two of a gated product, have the bits that each product alone has of one split.
struct Products {
  // biases: a bit a part.
  Products(int64_t rows, const std::vector<int64_t>& n, int64_t chunk_k, int64_t chunk_count, int64_t x_gap,
           unsigned biases) {
    for (const int64_t outputs : n) {
      const Shape shape = {rows, {outputs, chunk_k, chunk_count}, x_gap, (biases >> parts.size() & 1) != 0};
      parts.push_back(std::make_unique<Product>(shape, parts.size()));
      const MatmulGroupArgs alone = GroupOf(parts.back()->args, Type::kBf16);
      if (group.count == 0) group = {alone.x, alone.rows, alone.x_stride, chunk_k, chunk_count, {}, 0, Type::kBf16};
      group.parts[group.count++] = alone.parts[0];
    }
    // All have the first one's x.
    for (const auto& part : parts) part->args.x = group.x;
  }
  std::vector<std::unique_ptr<Product>> parts;
  MatmulGroupArgs group{};
};

template <typename Check>
void ForEachGroup(const Check& check) {
  for (const auto& [rows, columns] : {std::pair{1, 4}, {2, 4}, {4, 4}, {8, 4}, {16, 2}}) {
    for (const int parts : {1, 8}) {
      for (const int64_t of_rows : {1, 5, 19}) {
        const GemvSplit split = {rows, columns, parts};
        for (const emulation::Order order : Orders()) {
          emulation::SetSchedule({.order = order, .seed = kSeed});
          SCOPED_TRACE(fmt::format("{} x {} a warp, {} parts, {} rows, order {}", rows, columns, parts, of_rows,
                                   static_cast<int>(order)));
          check(split, of_rows);
        }
      }
    }
  }
  emulation::SetSchedule({});
}

TEST(FastCuda, AGroupsProductsAreThoseOfEach) {
  const ScopedFlushToZero flush;
  ForEachGroup([](const GemvSplit& split, int64_t rows) {
    for (const bool is_whole : {false, true}) {
      const Products products(rows, {37, 0, 3, 64}, is_whole ? 512 : 43, is_whole ? 1 : 4, is_whole ? 0 : 1,
                              is_whole ? 0b1001 : 0);
      std::vector<std::vector<float>> expected;
      for (const auto& part : products.parts) {
        expected.push_back(RunOn(
            *part, [&](const MatmulArgs& args) { return StartGemvSplit(GroupOf(args, Type::kBf16), split, nullptr); }));
      }
      for (const auto& part : products.parts) std::fill_n(part->y, part->args.rows * part->args.y_stride, kPattern);
      EXPECT_EQ(StartGemvSplit(products.group, split, nullptr), 0);
      for (size_t p = 0; p < products.parts.size(); ++p) {
        const Product& part = *products.parts[p];
        EXPECT_EQ(std::vector<float>(part.y, part.y + part.args.rows * part.args.y_stride), expected[p]) << p;
      }
    }
  });
}

TEST(FastCuda, AGatedProductGatesThoseOfEach) {
  const ScopedFlushToZero flush;
  ForEachGroup([](const GemvSplit& split, int64_t rows) {
    for (const unsigned biases : {0b00u, 0b01u, 0b10u, 0b11u}) {
      constexpr int64_t kN = 37;
      const bool is_whole = biases % 3 != 0;
      const auto activation = static_cast<Activation>(biases % 3);
      const Type out = biases == 2 ? Type::kF32 : Type::kBf16;
      const Products products(rows, {kN, kN}, is_whole ? 512 : 43, is_whole ? 1 : 4, is_whole ? 0 : 1, biases);
      Buffers buffers;
      float* sums[2];
      for (size_t p = 0; p < 2; ++p) {
        const Product& part = *products.parts[p];
        EXPECT_EQ(StartGemvSplit(GroupOf(part.args, Type::kBf16), split, nullptr), 0);
        sums[p] = buffers.New<float>(rows * kN);
        for (int64_t row = 0; row < rows; ++row) std::copy_n(part.y + row * part.args.y_stride, kN, sums[p] + row * kN);
      }
      const int64_t bytes = rows * kN * TypeBytes(out);
      std::byte *const expected = buffers.New<std::byte>(bytes), *const y = buffers.New<std::byte>(bytes);
      if (activation == Activation::kSilu) {
        EXPECT_EQ(Start(SiluMulArgs{sums[0], sums[1], expected, rows, kN, out}, nullptr), 0);
      } else {
        const bool approximate = activation == Activation::kGeluTanh;
        EXPECT_EQ(Start(GeluMulArgs{sums[0], sums[1], expected, rows, kN, out, approximate}, nullptr), 0);
      }
      EXPECT_EQ(StartGemvSplit({products.group, y, out, activation}, split, nullptr), 0);
      EXPECT_EQ(std::memcmp(y, expected, static_cast<size_t>(bytes)), 0) << "biases " << biases;
    }
  });
}

// With those of the products and of what follows them, each by itself.
TEST(FastCuda, ProductsThatAreTurnedAndAppendedAreThoseOfEach) {
  const ScopedFlushToZero flush;
  unsigned biases = 0;
  ForEachGroup([&](const GemvSplit& split, int64_t rows) {
    for (const bool is_whole : {false, true}) {
      const int64_t half = is_whole ? 16 : 48;
      constexpr int64_t kHeads = 2, kKvHeads = 1;
      const Type type = is_whole ? Type::kF32 : Type::kBf16;
      const int64_t dim = 2 * half, of_q = kHeads * dim, of_kv = kKvHeads * dim;
      const Products products(rows, {of_q, of_kv, of_kv}, is_whole ? 256 : 43, is_whole ? 1 : 2, is_whole ? 0 : 1,
                              biases++ % 8);
      Random random{biases};
      Buffers buffers;
      MatmulRopeAppendArgs args = {.of = products.group, .then = {}};
      for (int p = 0; p < 3; ++p) {
        args.of.parts[p].y = buffers.New<float>(rows * args.of.parts[p].n);
        args.of.parts[p].y_stride = args.of.parts[p].n;
      }
      int32_t* const slots = buffers.New<int32_t>(rows);
      for (int64_t row = 0; row < rows; ++row) slots[row] = row % 4 == 2 ? -1 : static_cast<int32_t>(3 + row);
      const int64_t of_cache = 3 * kKvHeads * kBlockTokens * dim, of_y = rows * of_q;
      const int64_t bytes = (2 * of_cache + of_y) * TypeBytes(type);
      const float* const cos_sin = NewFloats(&buffers, &random, rows * dim);
      std::byte* const all = buffers.New<std::byte>(bytes);
      const auto outputs = [&](const auto& start) {
        std::fill_n(all, bytes, std::byte{0x5a});
        std::byte* const k = all;
        std::byte* const v = k + of_cache * TypeBytes(type);
        args.then = {.q = args.of.parts[0].y,
                     .k = args.of.parts[1].y,
                     .v = args.of.parts[2].y,
                     .cos_sin = cos_sin,
                     .slots = slots,
                     .y = v + of_cache * TypeBytes(type),
                     .cache = {k, v, 3, kKvHeads, dim},
                     .tokens = rows,
                     .heads = kHeads,
                     .half = half,
                     .type = type,
                     .interleaved = false};
        EXPECT_TRUE(IsOneLaunch(args));
        start();
        return std::vector<std::byte>(all, all + bytes);
      };
      const auto expected = outputs([&] {
        EXPECT_EQ(StartGemvSplit(args.of, split, nullptr), 0);
        EXPECT_EQ(Start(args.then, nullptr), 0);
      });
      for (int p = 0; p < 3; ++p) std::fill_n(args.of.parts[p].y, rows * args.of.parts[p].n, kPattern);
      EXPECT_EQ(outputs([&] { EXPECT_EQ(StartGemvSplit(args, split, nullptr), 0); }), expected);
      for (int p = 0; p < 3; ++p) {
        EXPECT_EQ(std::count(args.of.parts[p].y, args.of.parts[p].y + rows * args.of.parts[p].n, kPattern),
                  rows * args.of.parts[p].n);  // in one launch none is written
      }
      args.then.interleaved = true;
      EXPECT_FALSE(IsOneLaunch(args));
    }
  });
}

TEST(FastCuda, AProductThatIsAddedAndNormedIsThatOfEach) {
  const ScopedFlushToZero flush;
  Buffers counts;
  constexpr int64_t kBytes = 1 << 20;
  UseWorkspace(WorkspaceOf(counts.New<std::byte>(kBytes), kBytes));
  ForEachGroup([&](const GemvSplit& split, int64_t rows) {
    if (split.rows > kMostNormedRows) return;
    for (const int64_t n : {37, 2100}) {  // the latter of more than one batch
      const bool is_whole = n == 37;
      if (!is_whole && rows > 1) continue;
      const Type out = is_whole ? Type::kBf16 : Type::kF32;
      const Products products(rows, {n}, is_whole ? 512 : 43, is_whole ? 1 : 4, is_whole ? 0 : 1, is_whole ? 1 : 0);
      Random random{kSeed};
      Buffers buffers;
      MatmulAddRmsNormArgs args = {.of = products.group, .then = {}};
      float* const product = buffers.New<float>(rows * n);
      args.of.parts[0].y = product;
      args.of.parts[0].y_stride = n;
      const float *const residual = NewFloats(&buffers, &random, rows * n), *const w = NewFloats(&buffers, &random, n);
      const int64_t bytes = rows * n * TypeBytes(out);
      std::byte* const y = buffers.New<std::byte>(bytes);
      float* const sum = buffers.New<float>(rows * n);
      const auto outputs = [&](bool in_place, const auto& start) {
        std::copy_n(residual, rows * n, sum);
        std::fill_n(y, bytes, std::byte{0x5a});
        args.then = {in_place ? sum : residual, product, w, sum, y, rows, n, 1e-5f, out};
        start();
        return std::pair(std::vector<std::byte>(y, y + bytes), std::vector<float>(sum, sum + rows * n));
      };
      const auto expected = outputs(false, [&] {
        EXPECT_EQ(StartGemvSplit(args.of, split, nullptr), 0);
        EXPECT_EQ(Start(args.then, nullptr), 0);
      });
      for (const bool in_place : {false, true}) {
        std::fill_n(product, rows * n, kPattern);
        EXPECT_EQ(outputs(in_place, [&] { EXPECT_EQ(StartGemvSplit(args, split, nullptr), 0); }), expected);
        EXPECT_EQ(std::count(product, product + rows * n, kPattern), rows * n);
      }
    }
  });
  UseWorkspace({});
}

TEST(FastCuda, TheTablesFusedProductsTakeTheSplitOfTheirSizeAndBf16Alone) {
  const ScopedFlushToZero flush;
  const Products products(3, {64, 64}, 512, 1, 0, 0b11);
  const GemvSplit split = GemvSplitOf({3, 2 * 64, 512}, kMultiprocessors);
  const auto outputs = [&](const auto& start) {
    for (const auto& part : products.parts) std::fill_n(part->y, 3 * part->args.y_stride, kPattern);
    EXPECT_EQ(start(), 0);
    std::vector<float> all;
    for (const auto& part : products.parts) all.insert(all.end(), part->y, part->y + 3 * part->args.y_stride);
    return all;
  };
  EXPECT_EQ(outputs([&] { return FastKernels().matmul_group(products.group, nullptr); }),
            outputs([&] { return StartGemvSplit(products.group, split, nullptr); }));
  Buffers buffers;
  float *const y = buffers.New<float>(3 * 64), *const expected = buffers.New<float>(3 * 64);
  GatedMatmulArgs gated = {products.group, y, Type::kF32, Activation::kSilu};
  EXPECT_EQ(FastKernels().gated_matmul(gated, nullptr), 0);
  EXPECT_EQ(StartGemvSplit({products.group, expected, Type::kF32, Activation::kSilu}, split, nullptr), 0);
  EXPECT_EQ(std::memcmp(y, expected, 3 * 64 * sizeof(float)), 0);
  gated.of.type = Type::kF32;
  EXPECT_NE(FastKernels().matmul_group(gated.of, nullptr), 0);
  EXPECT_NE(FastKernels().gated_matmul(gated, nullptr), 0);
  EXPECT_NE(FastKernels().matmul_rope_append({gated.of, {}}, nullptr), 0);
  EXPECT_NE(FastKernels().matmul_add_rms_norm({gated.of, {}}, nullptr), 0);
}

// The control: the bound is narrow enough that an element of K which is left out shows.
TEST(FastCuda, AForgottenElementIsOutsideOfTheBound) {
  const ScopedFlushToZero flush;
  Product product({4, {33, 1024, 1}, 0, true});
  auto* const x = static_cast<bf16*>(const_cast<void*>(product.args.x));
  for (int64_t row = 0; row < 4; ++row) x[row * product.args.x_stride + 1023] = {0};
  RunOn(product, [](const MatmulArgs& args) { return FastKernels().matmul_bf16(args, nullptr); });
  const GemvSplit split = GemvSplitOf({4, 33, 1024}, kMultiprocessors);
  EXPECT_GT(OutsideOf(product, split), 4 * 33 / 2);  // the others lost next to nothing, or zero
}

TEST(FastCuda, EmbeddingsAreRowsOfTheTable) {
  const ScopedFlushToZero flush;
  Buffers buffers;
  Random random{kSeed};
  for (const int64_t width : {1, 32, 43, 300}) {
    const PackedShape shape = {.n = 37, .chunk_k = width, .chunk_count = 1};
    const int64_t row_elements = RowElements(shape);
    const auto* const table = static_cast<const bf16*>(NewValues(&buffers, &random, Type::kBf16, 48 * row_elements));
    int32_t* const ids = buffers.New<int32_t>(5);
    const int32_t wanted[] = {1000, 1036, 1037, 999, 1017};  // two of other ranks
    std::memcpy(ids, wanted, sizeof(wanted));
    float* const y = buffers.New<float>(5 * width);
    const EmbedArgs args = {ids, table, Type::kBf16, y, 5, shape, 1000};
    EXPECT_EQ(FastKernels().embed(args, nullptr), 0);
    for (int64_t i = 0; i < 5 * width; ++i) {
      const int64_t id = wanted[i / width] - 1000;
      const float expected = id < 0 || id >= 37 ? 0.0f : F32FromBf16(table[id * row_elements + i % width]) + 0.0f;
      ASSERT_EQ(BitsOf(y[i]), BitsOf(expected)) << width << " " << i;
    }
  }
}

// What is not of fast numerics is refused; what reads no matrix, and attention of f32, is the exact kernel.
TEST(FastCuda, OnlyWhatReadsMatricesIsAnother) {
  const CudaKernels& fast = FastKernels();
  const CudaKernels& exact = ExactKernels(Chain::kPair2);
  EXPECT_NE(fast.matmul_f32(MatmulArgs{}, nullptr), 0);
#define ROW(name, Args) EXPECT_EQ(fast.name != exact.name, std::string_view(#name) == "embed") << #name;
  MRS_PLAIN_KERNELS(ROW)
#undef ROW
  EXPECT_NE(fast.attention_bf16, exact.attention_bf16);
  EXPECT_EQ(fast.attention_f32, exact.attention_f32);
  EXPECT_EQ(fast.kv_append_bf16, exact.kv_append_bf16);
}

// The table's attention is the kernel that FlashTakes says, also where there is memory to spread contexts.
TEST(FastCuda, AttentionOfManyTokensIsOnTensorCores) {
  const ScopedFlushToZero flush;
  Random random{kSeed};
  Buffers buffers;
  constexpr int64_t kBytes = 1 << 20;
  std::byte* const memory = buffers.New<std::byte>(kBytes);
  int flash = 0, exact = 0, spread = 0;
  for (const AttentionShape& shape :
       {AttentionShape{.heads = 4, .kv_heads = 2, .head_dim = 64, .lengths = {40}, .queries = 17},
        AttentionShape{.heads = 4, .kv_heads = 2, .head_dim = 64, .lengths = {40}, .queries = 16},
        AttentionShape{.heads = 2, .kv_heads = 1, .head_dim = 34, .lengths = {40}, .queries = 40},
        AttentionShape{.heads = 2, .kv_heads = 2, .head_dim = 8, .lengths = {600}, .queries = 17}}) {
    const Case<AttentionArgs> c = AttentionCase(Type::kBf16, &random, shape);
    const AttentionArgs& a = c.args;
    for (const int64_t bytes : {int64_t{0}, kBytes}) {
      const Workspace workspace = WorkspaceOf(memory, bytes);
      UseWorkspace(workspace);
      const auto of_table = OutputsOf(c, [&] { EXPECT_EQ(FastKernels().attention_bf16(a, nullptr), 0); });
      const auto of_exact = OutputsOf(c, [&] { EXPECT_EQ((Start<bf16, Chain::kPair2>(a, nullptr)), 0); });
      const auto of_flash = !FlashHas(shape.head_dim)
                                ? of_exact
                                : OutputsOf(c, [&] { EXPECT_EQ(StartFlash(a, kFlashRunsAtOnce, nullptr), 0); });
      const AttentionSize size = {a.tokens, a.heads, a.cache.kv_heads, a.cache.head_dim, a.table_stride, a.window};
      const bool takes = FlashTakes(size, kMultiprocessors, workspace.BytesOfSpread());
      EXPECT_TRUE(of_table == (takes ? of_flash : of_exact)) << c.name;
      EXPECT_EQ(of_flash == of_exact, !FlashHas(shape.head_dim)) << c.name << ": they do not tell which it was";
      ++(takes ? flash : exact);
      spread += SplitOf(size, kMultiprocessors, workspace.BytesOfSpread()).blocks > 1 ? 1 : 0;
    }
  }
  UseWorkspace({});
  EXPECT_EQ(fmt::format("{} {} {}", flash, exact, spread), "3 5 1");
}

TEST(GemvSplit, ByTheSizeOfTheProduct) {
  struct Row {
    GemvSize size;
    int multiprocessors;
    const char* expected;
  };
  // Of a model of 8 billion weights.
  const Row rows[] = {
      {{1, 1024, 4096}, 132, "1 x 4, 8 parts"},    {{1, 4096, 4096}, 132, "1 x 4, 4 parts"},
      {{1, 14336, 4096}, 132, "1 x 4, 1 parts"},   {{1, 4096, 14336}, 132, "1 x 4, 4 parts"},
      {{2, 4096, 4096}, 132, "2 x 4, 4 parts"},    {{3, 4096, 4096}, 132, "4 x 4, 4 parts"},
      {{8, 128256, 4096}, 132, "8 x 4, 1 parts"},  {{16, 1024, 4096}, 132, "16 x 2, 8 parts"},
      {{16, 14336, 4096}, 132, "16 x 2, 1 parts"}, {{64, 1024, 4096}, 132, "16 x 2, 2 parts"},
      {{1, 1024, 512}, 132, "1 x 4, 1 parts"},     {{1, 1024, 16384}, 132, "1 x 4, 8 parts"},
  };
  for (const Row& row : rows) {
    const GemvSplit split = GemvSplitOf(row.size, row.multiprocessors);
    EXPECT_EQ(fmt::format("{} x {}, {} parts", split.rows, split.columns, split.parts), row.expected)
        << row.size.rows << " rows of " << row.size.n << " x " << row.size.padded_k;
  }
  EXPECT_EQ(GemvDepth({1, 4, 1}, 4096), 16 * 8 + 5 + 2);
  EXPECT_EQ(GemvDepth({1, 4, 8}, 4096), 2 * 8 + 5 + 9);
}

}  // namespace
}  // namespace mrs::kernels::cuda
