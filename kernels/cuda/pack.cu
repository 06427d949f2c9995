// A block takes a stretch of a chunk of sixteen rows, which lanes have side by side: it brings the rows' bytes into
// shared memory, and stores their elements in the order in which they will lie, so that both are done in whole lines.
// Bytes moved: the source once, over the bus; what is stored once.
#include "kernels/cuda/pack.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/modules.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSpan = 256;  // elements of a row that a block takes; even, so that pairs stay together
constexpr int kVector = 16;
// Of a row in shared memory: a span of f32 that begins within a vector.
constexpr int kStride = kSpan * 4 + kVector;
constexpr int64_t kMostBlocks = 0x7fffffff;
constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

__device__ float Load(const unsigned char* from, Type type) {
  if (type == Type::kF32) return *reinterpret_cast<const float*>(from);
  const uint16_t bits = *reinterpret_cast<const uint16_t*>(from);
  return type == Type::kBf16 ? F32FromBf16({bits}) : F32FromF16(bits);
}

// As element `place`. What is bf16 already keeps its bits, of any NaN too.
__device__ void Store(const PackFromHostArgs& a, int64_t place, const unsigned char* from) {
  if (a.src_type == Type::kBf16 && a.dst_type == Type::kBf16) {
    static_cast<bf16*>(a.dst)[place] = *reinterpret_cast<const bf16*>(from);
    return;
  }
  float value = Load(from, a.src_type);
  if (a.add_one) value = value + 1.0f;
  Put(a.dst, a.dst_type, place, value);
}

// Where element `kk` of a chunk of a row lies, if it is even; the next is behind it.
__device__ int64_t PlaceOf(const PackFromHostArgs& a, int64_t row, int64_t chunk, int64_t kk) {
  const int64_t padded = (a.shape.chunk_k + kGranule - 1) / kGranule * kGranule;
  if (a.layout == PackedLayout::kRows) return (row * a.shape.chunk_count + chunk) * padded + kk;
  return ((row / kSumLanes * a.shape.chunk_count + chunk) * padded + kk) * kSumLanes + row % kSumLanes * 2;
}

__global__ void __launch_bounds__(kThreads) PackFromHost(PackFromHostArgs a) {
  AwaitPrevious();
  MRS_SHARED(staged);
  const int64_t spans = (a.shape.chunk_k + kSpan - 1) / kSpan;
  const int64_t span = blockIdx.x % spans, chunk = blockIdx.x / spans % a.shape.chunk_count;
  const int64_t lanes = a.row_begin / kSumLanes + blockIdx.x / (spans * a.shape.chunk_count);

  const int64_t before = lanes * kSumLanes, behind = before + kSumLanes, end = a.row_begin + a.row_count;
  const int64_t first = before < a.row_begin ? a.row_begin : before;
  const int rows = int((behind < end ? behind : end) - first);
  const int64_t first_k = span * kSpan, left = a.shape.chunk_k - first_k;
  const int count = int(left < kSpan ? left : kSpan);

  const int element_bytes = a.src_type == Type::kF32 ? 4 : 2;
  const int64_t row_bytes = a.shape.chunk_count * a.shape.chunk_k * element_bytes;
  const int64_t begin =
      (first - a.row_begin) * row_bytes + (chunk * a.shape.chunk_k + first_k) * element_bytes;  // of the first row
  const int bytes = count * element_bytes, vectors = bytes / kVector + 2;  // at most: neither end has to be a vector's
  for (int i = int(threadIdx.x); i < rows * vectors; i += kThreads) {
    const int row = i / vectors, vector = i % vectors;
    const int64_t at = begin + row * row_bytes, from = at / kVector * kVector + vector * kVector;
    if (from < at + bytes) {
      *reinterpret_cast<uint4*>(staged + row * kStride + vector * kVector) =
          *reinterpret_cast<const uint4*>(a.src + from);
    }
  }
  __syncthreads();

  const int pairs = (count + 1) / 2;
  const bool is_rows = a.layout == PackedLayout::kRows;
  for (int i = int(threadIdx.x); i < rows * pairs; i += kThreads) {
    const int row = is_rows ? i / pairs : i % rows, k = 2 * (is_rows ? i % pairs : i / rows);
    const int within = int((begin + row * row_bytes) % kVector);
    const unsigned char* const from = staged + row * kStride + within + k * element_bytes;
    const int64_t place = PlaceOf(a, first + row, chunk, first_k + k);
    Store(a, place, from);
    if (k + 1 < count) Store(a, place + 1, from + element_bytes);
  }
}

const Module kModule(PackFromHost);

}  // namespace

int StartPackFromHost(const PackFromHostArgs& args, void* stream) {
  const PackedShape& shape = args.shape;
  if (args.row_count == 0 || shape.chunk_k == 0 || shape.chunk_count == 0) return 0;
  const int64_t lanes = (args.row_begin + args.row_count + kLanes - 1) / kLanes - args.row_begin / kLanes;
  const int64_t of_lanes = shape.chunk_count * Blocks(shape.chunk_k, kSpan);
  if (lanes > kMostBlocks / of_lanes) return kInvalidValue;
  return Launch(PackFromHost, {dim3{unsigned(lanes * of_lanes)}, dim3{kThreads}, unsigned(kLanes) * kStride}, stream,
                args);
}

}  // namespace mrs::kernels::cuda
