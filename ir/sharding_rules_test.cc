// An operation that no rule speaks of is judged by nobody, so it cannot pass. None is in the dialect: this makes one
// up.
#include "ir/sharding_rules.h"

#include <gtest/gtest.h>

#include <string>

#include "ir/verify.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"

namespace mrs::ir {
namespace {

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
      "'made up' (mrs.mystery): no rule says how ranks may split it; it needs a row in sharding_rules.cc";
  EXPECT_EQ(Error([&] { return VerifySharding(module_); }), expected);
  EXPECT_EQ(Error([&] { return FactorMapOf(op); }), expected);
}

// They have a row that says who judges them; those of other dialects VerifyFinal refuses.
TEST_F(ShardingRules, OperationsJudgedByNameHaveNoMap) {
  for (const char* name :
       {"mrs.input", "mrs.weight", "mrs.output", "mrs.all_reduce", "mrs.all_gather", "func.mystery"}) {
    const auto map = FactorMapOf(Add(name));
    ASSERT_TRUE(mlir::succeeded(map)) << name;
    EXPECT_FALSE(map->has_value()) << name;
  }
}

}  // namespace
}  // namespace mrs::ir
