#include "ir/sharding_rules.h"

#include <map>

namespace mrs::ir {
namespace {

struct Rule {
  llvm::StringLiteral op;
  llvm::StringLiteral map;
};

// In place of a map: no dimension of one value is one of another. verify_sharding.cc judges these by name.
constexpr llvm::StringLiteral kByName = "";

// Every operation of the dialect has its row. Letters are factors; `x*` stands for as many dimensions as the value has
// left. A `{...}` part repeats, each time with factors of its own.
constexpr Rule kRules[] = {
    {"mrs.input", kByName},
    {"mrs.weight", kByName},
    {"mrs.output", kByName},
    {"mrs.all_reduce", kByName},
    {"mrs.all_gather", kByName},
    {"mrs.embed", "t, v h -> t h"},
    {"mrs.rope_angles", "t -> t a"},
    {"mrs.rms_norm", "t h* !d, !d -> t h* !d"},
    {"mrs.layer_norm", "t h* !d, !d, !d -> t h* !d"},
    {"mrs.sum_squares", "t h !d -> t"},
    {"mrs.rms_scale", "t h !d, t, h !d -> t h !d"},
    {"mrs.scale", "t h* -> t h*"},
    {"mrs.soft_cap", "t h* -> t h*"},
    {"mrs.position_scale", "t h*, t -> t h*"},
    {"mrs.matmul", "t k*, {n* k*}, {n*} -> {t n*}"},
    {"mrs.rope", "t h !d, t !a -> t h !d"},
    {"mrs.kv_append", "t g !d, t g !d, t -> c g !d"},
    {"mrs.attention", "t h !d, c h/ !d, t, t, s p -> t h !d"},
    {"mrs.silu_mul", "t f, t f -> t f"},
    {"mrs.gelu_mul", "t f, t f -> t f"},
    {"mrs.add", "t h*, t h* -> t h*"},
    {"mrs.add_bias", "t h*, h* -> t h*"},
    {"mrs.select_rows", "t h, l -> l h"},
    {"mrs.top_candidates", "l v -> l v/"},
};

// One token of a rule: letter with its marks, and which repetition it belongs to.
struct Token {
  char letter;
  bool whole, coarse, star;
};

llvm::SmallVector<Token> ParseValue(llvm::StringRef text) {
  llvm::SmallVector<Token> tokens;
  llvm::SmallVector<llvm::StringRef> words;
  text.split(words, ' ', -1, false);
  for (llvm::StringRef word : words) {
    Token token{};
    token.whole = word.consume_front("!");
    token.letter = word.front();
    token.coarse = word.ends_with("/");
    token.star = word.ends_with("*");
    tokens.push_back(token);
  }
  return tokens;
}

// Builds the map value by value; factors are (letter, position in the star, repetition).
class MapBuilder {
 public:
  explicit MapBuilder(mlir::Operation* op) : op_(op) {}

  // One value's rule against its type. `repetition` makes letters inside {...} distinct; x* lengths are solved once.
  mlir::LogicalResult Add(llvm::StringRef text, bool repeated, int repetition, mlir::Value value,
                          llvm::SmallVector<llvm::SmallVector<DimRule, 4>>* out) {
    auto type = mlir::dyn_cast<TensorType>(value.getType());
    if (!type) return NamedError(op_) << "operands and results are !mrs.tensor";
    const llvm::SmallVector<Token> tokens = ParseValue(text);
    int64_t fixed = 0, unknown = 0;
    for (const Token& token : tokens) {
      const auto known = star_length_.find(StarKey(token.letter, repeated, repetition));
      if (!token.star) ++fixed;
      else if (known != star_length_.end()) fixed += known->second;
      else ++unknown;
    }
    const int64_t left = type.rank() - fixed;
    if (left < 0 || (unknown == 0 && left != 0) || unknown > 1) {
      return NamedError(op_) << "a value of " << type.rank() << " dimensions (" << type << ") does not fit '" << text << "'";
    }
    auto& dims = out->emplace_back();
    for (const Token& token : tokens) {
      int64_t length = 1;
      if (token.star) length = star_length_.try_emplace(StarKey(token.letter, repeated, repetition), left).first->second;
      for (int64_t i = 0; i < length; ++i) {
        const bool own = repeated && OwnsLetter(token.letter);
        const auto key = std::tuple(token.letter, i, own ? repetition : -1);
        const int factor = factors_.try_emplace(key, static_cast<int>(factors_.size())).first->second;
        dims.push_back({factor, token.whole, token.coarse});
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

// Distributes the parts of one side ("a, {b}, {c}") over `values`; `repeats` is how often each {...} occurs.
mlir::LogicalResult AddSide(MapBuilder& builder, llvm::StringRef side, mlir::ValueRange values,
                            llvm::ArrayRef<int64_t> repeats, llvm::SmallVector<llvm::SmallVector<DimRule, 4>>* out) {
  llvm::SmallVector<llvm::StringRef> parts;
  side.split(parts, ',', -1, false);
  size_t next = 0, group = 0;
  for (llvm::StringRef part : parts) {
    part = part.trim();
    const bool repeated = part.consume_front("{") && part.consume_back("}");
    const int64_t count = repeated ? repeats[group++] : 1;
    for (int64_t i = 0; i < count; ++i) {
      if (mlir::failed(builder.Add(part, repeated, static_cast<int>(i), values[next++], out))) return mlir::failure();
    }
  }
  return mlir::success();
}

}  // namespace

mlir::FailureOr<std::optional<FactorMap>> FactorMapOf(mlir::Operation* op) {
  if (op->getName().getDialectNamespace() != MrsDialect::getDialectNamespace()) return std::optional<FactorMap>();
  const auto* rule = llvm::find_if(kRules, [&](const Rule& r) { return r.op == op->getName().getStringRef(); });
  if (rule == std::end(kRules)) {
    return NamedError(op) << "no rule says how ranks may split it; it needs a row in sharding_rules.cc";
  }
  if (rule->map == kByName) return std::optional<FactorMap>();
  // How often the {...} parts occur is in the operand segments.
  llvm::SmallVector<int64_t> repeats;
  if (auto segments = op->getAttrOfType<mlir::DenseI32ArrayAttr>("operandSegmentSizes")) {
    for (int32_t size : segments.asArrayRef().drop_front()) repeats.push_back(size);
  } else if (auto matmul = mlir::dyn_cast<MatmulOp>(op)) {
    repeats = {static_cast<int64_t>(matmul.getWeights().size()), static_cast<int64_t>(matmul.getBiases().size())};
  }
  const llvm::SmallVector<int64_t> result_repeats = {static_cast<int64_t>(op->getNumResults())};
  const auto [left, right] = rule->map.split("->");
  MapBuilder builder(op);
  FactorMap map;
  if (mlir::failed(AddSide(builder, left, op->getOperands(), repeats, &map.operands)) ||
      mlir::failed(AddSide(builder, right, op->getResults(), result_repeats, &map.results))) {
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
