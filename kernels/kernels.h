// What the CPU can compute, stated once: every argument block, its shapes and the exact order of its sums.
//
// A kernel is a function over a range of independent work items, so that a caller can split it over threads without
// changing a bit:
//
//   const KernelSet& k = SelectKernels(DetectIsa(), Chain::kPair2);
//   MatmulArgs args{...};
//   k.matmul_bf16(args, 0, MatmulItems(args));          // one thread
//   k.matmul_bf16(args, 0, 3); k.matmul_bf16(args, 3, MatmulItems(args));   // two: the same bits
//
// This folder knows no plan and no error type. Arguments are trusted: the plan was verified before.
// All arithmetic is f32 with round-to-nearest and flush-to-zero (ScopedFlushToZero in every thread calling a kernel).
#pragma once

#include <cstddef>
#include <cstdint>

namespace mrs::kernels {

// bfloat16 as its 16 bits; conversion from f32 rounds to nearest even (math.h).
struct bf16 {
  uint16_t bits;
};
enum class Type : uint8_t { kF32 = 0, kBf16 = 1, kF16 = 2 };

// The order of a sum over k, per output element. Both are plain f32 FMA chains over pairs (even k, odd k):
//   kPair2    acc = fma(a[2i], b[2i], fma(a[2i+1], b[2i+1], acc))                    = AVX-512 BF16 vdpbf16ps
//   kBlock32  per 32 k: even = chain of 16 FMAs from 0 over the even elements, odd likewise over the odd ones,
//             then acc = acc + (even + odd)                                          = AMX tdpbf16ps
enum class Chain : uint8_t { kPair2 = 1, kBlock32 = 2 };
// Instruction sets, in order: each includes those before it. Same bits on all.
enum class Isa : uint8_t { kReference = 0, kAvx2 = 1, kAvx512 = 2, kAvx512Bf16 = 3, kAmx = 4 };

inline constexpr int64_t kLanes = 16;          // output columns that are computed side by side, and canonical sum lanes
inline constexpr int64_t kGranule = 32;        // a chunk of K is padded with zeros to a multiple of this
inline constexpr int64_t kBlockTokens = 32;    // tokens of one KV block
inline constexpr int64_t kSegmentBlocks = 16;  // KV blocks of one attention segment (512 tokens)
inline constexpr int64_t kVocabChunks = 16;    // the (padded) vocabulary is cut into this many chunks for log-sum-exp
inline constexpr int64_t kMaxCandidates = 64;

// A matrix [n, k] packed for lanes over n: k is cut into chunk_count chunks of chunk_k, each padded with zeros to
// chunk_k_padded = round_up(chunk_k, kGranule); n is padded with zero rows to a multiple of kLanes. Element (row, k):
//   block = row / 16, lane = row % 16, chunk = k / chunk_k, kk = k % chunk_k
//   offset = ((block * chunk_count + chunk) * chunk_k_padded + (kk & ~1)) * 16 + lane * 2 + (kk & 1)
// Decode and prefill read this one layout. Embedding tables are packed too (rows = vocabulary, chunk_count 1).
struct PackedShape {
  int64_t n;            // rows of this rank, before padding
  int64_t chunk_k;      // elements of K in a chunk
  int64_t chunk_count;  // chunks on this rank
};
constexpr int64_t PackedElements(const PackedShape& shape) {
  const auto round_up = [](int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; };
  return round_up(shape.n, kLanes) * shape.chunk_count * round_up(shape.chunk_k, kGranule);
}

// y[r, :] = tree_c( chain_k( x[r, c, :] * w[:, c, :] ) ) + bias.
// Each chunk is summed by the set's Chain starting from 0 over its padded length; chunks are combined by the
// balanced binary tree ((c0+c1)+(c2+c3))+...; chunk_count is a power of two. Items: blocks of 16 outputs.
// A row's sums do not depend on `rows`. Bytes: weights once; flops: 2 * rows * n * k.
struct MatmulArgs {
  const void* x;      // [rows, chunk_count * chunk_k], bf16 or f32 as the weights; borrowed
  const void* w;      // packed as PackedShape; borrowed
  const float* bias;  // [n] f32 added once after the tree; null: none
  float* y;           // [rows, n] f32
  int64_t rows;
  PackedShape shape;
  int64_t x_stride;  // elements from one row of x to the next
  int64_t y_stride;  // elements from one row of y to the next
};
inline int64_t MatmulItems(const MatmulArgs& args) { return (args.shape.n + kLanes - 1) / kLanes; }

// y[r, :] = (x[r, :] * (1 / sqrt(mean(x[r, :]^2) + eps))) * w. The mean's sum runs in 16 lanes (lane = i % 16, one FMA
// chain each in order of i) combined as for s in 8, 4, 2, 1: lane[l] += lane[l + s]. Items: rows.
// QK-norm is the same kernel with rows = tokens * heads and width = head_dim.
struct RmsNormArgs {
  const float* x;  // [rows, width]
  const float* w;  // [width] f32
  void* y;         // [rows, width] bf16 or f32 (out)
  int64_t rows;
  int64_t width;
  float eps;
  Type out;
};

// y[r, :] = fma((x[r, :] - mean) * (1 / sqrt(variance + eps)), w, b). Two passes before that one, each a sum in 16
// lanes as in RmsNorm: mean = sum(x) / width by plain adds, then variance = sum((x - mean)^2) / width by FMAs. Items:
// rows.
struct LayerNormArgs {
  const float* x;  // [rows, width]
  const float* w;  // [width] f32
  const float* b;  // [width] f32
  void* y;         // [rows, width] bf16 or f32 (out)
  int64_t rows;
  int64_t width;
  float eps;
  Type out;
};

// y[r] = the sum of x[r, :]^2 over all heads: per canonical chunk of `chunk_heads` whole heads one sum in 16 lanes as
// in RmsNorm (lane = i % 16 of the chunk's own elements), chunks combined by the balanced binary tree. heads /
// chunk_heads is a power of two. So a rank's sum is a subtree of the whole, and an all-reduce by doubling gives the
// bits of one rank. Items: rows.
struct SumSquaresArgs {
  const float* x;  // [rows, heads, head_dim]
  float* y;        // [rows]
  int64_t rows;
  int64_t heads;  // of this rank
  int64_t head_dim;
  int64_t chunk_heads;
};

// y[r, :] = (x[r, :] * (1 / sqrt(sum[r] / total + eps))) * w: the rest of an RMS norm whose sum was made before, over
// more elements than this rank has. With one chunk and total == width, SumSquares then RmsScale are RmsNorm to the bit.
// Items: rows.
struct RmsScaleArgs {
  const float* x;    // [rows, width]
  const float* sum;  // [rows]: sum of squares over all ranks
  const float* w;    // [width] f32
  void* y;           // [rows, width] bf16 or f32 (out)
  int64_t rows;
  int64_t width;  // elements of a row on this rank
  int64_t total;  // elements that went into the sum
  float eps;
  Type out;
};

// Per token the rotation of each frequency: angle = f32(position) * inv_freq[i] in f32; cos and sin of that angle,
// correctly rounded but for ties (double arithmetic inside), times `scale`. Items: tokens.
struct RopeAnglesArgs {
  const int32_t* positions;  // [tokens]
  const float* inv_freq;     // [half]
  float* cos_sin;            // [tokens, 2 * half]: cosines, then sines
  int64_t tokens;
  int64_t half;  // rotary_dim / 2
  float scale;   // attention factor of the RoPE scaling; 1 where there is none
};

// Rotates pairs (i, i + half), or (2i, 2i + 1) if interleaved, of the first 2 * half elements of every head by the
// angle of frequency i; copies the rest. Of a pair (a, b):
//   y of a = fma(a, cos, -(b * sin)),  y of b = fma(b, cos, a * sin). Items: tokens.
struct RopeArgs {
  const float* x;        // [tokens, heads, head_dim]
  const float* cos_sin;  // [tokens, 2 * half]
  void* y;               // [tokens, heads, head_dim] bf16 or f32 (out)
  int64_t tokens;
  int64_t heads;
  int64_t head_dim;
  int64_t half;
  Type out;
  bool interleaved = false;
};

// y[t, :] = x[t, :] * (1 + beta * log(1 + floor(position / original))): queries far past the length trained on. The
// logarithm is f32(Log(double)); its product with beta, the sum, and the product with x (widened to f32) are each
// rounded. Positions are not negative. y may be x. Items: rows.
struct PositionScaleArgs {
  const void* x;             // [rows, width] bf16 or f32 (type)
  const int32_t* positions;  // [rows]
  void* y;                   // [rows, width], type of x
  int64_t rows;
  int64_t width;
  float beta;
  int64_t original;  // positive
  Type type;
};

// One layer's paged cache on one rank, in blocks of 32 tokens; element type bf16 or f32.
//   K: [block, kv_heads, head_dim / 2, 32, 2]   (lanes over tokens: token t's pair i at (i * 32 + t) * 2)
//   V: [block, kv_heads, 32, head_dim]          (lanes over head_dim)
struct KvCache {
  void* k;
  void* v;
  int64_t block_count;
  int64_t kv_heads;
  int64_t head_dim;  // even
};

// Writes the K and V rows of each token to its slot. Items: tokens.
struct KvAppendArgs {
  KvCache cache;
  const void* k;         // [tokens, kv_heads, head_dim], cache type
  const float* v;        // [tokens, kv_heads, head_dim] f32, rounded to the cache type
  const int32_t* slots;  // [tokens]: block * 32 + position % 32
  int64_t tokens;
};

// Causal attention of each query row over its own sequence, walked in KV blocks. A row at `position` sees the tokens
// max(0, position - window + 1)..position; window 0: all from 0 on.
// score(t) = scale * chain over head_dim (the set's Chain, no padding: a last short group of kBlock32 is a shorter
// chain); with a soft_cap, score(t) = soft_cap * Tanh((scale / soft_cap) * chain), the quotient rounded once for all.
// Segments of 16 blocks lie at absolute positions (0, 512, ...) whatever the window, and start from nothing; blocks
// that no token in sight lies in are passed over, neither they nor their entries of block_table are read. Within a
// segment, per block in order, over its visible tokens:
//   m' = max(m, max score); c = exp(m - m'); p(t) = exp(score(t) - m');
//   l = l * c + sum16(p)   (16 lanes, lane = t % 16, plain adds in order, combined as in RmsNorm)
//   o[d] = o[d] * c, then for visible t in order: o[d] = fma(p(t), v(t, d), o[d]);  m = m'
// (the first block in sight of a segment sets c = 0 on o = 0, l = 0.) The first segment in sight is taken as it is, the
// others are merged into it in order:
//   m' = max(m, ms); a = exp(m - m'), b = exp(ms - m'); l = l * a + ls * b; o = o * a + os * b
// A head's sink is the score of a token that every row sees, whatever its window, and whose V is zero: it has a place
// in the sum, and none in the result (gpt-oss: transformers, models/gpt_oss/modeling_gpt_oss.py,
// eager_attention_forward: softmax over the scores and the sink, whose column is dropped). It is neither scaled nor
// capped. It is added after the last segment: l = l + exp(sink - m), which is infinite, and the result 0, where it is
// far above the scores. So without sinks no bit is another, a sink of minus infinity is none, and o stays as it is.
// All products here but those of fma are rounded before they are added.
// Result o / l. Items: tokens * kv_heads (item = token * kv_heads + kv head; it computes heads / kv_heads query heads).
struct AttentionArgs {
  const void* q;  // [tokens, heads, head_dim], cache type
  KvCache cache;
  const int32_t* sequence;     // [tokens]: row of block_table
  const int32_t* positions;    // [tokens]
  const int32_t* block_table;  // [sequences, table_stride]: KV block of each 32 positions
  int64_t table_stride;
  void* y;  // [tokens, heads, head_dim], cache type
  int64_t tokens;
  int64_t heads;  // query heads of this rank; a multiple of cache.kv_heads
  float scale;
  int64_t window = 0;  // tokens that a row sees, itself included; 0: all before it too
  float soft_cap = 0;  // 0: none
  // [heads] f32, as scores and biases are, whatever a checkpoint has (gpt-oss: bf16); finite or minus infinity.
  // Null: none.
  const float* sinks = nullptr;
};

// y = silu(gate) * up, silu(g) = g / (1 + exp(-g)). Items: rows.
struct SiluMulArgs {
  const float* gate;  // [rows, width]
  const float* up;    // [rows, width]
  void* y;            // [rows, width] bf16 or f32 (out)
  int64_t rows;
  int64_t width;
  Type out;
};

// y = gelu(gate) * up. Exact: gelu(g) = (0.5 * g) * (1 + Erf(g * sqrt(1/2))). Approximate:
//   gelu(g) = (0.5 * g) * (1 + Tanh(sqrt(2/pi) * fma(0.044715, (g * g) * g, g))).
// Items: rows.
struct GeluMulArgs {
  const float* gate;  // [rows, width]
  const float* up;    // [rows, width]
  void* y;            // [rows, width] bf16 or f32 (out)
  int64_t rows;
  int64_t width;
  Type out;
  bool approximate;
};

// y = x * factor; y may be x where it is f32. By 1 it only rounds to what a matrix takes in. Items: rows.
struct ScaleArgs {
  const float* x;  // [rows, width]
  void* y;         // [rows, width] bf16 or f32 (out)
  int64_t rows;
  int64_t width;
  float factor;
  Type out;
};

// y = cap * Tanh(x / cap) (f32); y may be x. Items: rows.
struct SoftCapArgs {
  const float* x;  // [rows, width]
  float* y;
  int64_t rows;
  int64_t width;
  float cap;  // positive
};

// y = a + b (f32); y may be a or b. broadcast_b: b is one row [width], added to every row of a. Items:
// rows.
struct AddArgs {
  const float* a;  // [rows, width]
  const float* b;  // [rows or 1, width]
  float* y;
  int64_t rows;
  int64_t width;
  bool broadcast_b;
};

// y[r, :] = table row ids[r] as f32, plus +0; zeros where the id is not on this rank. Items: rows.
struct EmbedArgs {
  const int32_t* ids;  // [rows] global token ids
  const void* table;   // packed [shape.n, shape.chunk_k], chunk_count 1, bf16 or f32
  Type table_type;
  float* y;  // [rows, shape.chunk_k]
  int64_t rows;
  PackedShape shape;
  int64_t vocab_begin;  // global id of the table's first row
};

// y[i, :] = x[rows[i], :] (f32). Items: count.
struct SelectRowsArgs {
  const float* x;       // [*, width]
  const int32_t* rows;  // [count]
  float* y;             // [count, width]
  int64_t count;
  int64_t width;
};

// Per row of logits: the best `k` candidates of this rank (logit descending, then id ascending; fewer than k real ones
// are filled with id -1, -inf), and per vocabulary chunk on this rank the log-sum-exp partial (max, sum of exp(x - max)
// in 16 lanes). Ids at or past vocab_valid are padding and never count. NaN logits sort below -inf. Items: rows.
struct TopCandidatesArgs {
  const float* logits;  // [rows, chunk_size * chunk_count]
  int64_t rows;
  int64_t chunk_size;   // padded vocabulary / kVocabChunks
  int64_t chunk_count;  // chunks on this rank
  int64_t vocab_begin;
  int64_t vocab_valid;  // global ids below this are real
  int64_t k;            // <= kMaxCandidates
  // Out, one record a row: k ids (i32), k logits (f32), chunk_count pairs (max, sum) (f32). Stride in bytes:
  // TopCandidatesRecordBytes(k, chunk_count).
  std::byte* records;
};
constexpr int64_t TopCandidatesRecordBytes(int64_t k, int64_t chunk_count) { return k * 8 + chunk_count * 8; }

template <typename Args>
using Kernel = void (*)(const Args& args, int64_t item_begin, int64_t item_end);

// The rows of the kernel table: name, argument block. One row feeds the declaration, the sets, the exactness test
// against the reference and the benchmark. In a set's folder the kernel is the overload Run(const Args&, item_begin,
// item_end).
#define MRS_PLAIN_KERNELS(ROW)           \
  ROW(rms_norm, RmsNormArgs)             \
  ROW(layer_norm, LayerNormArgs)         \
  ROW(sum_squares, SumSquaresArgs)       \
  ROW(rms_scale, RmsScaleArgs)           \
  ROW(rope_angles, RopeAnglesArgs)       \
  ROW(rope, RopeArgs)                    \
  ROW(position_scale, PositionScaleArgs) \
  ROW(silu_mul, SiluMulArgs)             \
  ROW(gelu_mul, GeluMulArgs)             \
  ROW(scale, ScaleArgs)                  \
  ROW(soft_cap, SoftCapArgs)             \
  ROW(add, AddArgs)                      \
  ROW(embed, EmbedArgs)                  \
  ROW(select_rows, SelectRowsArgs)       \
  ROW(top_candidates, TopCandidatesArgs)
// Those whose code depends on an element type (the end of the name) or on the chain: Run<T, chain>.
#define MRS_TYPED_KERNELS(ROW)       \
  ROW(matmul_bf16, MatmulArgs)       \
  ROW(matmul_f32, MatmulArgs)        \
  ROW(attention_bf16, AttentionArgs) \
  ROW(attention_f32, AttentionArgs)  \
  ROW(kv_append_bf16, KvAppendArgs)  \
  ROW(kv_append_f32, KvAppendArgs)
#define MRS_KERNELS(ROW) MRS_TYPED_KERNELS(ROW) MRS_PLAIN_KERNELS(ROW)

// The kernels of one instruction set and one chain.
struct KernelSet {
  template <typename Args>
  using Function = Kernel<Args>;
#define ROW(name, args) Kernel<args> name;
  MRS_KERNELS(ROW)
#undef ROW
};

// The best instruction set of this host (cpuid), never above MRS_ISA where that is set
// (reference, avx2, avx512, avx512bf16, amx). Unknown names count as unset; ParseIsa lets a caller refuse them.
Isa DetectIsa();
// The project's baseline is x86-64-v3: everything here, the reference too, is compiled for AVX2 and FMA. Without them
// DetectIsa gives kReference and nothing may be run: refuse the host first.
bool HostHasBaseline();
bool ParseIsa(const char* name, Isa* isa);
const char* IsaName(Isa isa);
// What runs natively: kPair2 from kAvx512Bf16 on. Anything else is emulated with FMAs, to the same bits (kBlock32 on
// kAmx too, until there is a tdpbf16ps kernel).
bool IsNative(Isa isa, Chain chain);
const KernelSet& SelectKernels(Isa isa, Chain chain);

// Packs rows [row_begin, row_end) of a row-major source into a packed matrix. Source element (r, k) is at
// src + (r * src_stride + k) * size(src_type); rows are relative to the packed matrix's row 0. `dst` must be zeroed
// before (padding stays zero). dst_type kBf16 takes bf16, and f32/f16 rounded to nearest; kF32 takes all three.
struct PackArgs {
  const std::byte* src;
  Type src_type;
  int64_t src_stride;  // elements
  void* dst;
  Type dst_type;
  PackedShape shape;
};
void PackRows(const PackArgs& args, int64_t row_begin, int64_t row_end);
// Element-wise conversion of a vector (norm weights, biases) to f32.
void ConvertToF32(const std::byte* src, Type src_type, float* dst, int64_t count);

// (max, sum) partials of a log-sum-exp, combined by a balanced tree over 2^n chunks in vocabulary order.
// Commutes; an empty chunk is (-inf, 0).
struct LsePartial {
  float max;
  float sum;
};
LsePartial CombineLse(LsePartial a, LsePartial b);
LsePartial CombineLseTree(const LsePartial* partials, int64_t count);
// The partial of one chunk: 16 lanes of plain adds over i % 16, combined as in RmsNorm.
LsePartial ChunkLse(const float* logits, int64_t count);
// max + log(sum) with the project's own logarithm.
float LseValue(LsePartial total);

// Sets flush-to-zero and denormals-are-zero for this thread, and restores what was there.
class ScopedFlushToZero {
 public:
  ScopedFlushToZero();
  ~ScopedFlushToZero();
  ScopedFlushToZero(const ScopedFlushToZero&) = delete;
  ScopedFlushToZero& operator=(const ScopedFlushToZero&) = delete;

 private:
  uint32_t saved_;
};

}  // namespace mrs::kernels
