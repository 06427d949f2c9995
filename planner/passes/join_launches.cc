// Lets GPUs run a step in one launch with the step before it, where there is a kernel that does both. The steps stay
// what they are, as does the collective schedule; what the first leaves for the second need not be written, where its
// size lets the kernel do without. Each second is {joined}:
//
//   %q, %k, %v = mrs.matmul "l0.q_proj+k_proj+v_proj" %n, [...]    the block that has summed outputs of a head turns
//   %r, %c = mrs.rope_append "..." %q, %k, %v, %angles, %slots     them, and appends keys and values
//
//   %y = mrs.matmul "l0.o_proj" %a, [%w]                           each block adds the residual to what it has summed;
//   %r, %n = mrs.add_rms_norm "l0.attention_add+..." %x, %y        the one that comes last norms the rows
//
//   %s = mrs.all_reduce "l0.o_proj.all_reduce" %y                  where ranks read each other's memory: each block
//   %r, %n = mrs.add_rms_norm "l0.attention_add+..." %x, %s        norms the rows that it has summed
//
// An append is a launch of its own where q or k has a norm, heads are not such as the kernel turns (TurnsWholeHeads),
// the angles are made between (in the first layer of one of several stages), or gate and up are products of the same
// step; a norm is, where a bias, a norm or a factor comes between, or the sum of ranks is in the host's hands or
// NCCL's. Of float32 weights all are: the kernels are of bf16.
//
// Attribute of the module that it reads besides: mrs.collectives.
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"
#include "plans/collectives.h"

namespace mrs::planner {
namespace {

// Of a product, those that one block of its kernel makes together; it turns a pair where it has both of it.
constexpr int64_t kOutputsOfABlock = 16;

// The one term of a sum, nobody else's, whose other term is another value.
bool IsTermOf(ir::AddRmsNormOp norm, mlir::Value value) {
  return value.hasOneUse() && (norm.getA() == value || norm.getB() == value);
}

// All of a head, as two halves of whole blocks.
bool TurnsWholeHeads(ir::RopeAppendOp append) {
  const int64_t head_dim = TensorTypeOf(append.getQ()).getShape().back();
  return !append.getInterleaved() && TensorTypeOf(append.getCosSin()).getShape().back() == head_dim &&
         head_dim % (2 * kOutputsOfABlock) == 0;
}

bool AreItsHeads(ir::MatmulOp products, ir::RopeAppendOp append) {
  const mlir::ValueRange results = products.getResults();
  return results.size() == 3 && results[0] == append.getQ() && results[1] == append.getK() &&
         results[2] == append.getV() && llvm::all_of(results, [](mlir::Value result) { return result.hasOneUse(); });
}

bool AreOfBf16(ir::MatmulOp products) { return TensorTypeOf(products.getX()).getElementType().isBF16(); }

struct JoinLaunches : ModulePass<JoinLaunches> {
  static constexpr llvm::StringLiteral kArgument = "mrs-join-launches";
  static constexpr llvm::StringLiteral kDescription =
      "for GPUs, products and what follows them, and by peer memory sums of ranks and the norms after them, in one "
      "launch";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    const auto collectives = module->getAttrOfType<mlir::StringAttr>("mrs.collectives");
    for_gpus_ = IsForGpus(module);
    by_peer_memory_ = collectives && SumsByPeers(CollectivesNamed(collectives.getValue().str()));
    for (mlir::func::FuncOp program : programs) Join(program);
    return mlir::success(!programs.empty());
  }

  void Join(mlir::func::FuncOp program) const {
    mlir::Operation* before = nullptr;
    for (mlir::Operation& op : program.getBody().front()) {
      if (!ir::IsStep(&op)) continue;
      mlir::Operation* const first = before;
      before = &op;
      if (first == nullptr || ir::VariantOf(first) != ir::VariantOf(&op) || !AreOneKernel(first, &op)) continue;
      op.setAttr("joined", mlir::UnitAttr::get(op.getContext()));
    }
  }

  // What is second in a launch is first in none: no operation is both here.
  bool AreOneKernel(mlir::Operation* first, mlir::Operation* second) const {
    auto products = mlir::dyn_cast<ir::MatmulOp>(first);
    if (products && (!for_gpus_ || !AreOfBf16(products))) return false;
    if (auto append = mlir::dyn_cast<ir::RopeAppendOp>(second)) {
      return products && AreItsHeads(products, append) && TurnsWholeHeads(append);
    }
    auto norm = mlir::dyn_cast<ir::AddRmsNormOp>(second);
    if (!norm) return false;
    if (auto sum = mlir::dyn_cast<ir::AllReduceOp>(first)) return by_peer_memory_ && IsTermOf(norm, sum.getResult());
    return products && products.getResults().size() == 1 && IsTermOf(norm, products.getResult(0));
  }

  bool for_gpus_ = false;
  bool by_peer_memory_ = false;
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateJoinLaunchesPass() { return std::make_unique<JoinLaunches>(); }

}  // namespace mrs::planner
