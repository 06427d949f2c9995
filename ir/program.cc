#include "ir/program.h"

#include "llvm/ADT/DenseMap.h"

namespace mrs::ir {

llvm::SmallVector<mlir::func::FuncOp> ProgramsOf(mlir::ModuleOp module) {
  mlir::Attribute mesh = module->getAttr("mrs.mesh");
  if (mesh && mlir::failed(VerifyMesh(module, mesh))) return {};
  auto functions = llvm::to_vector(module.getOps<mlir::func::FuncOp>());
  if (functions.empty()) module.emitError() << "the module has no function; expected one a stage, its program";
  for (mlir::func::FuncOp function : functions) {
    if (function.getBody().getBlocks().size() == 1) continue;
    mlir::emitError(function.getLoc()) << "function '" << function.getName() << "' has "
                                       << function.getBody().getBlocks().size() << " blocks, expected one, the program";
    return {};
  }
  return functions;
}

std::vector<BucketSize> BucketsOf(mlir::ModuleOp module) { return BucketsOf(module->getAttr("mrs.buckets")); }

std::vector<BucketSize> BucketsOf(mlir::Attribute attribute) {
  auto flat = mlir::dyn_cast_or_null<mlir::DenseI64ArrayAttr>(attribute);
  std::vector<BucketSize> buckets;
  if (!flat || flat.size() % 3 != 0) return buckets;
  constexpr int64_t kMaxRows = int64_t{1} << 19;  // x kMaxElements x 8 bytes stays below 2^63
  for (int64_t rows : flat.asArrayRef()) {
    if (rows < 1 || rows > kMaxRows) return buckets;
  }
  for (int64_t i = 0; i < flat.size(); i += 3) buckets.push_back({flat[i], flat[i + 1], flat[i + 2]});
  return buckets;
}

mlir::Attribute BucketsAttr(mlir::Builder& builder, const std::vector<BucketSize>& buckets) {
  llvm::SmallVector<int64_t> flat;
  for (const BucketSize& bucket : buckets) flat.append({bucket.tokens, bucket.sequences, bucket.logit_rows});
  return builder.getDenseI64ArrayAttr(flat);
}

int64_t RowsIn(TensorType type, const BucketSize& bucket) {
  switch (type.getShape()[0]) {
    case kTokens:
      return bucket.tokens;
    case kSequences:
      return bucket.sequences;
    case kLogitRows:
      return bucket.logit_rows;
    default:
      return 1;
  }
}

std::vector<LiveValue> LiveValues(mlir::func::FuncOp program) {
  llvm::DenseMap<mlir::Operation*, int64_t> index;
  int64_t count = 0, last_step = 0;
  for (mlir::Operation& op : program.getBody().front()) {
    index[&op] = IsJoined(&op) ? last_step : count;
    ++count;
    if (IsStep(&op)) last_step = index[&op];
  }
  std::vector<LiveValue> live;
  for (mlir::Operation& op : program.getBody().front()) {
    if (mlir::isa<WeightOp>(op)) continue;
    for (mlir::OpResult result : op.getResults()) {
      if (IsCache(result)) continue;
      LiveValue value{result, mlir::isa<InputOp>(op) ? -1 : index[&op], index[&op], std::nullopt};
      for (mlir::Operation* user : result.getUsers()) {
        value.last = std::max(value.last, mlir::isa<OutputOp>(user) ? count : index[user]);
      }
      auto operand = op.getAttrOfType<mlir::IntegerAttr>("inplace");
      if (operand && result.getResultNumber() == 0) {  // of several it is the first that is a sum
        if (operand.getInt() >= 0 && operand.getInt() < op.getNumOperands())
          value.in_place_of = op.getOperand(operand.getInt());
      }
      live.push_back(value);
    }
  }
  llvm::stable_sort(live, [](const LiveValue& a, const LiveValue& b) { return a.first < b.first; });
  return live;
}

std::optional<CacheAppend> AppendOf(mlir::Operation* op) {
  const auto of = [&](auto append) -> CacheAppend {
    return {op, append.getCache(), static_cast<int64_t>(append.getKvClass()), static_cast<int64_t>(append.getKvLayer()),
            static_cast<int64_t>(append.getWindow())};
  };
  if (auto append = mlir::dyn_cast_or_null<KvAppendOp>(op)) return of(append);
  if (auto append = mlir::dyn_cast_or_null<RopeAppendOp>(op)) return of(append);
  return std::nullopt;
}

std::vector<CacheAppend> AppendsOf(mlir::func::FuncOp program) {
  std::vector<CacheAppend> appends;
  for (mlir::Operation& op : program.getBody().front()) {
    if (const auto append = AppendOf(&op)) appends.push_back(*append);
  }
  return appends;
}

bool IsCache(mlir::Value value) {
  const auto append = AppendOf(value.getDefiningOp());
  return append && append->cache == value;
}

llvm::ArrayRef<int64_t> OffsetsOf(mlir::Value value) {
  auto offsets = value.getDefiningOp() ? value.getDefiningOp()->getAttrOfType<mlir::ArrayAttr>("offsets") : nullptr;
  const unsigned number = mlir::cast<mlir::OpResult>(value).getResultNumber();
  if (!offsets || number >= offsets.size()) return {};
  auto per_bucket = mlir::dyn_cast<mlir::DenseI64ArrayAttr>(offsets[number]);
  return per_bucket ? per_bucket.asArrayRef() : llvm::ArrayRef<int64_t>();
}

mlir::FailureOr<LocalWeight> LocalWeightOf(WeightOp op, const Mesh& mesh) {
  const auto type = mlir::cast<TensorType>(op.getResult().getType());
  const int64_t n_dims = op.getNDims();
  LocalWeight local;
  // Rows and columns are the flattened leading and trailing dimensions; only the first of each may be split.
  auto flatten = [&](int64_t begin, int64_t end, DimSlice* out) -> mlir::LogicalResult {
    int64_t inner = 1, extent = 1;
    for (int64_t dim = begin; dim < end; ++dim) {
      extent *= type.getShape()[dim];
      if (dim > begin) inner *= type.getShape()[dim];
      if (dim > begin && type.getSlices()[dim].split()) {
        return NamedError(op) << "dimension " << dim << " of " << type
                              << " is split; only the first of its rows or columns can be";
      }
    }
    *out = begin < end && type.getSlices()[begin].split() ? Scale(type.getSlices()[begin], inner)
                                                          : DimSlice{0, 0, extent, 1};
    return mlir::success();
  };
  if (mlir::failed(flatten(0, n_dims, &local.rows)) || mlir::failed(flatten(n_dims, type.rank(), &local.columns))) {
    return mlir::failure();
  }
  local.n = local.rows.size;
  if (n_dims == type.rank()) return local;
  const DimSlice& k = type.getSlices()[n_dims];
  const int64_t ranks = k.split() ? mesh.Size(k.axis) : 1;
  const int64_t chunks = op.getChunks();
  if (chunks % ranks != 0) {
    return NamedError(op) << chunks << " canonical chunks of K do not split over " << ranks << " ranks";
  }
  local.chunk_count = chunks / ranks;
  if (local.columns.size % local.chunk_count != 0) {
    return NamedError(op) << "K on one rank, " << local.columns.size << ", is not " << local.chunk_count
                          << " whole chunks";
  }
  local.chunk_k = local.columns.size / local.chunk_count;
  return local;
}

int64_t WeightBytes(const LocalWeight& local, mlir::Type element) {
  if (local.chunk_k == 0) return local.n * 4;
  const int64_t rows = (local.n + 15) / 16 * 16;
  const int64_t chunk = (local.chunk_k + 31) / 32 * 32;
  return rows * local.chunk_count * chunk * (element.getIntOrFloatBitWidth() / 8);
}

mlir::DictionaryAttr LocalWeightAttr(mlir::Builder& builder, const LocalWeight& local) {
  auto slice = [&](const DimSlice& s) { return builder.getDenseI64ArrayAttr({s.start, s.step, s.size, s.every}); };
  return builder.getDictionaryAttr({
      builder.getNamedAttr("chunk_count", builder.getI64IntegerAttr(local.chunk_count)),
      builder.getNamedAttr("chunk_k", builder.getI64IntegerAttr(local.chunk_k)),
      builder.getNamedAttr("columns", slice(local.columns)),
      builder.getNamedAttr("n", builder.getI64IntegerAttr(local.n)),
      builder.getNamedAttr("rows", slice(local.rows)),
  });
}

}  // namespace mrs::ir
