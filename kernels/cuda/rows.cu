// Token ids to rows, rows to the cache, rows to candidates.
#include "kernels/cuda/device.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/modules.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = 512;  // of what looks at logits
constexpr int kTile = 2048;    // exponents
constexpr int kRowThreads = 256;
constexpr float kMinusInfinity = -HUGE_VALF;

// A thread an element of a row, or a few: a row's are spread over blockIdx.y.
__device__ int64_t FirstElement() { return int64_t{blockIdx.y} * blockDim.x + threadIdx.x; }
__device__ int64_t Step() { return int64_t{gridDim.y} * blockDim.x; }

__global__ void __launch_bounds__(kRowThreads) Embed(EmbedArgs a) {
  AwaitPrevious();
  const int64_t row = blockIdx.x;
  const int64_t width = a.shape.chunk_k;
  const int64_t padded = (width + kGranule - 1) / kGranule * kGranule;
  const int64_t id = a.ids[row] - a.vocab_begin;
  const bool here = id >= 0 && id < a.shape.n;
  for (int64_t k = FirstElement(); k < width; k += Step()) {
    const int64_t at = (id / kLanes * padded + (k & ~int64_t{1})) * kLanes + id % kLanes * 2 + (k & 1);
    float value = 0;
    if (here) {
      value = a.table_type == Type::kBf16 ? ToF32(static_cast<const bf16*>(a.table)[at])
                                          : static_cast<const float*>(a.table)[at];
      value = value + 0.0f;
    }
    a.y[row * width + k] = value;
  }
}

__global__ void __launch_bounds__(kRowThreads) SelectRows(SelectRowsArgs a) {
  AwaitPrevious();
  const int64_t row = blockIdx.x;
  const float* const x = a.x + a.rows[row] * a.width;
  for (int64_t k = FirstElement(); k < a.width; k += Step()) a.y[row * a.width + k] = x[k];
}

template <typename T>
__global__ void __launch_bounds__(kRowThreads) KvAppend(KvAppendArgs a) {
  AwaitPrevious();
  const int64_t token = blockIdx.x;
  const int64_t slot = a.slots[token];
  if (slot < 0) return;  // a row that is not there (exact.h)
  const int64_t heads = a.cache.kv_heads, head_dim = a.cache.head_dim;
  for (int64_t i = FirstElement(); i < heads * head_dim; i += Step()) {
    const int64_t head = i / head_dim, d = i % head_dim;
    static_cast<T*>(a.cache.k)[PlaceInK(a.cache, slot, head, d)] =
        static_cast<const T*>(a.k)[token * heads * head_dim + i];
    Put(static_cast<T*>(a.cache.v), PlaceInV(a.cache, slot, head, d), a.v[token * heads * head_dim + i]);
  }
}

// Greater for what is a better candidate: logit descending (NaN last, both zeros alike), then id ascending. Never 0.
__device__ uint64_t KeyOf(float logit, int64_t id) {
  uint32_t order = 0;
  if (logit == logit) {
    const uint32_t bits = BitsOf(logit == 0 ? 0.0f : logit);
    order = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  }
  return uint64_t{order} << 32 | uint32_t(~uint32_t(id));
}

__device__ int64_t ValidEntries(int64_t vocab_valid, int64_t first, int64_t count) {
  const int64_t left = vocab_valid - first;
  return left < 0 ? 0 : left < count ? left : count;
}

// The best k of a row. Cut into as many parts as there are threads, it has them in the k parts whose best are best:
// else k elements were better than one of them. Those parts are cut anew, until a part has one element. A part is the
// elements `step` apart, so an element says which it is in.
__device__ void Candidates(const TopCandidatesArgs& a, const float* logits, int64_t valid, uint64_t* keys,
                           std::byte* record) {
  constexpr uint64_t kReal = uint64_t{1} << 31;  // keys of elements are not below it: ids are below 2^31
  const int k = int(a.k);
  if (k == 0) return;
  uint64_t* const best = keys + kThreads;  // of parts, the best first
  const auto at = [&](uint64_t key) { return int64_t{int32_t(~uint32_t(key))} - a.vocab_begin; };
  int64_t step = 1;
  for (int parts = kThreads;; parts = kThreads / k) {
    uint64_t own = threadIdx.x;  // of no element: below all, and like no other
    const int of = int(threadIdx.x) / parts;
    if (step == 1 || (of < k && best[of] >= kReal)) {
      const int64_t part = step == 1 ? 0 : at(best[of]) % step;
#pragma unroll 8
      for (int64_t i = part + int(threadIdx.x) % parts * step; i < valid; i += step * parts) {
        const uint64_t key = KeyOf(logits[i], a.vocab_begin + i);
        own = key > own ? key : own;
      }
    }
    keys[threadIdx.x] = own;
    __syncthreads();
    int better = 0;
#pragma unroll 8
    for (int j = 0; j < kThreads; ++j) better += keys[j] > own ? 1 : 0;
    if (better < k) best[better] = own;
    __syncthreads();
    step *= parts;
    if (step >= valid) break;
  }
  if (int(threadIdx.x) < k) {
    const uint64_t key = best[threadIdx.x];
    const bool is_real = key >= kReal;
    reinterpret_cast<int32_t*>(record)[threadIdx.x] = is_real ? int32_t(~uint32_t(key)) : -1;
    reinterpret_cast<float*>(record)[k + threadIdx.x] = is_real ? logits[at(key)] : kMinusInfinity;
  }
}

struct First {
  float max;
  int64_t at;
};
// Of several equal maxima (zeros of either sign) the first counts, as in one pass over them.
__device__ First Better(const First& a, const First& b) {
  return b.max > a.max || (b.max == a.max && b.at < a.at) ? b : a;
}

// The log-sum-exp of a chunk: all threads look for the maximum and take exponents, a tile after another; sixteen add
// them in order, while the next tile is made.
struct PartialMemory {
  First firsts[kThreads / 32];
  float tiles[2][kTile];
};
__device__ void Partial(const float* logits, int64_t count, PartialMemory& memory, std::byte* out) {
  First first = {kMinusInfinity, INT64_MAX};
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < count; i += kThreads) {
    if (logits[i] > first.max) first = {logits[i], i};
  }
  for (int s = 16; s >= 1; s /= 2) {
    first = Better(first, {__shfl_xor_sync(~0u, first.max, s), __shfl_xor_sync(~0u, first.at, s)});
  }
  if (threadIdx.x % 32 == 0) memory.firsts[threadIdx.x / 32] = first;
  __syncthreads();
  for (const First& other : memory.firsts) first = Better(first, other);
  const float base = first.max == kMinusInfinity ? 0.0f : first.max;
  float sum = 0;
  int turn = 0;
  for (int64_t begin = 0; begin < count; begin += kTile, turn ^= 1) {
    const int size = int(count - begin < kTile ? count - begin : kTile);
    float* const tile = memory.tiles[turn];
#pragma unroll 4
    for (int i = int(threadIdx.x); i < size; i += kThreads) tile[i] = math::Exp(logits[begin + i] - base);
    __syncthreads();  // this one is there, and the one before has been added
    if (threadIdx.x >= kSumLanes) continue;
#pragma unroll 8
    for (int i = int(threadIdx.x); i < size; i += kSumLanes) sum = sum + tile[i];
  }
  if (threadIdx.x >= kSumLanes) return;
  sum = SumLanes(kLowLanes, sum);
  if (threadIdx.x == 0) {
    reinterpret_cast<float*>(out)[0] = first.max;
    reinterpret_cast<float*>(out)[1] = sum;
  }
}

// Of a row one block has the candidates, and one each chunk.
__global__ void __launch_bounds__(kThreads) TopCandidates(TopCandidatesArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  const int64_t row = blockIdx.x;
  const float* const logits = a.logits + row * a.chunk_size * a.chunk_count;
  std::byte* const record = a.records + row * (a.k * 8 + a.chunk_count * 8);
  if (blockIdx.y == 0) {
    const int64_t valid = ValidEntries(a.vocab_valid, a.vocab_begin, a.chunk_size * a.chunk_count);
    Candidates(a, logits, valid, reinterpret_cast<uint64_t*>(bytes), record);
  } else {
    const int64_t chunk = blockIdx.y - 1, first = chunk * a.chunk_size;
    Partial(logits + first, ValidEntries(a.vocab_valid, a.vocab_begin + first, a.chunk_size),
            *reinterpret_cast<PartialMemory*>(bytes), record + a.k * 8 + chunk * 8);
  }
}

template <typename Args>
int StartRows(void (*kernel)(Args), int64_t rows, int64_t width, const Args& args, void* stream) {
  if (rows == 0 || width == 0) return 0;
  return Launch(kernel, {dim3{unsigned(rows), BlocksOfRow(width, kRowThreads)}, dim3{kRowThreads}}, stream, args);
}

const Module kModule(SelectRows);

}  // namespace

int CanRunHere() { return CanRun(SelectRows); }
void UseDependentLaunch(bool use) { MayBeginEarly() = use; }

int Start(const EmbedArgs& args, void* stream) { return StartRows(Embed, args.rows, args.shape.chunk_k, args, stream); }
int Start(const SelectRowsArgs& args, void* stream) {
  return StartRows(SelectRows, args.count, args.width, args, stream);
}
int Start(const TopCandidatesArgs& args, void* stream) {
  if (args.rows == 0) return 0;
  constexpr size_t kOfCandidates = (kThreads + kMaxCandidates) * sizeof(uint64_t);
  static_assert(kOfCandidates <= sizeof(PartialMemory));
  const LaunchShape shape = {dim3{unsigned(args.rows), unsigned(1 + args.chunk_count)}, dim3{kThreads},
                             unsigned(sizeof(PartialMemory))};
  return Launch(TopCandidates, shape, stream, args);
}

template <typename T>
int Start(const KvAppendArgs& args, void* stream) {
  return StartRows(KvAppend<T>, args.tokens, args.cache.kv_heads * args.cache.head_dim, args, stream);
}
template int Start<float>(const KvAppendArgs&, void*);
template int Start<bf16>(const KvAppendArgs&, void*);

}  // namespace mrs::kernels::cuda
