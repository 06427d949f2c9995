// Random arguments for every argument block: what the exactness test, the truth test and the benchmark are fed with.
//
//   for (Case<MatmulArgs>& c : TestCases<MatmulArgs>(TypeOfKernel("matmul_bf16"), seed)) set.matmul_bf16(c.args, 0,
//   c.items);
//
// A row of MRS_KERNELS whose argument block has no generator does not link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/math.h"

namespace mrs::kernels {

// Counter-based (splitmix64), so that a seed means the same everywhere.
struct Random {
  uint64_t state;
  uint64_t Bits();
  int64_t Below(int64_t count);
  // Mostly uniform in [-1, 1); sometimes 0, -0, a denormal or something a thousand times larger.
  float Value();
};

// Memory of one case: each array has its own allocation of exactly its size, so that asan sees a read past it.
class Buffers {
 public:
  // Where arrays of later cases come from; what a device can reach, for kernels that run on one.
  struct Memory {
    void* (*take)(size_t bytes);
    void (*give)(void* memory);
  };
  static void Use(const Memory& memory);

  template <typename T>
  T* New(int64_t count) {
    return static_cast<T*>(Take(static_cast<size_t>(count) * sizeof(T) + (count == 0 ? 1 : 0)));
  }

 private:
  void* Take(size_t bytes);  // zeros
  std::vector<std::unique_ptr<void, void (*)(void*)>> arrays_;
};

struct Output {
  void* data;
  int64_t bytes;
};

template <typename Args>
struct Case {
  std::string name;  // the shape, for messages
  Args args{};
  int64_t items = 0;
  double flops = 0;  // of the whole call
  double bytes = 0;  // that must move at least
  std::vector<Output> outputs;
  std::shared_ptr<Buffers> buffers = std::make_shared<Buffers>();
};

// What a run of the case writes, end to end; what it does not write keeps a pattern.
template <typename Args, typename RunIt>
std::vector<std::byte> OutputsOf(const Case<Args>& c, RunIt run) {
  for (const Output& output : c.outputs) std::memset(output.data, 0x5a, static_cast<size_t>(output.bytes));
  run();
  std::vector<std::byte> result;
  for (const Output& output : c.outputs) {
    const std::byte* data = static_cast<const std::byte*>(output.data);
    result.insert(result.end(), data, data + output.bytes);
  }
  return result;
}

// The element type a kernel's name ends in; f32 for those that take none.
constexpr Type TypeOfKernel(std::string_view name) { return name.ends_with("_bf16") ? Type::kBf16 : Type::kF32; }

template <typename Args>
std::vector<Case<Args>> TestCases(Type type, uint64_t seed) = delete;
template <typename Args>
Case<Args> BenchCase(Type type) = delete;

#define ROW(name, Args)                                              \
  template <>                                                        \
  std::vector<Case<Args>> TestCases<Args>(Type type, uint64_t seed); \
  template <>                                                        \
  Case<Args> BenchCase<Args>(Type type);
MRS_KERNELS(ROW)
#undef ROW
struct AttentionShape {
  int64_t heads, kv_heads, head_dim;
  std::vector<int32_t> lengths;  // of each sequence; its last tokens are the queries
  int64_t queries;               // per sequence, at most
  int64_t window = 0;
  float soft_cap = 0;
  int64_t padding = 0;            // rows after them, each the first sequence's position 0 again
  std::vector<float> sinks = {};  // which the heads have by turns; empty: none
};
Case<AttentionArgs> AttentionCase(Type type, Random* random, const AttentionShape& shape);
// The same tokens in sight as in BenchCase, of a context four times as long; or the same scores, capped.
Case<AttentionArgs> BenchWindow(Type type);
Case<AttentionArgs> BenchCap(Type type);

// An array of `count` values as `type` (kF32 or kBf16).
void* NewValues(Buffers* buffers, Random* random, Type type, int64_t count);
float* NewFloats(Buffers* buffers, Random* random, int64_t count);
int32_t* NewInts(Buffers* buffers, Random* random, int64_t count, int64_t below);
// Room for `count` elements that the kernel writes, noted as an output of the case.
void* NewOutput(Buffers* buffers, std::vector<Output>* outputs, Type type, int64_t count);
const char* TypeName(Type type);
inline int64_t TypeBytes(Type type) { return type == Type::kF32 ? 4 : 2; }
// Element i of such an array.
float ValueAt(const void* values, Type type, int64_t i);

}  // namespace mrs::kernels
