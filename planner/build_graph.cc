#include "planner/build_graph.h"

#include <bit>
#include <optional>
#include <vector>

#include "ir/program.h"
#include "planner/legality.h"
#include "planner/model_tensors.h"
#include "plans/contract.h"

namespace mrs::planner {
namespace {

using ir::TensorType;
using Shape = llvm::SmallVector<int64_t>;

constexpr int64_t kCandidateCount = 24;  // >= the 20 alternatives that logprobs may ask for

const char* SourceDtype(ElementType type) {
  switch (type) {
    case ElementType::kBf16:
      return "bf16";
    case ElementType::kF16:
      return "f16";
    case ElementType::kF32:
      return "f32";
  }
  return "f32";
}

// As a bf16 matrix would hold it.
float RoundToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u);
}

// Layers whose tokens see equally far share a cache class: all tokens first, then windows as they grow.
class KvClasses {
 public:
  KvClasses(const ModelSpec& model, int64_t max_len) : max_len_(max_len) {
    for (const LayerSpec& layer : model.layers) windows_.push_back(WindowOf(layer));
    llvm::sort(windows_);
    windows_.erase(llvm::unique(windows_), windows_.end());
    layer_counts_.resize(windows_.size(), 0);
  }
  // 0 where no sequence of the plan is longer than the window.
  int64_t WindowOf(const LayerSpec& layer) const { return layer.window < max_len_ ? layer.window : 0; }
  int64_t count() const { return static_cast<int64_t>(windows_.size()); }
  int64_t Of(const LayerSpec& layer) const { return llvm::find(windows_, WindowOf(layer)) - windows_.begin(); }
  int64_t NextLayer(int64_t kv_class) { return layer_counts_[kv_class]++; }

 private:
  int64_t max_len_;
  std::vector<int64_t> windows_;       // of each class
  std::vector<int64_t> layer_counts_;  // numbered so far
};

class GraphBuilder {
 public:
  GraphBuilder(mlir::OpBuilder builder, const PlanFacts& facts, const Checkpoint& checkpoint)
      : b_(builder), facts_(facts), m_(facts.model), checkpoint_(checkpoint), classes_(facts.model, facts.max_len) {
    f32_ = b_.getF32Type();
    i32_ = b_.getI32Type();
    matrix_ = facts.weight_dtype == "bf16" ? mlir::Type(b_.getBF16Type()) : f32_;
  }

  void Build() {
    tokens_ = Input(contract::kTokens, {ir::kTokens});
    positions_ = Input(contract::kPositions, {ir::kTokens});
    sequence_ = Input(contract::kSequence, {ir::kTokens});
    const auto blocks = static_cast<int64_t>(contract::KvBlocks(static_cast<uint64_t>(facts_.max_len)));
    for (int64_t i = 0; i < classes_.count(); ++i) {
      slots_.push_back(Input(Numbered(contract::kSlots, i), {ir::kTokens}));
      block_tables_.push_back(Input(Numbered(contract::kBlockTable, i), {ir::kSequences, blocks}));
    }
    mlir::Value rows = Input(contract::kLogitRows, {ir::kLogitRows});

    mlir::Value table = Weight(TensorRole::kEmbedding, -1, "embed.weight");
    mlir::Value x =
        ir::EmbedOp::create(b_, loc_, Type({ir::kTokens, m_.hidden}, f32_), "embed_tokens", tokens_, table, m_.vocab);
    const bool rounds = m_.multiplier_as_matrices && matrix_ != f32_;
    const float multiplier = rounds ? RoundToBf16(m_.embedding_multiplier) : m_.embedding_multiplier;
    x = Scale(-1, "embed_scale", x, multiplier);
    for (const auto& [index, rope] : llvm::enumerate(m_.ropes)) {
      const auto width = static_cast<int64_t>(2 * rope.inv_freq.size());
      cos_sin_.push_back(ir::RopeAnglesOp::create(b_, loc_, Type({ir::kTokens, width}, f32_),
                                                  Numbered("rope_angles", static_cast<int64_t>(index)), positions_,
                                                  static_cast<int64_t>(index)));
    }
    for (int64_t layer = 0; layer < static_cast<int64_t>(m_.layers.size()); ++layer) {
      mlir::Operation* before = &b_.getInsertionBlock()->back();
      x = Layer(layer, x);
      while ((before = before->getNextNode()) != nullptr) before->setAttr("layer", b_.getI64IntegerAttr(layer));
    }
    x = ir::SelectRowsOp::create(b_, loc_, Type({ir::kLogitRows, m_.hidden}, f32_), "logit_rows", x, rows);
    x = Norm(TensorRole::kFinalNorm, TensorRole::kFinalNormBias, -1, "final_norm", x, matrix_);
    if (!m_.tied_embeddings) table = Weight(TensorRole::kHead, -1, "lm_head.weight");
    Logits(Product("lm_head", x, table, nullptr, {ir::kLogitRows, facts_.vocab_padded}));
  }

 private:
  TensorType Type(llvm::ArrayRef<int64_t> shape, mlir::Type element) {
    return TensorType::get(b_.getContext(), shape, element);
  }
  static std::string Prefix(int64_t layer, const std::string& name) {
    return layer < 0 ? name : fmt::format("l{}.{}", layer, name);
  }
  static std::string Numbered(std::string_view name, int64_t i) {
    return i == 0 ? std::string(name) : fmt::format("{}.{}", name, i);
  }
  static TensorType TypeOf(mlir::Value value) { return mlir::cast<TensorType>(value.getType()); }

  mlir::Value Input(const std::string& name, llvm::ArrayRef<int64_t> shape) {
    return ir::InputOp::create(b_, loc_, Type(shape, i32_), name);
  }
  mlir::Value Input(std::string_view name, llvm::ArrayRef<int64_t> shape) { return Input(std::string(name), shape); }

  void Output(llvm::StringRef variant, mlir::Value value) { ir::OutputOp::create(b_, loc_, variant, value); }

  // What is not there stays null.
  bool Has(TensorRole role, int64_t layer) { return FindPart(m_, role, layer).has_value(); }

  // Where a part of a tensor lies in the checkpoint.
  mlir::Attribute Source(const TensorPart& part, bool add_one) {
    const TensorInfo& tensor = checkpoint_.tensors.at(part.tensor);
    llvm::SmallVector<mlir::NamedAttribute> fields;
    auto number = [&](llvm::StringRef key, int64_t value) {
      fields.push_back(b_.getNamedAttr(key, b_.getI64IntegerAttr(value)));
    };
    auto text = [&](llvm::StringRef key, llvm::StringRef value) {
      fields.push_back(b_.getNamedAttr(key, b_.getStringAttr(value)));
    };
    number("columns", tensor.shape.size() > 1 ? tensor.shape[1] : 1);
    text("dtype", SourceDtype(tensor.dtype));
    number("file", tensor.file);
    number("offset", static_cast<int64_t>(tensor.file_offset));
    number("rows", tensor.shape[0]);
    text("tensor", tensor.name);
    int64_t rows = 1;
    for (const int64_t size : part.out) rows *= size;
    if (rows != tensor.shape[0]) {
      number("row_begin", part.row_begin);
      number("row_count", rows);
    }
    if (add_one) text("transform", "add_one");
    return b_.getDictionaryAttr(fields);
  }

  // A tensor, or some rows of one, as a weight [out..., in...]; a vocabulary is padded.
  mlir::Value Weight(TensorRole role, int64_t layer, const std::string& name, bool add_one = false) {
    const TensorPart part = *FindPart(m_, role, layer);
    Shape shape(part.out.begin(), part.out.end());
    if (role == TensorRole::kEmbedding || role == TensorRole::kHead) shape[0] = facts_.vocab_padded;
    shape.append(part.in.begin(), part.in.end());
    const bool cut = part.contracted == Size::kHeads || part.contracted == Size::kFfn;  // columns that ranks may share
    const int64_t chunks = cut ? CanonicalChunks(part.in[0]) : 1;
    return ir::WeightOp::create(b_, loc_, Type(shape, part.in.empty() ? f32_ : matrix_),
                                b_.getStringAttr(Prefix(layer, name)), b_.getArrayAttr({Source(part, add_one)}),
                                b_.getI64IntegerAttr(static_cast<int64_t>(part.out.size())),
                                b_.getI64IntegerAttr(chunks), nullptr);
  }
  mlir::Value WeightOrNone(TensorRole role, int64_t layer, const std::string& name) {
    return Has(role, layer) ? Weight(role, layer, name) : mlir::Value();
  }

  mlir::Value Product(const std::string& name, mlir::Value x, mlir::Value weight, mlir::Value bias,
                      llvm::ArrayRef<int64_t> shape) {
    llvm::SmallVector<mlir::Value> biases;
    if (bias) biases.push_back(bias);
    return ir::MatmulOp::create(b_, loc_, mlir::TypeRange{Type(shape, f32_)}, b_.getStringAttr(name), x,
                                mlir::ValueRange{weight}, biases)
        .getResult(0);
  }

  mlir::Value ScaleTo(int64_t layer, const std::string& name, mlir::Value x, float factor, mlir::Type out) {
    return ir::ScaleOp::create(b_, loc_, Type(TypeOf(x).getShape(), out), b_.getStringAttr(Prefix(layer, name)), x,
                               b_.getF32FloatAttr(factor));
  }
  mlir::Value Scale(int64_t layer, const std::string& name, mlir::Value x, float factor) {
    return factor == 1 ? x : ScaleTo(layer, name, x, factor, f32_);
  }
  // What goes into a matrix or the cache is of the matrices' type.
  mlir::Value Rounded(int64_t layer, const std::string& name, mlir::Value x) {
    return TypeOf(x).getElementType() == matrix_ ? x : ScaleTo(layer, name, x, 1, matrix_);
  }

  bool AddsOne() const { return m_.norm == NormKind::kRmsOfWeightPlusOne; }

  // Over the last dimension of x, to elements of type `out`; x itself where the model has no such norm.
  mlir::Value Norm(TensorRole role, std::optional<TensorRole> bias_role, int64_t layer, const std::string& name,
                   mlir::Value x, mlir::Type out) {
    if (!Has(role, layer)) return x;
    mlir::Value weight = Weight(role, layer, name + ".weight", AddsOne());
    const auto type = Type(TypeOf(x).getShape(), out);
    const auto text = b_.getStringAttr(Prefix(layer, name));
    const auto eps = b_.getF32FloatAttr(m_.norm_eps);
    if (!bias_role || !Has(*bias_role, layer)) return ir::RmsNormOp::create(b_, loc_, type, text, x, weight, eps);
    return ir::LayerNormOp::create(b_, loc_, type, text, x, weight, Weight(*bias_role, layer, name + ".bias"), eps);
  }

  // Of q or k, before they turn.
  mlir::Value QkNormOf(TensorRole role, int64_t layer, const std::string& name, mlir::Value x) {
    if (m_.layers[layer].qk_norm != QkNorm::kWhole) return Norm(role, std::nullopt, layer, name, x, f32_);
    const auto shape = TypeOf(x).getShape();
    mlir::Value weight = Weight(role, layer, name + ".weight", AddsOne());
    mlir::Value sum =
        ir::SumSquaresOp::create(b_, loc_, Type({shape[0]}, f32_), b_.getStringAttr(Prefix(layer, name + ".sum")), x,
                                 b_.getI64IntegerAttr(CanonicalChunks(shape[1])));
    return ir::RmsScaleOp::create(b_, loc_, Type(shape, f32_), b_.getStringAttr(Prefix(layer, name)), x, sum, weight,
                                  b_.getI64IntegerAttr(shape[1] * shape[2]), b_.getF32FloatAttr(m_.norm_eps));
  }

  mlir::Value Rope(int64_t layer, const std::string& name, mlir::Value x) {
    const LayerSpec& spec = m_.layers[layer];
    if (!spec.rope) return Rounded(layer, name, x);
    return ir::RopeOp::create(b_, loc_, Type(TypeOf(x).getShape(), matrix_), b_.getStringAttr(Prefix(layer, name)), x,
                              cos_sin_[*spec.rope], b_.getI64IntegerAttr(*spec.rope), b_.getBoolAttr(spec.interleaved));
  }

  mlir::Value Add(int64_t layer, const std::string& name, mlir::Value a, mlir::Value b) {
    return ir::AddOp::create(b_, loc_, a.getType(), b_.getStringAttr(Prefix(layer, name)), a, b);
  }

  // The bias of a row-parallel product comes after its sum is complete.
  mlir::Value AddBias(int64_t layer, const std::string& name, mlir::Value x, TensorRole role) {
    if (!Has(role, layer)) return x;
    mlir::Value bias = Weight(role, layer, name + ".bias");
    return ir::AddBiasOp::create(b_, loc_, x.getType(), b_.getStringAttr(Prefix(layer, name + ".add_bias")), x, bias);
  }

  mlir::Value Layer(int64_t layer, mlir::Value residual) {
    const LayerSpec& spec = m_.layers[layer];
    mlir::Value x =
        Norm(TensorRole::kAttentionNorm, TensorRole::kAttentionNormBias, layer, "input_norm", residual, matrix_);
    x = Rounded(layer, "attention_input", x);
    mlir::Value y = Attention(layer, x);
    y = Norm(TensorRole::kAttentionPostNorm, TensorRole::kAttentionPostNormBias, layer, "attention_norm", y, f32_);
    y = Scale(layer, "attention_scale", y, spec.residual_multiplier);
    residual = Add(layer, "attention_add", residual, y);
    if (!spec.parallel) {
      x = Norm(TensorRole::kMlpNorm, TensorRole::kMlpNormBias, layer, "post_norm", residual, matrix_);
      x = Rounded(layer, "mlp_input", x);
    }
    y = Mlp(layer, x);
    y = Norm(TensorRole::kMlpPostNorm, TensorRole::kMlpPostNormBias, layer, "mlp_norm", y, f32_);
    y = Scale(layer, "mlp_scale", y, spec.residual_multiplier);
    return Add(layer, "mlp_add", residual, y);
  }

  mlir::Value Attention(int64_t layer, mlir::Value x) {
    const LayerSpec& spec = m_.layers[layer];
    const int64_t heads = spec.heads, kv_heads = spec.kv_heads, dim = spec.head_dim;
    auto project = [&](TensorRole role, TensorRole bias, const std::string& name, int64_t count) {
      mlir::Value weight = Weight(role, layer, name + ".weight");
      return Product(Prefix(layer, name), x, weight, WeightOrNone(bias, layer, name + ".bias"),
                     {ir::kTokens, count, dim});
    };
    mlir::Value q = project(TensorRole::kQ, TensorRole::kQBias, "q_proj", heads);
    mlir::Value k = project(TensorRole::kK, TensorRole::kKBias, "k_proj", kv_heads);
    mlir::Value v = project(TensorRole::kV, TensorRole::kVBias, "v_proj", kv_heads);
    q = QkNormOf(TensorRole::kQNorm, layer, "q_norm", q);
    k = QkNormOf(TensorRole::kKNorm, layer, "k_norm", k);
    q = Rope(layer, "q_rope", q);
    k = Rope(layer, "k_rope", k);
    if (spec.query_scaling.beta != 0) {
      q = ir::PositionScaleOp::create(b_, loc_, q.getType(), b_.getStringAttr(Prefix(layer, "q_scale")), q, positions_,
                                      b_.getF32FloatAttr(spec.query_scaling.beta),
                                      b_.getI64IntegerAttr(spec.query_scaling.original));
    }
    const int64_t kv_class = classes_.Of(spec), window = classes_.WindowOf(spec);
    mlir::Value cache = ir::KvAppendOp::create(
        b_, loc_, Type({ir::kCached, kv_heads, dim}, matrix_), b_.getStringAttr(Prefix(layer, "kv_append")), k, v,
        slots_[kv_class], b_.getI64IntegerAttr(kv_class), b_.getI64IntegerAttr(classes_.NextLayer(kv_class)),
        b_.getI64IntegerAttr(window));
    mlir::Value y = ir::AttentionOp::create(b_, loc_, Type({ir::kTokens, heads, dim}, matrix_),
                                            b_.getStringAttr(Prefix(layer, "attention")), q, cache, sequence_,
                                            positions_, block_tables_[kv_class], b_.getF32FloatAttr(spec.score_scale),
                                            b_.getI64IntegerAttr(window), b_.getF32FloatAttr(spec.score_cap));
    y = Product(Prefix(layer, "o_proj"), y, Weight(TensorRole::kO, layer, "o_proj.weight"), nullptr,
                {ir::kTokens, m_.hidden});
    return AddBias(layer, "o_proj", y, TensorRole::kOBias);
  }

  mlir::Value Gated(int64_t layer, mlir::Value gate, mlir::Value up) {
    const Activation activation = m_.layers[layer].activation;
    const auto type = Type(TypeOf(gate).getShape(), matrix_);
    if (activation == Activation::kSilu) {
      return ir::SiluMulOp::create(b_, loc_, type, b_.getStringAttr(Prefix(layer, "silu_mul")), gate, up);
    }
    return ir::GeluMulOp::create(b_, loc_, type, b_.getStringAttr(Prefix(layer, "gelu_mul")), gate, up,
                                 b_.getBoolAttr(activation == Activation::kGeluTanh));
  }

  mlir::Value Mlp(int64_t layer, mlir::Value x) {
    auto widen = [&](TensorRole role, TensorRole bias, const std::string& name) {
      mlir::Value weight = Weight(role, layer, name + ".weight");
      return Product(Prefix(layer, name), x, weight, WeightOrNone(bias, layer, name + ".bias"),
                     {ir::kTokens, m_.layers[layer].ffn});
    };
    mlir::Value gate = widen(TensorRole::kGate, TensorRole::kGateBias, "gate_proj");
    mlir::Value up = widen(TensorRole::kUp, TensorRole::kUpBias, "up_proj");
    mlir::Value h = Gated(layer, gate, up);
    mlir::Value y = Product(Prefix(layer, "down_proj"), h, Weight(TensorRole::kDown, layer, "down_proj.weight"),
                            nullptr, {ir::kTokens, m_.hidden});
    return AddBias(layer, "down_proj", y, TensorRole::kDownBias);
  }

  void Logits(mlir::Value logits) {
    logits = Scale(-1, "logit_scale", logits, 1 / m_.logits_scaling);
    if (m_.logit_cap != 0) {
      logits = ir::SoftCapOp::create(b_, loc_, logits.getType(), "logit_cap", logits, llvm::APFloat(m_.logit_cap));
    }
    auto record = TensorType::get(b_.getContext(), {ir::kLogitRows, contract::kVocabChunks},
                                  ir::CandidatesType::get(b_.getContext(), kCandidateCount));
    auto best = ir::TopCandidatesOp::create(b_, loc_, record, "top_candidates", logits, m_.vocab);
    best->setAttr("variant", b_.getStringAttr("candidates"));
    Output("candidates", best);
    Output("all_logits", logits);
  }

  mlir::OpBuilder b_;
  mlir::Location loc_ = b_.getUnknownLoc();
  const PlanFacts& facts_;
  const ModelSpec& m_;
  const Checkpoint& checkpoint_;
  KvClasses classes_;
  mlir::Type f32_, i32_, matrix_;
  mlir::Value tokens_, positions_, sequence_;
  std::vector<mlir::Value> slots_, block_tables_;  // of each cache class
  std::vector<mlir::Value> cos_sin_;               // of each rope
};

}  // namespace

mlir::OwningOpRef<mlir::ModuleOp> BuildGraph(mlir::MLIRContext& context, const PlanFacts& facts,
                                             const Checkpoint& checkpoint) {
  mlir::OpBuilder builder(&context);
  mlir::OwningOpRef<mlir::ModuleOp> module(mlir::ModuleOp::create(builder.getUnknownLoc()));
  WriteFacts(facts, *module);
  builder.setInsertionPointToEnd(module->getBody());
  auto program =
      mlir::func::FuncOp::create(builder, builder.getUnknownLoc(), "forward", builder.getFunctionType({}, {}));
  builder.setInsertionPointToStart(program.addEntryBlock());
  GraphBuilder(builder, facts, checkpoint).Build();
  builder.setInsertionPointToEnd(&program.getBody().front());
  mlir::func::ReturnOp::create(builder, builder.getUnknownLoc());
  return module;
}

}  // namespace mrs::planner
