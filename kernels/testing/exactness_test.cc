// Every kernel, instruction set and chain against the reference: the same bits, however the work is split.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/testing/cases.h"

namespace mrs::kernels {
namespace {

constexpr uint64_t kSeed = 20260117;

std::vector<Isa> Isas() {
  std::vector<Isa> isas;
  for (int i = 0; i <= static_cast<int>(DetectIsa()); ++i) isas.push_back(static_cast<Isa>(i));
  return isas;
}

// Runs the kernel over the given splits of its items.
template <typename Args>
std::vector<std::byte> RunCase(Kernel<Args> kernel, const Case<Args>& c, const std::vector<int64_t>& splits) {
  return OutputsOf(c, [&] {
    for (size_t i = 0; i + 1 < splits.size(); ++i) kernel(c.args, splits[i], splits[i + 1]);
  });
}

bool HasBytes(const void* data, const std::vector<std::byte>& expected) {
  return std::equal(expected.begin(), expected.end(), static_cast<const std::byte*>(data));
}

template <typename Args>
void CheckKernel(const char* name, Kernel<Args> KernelSet::*kernel) {
  const ScopedFlushToZero flush;
  for (const Case<Args>& c : TestCases<Args>(TypeOfKernel(name), kSeed)) {
    std::vector<int64_t> single;
    for (int64_t i = 0; i <= c.items; ++i) single.push_back(i);
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const auto expected = RunCase(SelectKernels(Isa::kReference, chain).*kernel, c, {0, c.items});
      for (Isa isa : Isas()) {
        SCOPED_TRACE(std::string(name) + " " + IsaName(isa) + (chain == Chain::kPair2 ? " pair2 " : " block32 ") +
                     c.name + " seed " + std::to_string(kSeed));
        const Kernel<Args> run = SelectKernels(isa, chain).*kernel;
        EXPECT_TRUE(RunCase(run, c, {0, c.items}) == expected) << "in one go";
        EXPECT_TRUE(RunCase(run, c, {0, c.items / 3, c.items}) == expected) << "in two parts";
        EXPECT_TRUE(RunCase(run, c, single) == expected) << "one at a time";
      }
    }
  }
}

// Otherwise a set would quietly run the reference. What only moves bytes, or is one sine a token and frequency, may.
TEST(Exactness, EverySetHasItsOwnVersionOfWhatComputes) {
  const std::vector<std::string_view> shared = {"kv_append_bf16", "kv_append_f32", "rope_angles", "embed",
                                                "select_rows"};
  const KernelSet& reference = SelectKernels(Isa::kReference, Chain::kPair2);
  for (Isa isa : Isas()) {
    if (isa == Isa::kReference) continue;
    const KernelSet& set = SelectKernels(isa, Chain::kPair2);
    const auto check = [&](std::string_view name, bool is_reference) {
      const bool may = std::find(shared.begin(), shared.end(), name) != shared.end();
      EXPECT_EQ(is_reference, may) << IsaName(isa) << " " << name;
    };
#define ROW(name, Args) check(#name, set.name == reference.name);
    MRS_KERNELS(ROW)
#undef ROW
  }
}

#define ROW(name, Args) \
  TEST(Exactness, name##_EqualsTheReferenceOnEveryIsa) { CheckKernel<Args>(#name, &KernelSet::name); }
MRS_KERNELS(ROW)
#undef ROW

// Row r of a batch is row r alone.
void CheckRowsAlone(Type type, Kernel<MatmulArgs> KernelSet::*kernel) {
  const ScopedFlushToZero flush;
  for (const Case<MatmulArgs>& c : TestCases<MatmulArgs>(type, kSeed + 1)) {
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      for (Isa isa : Isas()) {
        SCOPED_TRACE(std::string(IsaName(isa)) + " " + c.name);
        const auto expected = RunCase(SelectKernels(isa, chain).*kernel, c, {0, c.items});
        std::memset(c.outputs[0].data, 0x5a, static_cast<size_t>(c.outputs[0].bytes));
        for (int64_t row = 0; row < c.args.rows; ++row) {
          MatmulArgs alone = c.args;
          alone.rows = 1;
          alone.x = static_cast<const std::byte*>(alone.x) + row * alone.x_stride * TypeBytes(type);
          alone.y += row * alone.y_stride;
          (SelectKernels(isa, chain).*kernel)(alone, 0, c.items);
        }
        EXPECT_TRUE(HasBytes(c.outputs[0].data, expected));
      }
    }
  }
}
TEST(Exactness, Matmul_RowAloneEqualsRowInBatch) {
  CheckRowsAlone(Type::kBf16, &KernelSet::matmul_bf16);
  CheckRowsAlone(Type::kF32, &KernelSet::matmul_f32);
}

TEST(Exactness, Add_WritesOverEitherInput) {
  const ScopedFlushToZero flush;
  for (Isa isa : Isas()) {
    const KernelSet& set = SelectKernels(isa, Chain::kPair2);
    for (const Case<AddArgs>& c : TestCases<AddArgs>(Type::kF32, kSeed)) {
      const auto expected = RunCase(set.add, c, {0, c.items});
      AddArgs over = c.args;
      over.y = const_cast<float*>(over.a);
      set.add(over, 0, c.items);
      EXPECT_TRUE(HasBytes(over.y, expected)) << c.name;
    }
  }
}

template <typename Args>
void CheckOverX(Type type, Kernel<Args> KernelSet::*kernel) {
  const ScopedFlushToZero flush;
  for (Isa isa : Isas()) {
    const Kernel<Args> run = SelectKernels(isa, Chain::kPair2).*kernel;
    for (const Case<Args>& c : TestCases<Args>(type, kSeed)) {
      if constexpr (std::is_same_v<Args, ScaleArgs>) {
        if (c.args.out != Type::kF32) continue;  // only what is as wide as x may lie over it
      }
      const auto expected = RunCase(run, c, {0, c.items});
      Args over = c.args;
      over.y = const_cast<std::remove_const_t<std::remove_pointer_t<decltype(over.x)>>*>(over.x);
      run(over, 0, c.items);
      EXPECT_TRUE(HasBytes(over.y, expected)) << IsaName(isa) << " " << c.name;
    }
  }
}
TEST(Exactness, Scales_WriteOverTheirInput) {
  CheckOverX(Type::kF32, &KernelSet::scale);
  CheckOverX(Type::kF32, &KernelSet::soft_cap);
  CheckOverX(Type::kF32, &KernelSet::position_scale);
}

TEST(Exactness, Matmul_FlushesDenormals) {
  const ScopedFlushToZero flush;
  for (Type type : {Type::kF32, Type::kBf16}) {
    Buffers buffers;
    const PackedShape shape{16, 32, 1};
    void* x = buffers.New<std::byte>(32 * TypeBytes(type));
    void* w = buffers.New<std::byte>(PackedElements(shape) * TypeBytes(type));
    std::vector<float> y(16);
    for (int64_t i = 0; i < 32; ++i) {  // denormal times a large number would be far from 0
      if (type == Type::kF32) static_cast<float*>(x)[i] = FloatOf(0x00400000u);
      if (type == Type::kBf16) static_cast<bf16*>(x)[i] = {0x0040};
    }
    for (int64_t i = 0; i < PackedElements(shape); ++i) {
      if (type == Type::kF32) static_cast<float*>(w)[i] = 0x1p100f;
      if (type == Type::kBf16) static_cast<bf16*>(w)[i] = Bf16FromF32(0x1p100f);
    }
    const MatmulArgs args{x, w, nullptr, y.data(), 1, shape, 32, 16};
    for (Isa isa : Isas()) {
      for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
        const KernelSet& set = SelectKernels(isa, chain);
        y.assign(16, 1.0f);
        (type == Type::kF32 ? set.matmul_f32 : set.matmul_bf16)(args, 0, 1);
        for (float value : y) EXPECT_EQ(value, 0.0f) << IsaName(isa);
      }
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
