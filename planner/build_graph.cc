#include "planner/build_graph.h"

#include <cmath>

#include "ir/program.h"
#include "planner/families.h"
#include "planner/legality.h"
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

class GraphBuilder {
 public:
  GraphBuilder(mlir::OpBuilder builder, const PlanFacts& facts, const Checkpoint& checkpoint)
      : b_(builder), facts_(facts), m_(facts.model), checkpoint_(checkpoint) {
    f32_ = b_.getF32Type();
    i32_ = b_.getI32Type();
    matrix_ = facts.weight_dtype == "bf16" ? mlir::Type(b_.getBF16Type()) : f32_;
  }

  void Build() {
    tokens_ = Input(contract::kTokens, {ir::kTokens});
    positions_ = Input(contract::kPositions, {ir::kTokens});
    sequence_ = Input(contract::kSequence, {ir::kTokens});
    slots_ = Input(contract::kSlots, {ir::kTokens});
    const int64_t blocks = (facts_.max_len + contract::kBlockTokens - 1) / contract::kBlockTokens;
    block_table_ = Input(contract::kBlockTable, {ir::kSequences, blocks});
    mlir::Value rows = Input(contract::kLogitRows, {ir::kLogitRows});

    mlir::Value table = Matrix(TensorRole::kEmbedding, -1, "embed", {facts_.vocab_padded, m_.hidden}, 1, 1);
    mlir::Value x =
        ir::EmbedOp::create(b_, loc_, Type({ir::kTokens, m_.hidden}, f32_), "embed_tokens", tokens_, table, m_.vocab);
    cos_sin_ = ir::RopeAnglesOp::create(b_, loc_, Type({ir::kTokens, m_.head_dim}, f32_), "rope_angles", positions_, 0);
    for (int64_t layer = 0; layer < m_.layers; ++layer) {
      mlir::Operation* before = &b_.getInsertionBlock()->back();
      x = Attention(layer, x);
      x = Mlp(layer, x);
      while ((before = before->getNextNode()) != nullptr) before->setAttr("layer", b_.getI64IntegerAttr(layer));
    }
    x = ir::SelectRowsOp::create(b_, loc_, Type({ir::kLogitRows, m_.hidden}, f32_), "logit_rows", x, rows);
    x = Norm(TensorRole::kFinalNorm, -1, "final_norm", x);
    if (!m_.tied_embeddings) {
      table = Matrix(TensorRole::kHead, -1, "lm_head", {facts_.vocab_padded, m_.hidden}, 1, 1);
    }
    mlir::Value logits = Product("lm_head", x, table, nullptr, {ir::kLogitRows, facts_.vocab_padded});
    auto record = TensorType::get(b_.getContext(), {ir::kLogitRows, contract::kVocabChunks},
                                  ir::CandidatesType::get(b_.getContext(), kCandidateCount));
    auto best = ir::TopCandidatesOp::create(b_, loc_, record, "top_candidates", logits, m_.vocab);
    best->setAttr("variant", b_.getStringAttr("candidates"));
    Output("candidates", best);
    Output("all_logits", logits);
  }

 private:
  TensorType Type(llvm::ArrayRef<int64_t> shape, mlir::Type element) {
    return TensorType::get(b_.getContext(), shape, element);
  }
  static std::string Prefix(int64_t layer, const std::string& name) {
    return layer < 0 ? name : fmt::format("l{}.{}", layer, name);
  }

  mlir::Value Input(std::string_view name, llvm::ArrayRef<int64_t> shape) {
    return ir::InputOp::create(b_, loc_, Type(shape, i32_), llvm::StringRef(name));
  }

  void Output(llvm::StringRef variant, mlir::Value value) { ir::OutputOp::create(b_, loc_, variant, value); }

  // One tensor of the checkpoint as a weight [n dims..., k dims...].
  mlir::Value Weight(TensorRole role, int64_t layer, const std::string& name, mlir::Type element,
                     llvm::ArrayRef<int64_t> shape, int64_t n_dims, int64_t chunks) {
    const TensorInfo& tensor = checkpoint_.tensors.at(TensorName(m_, role, layer));
    auto number = [&](llvm::StringRef key, int64_t value) { return b_.getNamedAttr(key, b_.getI64IntegerAttr(value)); };
    const mlir::Attribute source = b_.getDictionaryAttr({
        number("columns", tensor.shape.size() > 1 ? tensor.shape[1] : 1),
        b_.getNamedAttr("dtype", b_.getStringAttr(SourceDtype(tensor.dtype))),
        number("file", tensor.file),
        number("offset", static_cast<int64_t>(tensor.file_offset)),
        number("rows", tensor.shape[0]),
        b_.getNamedAttr("tensor", b_.getStringAttr(tensor.name)),
    });
    auto op =
        ir::WeightOp::create(b_, loc_, Type(shape, element), b_.getStringAttr(Prefix(layer, name)),
                             b_.getArrayAttr({source}), b_.getI64IntegerAttr(n_dims), b_.getI64IntegerAttr(chunks),
                             nullptr);
    return op;
  }
  mlir::Value Matrix(TensorRole role, int64_t layer, const std::string& name, llvm::ArrayRef<int64_t> shape,
                     int64_t n_dims, int64_t chunks) {
    return Weight(role, layer, name + ".weight", matrix_, shape, n_dims, chunks);
  }
  mlir::Value Bias(bool present, TensorRole role, int64_t layer, const std::string& name,
                   llvm::ArrayRef<int64_t> shape) {
    return present ? Weight(role, layer, name + ".bias", f32_, shape, shape.size(), 1) : mlir::Value();
  }

  mlir::Value Product(const std::string& name, mlir::Value x, mlir::Value weight, mlir::Value bias,
                      llvm::ArrayRef<int64_t> shape) {
    llvm::SmallVector<mlir::Value> biases;
    if (bias) biases.push_back(bias);
    return ir::MatmulOp::create(b_, loc_, mlir::TypeRange{Type(shape, f32_)}, b_.getStringAttr(name), x,
                                mlir::ValueRange{weight}, biases)
        .getResult(0);
  }

  // Over the last dimension of x; the result is what a matrix takes in.
  mlir::Value Norm(TensorRole role, int64_t layer, const std::string& name, mlir::Value x, mlir::Type out = nullptr) {
    const auto type = mlir::cast<TensorType>(x.getType());
    mlir::Value weight = Weight(role, layer, name + ".weight", f32_, {type.getShape().back()}, 1, 1);
    return ir::RmsNormOp::create(b_, loc_, Type(type.getShape(), out ? out : matrix_),
                                 b_.getStringAttr(Prefix(layer, name)), x, weight, b_.getF32FloatAttr(m_.norm_eps));
  }

  mlir::Value Rope(int64_t layer, const std::string& name, mlir::Value x) {
    const auto type = mlir::cast<TensorType>(x.getType());
    return ir::RopeOp::create(b_, loc_, Type(type.getShape(), matrix_), b_.getStringAttr(Prefix(layer, name)), x,
                              cos_sin_, b_.getI64IntegerAttr(0), b_.getBoolAttr(false));
  }

  mlir::Value Add(int64_t layer, const std::string& name, mlir::Value a, mlir::Value b) {
    return ir::AddOp::create(b_, loc_, a.getType(), b_.getStringAttr(Prefix(layer, name)), a, b);
  }

  // The bias of a row-parallel product comes after its sum is complete.
  mlir::Value AddBias(int64_t layer, const std::string& name, mlir::Value x, mlir::Value bias) {
    if (!bias) return x;
    return ir::AddBiasOp::create(b_, loc_, x.getType(), b_.getStringAttr(Prefix(layer, name)), x, bias);
  }

  mlir::Value Attention(int64_t layer, mlir::Value residual) {
    const int64_t hidden = m_.hidden, heads = m_.heads, kv_heads = m_.kv_heads, dim = m_.head_dim;
    mlir::Value x = Norm(TensorRole::kInputNorm, layer, "input_norm", residual);
    auto project = [&](TensorRole role, TensorRole bias, const std::string& name, int64_t count) {
      mlir::Value weight = Matrix(role, layer, name, {count, dim, hidden}, 2, 1);
      return Product(Prefix(layer, name), x, weight, Bias(m_.qkv_bias, bias, layer, name, {count, dim}),
                     {ir::kTokens, count, dim});
    };
    mlir::Value q = project(TensorRole::kQ, TensorRole::kQBias, "q_proj", heads);
    mlir::Value k = project(TensorRole::kK, TensorRole::kKBias, "k_proj", kv_heads);
    mlir::Value v = project(TensorRole::kV, TensorRole::kVBias, "v_proj", kv_heads);
    if (m_.qk_norm) {
      q = Norm(TensorRole::kQNorm, layer, "q_norm", q, f32_);
      k = Norm(TensorRole::kKNorm, layer, "k_norm", k, f32_);
    }
    q = Rope(layer, "q_rope", q);
    k = Rope(layer, "k_rope", k);
    mlir::Value cache = ir::KvAppendOp::create(b_, loc_, Type({ir::kCached, kv_heads, dim}, matrix_),
                                               b_.getStringAttr(Prefix(layer, "kv_append")), k, v, slots_,
                                               b_.getI64IntegerAttr(0), b_.getI64IntegerAttr(layer),
                                               b_.getI64IntegerAttr(0));
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim)));
    mlir::Value y = ir::AttentionOp::create(b_, loc_, Type({ir::kTokens, heads, dim}, matrix_),
                                            b_.getStringAttr(Prefix(layer, "attention")), q, cache, sequence_,
                                            positions_, block_table_, b_.getF32FloatAttr(scale),
                                            b_.getI64IntegerAttr(0), b_.getF32FloatAttr(0));
    mlir::Value weight =
        Matrix(TensorRole::kO, layer, "o_proj", {hidden, heads, dim}, 1, AttentionOutputChunks(m_));
    y = Product(Prefix(layer, "o_proj"), y, weight, nullptr, {ir::kTokens, hidden});
    y = AddBias(layer, "o_proj.add_bias", y, Bias(m_.o_bias, TensorRole::kOBias, layer, "o_proj", {hidden}));
    return Add(layer, "attention_add", residual, y);
  }

  mlir::Value Mlp(int64_t layer, mlir::Value residual) {
    const int64_t hidden = m_.hidden, ffn = m_.ffn;
    mlir::Value x = Norm(TensorRole::kPostNorm, layer, "post_norm", residual);
    auto widen = [&](TensorRole role, TensorRole bias, const std::string& name) {
      mlir::Value weight = Matrix(role, layer, name, {ffn, hidden}, 1, 1);
      return Product(Prefix(layer, name), x, weight, Bias(m_.mlp_bias, bias, layer, name, {ffn}), {ir::kTokens, ffn});
    };
    mlir::Value gate = widen(TensorRole::kGate, TensorRole::kGateBias, "gate_proj");
    mlir::Value up = widen(TensorRole::kUp, TensorRole::kUpBias, "up_proj");
    mlir::Value h = ir::SiluMulOp::create(b_, loc_, Type({ir::kTokens, ffn}, matrix_),
                                          b_.getStringAttr(Prefix(layer, "silu_mul")), gate, up);
    mlir::Value weight = Matrix(TensorRole::kDown, layer, "down_proj", {hidden, ffn}, 1, DownChunks(m_));
    mlir::Value y = Product(Prefix(layer, "down_proj"), h, weight, nullptr, {ir::kTokens, hidden});
    y = AddBias(layer, "down_proj.add_bias", y, Bias(m_.mlp_bias, TensorRole::kDownBias, layer, "down_proj", {hidden}));
    return Add(layer, "mlp_add", residual, y);
  }

  mlir::OpBuilder b_;
  mlir::Location loc_ = b_.getUnknownLoc();
  const PlanFacts& facts_;
  const ModelSpec& m_;
  const Checkpoint& checkpoint_;
  mlir::Type f32_, i32_, matrix_;
  mlir::Value tokens_, positions_, sequence_, slots_, block_table_, cos_sin_;
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
