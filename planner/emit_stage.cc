#include "planner/emit_stage.h"

#include <utility>

#include "ir/program.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/TypeSwitch.h"
#include "plans/contract.h"
#include "plans/encoding.h"

namespace mrs::planner {
namespace {

using ir::DimSlice;
using ir::TensorType;

TensorType TypeOf(mlir::Value value) { return mlir::cast<TensorType>(value.getType()); }

plan::DType DTypeOf(mlir::Type element) {
  if (element.isF32()) return plan::DType::f32;
  if (element.isBF16()) return plan::DType::bf16;
  if (element.isInteger(32)) return plan::DType::i32;
  return plan::DType::u8;  // candidates: bytes of records
}

plan::Rows RowsOf(TensorType type) {
  switch (type.getShape()[0]) {
    case ir::kTokens:
      return plan::Rows::tokens;
    case ir::kSequences:
      return plan::Rows::sequences;
    case ir::kLogitRows:
      return plan::Rows::logit_rows;
    default:
      return plan::Rows::one;
  }
}

plan::Axis AxisOf(ir::Axis axis) {
  switch (axis) {
    case ir::Axis::kTp:
      return plan::Axis::tp;
    case ir::Axis::kEp:
      return plan::Axis::ep;
    case ir::Axis::kDp:
      return plan::Axis::dp;
    case ir::Axis::kStage:
      return plan::Axis::stage;
  }
  return plan::Axis::none;
}

// The slice of a dimension of `extent`; whole where it is not split.
plan::Slice SliceOf(DimSlice slice, int64_t extent, bool split) {
  if (!split) return {0, 0, static_cast<uint64_t>(extent), 1, plan::Axis::none};
  return {slice.start, slice.step, static_cast<uint64_t>(slice.size), static_cast<uint32_t>(slice.every),
          AxisOf(slice.axis)};
}

plan::CollectiveAlgorithm AlgorithmOf(llvm::StringRef name) {
  if (name == "halving_doubling") return plan::CollectiveAlgorithm::halving_doubling;
  if (name == "gather_add") return plan::CollectiveAlgorithm::gather_add;
  if (name == "rank_order") return plan::CollectiveAlgorithm::rank_order;
  return plan::CollectiveAlgorithm::doubling;
}

class StageEmitter {
 public:
  StageEmitter(mlir::func::FuncOp program, NameList* names, plan::PlanT* plan)
      : module_(program->getParentOfType<mlir::ModuleOp>()),
        program_(program),
        mesh_(ir::MeshOf(program)),
        names_(names),
        plan_(plan) {}

  Status Emit() {
    auto layers = program_->getAttrOfType<mlir::DenseI64ArrayAttr>("mrs.layers");
    if (!layers || layers.size() != 2 || !std::in_range<uint32_t>(layers[0]) || !std::in_range<uint32_t>(layers[1])) {
      return Refuse("program '{}': mrs.layers: expected array<i64: begin, end>; run mrs-cut-stages",
                    program_.getName().str());
    }
    stage_->layer_begin = layers[0];
    stage_->layer_end = layers[1];
    stage_->tp_group = plan_->stages.size();
    stage_->candidates_buffer = stage_->logits_buffer = contract::kNone;
    EmitBuckets();
    for (mlir::Operation& op : program_.getBody().front()) {
      if (auto weight = mlir::dyn_cast<ir::WeightOp>(op)) {
        MRS_RETURN_IF_ERROR(EmitWeight(weight));
      } else if (auto output = mlir::dyn_cast<ir::OutputOp>(op)) {
        uint32_t& buffer = output.getVariant() == "candidates" ? stage_->candidates_buffer : stage_->logits_buffer;
        buffer = buffers_.lookup(output.getX());
        ++output_count_;
      } else {
        for (mlir::Value result : op.getResults()) {
          if (!ir::IsCache(result)) EmitBuffer(result);
        }
        if (ir::IsStep(&op)) MRS_RETURN_IF_ERROR(EmitStep(&op));
      }
    }
    // Only the stage that ends the model answers.
    const bool last = static_cast<int64_t>(plan_->stages.size()) + 1 == mesh_.stage;
    if (last && output_count_ != 2) {
      return Refuse("the program has {} outputs, expected mrs.output \"candidates\" and mrs.output \"all_logits\"",
                    output_count_);
    }
    if (!last && output_count_ != 0) {
      return Refuse("program '{}' has {} outputs, expected none: only the last stage answers", program_.getName().str(),
                    output_count_);
    }
    EmitPlacements();
    MRS_RETURN_IF_ERROR(EmitKv());
    plan_->stages.push_back(std::move(stage_));
    return Status();
  }

 private:
  uint32_t Name(llvm::StringRef text) { return names_->Add(text.str()); }

  int64_t ProgramNumber(llvm::StringRef dictionary, llvm::StringRef key) {
    auto group = program_->getAttrOfType<mlir::DictionaryAttr>(dictionary);
    auto number = group ? group.getAs<mlir::IntegerAttr>(key) : nullptr;
    return number ? number.getInt() : 0;
  }

  void EmitBuckets() {
    auto arenas = program_->getAttrOfType<mlir::DenseI64ArrayAttr>("mrs.bucket_arenas");
    for (const auto& [index, bucket] : llvm::enumerate(ir::BucketsOf(module_))) {
      const int64_t bytes = arenas && static_cast<int64_t>(index) < arenas.size() ? arenas[index] : 0;
      stage_->buckets.emplace_back(bucket.tokens, bucket.sequences, bucket.logit_rows, bytes);
    }
  }

  void EmitBuffer(mlir::Value value) {
    const TensorType type = TypeOf(value);
    buffers_[value] = stage_->buffers.size();
    values_.push_back(value);
    stage_->buffers.emplace_back(ir::LocalRowElements(type, mesh_), Name(ir::NameOf(value.getDefiningOp())),
                                 DTypeOf(type.getElementType()), RowsOf(type),
                                 value.getDefiningOp<ir::InputOp>() != nullptr);
  }

  void EmitPlacements() {
    for (size_t bucket = 0; bucket < stage_->buckets.size(); ++bucket) {
      for (mlir::Value value : values_) stage_->placements.push_back(ir::OffsetsOf(value)[bucket]);
    }
    stage_->weight_arena_bytes = ProgramNumber("mrs.arenas", "weights");
    stage_->activation_arena_bytes = ProgramNumber("mrs.arenas", "activations");
    stage_->kv_arena_bytes = ProgramNumber("mrs.arenas", "kv");
    stage_->workspace_bytes = ProgramNumber("mrs.cuda", "workspace");
    stage_->graphs_bytes = ProgramNumber("mrs.cuda", "graphs");
    stage_->communicators_bytes = ProgramNumber("mrs.cuda", "communicators");
  }

  Status EmitWeight(ir::WeightOp op) {
    const TensorType type = TypeOf(op.getResult());
    const auto local = ir::LocalWeightOf(op, mesh_);
    auto offset = op->getAttrOfType<mlir::IntegerAttr>("arena_offset");
    if (mlir::failed(local) || !offset)
      return Refuse("weight '{}' has no place in memory; run mrs-plan-memory", op.getName().str());
    const bool vector = local->chunk_k == 0;
    weights_[op.getResult()] = stage_->weights.size();
    plan::Weight weight(offset.getInt(), ir::WeightBytes(*local, type.getElementType()), local->n, local->chunk_k,
                        local->chunk_count, vector ? 0 : op.getChunks(), stage_->sources.size(), op.getSources().size(),
                        Name(op.getName()), vector ? kVectorEncoding : kMatrixEncoding, DTypeOf(type.getElementType()));
    stage_->weights.push_back(weight);
    const bool rows_split = type.getSlices()[0].split();
    const bool columns_split = !vector && type.getSlices()[op.getNDims()].split();
    for (mlir::Attribute attribute : op.getSources()) {
      MRS_RETURN_IF_ERROR(EmitSource(op, attribute, SliceOf(local->rows, local->rows.size, rows_split),
                                     SliceOf(local->columns, local->columns.size, columns_split)));
    }
    return Status();
  }

  Status EmitSource(ir::WeightOp op, mlir::Attribute attribute, plan::Slice rows, plan::Slice columns) {
    auto source = mlir::dyn_cast<mlir::DictionaryAttr>(attribute);
    auto number = [&](llvm::StringRef key) {
      auto value = source ? source.getAs<mlir::IntegerAttr>(key) : nullptr;
      return value ? value.getInt() : -1;
    };
    auto tensor = source ? source.getAs<mlir::StringAttr>("tensor") : nullptr;
    auto dtype = source ? source.getAs<mlir::StringAttr>("dtype") : nullptr;
    if (!tensor || !dtype || number("rows") < 1 || number("columns") < 1 || number("file") < 0 ||
        number("offset") < 0) {
      return Refuse("weight '{}': a source is {{columns, dtype, file, offset, rows, tensor}}", op.getName().str());
    }
    if (dtype.getValue() != "bf16" && dtype.getValue() != "f16" && dtype.getValue() != "f32") {
      return Refuse("weight '{}': dtype \"{}\" of a source: expected bf16, f16 or f32", op.getName().str(),
                    dtype.getValue().str());
    }
    if (!std::in_range<uint32_t>(number("file"))) {
      return Refuse("weight '{}': file {} of a source is out of range", op.getName().str(), number("file"));
    }
    const plan::DType type = dtype.getValue() == "bf16"  ? plan::DType::bf16
                             : dtype.getValue() == "f16" ? plan::DType::f16
                                                         : plan::DType::f32;
    const bool part = source.contains("row_begin") || source.contains("row_count");
    const int64_t row_begin = part ? number("row_begin") : 0, row_count = part ? number("row_count") : number("rows");
    if (row_begin < 0 || row_count < 1) {
      return Refuse("weight '{}': rows {} to {} of a source, expected {{row_begin, row_count}} inside its {} rows",
                    op.getName().str(), row_begin, row_count, number("rows"));
    }
    auto transform = source.getAs<mlir::StringAttr>("transform");
    if (source.contains("transform") && (!transform || transform.getValue() != "add_one")) {
      return Refuse("weight '{}': the transform of a source is \"add_one\" or absent", op.getName().str());
    }
    stage_->sources.emplace_back(rows, columns, row_begin, row_count, number("rows"), number("columns"),
                                 number("offset"), 0, Name(tensor.getValue()), number("file"), type,
                                 transform ? plan::Transform::add_one : plan::Transform::none);
    return Status();
  }

  // Operands as the plan lists them; a cache is not one: the attribute says which layer's it is.
  llvm::SmallVector<plan::Ref> OperandRefs(mlir::Operation* op) {
    llvm::SmallVector<plan::Ref> refs;
    auto add = [&](mlir::Value value) {
      if (auto weight = weights_.find(value); weight != weights_.end())
        refs.emplace_back(weight->second, plan::RefSpace::weight);
      else
        refs.emplace_back(buffers_.lookup(value), plan::RefSpace::buffer);
    };
    const auto add_products = [&](auto matmul) {
      add(matmul.getX());
      for (size_t part = 0; part < matmul.getWeights().size(); ++part) {
        add(matmul.getWeights()[part]);
        if (matmul.getBiases().empty())
          refs.emplace_back(0, plan::RefSpace::none);
        else
          add(matmul.getBiases()[part]);
      }
      return refs;
    };
    if (auto matmul = mlir::dyn_cast<ir::MatmulOp>(op)) return add_products(matmul);
    if (auto gated = mlir::dyn_cast<ir::GatedMatmulOp>(op)) return add_products(gated);
    for (mlir::Value operand : op->getOperands()) {
      if (!ir::IsCache(operand)) add(operand);
    }
    return refs;
  }

  struct KindAndAttr {
    plan::OpKind kind = plan::OpKind::none;
    size_t attr = 0;
  };

  template <typename T, typename... Args>
  static size_t Append(std::vector<T>& list, Args&&... args) {
    list.emplace_back(std::forward<Args>(args)...);
    return list.size() - 1;
  }

  template <typename T>
  static size_t AppendTable(std::vector<std::unique_ptr<T>>& list, const T& attr) {
    return Append(list, std::make_unique<T>(attr));
  }

  // What an append and the attention to it have in common.
  plan::AttentionAttrT CacheAttr(const ir::CacheAppend& append) {
    const TensorType cache = TypeOf(append.cache);
    plan::AttentionAttrT attr;
    attr.kv_heads = cache.localSize(1);
    attr.head_dim = cache.getShape()[2];
    attr.kv_class = static_cast<uint32_t>(append.kv_class);
    attr.kv_layer = static_cast<uint32_t>(append.kv_layer);
    attr.window = static_cast<uint32_t>(append.window);
    return attr;
  }

  size_t CollectiveAttr(mlir::Value x, plan::CollectiveAlgorithm algorithm, mlir::Operation* op) {
    const TensorType type = TypeOf(x);
    return Append(stage_->collectives, ir::LocalRowElements(type, mesh_), stage_->tp_group,
                  op->getAttrOfType<mlir::IntegerAttr>("order").getInt(), DTypeOf(type.getElementType()), RowsOf(type),
                  algorithm);
  }

  size_t TransferAttr(TensorType type, uint64_t peer, mlir::Operation* op) {
    return Append(stage_->transfers, ir::LocalRowElements(type, mesh_), static_cast<uint32_t>(peer),
                  static_cast<uint32_t>(op->getAttrOfType<mlir::IntegerAttr>("order").getInt()),
                  DTypeOf(type.getElementType()), RowsOf(type));
  }

  KindAndAttr Describe(mlir::Operation* op) {
    using plan::OpKind;
    auto split = [](mlir::Value value, int64_t dim) { return TypeOf(value).getSlices()[dim].split(); };
    return llvm::TypeSwitch<mlir::Operation*, KindAndAttr>(op)
        .Case([&](ir::EmbedOp embed) {
          const TensorType table = TypeOf(embed.getTable());
          return KindAndAttr{
              OpKind::embed,
              Append(stage_->embeds, SliceOf(table.getSlices()[0], table.getShape()[0], split(embed.getTable(), 0)),
                     embed.getVocabValid())};
        })
        .Case([&](ir::RopeAnglesOp rope) {
          return KindAndAttr{OpKind::rope_angles, static_cast<size_t>(rope.getRope())};
        })
        .Case([&](ir::RmsNormOp norm) {
          const TensorType type = TypeOf(norm.getX());
          const int64_t width = type.getShape().back();
          plan::NormAttrT attr;
          attr.heads = ir::LocalRowElements(type, mesh_) / width;
          attr.width = width;
          attr.eps = norm.getEps().convertToFloat();
          return KindAndAttr{OpKind::rms_norm, AppendTable(stage_->norms, attr)};
        })
        .Case([&](ir::LayerNormOp norm) {
          const TensorType type = TypeOf(norm.getX());
          plan::NormAttrT attr;
          attr.width = type.getShape().back();
          attr.heads = ir::LocalRowElements(type, mesh_) / attr.width;
          attr.eps = norm.getEps().convertToFloat();
          return KindAndAttr{OpKind::layer_norm, AppendTable(stage_->norms, attr)};
        })
        .Case([&](ir::SumSquaresOp sum) {
          const TensorType type = TypeOf(sum.getX());
          return KindAndAttr{OpKind::sum_squares, Append(stage_->sum_squares, type.localSize(1), type.getShape()[2],
                                                         type.getShape()[1] / sum.getChunks())};
        })
        .Case([&](ir::RmsScaleOp scale) {
          return KindAndAttr{OpKind::rms_scale,
                             Append(stage_->rms_scales, ir::LocalRowElements(TypeOf(scale.getX()), mesh_),
                                    scale.getWidth(), scale.getEps().convertToFloat())};
        })
        .Case([&](ir::ScaleOp scale) {
          return KindAndAttr{OpKind::scale, Append(stage_->scales, scale.getFactor().convertToFloat())};
        })
        .Case([&](ir::SoftCapOp cap) {
          return KindAndAttr{OpKind::soft_cap, Append(stage_->scales, cap.getCap().convertToFloat())};
        })
        .Case([&](ir::PositionScaleOp scale) {
          return KindAndAttr{OpKind::position_scale,
                             Append(stage_->position_scales, scale.getOriginal(), scale.getBeta().convertToFloat())};
        })
        .Case([&](ir::GeluMulOp gelu) {
          plan::GluAttrT attr;
          attr.approximate = gelu.getApproximate();
          return KindAndAttr{OpKind::gelu_mul, AppendTable(stage_->glus, attr)};
        })
        .Case([&](ir::MatmulOp) { return KindAndAttr{OpKind::matmul}; })
        .Case([&](ir::RopeOp rope) {
          const TensorType type = TypeOf(rope.getX());
          plan::HeadsAttrT attr;
          attr.heads = type.localSize(1);
          attr.head_dim = type.getShape()[2];
          attr.rope = static_cast<uint32_t>(rope.getRope());
          attr.interleaved = rope.getInterleaved();
          return KindAndAttr{OpKind::rope, AppendTable(stage_->heads, attr)};
        })
        .Case([&](ir::KvAppendOp append) {
          const TensorType type = TypeOf(append.getCache());
          plan::AttentionAttrT attr = CacheAttr(*ir::AppendOf(op));
          attr.heads = type.localSize(1);
          attr.scale = 1.0f;
          return KindAndAttr{OpKind::kv_append, AppendTable(stage_->attentions, attr)};
        })
        .Case([&](ir::AttentionOp attention) {
          plan::AttentionAttrT attr = CacheAttr(*ir::AppendOf(attention.getCache().getDefiningOp()));
          attr.heads = TypeOf(attention.getQ()).localSize(1);
          attr.scale = attention.getScale().convertToFloat();
          attr.window = static_cast<uint32_t>(attention.getWindow());
          attr.soft_cap = attention.getSoftCap().convertToFloat();
          return KindAndAttr{OpKind::attention, AppendTable(stage_->attentions, attr)};
        })
        .Case([&](ir::AddRmsNormOp norm) {
          plan::NormAttrT attr;
          attr.heads = 1;
          attr.width = TypeOf(norm.getSum()).getShape().back();
          attr.eps = norm.getEps().convertToFloat();
          return KindAndAttr{OpKind::add_rms_norm, AppendTable(stage_->norms, attr)};
        })
        .Case([&](ir::RopeAppendOp append) {
          const plan::AttentionAttrT cache = CacheAttr(*ir::AppendOf(op));
          return KindAndAttr{OpKind::rope_append,
                             Append(stage_->rope_appends, TypeOf(append.getQ()).localSize(1), cache.kv_heads,
                                    cache.head_dim, static_cast<uint32_t>(append.getRope()), cache.kv_class,
                                    cache.kv_layer, cache.window, append.getInterleaved())};
        })
        .Case([&](ir::GatedMatmulOp gated) {
          if (gated.getActivation() == "silu") return KindAndAttr{OpKind::matmul_silu_mul};
          plan::GluAttrT attr;
          attr.approximate = gated.getActivation() == "gelu_tanh";
          return KindAndAttr{OpKind::matmul_gelu_mul, AppendTable(stage_->glus, attr)};
        })
        .Case([&](ir::SiluMulOp) { return KindAndAttr{OpKind::silu_mul}; })
        .Case([&](ir::AddOp) { return KindAndAttr{OpKind::add}; })
        .Case([&](ir::AddBiasOp) { return KindAndAttr{OpKind::add_bias}; })
        .Case([&](ir::SelectRowsOp) { return KindAndAttr{OpKind::select_rows}; })
        .Case([&](ir::TopCandidatesOp best) {
          const TensorType logits = TypeOf(best.getLogits()), record = TypeOf(best.getResult());
          auto element = mlir::cast<ir::CandidatesType>(record.getElementType());
          return KindAndAttr{OpKind::top_candidates,
                             Append(stage_->candidates,
                                    SliceOf(logits.getSlices()[1], logits.getShape()[1], split(best.getLogits(), 1)),
                                    best.getVocabValid(), logits.getShape()[1] / contract::kVocabChunks,
                                    static_cast<uint32_t>(record.localSize(1)), static_cast<uint32_t>(element.getK()))};
        })
        .Case([&](ir::AllReduceOp reduce) {
          return KindAndAttr{OpKind::all_reduce, CollectiveAttr(reduce.getX(), AlgorithmOf(reduce.getAlgorithm()), op)};
        })
        .Case([&](ir::AllGatherOp gather) {
          return KindAndAttr{OpKind::all_gather, CollectiveAttr(gather.getX(), plan::CollectiveAlgorithm::gather, op)};
        })
        .Case([&](ir::SendOp send) {
          return KindAndAttr{OpKind::send, TransferAttr(TypeOf(send.getX()), send.getPeer(), op)};
        })
        .Case([&](ir::RecvOp recv) {
          return KindAndAttr{OpKind::recv, TransferAttr(TypeOf(recv.getResult()), recv.getPeer(), op)};
        })
        .Default([](mlir::Operation*) { return KindAndAttr{}; });
  }

  Status EmitStep(mlir::Operation* op) {
    const llvm::StringRef name = ir::NameOf(op);
    if (auto attention = mlir::dyn_cast<ir::AttentionOp>(op); attention && !ir::IsCache(attention.getCache())) {
      return Refuse("'{}': its cache is not the result of an mrs.kv_append or mrs.rope_append", name.str());
    }
    if (!std::in_range<int16_t>(ir::LayerOf(op))) {
      return Refuse("'{}': layer {} is out of range", name.str(), ir::LayerOf(op));
    }
    for (const char* index : {"kv_class", "kv_layer", "rope", "window", "peer"}) {
      auto number = op->getAttrOfType<mlir::IntegerAttr>(index);
      if (number && !std::in_range<uint32_t>(number.getInt())) {
        return Refuse("'{}': {} {} is out of range", name.str(), index, number.getInt());
      }
    }
    const KindAndAttr described = Describe(op);
    if (described.kind == plan::OpKind::none) return Refuse("'{}': an operation that a plan cannot hold", name.str());
    const size_t operand_begin = stage_->refs.size();
    const auto operands = OperandRefs(op);
    stage_->refs.insert(stage_->refs.end(), operands.begin(), operands.end());
    size_t result_count = op->getNumResults();
    if (ir::AppendOf(op)) --result_count;  // the cache, which is the last
    for (size_t i = 0; i < result_count; ++i) {
      stage_->refs.emplace_back(buffers_.lookup(op->getResult(i)), plan::RefSpace::buffer);
    }
    if (ir::IsJoined(op)) stage_->joined.push_back(static_cast<uint32_t>(stage_->steps.size()));
    const llvm::StringRef variant = ir::VariantOf(op);
    const plan::Variant when = variant == "candidates"   ? plan::Variant::candidates
                               : variant == "all_logits" ? plan::Variant::all_logits
                                                         : plan::Variant::always;
    // One step after the other: the CPU has no second stream, and memory was planned for this order. A step waits for
    // the last one before it that runs whenever it does.
    const size_t dep_begin = stage_->deps.size();
    for (size_t before = stage_->steps.size(); before-- > 0;) {
      const plan::Variant earlier = stage_->steps[before].variant();
      if (earlier != plan::Variant::always && earlier != when) continue;
      stage_->deps.push_back(before);
      break;
    }
    stage_->steps.emplace_back(Name(name), operand_begin, described.attr, dep_begin, stage_->deps.size() - dep_begin,
                               operands.size(), result_count, static_cast<int16_t>(ir::LayerOf(op)), described.kind,
                               when);
    return Status();
  }

  // The classes as memory planning counted them, with the shape of the layers that append to them.
  Status EmitKv() {
    auto classes = program_->getAttrOfType<mlir::ArrayAttr>("mrs.kv");
    for (const auto& [index, entry] :
         llvm::enumerate(classes ? classes.getValue() : llvm::ArrayRef<mlir::Attribute>())) {
      auto of_class = mlir::dyn_cast<mlir::DictionaryAttr>(entry);
      const auto number = [&](llvm::StringRef key) {
        auto value = of_class ? of_class.getAs<mlir::IntegerAttr>(key) : nullptr;
        return value ? value.getInt() : 0;
      };
      const auto appends = ir::AppendsOf(program_);
      const auto append = llvm::find_if(appends, [&](const auto& of) { return std::cmp_equal(of.kv_class, index); });
      if (append == appends.end()) {
        return Refuse("program '{}': mrs.kv: no step appends to class {}", program_.getName().str(), index);
      }
      const TensorType cache = TypeOf(append->cache);
      const uint32_t dim = cache.getShape()[2];
      stage_->kv_classes.emplace_back(number("block_count"), number("block_bytes"), number("window"), 0, 0,
                                      contract::kBlockTokens, number("layers"), cache.localSize(1), dim, dim,
                                      number("sequence_blocks"), DTypeOf(cache.getElementType()),
                                      number("window") > 0 ? plan::KvKind::window : plan::KvKind::full);
    }
    return Status();
  }

  mlir::ModuleOp module_;
  mlir::func::FuncOp program_;
  ir::Mesh mesh_;
  NameList* names_;
  plan::PlanT* plan_;
  std::unique_ptr<plan::StageT> stage_ = std::make_unique<plan::StageT>();
  llvm::DenseMap<mlir::Value, uint32_t> buffers_, weights_;
  std::vector<mlir::Value> values_;  // in buffer order
  int output_count_ = 0;
};

}  // namespace

Status EmitStage(mlir::func::FuncOp program, NameList* names, plan::PlanT* plan) {
  return StageEmitter(program, names, plan).Emit();
}

}  // namespace mrs::planner
