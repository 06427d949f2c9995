// Cuts the program into one function a stage, as mrs.layout says: a layer's operations go to its stage, what comes
// before the first layer to the first, what comes after the last to the last. What crosses a border is sent and
// received.
//
//   func @forward { layers 0 to 3 }   ->   func @stage0 { layers 0, 1; mrs.send "l1.mlp_add.send" %x {peer = 1} }
//                                          func @stage1 { mrs.recv "l1.mlp_add.recv" {peer = 0}; layers 2, 3 }
//
// Each stage has the inputs and weights it reads, and computes anew what follows from inputs alone (the angles of
// RoPE). Classes of the KV cache, and layers within one, count from 0 in each. One stage stays @forward.
#include <map>
#include <set>

#include "mlir/IR/IRMapping.h"
#include "planner/passes/layout_attr.h"
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

constexpr int64_t kWhereUsed = -1;  // instead of a stage: in each that reads it

class Cutter {
 public:
  Cutter(mlir::ModuleOp module, mlir::func::FuncOp program, const Layout& layout)
      : module_(module), program_(program), layout_(layout), mappings_(layout.stages.size()) {}

  mlir::LogicalResult Cut() {
    mlir::OpBuilder at_end(module_.getContext());
    at_end.setInsertionPointToEnd(module_.getBody());
    for (size_t stage = 0; stage < layout_.stages.size(); ++stage) {
      auto function = mlir::func::FuncOp::create(at_end, program_.getLoc(), "stage" + std::to_string(stage),
                                                 at_end.getFunctionType({}, {}));
      builders_.push_back(mlir::OpBuilder::atBlockEnd(function.addEntryBlock()));
      functions_.push_back(function);
    }
    for (mlir::Operation* op : OpsOf(program_)) {
      if (op->hasTrait<mlir::OpTrait::IsTerminator>()) continue;
      const auto stage = StageOf(op);
      if (mlir::failed(stage)) return mlir::failure();
      stage_of_[op] = *stage;
      if (*stage == kWhereUsed) continue;
      if (mlir::failed(Place(op, *stage))) return mlir::failure();
    }
    for (auto [stage, function] : llvm::enumerate(functions_)) {
      mlir::func::ReturnOp::create(builders_[stage], program_.getLoc());
      if (mlir::failed(RenumberKv(function))) return mlir::failure();
    }
    program_.erase();
    return mlir::success();
  }

  llvm::ArrayRef<mlir::func::FuncOp> functions() const { return functions_; }

 private:
  mlir::FailureOr<int64_t> StageOf(mlir::Operation* op) {
    if (mlir::isa<ir::InputOp, ir::WeightOp>(op)) return kWhereUsed;
    int64_t after = kWhereUsed;  // the last stage that it reads from
    bool reads_weight = false;
    for (mlir::Value operand : op->getOperands()) {
      mlir::Operation* made_by = operand.getDefiningOp();
      if (!made_by) return mlir::emitError(op->getLoc()) << "reads an argument of the program; it takes none";
      after = std::max(after, stage_of_.lookup(made_by));
      reads_weight |= mlir::isa<ir::WeightOp>(made_by);
    }
    const int64_t last = static_cast<int64_t>(layout_.stages.size()) - 1;
    if (mlir::isa<ir::OutputOp>(op)) return last;
    const int64_t layer = ir::LayerOf(op);
    if (layer < 0) return after == kWhereUsed && reads_weight ? 0 : after;
    for (auto [stage, of_stage] : llvm::enumerate(layout_.stages)) {
      if (layer < of_stage.layer_begin || layer >= of_stage.layer_end) continue;
      if (static_cast<int64_t>(stage) >= after) return static_cast<int64_t>(stage);
      return ir::NamedError(op) << "is of layer " << layer << " in stage " << stage << ", but reads what stage "
                                << after << " computes";
    }
    return ir::NamedError(op) << "is of layer " << layer
                              << ", which no stage of mrs.layout has; the last has layers to "
                              << layout_.stages.back().layer_end - 1;
  }

  mlir::LogicalResult Place(mlir::Operation* op, int64_t stage) {
    for (mlir::Value operand : op->getOperands()) {
      if (mlir::failed(Bring(op, operand, stage))) return mlir::failure();
    }
    builders_[stage].clone(*op, mappings_[stage]);
    return mlir::success();
  }

  // Makes `value` of the whole program one of the stage's, for `reader`.
  mlir::LogicalResult Bring(mlir::Operation* reader, mlir::Value value, int64_t stage) {
    if (mappings_[stage].contains(value)) return mlir::success();
    mlir::Operation* made_by = value.getDefiningOp();
    if (stage_of_.lookup(made_by) == kWhereUsed) return Place(made_by, stage);
    if (mlir::isa<ir::KvAppendOp>(made_by)) {
      return ir::NamedError(reader) << "reads the cache of '" << ir::NameOf(made_by) << "', which is of another stage";
    }
    // From stage to stage, also through those that do not read it.
    if (mlir::failed(Bring(reader, value, stage - 1))) return mlir::failure();
    const std::string name = ir::NameOf(made_by).str();
    mlir::OpBuilder &from = builders_[stage - 1], &to = builders_[stage];
    ir::SendOp::create(from, made_by->getLoc(), from.getStringAttr(name + ".send"), mappings_[stage - 1].lookup(value),
                       from.getI64IntegerAttr(stage), nullptr);
    auto recv = ir::RecvOp::create(to, made_by->getLoc(), value.getType(), to.getStringAttr(name + ".recv"),
                                   to.getI64IntegerAttr(stage - 1), nullptr);
    mappings_[stage].map(value, recv.getResult());
    return mlir::success();
  }

  // Inputs of class 0 are `slots` and `block_table`, those of class i `slots.i` and `block_table.i`.
  mlir::LogicalResult RenumberKv(mlir::func::FuncOp function) {
    std::set<int64_t> classes;
    for (auto append : function.getOps<ir::KvAppendOp>()) classes.insert(append.getKvClass());
    const auto index_of = [&](ir::KvAppendOp append) {
      return static_cast<int64_t>(std::distance(classes.begin(), classes.find(append.getKvClass())));
    };
    llvm::DenseMap<mlir::Operation*, int64_t> class_of_input;
    const auto of_class = [&](mlir::Operation* reader, mlir::Value value, int64_t index) -> mlir::LogicalResult {
      auto input = value.getDefiningOp<ir::InputOp>();
      if (!input) return ir::NamedError(reader) << "its slots or block table are no mrs.input";
      const auto [found, added] = class_of_input.try_emplace(input, index);
      if (found->second == index) return mlir::success();
      return ir::NamedError(reader) << "reads '" << input.getName() << "', as another class of the KV cache does";
    };
    for (auto attention : function.getOps<ir::AttentionOp>()) {
      auto append = attention.getCache().getDefiningOp<ir::KvAppendOp>();
      if (!append) return ir::NamedError(attention) << "its cache is not the result of an mrs.kv_append";
      if (mlir::failed(of_class(attention, attention.getBlockTable(), index_of(append)))) return mlir::failure();
    }
    for (auto append : function.getOps<ir::KvAppendOp>()) {
      if (mlir::failed(of_class(append, append.getSlots(), index_of(append)))) return mlir::failure();
    }
    std::map<int64_t, int64_t> next_layer;
    llvm::SmallVector<std::pair<ir::KvAppendOp, int64_t>> renumbered;
    for (auto append : function.getOps<ir::KvAppendOp>()) renumbered.emplace_back(append, index_of(append));
    for (auto& [append, index] : renumbered) {
      append.setKvClass(index);
      append.setKvLayer(next_layer[index]++);
    }
    for (auto [op, index] : class_of_input) {
      auto input = mlir::cast<ir::InputOp>(op);
      const std::string base = input.getName().split('.').first.str();
      input.setName(index == 0 ? base : base + "." + std::to_string(index));
    }
    return mlir::success();
  }

  mlir::ModuleOp module_;
  mlir::func::FuncOp program_;
  const Layout& layout_;
  std::vector<mlir::OpBuilder> builders_;  // by stage, as are functions_ and mappings_
  std::vector<mlir::func::FuncOp> functions_;
  std::vector<mlir::IRMapping> mappings_;
  llvm::DenseMap<mlir::Operation*, int64_t> stage_of_;
};

struct CutStages : ModulePass<CutStages> {
  static constexpr llvm::StringLiteral kArgument = "mrs-cut-stages";
  static constexpr llvm::StringLiteral kDescription = "cut the program into one function a stage";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    auto programs = ir::ProgramsOf(module);
    if (programs.empty()) return mlir::failure();
    const auto layout = ReadLayout(module);
    if (mlir::failed(layout)) return mlir::failure();
    if (programs.size() != 1) return module.emitError() << "has " << programs.size() << " programs: it is cut already";
    if (layout->stages.size() > 1) {
      Cutter cutter(module, programs.front(), *layout);
      if (mlir::failed(cutter.Cut())) return mlir::failure();
      programs.assign(cutter.functions().begin(), cutter.functions().end());
    }
    mlir::Builder builder(module.getContext());
    for (auto [program, stage] : llvm::zip_equal(programs, layout->stages)) {
      program->setAttr("mrs.layers", builder.getDenseI64ArrayAttr({stage.layer_begin, stage.layer_end}));
    }
    return mlir::success();
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateCutStagesPass() { return std::make_unique<CutStages>(); }

}  // namespace mrs::planner
