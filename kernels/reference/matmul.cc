#include "kernels/reference/reference.h"

namespace mrs::kernels::reference {
namespace {

template <typename T, Chain chain>
struct Output {
  const T* x;  // the row
  const T* w;  // the block's first element of this lane
  int64_t chunk_k;
  int64_t padded;

  float Chunk(int64_t chunk) const {
    const T* xc = x + chunk * chunk_k;
    const T* wc = w + chunk * padded * kLanes;
    return Dot<chain>(
        padded, [=, this](int64_t kk) { return kk < chunk_k ? ToF32(xc[kk]) : 0.0f; },
        [=](int64_t kk) { return ToF32(wc[(kk & ~int64_t{1}) * kLanes + (kk & 1)]); });
  }

  // Balanced binary tree over chunks [first, first + count).
  float Tree(int64_t first, int64_t count) const {
    if (count == 1) return Chunk(first);
    const float left = Tree(first, count / 2);
    const float right = Tree(first + count / 2, count / 2);
    return left + right;
  }
};

}  // namespace

template <typename T, Chain chain>
void Run(const MatmulArgs& args, int64_t item_begin, int64_t item_end) {
  const PackedShape& shape = args.shape;
  const int64_t padded = (shape.chunk_k + kGranule - 1) / kGranule * kGranule;
  for (int64_t block = item_begin; block < item_end; ++block) {
    const T* w = static_cast<const T*>(args.w) + block * shape.chunk_count * padded * kLanes;
    for (int64_t lane = 0; lane < kLanes && block * kLanes + lane < shape.n; ++lane) {
      const int64_t n = block * kLanes + lane;
      for (int64_t row = 0; row < args.rows; ++row) {
        const T* x = static_cast<const T*>(args.x) + row * args.x_stride;
        const Output<T, chain> output{x, w + lane * 2, shape.chunk_k, padded};
        float y = output.Tree(0, shape.chunk_count);
        if (args.bias != nullptr) y = y + args.bias[n];
        args.y[row * args.y_stride + n] = y;
      }
    }
  }
}

template void Run<float, Chain::kPair2>(const MatmulArgs&, int64_t, int64_t);
template void Run<float, Chain::kBlock32>(const MatmulArgs&, int64_t, int64_t);
template void Run<bf16, Chain::kPair2>(const MatmulArgs&, int64_t, int64_t);
template void Run<bf16, Chain::kBlock32>(const MatmulArgs&, int64_t, int64_t);

}  // namespace mrs::kernels::reference
