// !mrs.tensor: printing, parsing, and its few methods.
#include "ir/dialect.h"
#include "mlir/IR/DialectImplementation.h"

namespace mrs::ir {
namespace {

// Symbols by their sizes -1, -2, -3, -4.
constexpr llvm::StringLiteral kSymbols[] = {"T", "S", "L", "B"};

mlir::ParseResult ParseAxis(mlir::AsmParser& parser, Axis* axis) {
  llvm::StringRef word;
  const llvm::SMLoc where = parser.getCurrentLocation();
  if (parser.parseKeyword(&word)) return mlir::failure();
  const auto found = AxisOf(word);
  if (!found || *found == Axis::kStage) {
    return parser.emitError(where, "expected an axis that splits values: tp, ep or dp");
  }
  *axis = *found;
  return mlir::success();
}

// dim ::= symbol | integer slice?      slice ::= `{` axis size (`start` s)? (`step` s)? (`every` e)? `}`
mlir::ParseResult ParseDim(mlir::AsmParser& parser, int64_t* size, DimSlice* slice) {
  mlir::OptionalParseResult number = parser.parseOptionalInteger(*size);
  if (!number.has_value()) {
    llvm::StringRef symbol;
    const llvm::SMLoc where = parser.getCurrentLocation();
    if (parser.parseKeyword(&symbol)) return mlir::failure();
    const auto* found = llvm::find(kSymbols, symbol);
    if (found == std::end(kSymbols)) return parser.emitError(where, "expected a size or one of T, S, L, B");
    *size = -1 - (found - std::begin(kSymbols));
    return mlir::success();
  }
  if (mlir::failed(*number)) return mlir::failure();
  if (mlir::failed(parser.parseOptionalLBrace())) return mlir::success();
  if (ParseAxis(parser, &slice->axis) || parser.parseInteger(slice->size)) return mlir::failure();
  slice->step = slice->size;
  if (mlir::succeeded(parser.parseOptionalKeyword("start")) && parser.parseInteger(slice->start))
    return mlir::failure();
  if (mlir::succeeded(parser.parseOptionalKeyword("step")) && parser.parseInteger(slice->step)) return mlir::failure();
  if (mlir::succeeded(parser.parseOptionalKeyword("every")) && parser.parseInteger(slice->every))
    return mlir::failure();
  return parser.parseRBrace();
}

void PrintDim(mlir::AsmPrinter& printer, int64_t size, const DimSlice& slice) {
  if (size < 0) {
    printer << kSymbols[-1 - size];
    return;
  }
  printer << size;
  if (!slice.split()) return;
  printer << "{" << NameOf(slice.axis) << " " << slice.size;
  if (slice.start != 0) printer << " start " << slice.start;
  if (slice.step != slice.size) printer << " step " << slice.step;
  if (slice.every != 1) printer << " every " << slice.every;
  printer << "}";
}

}  // namespace

mlir::Type TensorType::parse(mlir::AsmParser& parser) {
  llvm::SmallVector<int64_t> shape;
  llvm::SmallVector<DimSlice> slices;
  mlir::Type element;
  AxisSet partial;
  const llvm::SMLoc where = parser.getCurrentLocation();
  auto dim = [&]() { return ParseDim(parser, &shape.emplace_back(), &slices.emplace_back()); };
  if (parser.parseLess() || parser.parseCommaSeparatedList(mlir::AsmParser::Delimiter::Square, dim) ||
      parser.parseComma() || parser.parseType(element)) {
    return {};
  }
  if (mlir::succeeded(parser.parseOptionalComma())) {
    auto axis = [&]() -> mlir::ParseResult {
      Axis one;
      if (ParseAxis(parser, &one)) return mlir::failure();
      partial = partial.With(one);
      return mlir::success();
    };
    if (parser.parseKeyword("partial") || parser.parseCommaSeparatedList(mlir::AsmParser::Delimiter::Braces, axis)) {
      return {};
    }
  }
  if (parser.parseGreater()) return {};
  return getChecked([&]() { return parser.emitError(where); }, parser.getContext(), llvm::ArrayRef(shape), element,
                    llvm::ArrayRef(slices), partial);
}

void TensorType::print(mlir::AsmPrinter& printer) const {
  printer << "<[";
  for (int64_t dim = 0; dim < rank(); ++dim) {
    if (dim != 0) printer << ", ";
    PrintDim(printer, getShape()[dim], getSlices()[dim]);
  }
  printer << "], " << getElementType();
  if (getPartial()) printer << ", partial{" << AxisNames(getPartial()) << "}";
  printer << ">";
}

mlir::LogicalResult TensorType::verify(llvm::function_ref<mlir::InFlightDiagnostic()> emit_error,
                                       llvm::ArrayRef<int64_t> shape, mlir::Type element,
                                       llvm::ArrayRef<DimSlice> slices, AxisSet) {
  constexpr int64_t kMaxSize = kMaxElements;
  if (shape.empty() || shape.size() > 4) return emit_error() << "a tensor has 1 to 4 dimensions, not " << shape.size();
  if (slices.size() != shape.size()) return emit_error() << "one slice a dimension";
  const bool known = element.isF32() || element.isBF16() || element.isInteger(32) || mlir::isa<CandidatesType>(element);
  if (!known) return emit_error() << "elements are f32, bf16, i32 or candidates, not " << element;
  int64_t elements = 1;
  for (size_t dim = 0; dim < shape.size(); ++dim) {
    const DimSlice& slice = slices[dim];
    if (shape[dim] == 0 || shape[dim] < kCached || shape[dim] > kMaxSize) {
      return emit_error() << "dimension " << dim << ": size " << shape[dim] << " is out of range";
    }
    if (dim > 0 && shape[dim] < 0) {
      return emit_error() << "dimension " << dim << ": only the first dimension, rows, can be a symbol";
    }
    if (shape[dim] > 0 && __builtin_mul_overflow(elements, shape[dim], &elements)) elements = kMaxSize + 1;
    if (elements > kMaxSize) return emit_error() << "more than " << kMaxSize << " elements";
    if (!slice.split()) continue;
    if (slice.axis == Axis::kStage) return emit_error() << "dimension " << dim << ": stages do not split values";
    if (shape[dim] < 0) return emit_error() << "dimension " << dim << ": a symbol cannot be split";
    if (slice.size < 0 || slice.size > shape[dim] || slice.every < 1 || slice.every > (1 << 20) ||
        slice.start < -shape[dim] || slice.start > shape[dim] || slice.step < -shape[dim] || slice.step > shape[dim]) {
      return emit_error() << "dimension " << dim << ": slice {size " << slice.size << ", start " << slice.start
                          << ", step " << slice.step << ", every " << slice.every << "} is out of range";
    }
  }
  return mlir::success();
}

TensorType TensorType::get(mlir::MLIRContext* context, llvm::ArrayRef<int64_t> shape, mlir::Type element) {
  return get(context, shape, element, llvm::SmallVector<DimSlice>(shape.size()), AxisSet());
}

TensorType TensorType::withSlice(int64_t dim, DimSlice slice) const {
  llvm::SmallVector<DimSlice> slices(getSlices());
  slices[dim] = slice;
  return get(getContext(), getShape(), getElementType(), slices, getPartial());
}

TensorType TensorType::withPartial(AxisSet partial) const {
  return get(getContext(), getShape(), getElementType(), getSlices(), partial);
}

bool TensorType::isSharded() const {
  return llvm::any_of(getSlices(), [](const DimSlice& slice) { return slice.split(); });
}

int64_t TensorType::localSize(int64_t dim) const {
  return getSlices()[dim].split() ? getSlices()[dim].size : getShape()[dim];
}

}  // namespace mrs::ir
