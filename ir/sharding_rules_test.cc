// Every operation of the dialect has its rule. One that has none is judged by nobody, so it cannot pass: this makes one
// up.
#include "ir/sharding_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "ir/verify.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"

namespace mrs::ir {
namespace {

using ::testing::ElementsAre;

class ShardingRules : public ::testing::Test {
 protected:
  ShardingRules() {
    context_.loadDialect<MrsDialect, mlir::func::FuncDialect>();
    module_ = mlir::ModuleOp::create(mlir::UnknownLoc::get(&context_));
    mlir::OpBuilder builder(module_.getBodyRegion());
    auto program = mlir::func::FuncOp::create(builder, builder.getUnknownLoc(), "program",
                                              builder.getFunctionType(mlir::TypeRange(), mlir::TypeRange()));
    builder.setInsertionPointToStart(program.addEntryBlock());
    tokens_ = InputOp::create(builder, builder.getUnknownLoc(),
                              TensorType::get(&context_, {kTokens}, builder.getI32Type()), "tokens");
    mlir::func::ReturnOp::create(builder, builder.getUnknownLoc());
  }
  ~ShardingRules() override { module_->erase(); }

  // An operation of one operand and one result, of that name, after the input.
  mlir::Operation* Add(llvm::StringRef name) {
    mlir::OpBuilder builder(&context_);
    builder.setInsertionPointAfter(tokens_.getDefiningOp());
    mlir::OperationState state(builder.getUnknownLoc(), name, tokens_, tokens_.getType());
    state.addAttribute("name", builder.getStringAttr("made up"));
    return builder.create(state);
  }

  // What `check` says as it fails; "" where it passes.
  template <typename Check>
  std::string Error(Check check) {
    std::string text;
    mlir::ScopedDiagnosticHandler handler(&context_, [&](mlir::Diagnostic& diagnostic) {
      text = diagnostic.str();
      return mlir::success();
    });
    return mlir::failed(check()) ? text : "";
  }

  mlir::MLIRContext context_;
  mlir::ModuleOp module_;
  mlir::Value tokens_;
};

TEST_F(ShardingRules, AnOperationWithoutARuleCannotPass) {
  EXPECT_EQ(Error([&] { return VerifySharding(module_); }), "");
  mlir::Operation* op = Add("mrs.mystery");
  const std::string expected =
      "'made up' (mrs.mystery): no rule says how ranks may split it; it is no operation of mrs_ops.td";
  EXPECT_EQ(Error([&] { return VerifySharding(module_); }), expected);
  EXPECT_EQ(Error([&] { return FactorMapOf(op); }), expected);
}

// A rule that cannot be read ends the process.
TEST_F(ShardingRules, EveryOperationHasARule) {
  size_t count = 0;
  std::set<std::string> by_name, cut_at_heads, cut_anywhere;
  for (mlir::RegisteredOperationName name : context_.getRegisteredOperations()) {
    if (name.getDialectNamespace() != "mrs") continue;
    ++count;
    const auto* ruled = name.getInterface<RuledOp>();
    ASSERT_NE(ruled, nullptr) << name.getStringRef().str();
    const ShardingRule& rule = ruled->getShardingRule();
    if (rule.by_name) by_name.insert(name.getStringRef().str());
    EXPECT_EQ(rule.by_name, rule.operands.empty() && rule.results.empty()) << name.getStringRef().str();
    if (ruled->getKCut() == KCut::kHeads) cut_at_heads.insert(name.getStringRef().str());
    if (ruled->getKCut() == KCut::kAnywhere) cut_anywhere.insert(name.getStringRef().str());
  }
  EXPECT_GT(count, 20u);
  EXPECT_THAT(by_name, ElementsAre("mrs.all_gather", "mrs.all_reduce", "mrs.input", "mrs.output", "mrs.recv",
                                   "mrs.send", "mrs.weight"));
  EXPECT_THAT(cut_at_heads, ElementsAre("mrs.attention"));
  EXPECT_THAT(cut_anywhere, ElementsAre("mrs.gated_matmul", "mrs.gelu_mul", "mrs.silu_mul"));
}

}  // namespace
}  // namespace mrs::ir
