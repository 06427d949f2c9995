#include "ir/verify_launches.h"

namespace mrs::ir {
namespace {

bool RanksAreGpus(mlir::ModuleOp module) {
  auto ranks = module->getAttrOfType<mlir::ArrayAttr>("mrs.ranks");
  return ranks && !ranks.empty() && llvm::all_of(ranks, [](mlir::Attribute rank) {
           auto facts = mlir::dyn_cast<mlir::DictionaryAttr>(rank);
           auto kind = facts ? facts.getAs<mlir::StringAttr>("kind") : nullptr;
           return kind && kind.getValue() == "cuda";
         });
}

// What a product or a sum of ranks leaves is a term of the residual's sum, once, and nobody else reads it.
mlir::LogicalResult VerifySumAndNorm(mlir::Operation* first, AddRmsNormOp norm) {
  if (first->getNumResults() != 1) {
    return NamedError(norm) << "is joined to '" << NameOf(first) << "', which has " << first->getNumResults()
                            << " results, expected one, that it adds";
  }
  const mlir::Value term = first->getResult(0);
  if (!term.hasOneUse() || (norm.getA() != term && norm.getB() != term) || VariantOf(first) != VariantOf(norm)) {
    return NamedError(norm) << "is joined to '" << NameOf(first)
                            << "', whose result it alone must read, once, whenever that runs";
  }
  auto number = norm->getAttrOfType<mlir::IntegerAttr>("inplace");
  if (!number || number.getInt() < 0 || number.getInt() >= norm->getNumOperands()) return mlir::success();
  const mlir::Value overwritten = norm->getOperand(static_cast<unsigned>(number.getInt()));
  if (overwritten == term) {
    return NamedError(norm) << "works in place on what '" << NameOf(first) << "' leaves, which is written nowhere";
  }
  if (llvm::is_contained(first->getOperands(), overwritten)) {
    return NamedError(norm) << "works in place on what '" << NameOf(first) << "' reads in the same launch";
  }
  return mlir::success();
}

// Blocks of 16 outputs turn the pairs (i, i + half) of a head, all of whose dimensions are turned.
mlir::LogicalResult VerifyProductsAndAppend(MatmulOp products, RopeAppendOp append) {
  const mlir::ValueRange results = products.getResults();
  const bool are_its_heads = results.size() == 3 && results[0] == append.getQ() && results[1] == append.getK() &&
                             results[2] == append.getV() &&
                             llvm::all_of(results, [](mlir::Value result) { return result.hasOneUse(); });
  if (!are_its_heads || VariantOf(products) != VariantOf(append)) {
    return NamedError(append) << "is joined to '" << products.getName()
                              << "', whose results must be three, its q, k and v in this order, that it alone reads, "
                                 "once, whenever that runs";
  }
  const int64_t head_dim = mlir::cast<TensorType>(append.getQ().getType()).getShape().back();
  const int64_t turned = mlir::cast<TensorType>(append.getCosSin().getType()).getShape().back();
  if (append.getInterleaved() || turned != head_dim || turned % 32 != 0) {
    return NamedError(append) << "is joined to '" << products.getName() << "', and turns " << turned << " of "
                              << head_dim << " dimensions of a head" << (append.getInterleaved() ? ", interleaved" : "")
                              << "; the kernel of both turns all of them, by halves that are multiples of 16";
  }
  return mlir::success();
}

mlir::LogicalResult VerifyLaunch(mlir::ModuleOp module, mlir::Operation* first, mlir::Operation* second) {
  auto products = mlir::dyn_cast_or_null<MatmulOp>(first);
  auto sum = mlir::dyn_cast_or_null<AllReduceOp>(first);
  auto norm = mlir::dyn_cast<AddRmsNormOp>(second);
  auto append = mlir::dyn_cast<RopeAppendOp>(second);
  const bool is_known = products ? norm || append : sum && norm;
  if (!is_known) {
    return NamedError(second) << "is joined to the step before it, and the two are no kernel; an mrs.add_rms_norm is "
                                 "one with an mrs.all_reduce or an mrs.matmul before it, an mrs.rope_append with an "
                                 "mrs.matmul";
  }
  auto collectives = module->getAttrOfType<mlir::StringAttr>("mrs.collectives");
  const llvm::StringRef by = collectives ? collectives.getValue() : "";
  if (sum && by != "ipc" && by != "ipc-in-stages") {
    return NamedError(second) << "is joined to '" << sum.getName()
                              << "', which only GPUs that read each other's memory do (mrs.collectives \"ipc\")";
  }
  if (products && !RanksAreGpus(module)) {
    return NamedError(second) << "is joined to '" << products.getName()
                              << "', which only GPUs do (mrs.ranks, each of kind \"cuda\")";
  }
  return append ? VerifyProductsAndAppend(products, append) : VerifySumAndNorm(first, norm);
}

}  // namespace

// What is second in a launch is first in none, so that no launch has three steps.
mlir::LogicalResult VerifyLaunches(mlir::ModuleOp module, mlir::func::FuncOp program) {
  mlir::Operation* before = nullptr;
  for (mlir::Operation& op : program.getBody().front()) {
    mlir::Operation* const first = before;
    if (IsStep(&op)) before = &op;
    if (IsJoined(&op) && mlir::failed(VerifyLaunch(module, first, &op))) return mlir::failure();
  }
  return mlir::success();
}

}  // namespace mrs::ir
