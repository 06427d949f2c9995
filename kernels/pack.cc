// From the checkpoint's row-major weights to lanes over n, or to rows (PackedShape in kernels.h, RowElements in
// rows.h).
#include <type_traits>

#include "kernels/kernels.h"
#include "kernels/math.h"
#include "kernels/rows.h"

namespace mrs::kernels {
namespace {

int64_t RoundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

template <Type type>
struct Source;
template <>
struct Source<Type::kF32> {
  static constexpr int64_t kBytes = 4;
  static float Load(const std::byte* at) {
    float value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
};
template <>
struct Source<Type::kBf16> {
  static constexpr int64_t kBytes = 2;
  static float Load(const std::byte* at) {
    bf16 value;
    std::memcpy(&value, at, sizeof(value));
    return F32FromBf16(value);
  }
};
template <>
struct Source<Type::kF16> {
  static constexpr int64_t kBytes = 2;
  static float Load(const std::byte* at) {
    uint16_t value;
    std::memcpy(&value, at, sizeof(value));
    return F32FromF16(value);
  }
};

void Put(float value, float* at) { *at = value; }
void Put(float value, bf16* at) { *at = Bf16FromF32(value); }

// An element as another type has it; of the same type its bits, of any NaN too, as whoever copies all of them has them.
template <Type from, typename T>
void Move(const std::byte* src, T* at) {
  if constexpr (from == Type::kBf16 && std::is_same_v<T, bf16>) {
    std::memcpy(at, src, sizeof(*at));
  } else {
    Put(Source<from>::Load(src), at);
  }
}

// Block by block, so that the 16 rows of a block fill a line of the destination together.
template <Type from, typename T>
void Pack(const PackArgs& args, int64_t row_begin, int64_t row_end) {
  const PackedShape& shape = args.shape;
  const int64_t padded = RoundUp(shape.chunk_k, kGranule);
  T* dst = static_cast<T*>(args.dst);
  for (int64_t first = row_begin; first < row_end; first = (first / kLanes + 1) * kLanes) {
    const int64_t block = first / kLanes;
    const int64_t last = row_end < (block + 1) * kLanes ? row_end : (block + 1) * kLanes;
    for (int64_t chunk = 0; chunk < shape.chunk_count; ++chunk) {
      T* out = dst + (block * shape.chunk_count + chunk) * padded * kLanes;
      for (int64_t kk = 0; kk < shape.chunk_k; kk += 2) {
        const int64_t pair = shape.chunk_k - kk < 2 ? 1 : 2;
        for (int64_t row = first; row < last; ++row) {
          const std::byte* src = args.src + (row * args.src_stride + chunk * shape.chunk_k + kk) * Source<from>::kBytes;
          T* at = out + kk * kLanes + (row % kLanes) * 2;
          for (int64_t i = 0; i < pair; ++i) Move<from>(src + i * Source<from>::kBytes, at + i);
        }
      }
    }
  }
}

template <Type from, typename T>
void Copy(const PackArgs& args, int64_t row_begin, int64_t row_end) {
  const PackedShape& shape = args.shape;
  const int64_t row_elements = RowElements(shape), padded = row_elements / shape.chunk_count;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const std::byte* src = args.src + row * args.src_stride * Source<from>::kBytes;
    T* out = static_cast<T*>(args.dst) + row * row_elements;
    for (int64_t chunk = 0; chunk < shape.chunk_count; ++chunk, out += padded) {
      for (int64_t kk = 0; kk < shape.chunk_k; ++kk, src += Source<from>::kBytes) Move<from>(src, out + kk);
    }
  }
}

// Where the elements of a row go.
enum class Layout { kLanes, kRows };
template <Layout layout, typename T>
void PackTo(const PackArgs& args, int64_t row_begin, int64_t row_end) {
  const auto run = [&]<Type from>() {
    if constexpr (layout == Layout::kLanes) {
      Pack<from, T>(args, row_begin, row_end);
    } else {
      Copy<from, T>(args, row_begin, row_end);
    }
  };
  switch (args.src_type) {
    case Type::kF32:
      return run.template operator()<Type::kF32>();
    case Type::kBf16:
      return run.template operator()<Type::kBf16>();
    case Type::kF16:
      return run.template operator()<Type::kF16>();
  }
}

template <Type from>
void Convert(const std::byte* src, float* dst, int64_t count) {
  for (int64_t i = 0; i < count; ++i) dst[i] = Source<from>::Load(src + i * Source<from>::kBytes);
}

}  // namespace

void PackRows(const PackArgs& args, int64_t row_begin, int64_t row_end) {
  if (args.dst_type == Type::kBf16) {
    PackTo<Layout::kLanes, bf16>(args, row_begin, row_end);
  } else {
    PackTo<Layout::kLanes, float>(args, row_begin, row_end);
  }
}

void CopyRows(const PackArgs& args, int64_t row_begin, int64_t row_end) {
  if (args.dst_type == Type::kBf16) {
    PackTo<Layout::kRows, bf16>(args, row_begin, row_end);
  } else {
    PackTo<Layout::kRows, float>(args, row_begin, row_end);
  }
}

void ConvertToF32(const std::byte* src, Type src_type, float* dst, int64_t count) {
  switch (src_type) {
    case Type::kF32:
      return Convert<Type::kF32>(src, dst, count);
    case Type::kBf16:
      return Convert<Type::kBf16>(src, dst, count);
    case Type::kF16:
      return Convert<Type::kF16>(src, dst, count);
  }
}

}  // namespace mrs::kernels
