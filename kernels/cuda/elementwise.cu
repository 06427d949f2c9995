// Positions, activations, factors, residual: a thread an element, or a pair of them.
#include "kernels/cuda/device.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/rotation.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 16384;  // of a launch; each thread takes more than one element past it

__device__ void Compute(const SiluMulArgs& a, int64_t i) {
  Put(a.y, a.out, i, Gated(Activation::kSilu, a.gate[i], a.up[i]));
}

__device__ void Compute(const GeluMulArgs& a, int64_t i) {
  Put(a.y, a.out, i, Gated(a.approximate ? Activation::kGeluTanh : Activation::kGelu, a.gate[i], a.up[i]));
}

__device__ void Compute(const ScaleArgs& a, int64_t i) { Put(a.y, a.out, i, a.x[i] * a.factor); }

__device__ void Compute(const SoftCapArgs& a, int64_t i) { a.y[i] = a.cap * math::Tanh(a.x[i] / a.cap); }

__device__ void Compute(const AddArgs& a, int64_t i) { a.y[i] = a.a[i] + a.b[a.broadcast_b ? i % a.width : i]; }

template <typename Args>
__global__ void __launch_bounds__(kThreads) EachElement(Args a) {
  AwaitPrevious();
  const int64_t count = a.rows * a.width;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    Compute(a, i);
  }
}

template <typename Args>
int StartElements(const Args& args, void* stream) {
  const int64_t count = args.rows * args.width;
  if (count == 0) return 0;
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  const LaunchShape shape = {dim3{unsigned(blocks < kMostBlocks ? blocks : kMostBlocks)}, dim3{kThreads}};
  return Launch(EachElement<Args>, shape, stream, args);
}

// A block a token.
__global__ void __launch_bounds__(kThreads) RopeAngles(RopeAnglesArgs a) {
  AwaitPrevious();
  const int64_t token = blockIdx.x;
  const float position = float(a.positions[token]);
  float* const out = a.cos_sin + token * 2 * a.half;
  for (int64_t i = threadIdx.x; i < a.half; i += blockDim.x) {
    double sine, cosine;
    math::SinCos(position * a.inv_freq[i], &sine, &cosine);
    out[i] = float(cosine) * a.scale;
    out[a.half + i] = float(sine) * a.scale;
  }
}

// A thread a pair of a token, then an element of what is copied.
__global__ void __launch_bounds__(kThreads) Rope(RopeArgs a) {
  AwaitPrevious();
  const int64_t token = blockIdx.x;
  const float* const cosine = a.cos_sin + token * 2 * a.half;
  const float* const sine = cosine + a.half;
  const int64_t first_of_token = token * a.heads * a.head_dim;
  const int half = int(a.half), rest = int(a.head_dim) - 2 * half;
  const int own = int(blockIdx.y * blockDim.x + threadIdx.x), step = int(gridDim.y * blockDim.x);
  for (int pair = own; pair < int(a.heads) * half; pair += step) {
    const int i = pair % half;
    const int64_t head = first_of_token + pair / half * a.head_dim;
    const int64_t first = head + (a.interleaved ? 2 * i : i);
    const int64_t second = head + (a.interleaved ? 2 * i + 1 : i + half);
    const TurnedPair turned = Turned(a.x[first], a.x[second], cosine[i], sine[i]);
    Put(a.y, a.out, first, turned.first);
    Put(a.y, a.out, second, turned.second);
  }
  for (int i = own; i < int(a.heads) * rest; i += step) {
    const int64_t at = first_of_token + i / rest * a.head_dim + 2 * half + i % rest;
    Put(a.y, a.out, at, a.x[at]);
  }
}

// Of a token the pairs of q's heads and then of k's, side by side, after them what of those is copied, then v: a thread
// one of these, or a few.
__global__ void __launch_bounds__(kThreads) RopeAppend(RopeAppendArgs a) {
  AwaitPrevious();
  const int64_t token = blockIdx.x, slot = a.slots[token];
  const float* const cosine = a.cos_sin + token * 2 * a.half;
  const float* const sine = cosine + a.half;
  const int heads = int(a.heads), kv_heads = int(a.cache.kv_heads), dim = int(a.cache.head_dim);
  const int half = int(a.half), rest = dim - 2 * half;
  const float* const q = a.q + token * heads * dim;
  const float* const k = a.k + token * kv_heads * dim;
  const float* const v = a.v + token * kv_heads * dim;
  // Element d of a head of q, or past them of k, where it belongs; of a row that is not there q alone (exact.h).
  const auto put = [&](int head, int d, float value) {
    if (head < heads) {
      Put(a.y, a.type, (token * heads + head) * dim + d, value);
    } else if (slot >= 0) {
      Put(a.cache.k, a.type, PlaceInK(a.cache, slot, head - heads, d), value);
    }
  };
  const auto row = [&](int head) { return head < heads ? q + head * dim : k + (head - heads) * dim; };
  const int pairs = (heads + kv_heads) * half, copied = (heads + kv_heads) * rest, values = kv_heads * dim;
  const int own = int(blockIdx.y * blockDim.x + threadIdx.x), step = int(gridDim.y * blockDim.x);
  for (int at = own; at < pairs + copied + values; at += step) {
    if (at < pairs) {
      const int head = at / half, i = at % half;
      const int first = a.interleaved ? 2 * i : i, second = a.interleaved ? 2 * i + 1 : i + half;
      const TurnedPair turned = Turned(row(head)[first], row(head)[second], cosine[i], sine[i]);
      put(head, first, turned.first);
      put(head, second, turned.second);
    } else if (at < pairs + copied) {
      const int head = (at - pairs) / rest, d = 2 * half + (at - pairs) % rest;
      put(head, d, row(head)[d]);
    } else if (slot >= 0) {
      const int i = at - pairs - copied;
      Put(a.cache.v, a.type, PlaceInV(a.cache, slot, i / dim, i % dim), v[i]);
    }
  }
}

// A thread an element of a row, or a few.
__global__ void __launch_bounds__(kThreads) PositionScale(PositionScaleArgs a) {
  AwaitPrevious();
  const int64_t row = blockIdx.x;
  const int64_t periods = a.positions[row] / a.original;
  const float factor = 1.0f + a.beta * float(math::Log(double(1 + periods)));
  const int64_t own = int64_t{blockIdx.y} * blockDim.x + threadIdx.x, step = int64_t{gridDim.y} * blockDim.x;
  for (int64_t i = row * a.width + own; i < (row + 1) * a.width; i += step) {
    const float x = a.type == Type::kBf16 ? ToF32(static_cast<const bf16*>(a.x)[i]) : static_cast<const float*>(a.x)[i];
    Put(a.y, a.type, i, x * factor);
  }
}

// A row's elements, or pairs of them, side by side.
template <typename Args>
int StartRows(void (*kernel)(Args), int64_t rows, int64_t elements, const Args& args, void* stream) {
  if (rows == 0 || elements == 0) return 0;
  return Launch(kernel, {dim3{unsigned(rows), BlocksOfRow(elements, kThreads)}, dim3{kThreads}}, stream, args);
}

const Module kModule(RopeAngles);

}  // namespace

int Start(const SiluMulArgs& args, void* stream) { return StartElements(args, stream); }
int Start(const GeluMulArgs& args, void* stream) { return StartElements(args, stream); }
int Start(const ScaleArgs& args, void* stream) { return StartElements(args, stream); }
int Start(const SoftCapArgs& args, void* stream) { return StartElements(args, stream); }
int Start(const AddArgs& args, void* stream) { return StartElements(args, stream); }

int Start(const RopeAnglesArgs& args, void* stream) {
  return args.tokens == 0 ? 0 : Launch(RopeAngles, {dim3{unsigned(args.tokens)}, dim3{kThreads}}, stream, args);
}
int Start(const RopeArgs& args, void* stream) {
  return StartRows(Rope, args.tokens, args.heads * args.head_dim / 2, args, stream);
}
int Start(const RopeAppendArgs& args, void* stream) {
  // Pairs of q and k, and each value of v.
  const int64_t elements = (args.heads + 3 * args.cache.kv_heads) * args.cache.head_dim / 2;
  return StartRows(RopeAppend, args.tokens, elements, args, stream);
}
int Start(const PositionScaleArgs& args, void* stream) {
  return StartRows(PositionScale, args.rows, args.width, args, stream);
}

}  // namespace mrs::kernels::cuda
