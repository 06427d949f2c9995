#include "planner/graph_terms.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ir/dialect.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/TypeSwitch.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mrs::planner {
namespace {

std::string Str(const auto& value) { return fmt::format("{}", value); }

constexpr uint64_t kVocabChunks = 16;  // a record has one log-sum-exp partial for each of 16 parts of the vocabulary

ir::TensorType TypeOf(mlir::Value value) { return mlir::cast<ir::TensorType>(value.getType()); }

std::string ElementOf(mlir::Value value) {
  const mlir::Type element = TypeOf(value).getElementType();
  return element.isF32() ? "f32" : element.isBF16() ? "bf16" : "other";
}

// C of a sum over `units` parts of K that no rank cuts: the largest power of two that divides them, at most 16.
uint64_t CanonicalParts(uint64_t units) { return std::min<uint64_t>(16, units & (~units + 1)); }

class GraphReader {
 public:
  explicit GraphReader(UnshardedModel* model) : model_(model), means_(model->terms) {}

  Status Read(mlir::ModuleOp module) {
    auto functions = llvm::to_vector(module.getOps<mlir::func::FuncOp>());
    if (functions.size() != 1 || functions[0].getBody().getBlocks().size() != 1) {
      return Refuse("erasure: the unsharded graph is one function of one block");
    }
    for (auto append : functions[0].getOps<ir::KvAppendOp>()) MRS_RETURN_IF_ERROR(ReadKvClass(append));
    for (mlir::Operation& op : functions[0].getBody().front()) {
      for (mlir::Value value : op.getResults()) {
        auto type = mlir::dyn_cast<ir::TensorType>(value.getType());
        if (!type || type.isSharded() || type.getPartial()) return Wrong(&op, "its result is not whole on one rank");
      }
      MRS_RETURN_IF_ERROR(ReadOp(&op));
    }
    if (outputs_ != std::set<std::string>{"candidates", "all_logits"}) {
      return Refuse("erasure: the outputs of the unsharded graph are {}, expected all_logits and candidates",
                    outputs_.empty() ? "none" : fmt::format("{}", fmt::join(outputs_, ", ")));
    }
    return Status();
  }

 private:
  static Error Wrong(mlir::Operation* op, std::string_view what) {
    return Refuse("erasure: '{}' ({}) of the unsharded graph: {}", ir::NameOf(op).str(),
                  op->getName().getStringRef().str(), what);
  }
  TermId Of(mlir::Value value) const { return terms_.lookup(value); }
  void Is(mlir::Value value, TermId term) {
    terms_[value] = term;
    model_->names.try_emplace(term, ir::NameOf(value.getDefiningOp()).str());
  }

  // A class has one window, and no other class has it: that is how the classes of a plan are told apart.
  Status ReadKvClass(ir::KvAppendOp op) {
    const auto [found, added] = windows_.try_emplace(op.getKvClass(), op.getWindow());
    if (!added && found->second == op.getWindow()) return Status();
    for (const auto& [kv_class, window] : windows_) {
      const bool same_class = kv_class == op.getKvClass(), same_window = window == op.getWindow();
      if (same_class == same_window) continue;
      return Wrong(op, fmt::format("KV class {} has window {}, KV class {} has window {}; each class has one, its own",
                                   op.getKvClass(), op.getWindow(), kv_class, window));
    }
    return Status();
  }
  // Slots and block table are written for each class.
  bool OfClass(mlir::Value input, const char* name, uint64_t kv_class) {
    return Of(input) == means_.Input(kv_class == 0 ? name : fmt::format("{}.{}", name, kv_class), windows_);
  }

  Status ReadKvAppend(ir::KvAppendOp op) {
    if (!OfClass(op.getSlots(), "slots", op.getKvClass())) {
      return Wrong(op, "its slots are not of the KV class that it appends to");
    }
    const uint64_t cache = caches_.size(), dim = TypeOf(op.getCache()).getShape().back();
    if (!caches_.emplace(op.getKvClass(), op.getKvLayer()).second) {
      return Wrong(op, "another operation appends to this cache, too");
    }
    Is(op.getCache(), means_.KvAppend(Of(op.getK()), Of(op.getV()), Of(op.getSlots()), cache, op.getWindow(), dim, dim,
                                      ElementOf(op.getCache())));
    return Status();
  }

  // What a token may see and what the cache keeps are one thing.
  Status ReadAttention(ir::AttentionOp op) {
    auto append = op.getCache().getDefiningOp<ir::KvAppendOp>();
    if (!append || append.getWindow() != op.getWindow()) {
      return Wrong(op, fmt::format("its window is {}, that of its cache {}", op.getWindow(),
                                   append ? Str(append.getWindow()) : "unknown"));
    }
    if (!OfClass(op.getBlockTable(), "block_table", append.getKvClass())) {
      return Wrong(op, "its block table is not of the KV class that it reads");
    }
    Is(op.getResult(),
       means_.Attention(Of(op.getQ()), Of(op.getCache()), Of(op.getSequence()), Of(op.getPositions()),
                        Of(op.getBlockTable()), TypeOf(op.getQ()).getShape().back(), op.getScale().convertToFloat(),
                        op.getWindow(), op.getSoftCap().convertToFloat(), ElementOf(op.getResult())));
    return Status();
  }

  // {columns, dtype, file, offset, rows, tensor}, {row_begin, row_count} where it is some rows of a tensor, and
  // `transform`; nullopt: anything else.
  static std::optional<SourceTensor> ReadSource(mlir::Attribute attribute) {
    auto source = mlir::dyn_cast<mlir::DictionaryAttr>(attribute);
    if (!source) return std::nullopt;
    size_t known = 0;
    const auto number = [&](llvm::StringRef key) -> std::optional<uint64_t> {
      auto value = source.getAs<mlir::IntegerAttr>(key);
      if (!value || !value.getType().isInteger(64) || value.getInt() < 0) return std::nullopt;
      ++known;
      return value.getInt();
    };
    const auto text = [&](llvm::StringRef key) -> std::optional<std::string> {
      auto value = source.getAs<mlir::StringAttr>(key);
      if (!value) return std::nullopt;
      ++known;
      return value.str();
    };
    const auto tensor = text("tensor"), dtype = text("dtype"), transform = text("transform");
    const auto file = number("file"), offset = number("offset"), rows = number("rows"), columns = number("columns");
    const auto begin = number("row_begin"), count = number("row_count");
    if (!tensor || !dtype || !file || !offset || !rows || !columns || begin.has_value() != count.has_value() ||
        (begin && (*begin > *rows || *count > *rows - *begin)) || (transform && *transform != "add_one") ||
        known != source.size()) {
      return std::nullopt;
    }
    return SourceTensor{*tensor,
                        *dtype,
                        *file,
                        *offset,
                        *rows,
                        *columns,
                        begin.value_or(0),
                        count.value_or(*rows),
                        transform.value_or("none")};
  }

  Status ReadWeight(ir::WeightOp op) {
    std::vector<SourceTensor> sources;
    for (mlir::Attribute attribute : op.getSources()) {
      const std::optional<SourceTensor> source = ReadSource(attribute);
      if (!source) {
        return Wrong(op,
                     "a source is {columns, dtype, file, offset, rows, tensor}, with {row_begin, row_count} of "
                     "those rows and transform \"add_one\" where there are such");
      }
      sources.push_back(*source);
    }
    const auto shape = TypeOf(op.getResult()).getShape();
    const size_t n_dims = op.getNDims();
    if (op.getLocal() || n_dims > shape.size()) return Wrong(op, "is localized, or has more rows than dimensions");
    const bool vector = n_dims == shape.size();
    Is(op.getResult(),
       means_.Weight(ElementOf(op.getResult()), llvm::product_of(shape.take_front(n_dims)),
                     vector ? 0 : llvm::product_of(shape.drop_front(n_dims)), vector ? 0 : op.getChunks(), sources));
    return Status();
  }

  // Where ranks may split a sum: between the heads of what attention leaves, anywhere in what the MLP's first half
  // leaves, and else nowhere.
  Status ReadMatmul(ir::MatmulOp op) {
    const std::string_view of = means_[Of(op.getX())].op;
    const auto k = TypeOf(op.getX()).getShape().drop_front();
    const uint64_t units = of == "attention"                      ? k.front()
                           : of == "silu_mul" || of == "gelu_mul" ? llvm::product_of(k)
                                                                  : 1;
    for (auto [part, weight] : llvm::enumerate(op.getWeights())) {
      auto matrix = weight.getDefiningOp<ir::WeightOp>();
      if (!matrix || static_cast<uint64_t>(matrix.getChunks()) != CanonicalParts(units)) {
        return Wrong(op, fmt::format("K is summed in {} canonical chunks, the rule gives {}",
                                     matrix ? matrix.getChunks() : 0, CanonicalParts(units)));
      }
      const TermId bias = op.getBiases().empty() ? means_.NoBias() : Of(op.getBiases()[part]);
      Is(op.getResult(part), means_.Matmul(Of(op.getX()), Of(weight), bias));
    }
    return Status();
  }

  Status ReadSumSquares(ir::SumSquaresOp op) {
    const auto shape = TypeOf(op.getX()).getShape();
    const uint64_t heads = shape.size() == 3 ? shape[1] : 0, chunks = CanonicalParts(heads);
    if (heads == 0 || static_cast<uint64_t>(op.getChunks()) != chunks) {
      return Wrong(op, fmt::format("{} heads are summed in {} canonical chunks, the rule gives {}", heads,
                                   op.getChunks(), chunks));
    }
    Is(op.getResult(), means_.SumSquares(Of(op.getX()), heads / chunks, shape[2]));
    return Status();
  }

  Status ReadOp(mlir::Operation* op) {
    const auto one = [&](TermId term) {
      Is(op->getResult(0), term);
      return Status();
    };
    return llvm::TypeSwitch<mlir::Operation*, Status>(op)
        .Case([&](ir::InputOp x) { return one(means_.Input(x.getName().str(), windows_)); })
        .Case([&](ir::WeightOp x) { return ReadWeight(x); })
        .Case([&](ir::EmbedOp x) { return one(means_.Embed(Of(x.getIds()), Of(x.getTable()), x.getVocabValid())); })
        .Case([&](ir::RopeAnglesOp x) { return one(means_.RopeAngles(Of(x.getPositions()), x.getRope())); })
        .Case([&](ir::RmsNormOp x) {
          return one(means_.RmsNorm(Of(x.getX()), Of(x.getWeight()), TypeOf(x.getX()).getShape().back(),
                                    x.getEps().convertToFloat(), ElementOf(x.getResult())));
        })
        .Case([&](ir::LayerNormOp x) {
          return one(means_.LayerNorm(Of(x.getX()), Of(x.getWeight()), Of(x.getBias()),
                                      TypeOf(x.getX()).getShape().back(), x.getEps().convertToFloat(),
                                      ElementOf(x.getResult())));
        })
        .Case([&](ir::SumSquaresOp x) { return ReadSumSquares(x); })
        .Case([&](ir::RmsScaleOp x) {
          return one(means_.RmsScale(Of(x.getX()), Of(x.getSum()), Of(x.getWeight()), x.getWidth(),
                                     x.getEps().convertToFloat(), ElementOf(x.getResult())));
        })
        .Case([&](ir::ScaleOp x) {
          return one(means_.Scale(Of(x.getX()), x.getFactor().convertToFloat(), ElementOf(x.getResult())));
        })
        .Case([&](ir::SoftCapOp x) { return one(means_.SoftCap(Of(x.getX()), x.getCap().convertToFloat())); })
        .Case([&](ir::PositionScaleOp x) {
          return one(means_.PositionScale(Of(x.getX()), Of(x.getPositions()), x.getBeta().convertToFloat(),
                                          x.getOriginal(), ElementOf(x.getResult())));
        })
        .Case([&](ir::MatmulOp x) { return ReadMatmul(x); })
        .Case([&](ir::RopeOp x) {
          return one(means_.Rope(Of(x.getX()), Of(x.getCosSin()), x.getRope(), TypeOf(x.getX()).getShape().back(),
                                 x.getInterleaved(), ElementOf(x.getResult())));
        })
        .Case([&](ir::KvAppendOp x) { return ReadKvAppend(x); })
        .Case([&](ir::AttentionOp x) { return ReadAttention(x); })
        .Case([&](ir::SiluMulOp x) {
          return one(means_.SiluMul(Of(x.getGate()), Of(x.getUp()), ElementOf(x.getResult())));
        })
        .Case([&](ir::GeluMulOp x) {
          return one(means_.GeluMul(Of(x.getGate()), Of(x.getUp()), x.getApproximate(), ElementOf(x.getResult())));
        })
        .Case([&](ir::AddOp x) { return one(means_.Add(Of(x.getA()), Of(x.getB()))); })
        .Case([&](ir::AddBiasOp x) { return one(means_.AddBias(Of(x.getA()), Of(x.getBias()))); })
        .Case([&](ir::SelectRowsOp x) { return one(means_.SelectRows(Of(x.getX()), Of(x.getRows()))); })
        .Case([&](ir::TopCandidatesOp x) {
          const auto record = mlir::cast<ir::CandidatesType>(TypeOf(x.getResult()).getElementType());
          return one(means_.TopCandidates(Of(x.getLogits()), record.getK(),
                                          TypeOf(x.getLogits()).getShape().back() / kVocabChunks, x.getVocabValid()));
        })
        .Case([&](ir::OutputOp x) {
          (x.getVariant() == "candidates" ? model_->candidates : model_->all_logits) = Of(x.getX());
          outputs_.insert(x.getVariant().str());
          return Status();
        })
        .Case([&](mlir::func::ReturnOp) { return Status(); })
        .Default(
            [&](mlir::Operation*) { return Status(Wrong(op, "its meaning is not stated in the erasure checker")); });
  }

  UnshardedModel* model_;
  Terms& means_;
  llvm::DenseMap<mlir::Value, TermId> terms_;
  KvWindows windows_;
  std::set<std::pair<uint64_t, uint64_t>> caches_;  // class and layer of those that are appended to
  std::set<std::string> outputs_;
};

}  // namespace

Result<UnshardedModel> ReadUnsharded(mlir::ModuleOp module) {
  UnshardedModel model;
  model.facts = module->getAttrDictionary();
  MRS_RETURN_IF_ERROR(GraphReader(&model).Read(module));
  return model;
}

}  // namespace mrs::planner
