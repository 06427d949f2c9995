#include "ir/sharding_rules.h"

#include <map>

namespace mrs::ir {
namespace {

// Builds the map value by value; factors are (letter, position in the star, repetition).
class MapBuilder {
 public:
  explicit MapBuilder(mlir::Operation* op) : op_(op) {}

  // One value's rule against its type. `repetition` makes letters inside {...} distinct; x* lengths are solved once.
  mlir::LogicalResult Add(const RuleValue& rule, int repetition, mlir::Value value,
                          llvm::SmallVector<llvm::SmallVector<DimRule, 4>>* out) {
    auto type = mlir::dyn_cast<TensorType>(value.getType());
    if (!type) return NamedError(op_) << "operands and results are !mrs.tensor";
    const bool repeated = rule.repeated;
    int64_t fixed = 0, unknown = 0;
    for (const RuleDim& dim : rule.dims) {
      const auto known = star_length_.find(StarKey(dim.factor, repeated, repetition));
      if (!dim.star) ++fixed;
      else if (known != star_length_.end()) fixed += known->second;
      else ++unknown;
    }
    const int64_t left = type.rank() - fixed;
    if (left < 0 || (unknown == 0 && left != 0) || unknown > 1) {
      return NamedError(op_) << "a value of " << type.rank() << " dimensions (" << type << ") does not fit '" << rule.text << "'";
    }
    auto& dims = out->emplace_back();
    for (const RuleDim& dim : rule.dims) {
      int64_t length = 1;
      if (dim.star) length = star_length_.try_emplace(StarKey(dim.factor, repeated, repetition), left).first->second;
      for (int64_t i = 0; i < length; ++i) {
        const bool own = repeated && OwnsLetter(dim.factor);
        const auto key = std::tuple(dim.factor, i, own ? repetition : -1);
        const int factor = factors_.try_emplace(key, static_cast<int>(factors_.size())).first->second;
        dims.push_back({factor, dim.whole, dim.coarse});
      }
    }
    return mlir::success();
  }

  int factor_count() const { return static_cast<int>(factors_.size()); }

 private:
  // Inside {...} only `n` is of the repetition; t and k are shared by all.
  static bool OwnsLetter(char letter) { return letter == 'n'; }
  static std::pair<char, int> StarKey(char letter, bool repeated, int repetition) {
    return {letter, repeated && OwnsLetter(letter) ? repetition : -1};
  }

  mlir::Operation* op_;
  std::map<std::tuple<char, int64_t, int>, int> factors_;
  std::map<std::pair<char, int>, int64_t> star_length_;
};

// Distributes the parts of one side (a, {b}, {c}) over `values`; `repeats` is how often each {...} occurs.
mlir::LogicalResult AddSide(MapBuilder& builder, const std::vector<RuleValue>& side, mlir::ValueRange values,
                            llvm::ArrayRef<int64_t> repeats, llvm::SmallVector<llvm::SmallVector<DimRule, 4>>* out) {
  size_t next = 0, group = 0;
  for (const RuleValue& part : side) {
    const int64_t count = part.repeated ? repeats[group++] : 1;
    for (int64_t i = 0; i < count; ++i) {
      if (mlir::failed(builder.Add(part, static_cast<int>(i), values[next++], out))) return mlir::failure();
    }
  }
  return mlir::success();
}

}  // namespace

mlir::FailureOr<std::optional<FactorMap>> FactorMapOf(mlir::Operation* op) {
  if (op->getName().getDialectNamespace() != MrsDialect::getDialectNamespace()) return std::optional<FactorMap>();
  auto ruled = mlir::dyn_cast<RuledOp>(op);
  if (!ruled) return NamedError(op) << "no rule says how ranks may split it; it is no operation of mrs_ops.td";
  const ShardingRule& rule = ruled.getShardingRule();
  if (rule.by_name) return std::optional<FactorMap>();
  // How often the {...} parts occur is in the operand segments.
  llvm::SmallVector<int64_t> repeats;
  if (auto segments = op->getAttrOfType<mlir::DenseI32ArrayAttr>("operandSegmentSizes")) {
    for (int32_t size : segments.asArrayRef().drop_front()) repeats.push_back(size);
  } else if (auto matmul = mlir::dyn_cast<MatmulOp>(op)) {
    repeats = {static_cast<int64_t>(matmul.getWeights().size()), static_cast<int64_t>(matmul.getBiases().size())};
  }
  const llvm::SmallVector<int64_t> result_repeats = {static_cast<int64_t>(op->getNumResults())};
  MapBuilder builder(op);
  FactorMap map;
  if (mlir::failed(AddSide(builder, rule.operands, op->getOperands(), repeats, &map.operands)) ||
      mlir::failed(AddSide(builder, rule.results, op->getResults(), result_repeats, &map.results))) {
    return mlir::failure();
  }
  map.factor_count = builder.factor_count();
  map.contracted.assign(map.factor_count, true);
  for (const auto& dims : map.results) {
    for (const DimRule& rule_of_dim : dims) map.contracted[rule_of_dim.factor] = false;
  }
  return std::optional<FactorMap>(std::move(map));
}

void ForEachDim(mlir::Operation* op, const FactorMap& map,
                llvm::function_ref<void(mlir::Value, int64_t, const DimRule&)> visit) {
  for (auto [value, dims] : llvm::zip_equal(op->getOperands(), map.operands)) {
    for (auto [dim, rule] : llvm::enumerate(dims)) visit(value, dim, rule);
  }
  for (auto [value, dims] : llvm::zip_equal(op->getResults(), map.results)) {
    for (auto [dim, rule] : llvm::enumerate(dims)) visit(value, dim, rule);
  }
}

}  // namespace mrs::ir
