// Joins steps that follow one another into one kernel, for GPUs, where each launch costs a microsecond or more beside
// the work of a token. An operation joined has the bits of those that it stands for, and what none but it reads is no
// value of the program any more.
//
//   %s = mrs.add "l0.mlp_add" %r, %y                    %s, %n = mrs.add_rms_norm
//   %n = mrs.rms_norm "l1.input_norm" %s, %w      ->      "l0.mlp_add+l1.input_norm" %r, %y, %w
//
//   %a = mrs.rope "l0.q_rope" %q, %cs                   %a, %c = mrs.rope_append
//   %b = mrs.rope "l0.k_rope" %k, %cs             ->      "l0.q_rope+k_rope+kv_append" %q, %k, %v, %cs, %slots
//   %c = mrs.kv_append "l0.kv_append" %b, %v, %slots
//
//   %g, %u = mrs.matmul "l0.gate_proj+up_proj" %x, [%wg, %wu]       _, _, %h = mrs.gated_matmul
//   %h = mrs.silu_mul "l0.silu_mul" %g, %u                      ->    "l0.gate_proj+up_proj+silu_mul" %x, [%wg, %wu]
//
// Of CPU ranks nothing is joined.
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

// "l0.q_rope" and "l0.k_rope" give "l0.q_rope+k_rope"; of another layer the whole name is said.
std::string JoinedName(llvm::StringRef first, llvm::StringRef next) {
  const auto [layer, part] = next.split('.');
  const bool same = !part.empty() && first.starts_with((layer + ".").str());
  return (first + "+" + (same ? part : next)).str();
}

// The joined operation is of the layer whose weights it reads.
void KeepLayer(mlir::Operation* of, mlir::Operation* joined) {
  for (const char* kept : {"layer", "variant"}) {
    if (mlir::Attribute value = of->getAttr(kept)) joined->setAttr(kept, value);
  }
}

// Whole rows that one sum makes: the norm runs where the sum did, and nothing that it reads comes later.
void JoinAddAndNorm(ir::RmsNormOp norm) {
  auto add = norm.getX().getDefiningOp<ir::AddOp>();
  auto weight = norm.getWeight().getDefiningOp<ir::WeightOp>();
  if (!add || !weight || ir::VariantOf(add) != ir::VariantOf(norm) || TensorTypeOf(add.getResult()).rank() != 2) return;
  mlir::OpBuilder builder(add);
  weight->moveBefore(add);
  auto joined = ir::AddRmsNormOp::create(builder, norm.getLoc(),
                                         mlir::TypeRange{add.getResult().getType(), norm.getResult().getType()},
                                         builder.getStringAttr(JoinedName(add.getName(), norm.getName())), add.getA(),
                                         add.getB(), norm.getWeight(), norm.getEpsAttr());
  KeepLayer(norm, joined);
  norm.getResult().replaceAllUsesWith(joined.getResult());
  add.getResult().replaceAllUsesWith(joined.getSum());
  norm.erase();
  add.erase();
}

// Q and K that are turned alike, for the attention to what is appended, and read by nobody else.
void JoinRopesAndAppend(ir::AttentionOp attention) {
  auto append = attention.getCache().getDefiningOp<ir::KvAppendOp>();
  auto q = attention.getQ().getDefiningOp<ir::RopeOp>();
  auto k = append ? append.getK().getDefiningOp<ir::RopeOp>() : nullptr;
  if (!q || !k || q == k || !q.getResult().hasOneUse() || !k.getResult().hasOneUse()) return;
  if (q.getCosSin() != k.getCosSin() || q.getRope() != k.getRope() || q.getInterleaved() != k.getInterleaved()) return;
  if (ir::VariantOf(q) != ir::VariantOf(append) || ir::VariantOf(k) != ir::VariantOf(append)) return;
  // One that is made after the append has its rotation stay where it is.
  if (mlir::Operation* made = q.getX().getDefiningOp(); made != nullptr && !made->isBeforeInBlock(append)) return;
  mlir::OpBuilder builder(append);
  const std::string name = JoinedName(JoinedName(q.getName(), k.getName()), append.getName());
  auto joined = ir::RopeAppendOp::create(builder, append.getLoc(),
                                         mlir::TypeRange{q.getResult().getType(), append.getCache().getType()},
                                         builder.getStringAttr(name), q.getX(), k.getX(), append.getV(), q.getCosSin(),
                                         append.getSlots(), q.getRopeAttr(), builder.getBoolAttr(q.getInterleaved()),
                                         append.getKvClassAttr(), append.getKvLayerAttr(), append.getWindowAttr());
  KeepLayer(append, joined);
  q.getResult().replaceAllUsesWith(joined.getResult());
  append.getCache().replaceAllUsesWith(joined.getCache());
  append.erase();
  q.erase();
  k.erase();
}

// Gate and up that one product makes (mrs-fuse), and nothing else of it, for nobody but what they are gated by.
template <typename Gated>
void JoinProductsAndGate(Gated gated, llvm::StringRef activation) {
  auto matmul = gated.getGate().template getDefiningOp<ir::MatmulOp>();
  if (!matmul || matmul.getResults().size() != 2 || ir::VariantOf(matmul) != ir::VariantOf(gated)) return;
  const mlir::Value gate = matmul.getResult(0), up = matmul.getResult(1);
  if (gated.getGate() != gate || gated.getUp() != up || !gate.hasOneUse() || !up.hasOneUse()) return;
  mlir::OpBuilder builder(matmul);
  const llvm::SmallVector<mlir::Type> types = {gate.getType(), up.getType(), gated.getResult().getType()};
  auto joined = ir::GatedMatmulOp::create(
      builder, matmul.getLoc(), types, builder.getStringAttr(JoinedName(matmul.getName(), gated.getName())),
      matmul.getX(), matmul.getWeights(), matmul.getBiases(), builder.getStringAttr(activation));
  KeepLayer(matmul, joined);
  gated.getResult().replaceAllUsesWith(joined.getResult());
  gated.erase();
  matmul.erase();
}

struct FuseSteps : ModulePass<FuseSteps> {
  static constexpr llvm::StringLiteral kArgument = "mrs-fuse-steps";
  static constexpr llvm::StringLiteral kDescription = "for GPUs, join steps that follow one another into one kernel";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    if (!IsForGpus(module)) return mlir::success(!programs.empty());
    for (mlir::func::FuncOp program : programs) {
      for (auto norm : llvm::to_vector(program.getOps<ir::RmsNormOp>())) JoinAddAndNorm(norm);
      for (auto attention : llvm::to_vector(program.getOps<ir::AttentionOp>())) JoinRopesAndAppend(attention);
      for (auto silu : llvm::to_vector(program.getOps<ir::SiluMulOp>())) JoinProductsAndGate(silu, "silu");
      for (auto gelu : llvm::to_vector(program.getOps<ir::GeluMulOp>())) {
        JoinProductsAndGate(gelu, gelu.getApproximate() ? "gelu_tanh" : "gelu");
      }
    }
    return mlir::success(!programs.empty());
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateFuseStepsPass() { return std::make_unique<FuseSteps>(); }

}  // namespace mrs::planner
