// Cases of what runs per row: norms, activations, factors, the residual.
#include <fmt/format.h>

#include "kernels/testing/cases.h"

namespace mrs::kernels {
namespace {

Case<RmsNormArgs> RmsNorm(Type out, Random* random, int64_t rows, int64_t width) {
  Case<RmsNormArgs> c;
  c.name = fmt::format("{} rows {} width {}", TypeName(out), rows, width);
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            NewFloats(c.buffers.get(), random, width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            1e-5f,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (4 + TypeBytes(out)));
  return c;
}

Case<LayerNormArgs> LayerNorm(Type out, Random* random, int64_t rows, int64_t width, float offset) {
  Case<LayerNormArgs> c;
  c.name = fmt::format("{} rows {} width {} offset {}", TypeName(out), rows, width, offset);
  float* x = NewFloats(c.buffers.get(), random, rows * width);
  for (int64_t i = 0; i < rows * width; ++i) x[i] += offset;
  c.args = {x,
            NewFloats(c.buffers.get(), random, width),
            NewFloats(c.buffers.get(), random, width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            1e-5f,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (4 + TypeBytes(out)));
  return c;
}

Case<SumSquaresArgs> SumSquares(Random* random, int64_t rows, int64_t heads, int64_t head_dim, int64_t chunk_heads) {
  Case<SumSquaresArgs> c;
  c.name = fmt::format("rows {} heads {} head_dim {} chunk_heads {}", rows, heads, head_dim, chunk_heads);
  c.args = {NewFloats(c.buffers.get(), random, rows * heads * head_dim),
            static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, rows)),
            rows,
            heads,
            head_dim,
            chunk_heads};
  c.items = rows;
  c.bytes = static_cast<double>(rows * heads * head_dim * 4);
  return c;
}

// As one of four ranks would: a quarter of what went into the sum.
Case<RmsScaleArgs> RmsScale(Type out, Random* random, int64_t rows, int64_t width) {
  Case<RmsScaleArgs> c;
  c.name = fmt::format("{} rows {} width {}", TypeName(out), rows, width);
  float* sum = c.buffers->New<float>(rows);
  for (int64_t row = 0; row < rows; ++row) sum[row] = random->Value() * random->Value() * 100.0f;
  for (int64_t row = 0; row < rows; ++row) sum[row] = sum[row] < 0 ? -sum[row] : sum[row];
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            sum,
            NewFloats(c.buffers.get(), random, width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            4 * width,
            1e-6f,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (4 + TypeBytes(out)));
  return c;
}

Case<SiluMulArgs> SiluMul(Type out, Random* random, int64_t rows, int64_t width) {
  Case<SiluMulArgs> c;
  c.name = fmt::format("{} rows {} width {}", TypeName(out), rows, width);
  float* gate = NewFloats(c.buffers.get(), random, rows * width);
  for (int64_t i = 0; i < rows * width; ++i) gate[i] *= 20.0f;
  c.args = {gate,
            NewFloats(c.buffers.get(), random, rows * width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (8 + TypeBytes(out)));
  return c;
}

Case<GeluMulArgs> GeluMul(Type out, Random* random, int64_t rows, int64_t width, bool approximate) {
  Case<GeluMulArgs> c;
  c.name = fmt::format("{} rows {} width {} approximate {}", TypeName(out), rows, width, approximate);
  float* gate = NewFloats(c.buffers.get(), random, rows * width);
  for (int64_t i = 0; i < rows * width; ++i) gate[i] *= 6.0f;
  c.args = {gate,
            NewFloats(c.buffers.get(), random, rows * width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            out,
            approximate};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (8 + TypeBytes(out)));
  return c;
}

Case<ScaleArgs> Scale(Type out, Random* random, int64_t rows, int64_t width, float factor) {
  Case<ScaleArgs> c;
  c.name = fmt::format("{} rows {} width {} factor {}", TypeName(out), rows, width, factor);
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            NewOutput(c.buffers.get(), &c.outputs, out, rows * width),
            rows,
            width,
            factor,
            out};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * (4 + TypeBytes(out)));
  return c;
}

Case<SoftCapArgs> SoftCap(Random* random, int64_t rows, int64_t width, float cap) {
  Case<SoftCapArgs> c;
  c.name = fmt::format("rows {} width {} cap {}", rows, width, cap);
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, rows * width)), rows, width, cap};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * 8);
  return c;
}

Case<AddArgs> Add(Random* random, int64_t rows, int64_t width, bool broadcast) {
  Case<AddArgs> c;
  c.name = fmt::format("rows {} width {} broadcast {}", rows, width, broadcast);
  c.args = {NewFloats(c.buffers.get(), random, rows * width),
            NewFloats(c.buffers.get(), random, (broadcast ? 1 : rows) * width),
            static_cast<float*>(NewOutput(c.buffers.get(), &c.outputs, Type::kF32, rows * width)),
            rows,
            width,
            broadcast};
  c.items = rows;
  c.bytes = static_cast<double>(rows * width * 12);
  return c;
}

}  // namespace

template <>
std::vector<Case<RmsNormArgs>> TestCases<RmsNormArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<RmsNormArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (int64_t width : {1, 7, 16, 33, 64, 131, 1000, 9001}) cases.push_back(RmsNorm(out, &random, 3, width));
    cases.push_back(RmsNorm(out, &random, 0, 16));
  }
  return cases;
}
template <>
Case<RmsNormArgs> BenchCase<RmsNormArgs>(Type) {
  Random random{4};
  return RmsNorm(Type::kBf16, &random, 16, 4096);
}

template <>
std::vector<Case<LayerNormArgs>> TestCases<LayerNormArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<LayerNormArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (int64_t width : {1, 7, 16, 33, 64, 131, 1000, 9001}) cases.push_back(LayerNorm(out, &random, 3, width, 0.0f));
    cases.push_back(LayerNorm(out, &random, 2, 160, 30.0f));  // a mean far from 0
    cases.push_back(LayerNorm(out, &random, 0, 16, 0.0f));
  }
  return cases;
}
template <>
Case<LayerNormArgs> BenchCase<LayerNormArgs>(Type) {
  Random random{13};
  return LayerNorm(Type::kBf16, &random, 16, 4096, 0.0f);
}

template <>
std::vector<Case<SumSquaresArgs>> TestCases<SumSquaresArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<SumSquaresArgs>> cases;
  cases.push_back(SumSquares(&random, 0, 4, 16, 1));
  cases.push_back(SumSquares(&random, 1, 1, 2, 1));
  cases.push_back(SumSquares(&random, 5, 16, 80, 1));
  cases.push_back(SumSquares(&random, 3, 24, 34, 3));  // a chunk of several heads, no whole registers
  cases.push_back(SumSquares(&random, 2, 5, 128, 5));
  return cases;
}
template <>
Case<SumSquaresArgs> BenchCase<SumSquaresArgs>(Type) {
  Random random{14};
  return SumSquares(&random, 16, 32, 128, 2);
}

template <>
std::vector<Case<RmsScaleArgs>> TestCases<RmsScaleArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<RmsScaleArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (int64_t width : {1, 16, 33, 640, 5003}) cases.push_back(RmsScale(out, &random, 3, width));
    cases.push_back(RmsScale(out, &random, 0, 16));
  }
  return cases;
}
template <>
Case<RmsScaleArgs> BenchCase<RmsScaleArgs>(Type) {
  Random random{15};
  return RmsScale(Type::kBf16, &random, 16, 4096);
}

template <>
std::vector<Case<SiluMulArgs>> TestCases<SiluMulArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<SiluMulArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (int64_t width : {1, 16, 31, 172, 1024}) cases.push_back(SiluMul(out, &random, 3, width));
    cases.push_back(SiluMul(out, &random, 0, 16));
  }
  return cases;
}
template <>
Case<SiluMulArgs> BenchCase<SiluMulArgs>(Type) {
  Random random{7};
  return SiluMul(Type::kBf16, &random, 16, 14336);
}

template <>
std::vector<Case<GeluMulArgs>> TestCases<GeluMulArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<GeluMulArgs>> cases;
  for (bool approximate : {false, true}) {
    for (Type out : {Type::kF32, Type::kBf16}) {
      for (int64_t width : {1, 16, 31, 172, 1024}) cases.push_back(GeluMul(out, &random, 3, width, approximate));
      cases.push_back(GeluMul(out, &random, 0, 16, approximate));
    }
  }
  return cases;
}
template <>
Case<GeluMulArgs> BenchCase<GeluMulArgs>(Type) {
  Random random{16};
  return GeluMul(Type::kBf16, &random, 16, 14336, true);
}

template <>
std::vector<Case<ScaleArgs>> TestCases<ScaleArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<ScaleArgs>> cases;
  for (Type out : {Type::kF32, Type::kBf16}) {
    for (float factor : {0.22f, 1.0f, 48.0f}) {
      for (int64_t width : {1, 16, 37, 640}) cases.push_back(Scale(out, &random, 5, width, factor));
      cases.push_back(Scale(out, &random, 0, 16, factor));
    }
  }
  return cases;
}
template <>
Case<ScaleArgs> BenchCase<ScaleArgs>(Type) {
  Random random{17};
  return Scale(Type::kF32, &random, 16, 4096, 0.22f);
}

template <>
std::vector<Case<SoftCapArgs>> TestCases<SoftCapArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<SoftCapArgs>> cases;
  for (float cap : {0.5f, 30.0f}) {
    for (int64_t width : {1, 16, 37, 640}) cases.push_back(SoftCap(&random, 5, width, cap));
    cases.push_back(SoftCap(&random, 0, 16, cap));
  }
  return cases;
}
template <>
Case<SoftCapArgs> BenchCase<SoftCapArgs>(Type) {
  Random random{18};
  return SoftCap(&random, 4, 128256, 30.0f);
}

template <>
std::vector<Case<AddArgs>> TestCases<AddArgs>(Type, uint64_t seed) {
  Random random{seed};
  std::vector<Case<AddArgs>> cases;
  for (bool broadcast : {false, true}) {
    for (int64_t width : {1, 16, 37, 640}) cases.push_back(Add(&random, 5, width, broadcast));
    cases.push_back(Add(&random, 0, 16, broadcast));
  }
  return cases;
}
template <>
Case<AddArgs> BenchCase<AddArgs>(Type) {
  Random random{8};
  return Add(&random, 16, 4096, false);
}

}  // namespace mrs::kernels
