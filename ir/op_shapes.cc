// What each operation checks of itself, sharded or not: sizes by its factor map, element types, attributes.
// Whether slices and partial sums fit together is verify_sharding.cc's question.
#include "ir/canonical_chunks.h"
#include "ir/dialect.h"
#include "ir/sharding_rules.h"

namespace mrs::ir {
namespace {

TensorType TypeOf(mlir::Value value) { return mlir::cast<TensorType>(value.getType()); }

// A size as types print it: a number, or the symbol.
std::string SizeName(int64_t size) { return size < 0 ? std::string(1, "TSLB"[-1 - size]) : std::to_string(size); }

// Dimensions of one factor have one size; a coarse one divides it.
mlir::LogicalResult CheckSizes(mlir::Operation* op) {
  const auto map = FactorMapOf(op);
  if (mlir::failed(map)) return mlir::failure();
  if (!*map) return mlir::success();
  llvm::SmallVector<int64_t> sizes((*map)->factor_count, 0);
  mlir::LogicalResult ok = mlir::success();
  ForEachDim(op, **map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
    const int64_t size = TypeOf(value).getShape()[dim];
    if (mlir::failed(ok) || rule.coarse) return;
    int64_t& expected = sizes[rule.factor];
    if (expected == 0) expected = size;
    if (expected != size) {
      ok = NamedError(op) << "dimension " << dim << " of " << value.getType() << " has size " << SizeName(size)
                          << ", expected " << SizeName(expected);
    }
  });
  ForEachDim(op, **map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
    const int64_t size = TypeOf(value).getShape()[dim];
    if (mlir::failed(ok) || !rule.coarse) return;
    if (size <= 0 || sizes[rule.factor] <= 0 || sizes[rule.factor] % size != 0) {
      ok = NamedError(op) << "dimension " << dim << " of " << value.getType() << " has size " << SizeName(size)
                          << ", which does not divide " << SizeName(sizes[rule.factor]);
    }
  });
  return ok;
}

mlir::LogicalResult Expect(mlir::Operation* op, mlir::Value value, const char* what, bool good, const char* expected) {
  if (good) return mlir::success();
  return NamedError(op) << what << " is " << value.getType() << ", expected " << expected;
}
mlir::LogicalResult ExpectF32(mlir::Operation* op, mlir::Value value, const char* what) {
  return Expect(op, value, what, TypeOf(value).getElementType().isF32(), "f32 elements");
}
mlir::LogicalResult ExpectI32(mlir::Operation* op, mlir::Value value, const char* what) {
  return Expect(op, value, what, TypeOf(value).getElementType().isInteger(32), "i32 elements");
}
mlir::LogicalResult ExpectMatrixType(mlir::Operation* op, mlir::Value value, const char* what) {
  const mlir::Type element = TypeOf(value).getElementType();
  return Expect(op, value, what, element.isF32() || element.isBF16(), "f32 or bf16 elements");
}
mlir::LogicalResult ExpectSame(mlir::Operation* op, mlir::Value value, const char* what, mlir::Value other) {
  return Expect(op, value, what, TypeOf(value).getElementType() == TypeOf(other).getElementType(),
                "the element type of its other operand");
}
mlir::LogicalResult ExpectPositive(mlir::Operation* op, llvm::APFloat value, const char* what) {
  const float number = value.convertToFloat();
  if (number > 0 && number < 1e30f) return mlir::success();
  return NamedError(op) << what << " must be positive and finite";
}

mlir::LogicalResult ExpectNoneOrPositive(mlir::Operation* op, llvm::APFloat value, const char* what) {
  return value.isPosZero() ? mlir::success() : ExpectPositive(op, value, what);
}
mlir::LogicalResult ExpectAtLeast(mlir::Operation* op, const char* what, int64_t value, int64_t least) {
  if (value >= least) return mlir::success();
  return NamedError(op) << what << " is " << value << ", expected at least " << least;
}
mlir::LogicalResult ExpectWidth(mlir::Operation* op, int64_t width, int64_t said) {
  if (width == said) return mlir::success();
  return NamedError(op) << "width is " << said << ", expected the " << width << " elements of x";
}
// A sum over `units` that ranks may split is cut as CanonicalChunks says.
mlir::LogicalResult ExpectChunksOf(mlir::Operation* op, int64_t units, int64_t chunks) {
  const int64_t expected = units > 0 ? CanonicalChunks(units) : 1;
  if (chunks == expected) return mlir::success();
  return NamedError(op) << "sums in " << chunks << " canonical chunks, expected " << expected << " for " << units
                        << " heads";
}

mlir::LogicalResult ExpectAxis(mlir::Operation* op, llvm::StringRef axis) {
  const auto known = AxisOf(axis);
  if (known && *known != Axis::kStage) return mlir::success();
  return NamedError(op) << "runs over the axis '" << axis << "'; collectives run over tp, ep or dp";
}

bool All(std::initializer_list<mlir::LogicalResult> results) {
  return llvm::all_of(results, [](mlir::LogicalResult r) { return mlir::succeeded(r); });
}

// Products of one x: `products` are their results.
mlir::LogicalResult VerifyProducts(mlir::Operation* op, mlir::Value x, mlir::ValueRange weights,
                                   mlir::ValueRange biases, mlir::ValueRange products) {
  if (mlir::failed(CheckSizes(op)) || mlir::failed(ExpectMatrixType(op, x, "x"))) return mlir::failure();
  if (TypeOf(x).rank() < 2) return NamedError(op) << "x has no columns: " << x.getType();
  for (mlir::Value weight : weights) {
    if (mlir::failed(ExpectSame(op, weight, "a weight", x))) return mlir::failure();
    auto made_by = weight.getDefiningOp<WeightOp>();
    if (!made_by || static_cast<int64_t>(made_by.getNDims()) + TypeOf(x).rank() - 1 != TypeOf(weight).rank()) {
      return NamedError(op) << "a weight must be an mrs.weight whose columns are x's dimensions after the first";
    }
  }
  for (mlir::Value bias : biases) {
    if (mlir::failed(ExpectF32(op, bias, "a bias"))) return mlir::failure();
  }
  for (mlir::Value product : products) {
    if (mlir::failed(ExpectF32(op, product, "a result"))) return mlir::failure();
  }
  return mlir::success();
}

}  // namespace

#define MRS_VERIFY(Op, ...)                                                      \
  mlir::LogicalResult Op::verify() {                                             \
    mlir::Operation* op = getOperation();                                        \
    (void)op;                                                                    \
    return mlir::success(mlir::succeeded(CheckSizes(op)) && All({__VA_ARGS__})); \
  }

MRS_VERIFY(InputOp, ExpectI32(op, getResult(), "an input"))
MRS_VERIFY(EmbedOp, ExpectI32(op, getIds(), "ids"), ExpectMatrixType(op, getTable(), "the table"),
           ExpectF32(op, getResult(), "the result"))
MRS_VERIFY(RopeAnglesOp, ExpectI32(op, getPositions(), "positions"), ExpectF32(op, getResult(), "the result"))
MRS_VERIFY(RmsNormOp, ExpectF32(op, getX(), "x"), ExpectF32(op, getWeight(), "the weight"),
           ExpectMatrixType(op, getResult(), "the result"), ExpectPositive(op, getEps(), "eps"))
MRS_VERIFY(LayerNormOp, ExpectF32(op, getX(), "x"), ExpectF32(op, getWeight(), "the weight"),
           ExpectF32(op, getBias(), "the bias"), ExpectMatrixType(op, getResult(), "the result"),
           ExpectPositive(op, getEps(), "eps"))
MRS_VERIFY(SumSquaresOp, ExpectF32(op, getX(), "x"), ExpectF32(op, getResult(), "the result"),
           ExpectChunksOf(op, TypeOf(getX()).getShape()[1], getChunks()))
MRS_VERIFY(RmsScaleOp, ExpectF32(op, getX(), "x"), ExpectF32(op, getSum(), "the sum"),
           ExpectF32(op, getWeight(), "the weight"), ExpectMatrixType(op, getResult(), "the result"),
           ExpectPositive(op, getEps(), "eps"),
           ExpectWidth(op, TypeOf(getX()).getShape()[1] * TypeOf(getX()).getShape()[2], getWidth()))
MRS_VERIFY(ScaleOp, ExpectF32(op, getX(), "x"), ExpectMatrixType(op, getResult(), "the result"),
           ExpectPositive(op, getFactor(), "factor"))
MRS_VERIFY(SoftCapOp, ExpectF32(op, getX(), "x"), ExpectF32(op, getResult(), "the result"),
           ExpectPositive(op, getCap(), "cap"))
MRS_VERIFY(PositionScaleOp, ExpectMatrixType(op, getX(), "x"), ExpectSame(op, getResult(), "the result", getX()),
           ExpectI32(op, getPositions(), "positions"), ExpectPositive(op, getBeta(), "beta"),
           ExpectAtLeast(op, "original", static_cast<int64_t>(getOriginal()), 1))
MRS_VERIFY(RopeOp, ExpectF32(op, getX(), "x"), ExpectF32(op, getCosSin(), "cos_sin"),
           ExpectMatrixType(op, getResult(), "the result"))
MRS_VERIFY(KvAppendOp, ExpectMatrixType(op, getK(), "k"), ExpectF32(op, getV(), "v"),
           ExpectI32(op, getSlots(), "slots"), ExpectSame(op, getCache(), "the cache", getK()),
           ExpectAtLeast(op, "window", static_cast<int64_t>(getWindow()), 0))
MRS_VERIFY(AddRmsNormOp, ExpectF32(op, getA(), "a"), ExpectF32(op, getB(), "b"),
           ExpectF32(op, getWeight(), "the weight"), ExpectF32(op, getSum(), "the sum"),
           ExpectMatrixType(op, getResult(), "the result"), ExpectPositive(op, getEps(), "eps"))
MRS_VERIFY(RopeAppendOp, ExpectF32(op, getQ(), "q"), ExpectF32(op, getK(), "k"), ExpectF32(op, getV(), "v"),
           ExpectF32(op, getCosSin(), "cos_sin"), ExpectI32(op, getSlots(), "slots"),
           ExpectMatrixType(op, getResult(), "the result"), ExpectSame(op, getCache(), "the cache", getResult()),
           ExpectAtLeast(op, "window", static_cast<int64_t>(getWindow()), 0))
MRS_VERIFY(AttentionOp, ExpectMatrixType(op, getQ(), "q"), ExpectSame(op, getCache(), "the cache", getQ()),
           ExpectSame(op, getResult(), "the result", getQ()), ExpectI32(op, getSequence(), "sequence"),
           ExpectI32(op, getPositions(), "positions"), ExpectI32(op, getBlockTable(), "block_table"),
           ExpectPositive(op, getScale(), "scale"), ExpectAtLeast(op, "window", static_cast<int64_t>(getWindow()), 0),
           ExpectNoneOrPositive(op, getSoftCap(), "soft_cap"))
MRS_VERIFY(SiluMulOp, ExpectF32(op, getGate(), "gate"), ExpectF32(op, getUp(), "up"),
           ExpectMatrixType(op, getResult(), "the result"))
MRS_VERIFY(GeluMulOp, ExpectF32(op, getGate(), "gate"), ExpectF32(op, getUp(), "up"),
           ExpectMatrixType(op, getResult(), "the result"))
MRS_VERIFY(AddOp, ExpectF32(op, getA(), "a"), ExpectF32(op, getB(), "b"), ExpectF32(op, getResult(), "the result"))
MRS_VERIFY(AddBiasOp, ExpectF32(op, getA(), "a"), ExpectF32(op, getBias(), "the bias"),
           ExpectF32(op, getResult(), "the result"))
MRS_VERIFY(SelectRowsOp, ExpectF32(op, getX(), "x"), ExpectI32(op, getRows(), "rows"),
           ExpectF32(op, getResult(), "the result"))
MRS_VERIFY(OutputOp)
MRS_VERIFY(SendOp, ExpectMatrixType(op, getX(), "x"), ExpectAtLeast(op, "peer", getPeer(), 0))
MRS_VERIFY(RecvOp, ExpectMatrixType(op, getResult(), "the result"), ExpectAtLeast(op, "peer", getPeer(), 0))
#undef MRS_VERIFY

mlir::LogicalResult TopCandidatesOp::verify() {
  if (mlir::failed(CheckSizes(*this)) || mlir::failed(ExpectF32(*this, getLogits(), "logits"))) return mlir::failure();
  auto element = mlir::dyn_cast<CandidatesType>(TypeOf(getResult()).getElementType());
  if (!element || element.getK() < 1 || element.getK() > 64) {
    return NamedError(*this) << "the result holds candidates<1> to candidates<64>, not " << getResult().getType();
  }
  return mlir::success();
}

mlir::LogicalResult WeightOp::verify() {
  const TensorType type = TypeOf(getResult());
  const int64_t n_dims = getNDims();
  if (n_dims < 1 || n_dims > type.rank()) return NamedError(*this) << "n_dims " << n_dims << " of " << type;
  for (int64_t size : type.getShape()) {
    if (size < 0) return NamedError(*this) << "a weight has no symbolic dimension: " << type;
  }
  if (type.getPartial()) return NamedError(*this) << "a weight is no partial sum";
  if (getSources().empty()) return NamedError(*this) << "no sources";
  int64_t k = 1;
  for (int64_t size : type.getShape().drop_front(n_dims)) k *= size;
  const int64_t chunks = getChunks();
  if (chunks < 1 || chunks > kMaxChunks || (chunks & (chunks - 1)) != 0 || k % chunks != 0) {
    return NamedError(*this) << chunks << " chunks do not fit K = " << k << " (a power of two up to " << kMaxChunks
                             << " that divides it)";
  }
  const bool vector = n_dims == type.rank();
  if (vector && !type.getElementType().isF32()) return NamedError(*this) << "vectors are f32, not " << type;
  return ExpectMatrixType(*this, getResult(), "a matrix");
}

mlir::LogicalResult MatmulOp::verify() {
  if (getWeights().empty() || getResults().size() != getWeights().size() ||
      (!getBiases().empty() && getBiases().size() != getWeights().size())) {
    return NamedError(*this) << "one result a weight, and a bias for each or none";
  }
  return VerifyProducts(*this, getX(), getWeights(), getBiases(), getResults());
}

mlir::LogicalResult GatedMatmulOp::verify() {
  if (getWeights().size() != 2 || (!getBiases().empty() && getBiases().size() != 2)) {
    return NamedError(*this) << "takes gate's weight and up's, and a bias for each or none";
  }
  if (getActivation() != "silu" && getActivation() != "gelu" && getActivation() != "gelu_tanh") {
    return NamedError(*this) << "unknown activation '" << getActivation() << "'; there are silu, gelu and gelu_tanh";
  }
  if (mlir::failed(VerifyProducts(*this, getX(), getWeights(), getBiases(), {getGate(), getUp()}))) {
    return mlir::failure();
  }
  return ExpectMatrixType(*this, getResult(), "the result");
}

mlir::LogicalResult AllReduceOp::verify() {
  const TensorType in = TypeOf(getX()), out = TypeOf(getResult());
  if (in.getShape() != out.getShape() || in.getElementType() != out.getElementType()) {
    return NamedError(*this) << "changes " << in << " to " << out;
  }
  if (getAlgorithm() != "doubling" && getAlgorithm() != "halving_doubling" && getAlgorithm() != "gather_add" &&
      getAlgorithm() != "rank_order") {
    return NamedError(*this) << "unknown algorithm '" << getAlgorithm()
                             << "'; there are doubling, halving_doubling, gather_add and rank_order";
  }
  return mlir::success(All({ExpectAxis(*this, getAxis()), ExpectF32(*this, getX(), "x")}));
}

mlir::LogicalResult AllGatherOp::verify() {
  const TensorType in = TypeOf(getX()), out = TypeOf(getResult());
  if (in.getShape() == out.getShape() && in.getElementType() == out.getElementType()) {
    return ExpectAxis(*this, getAxis());
  }
  return NamedError(*this) << "changes " << in << " to " << out;
}

}  // namespace mrs::ir
