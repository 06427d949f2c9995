// The program of one stage: steps, buffers, weights and caches, as vectors of structs.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::planner {

// The names of a plan, each once.
class NameList {
 public:
  explicit NameList(std::vector<std::string>* names) : names_(names) {}
  uint32_t Add(const std::string& text) {
    const auto [found, added] = index_.try_emplace(text, static_cast<uint32_t>(names_->size()));
    if (added) names_->push_back(text);
    return found->second;
  }

 private:
  std::vector<std::string>* names_;
  std::unordered_map<std::string, uint32_t> index_;
};

// Appends the stage, its KV classes and the names it uses to `plan`. The module of `program` passed ir::VerifyFinal.
Status EmitStage(mlir::func::FuncOp program, NameList* names, plan::PlanT* plan);

}  // namespace mrs::planner
