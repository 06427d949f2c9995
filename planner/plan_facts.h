// Everything a plan says beside the program: facts of the model, its files, the cluster and the options.
//
// They travel as attributes of the module, so that the module alone is the plan's source:
//   WriteFacts(facts, module)   ->   module attributes {mrs.max_len = 256, mrs.model = {hidden = 256, ...}, ...}
//   ReadFacts(module)           ->   the facts again, but for those of the ModelSpec that the graph itself states: eps,
//                                    which biases and norms there are, tied embeddings
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mlir/IR/BuiltinOps.h"
#include "planner/model_spec.h"
#include "planner/rank_place.h"
#include "plans/status.h"

namespace mrs::planner {

struct PlanFacts {
  ModelSpec model;
  std::string model_fingerprint;  // hex SHA-256
  int64_t parameter_count = 0;
  int64_t vocab_padded = 0;
  std::vector<CheckpointFile> files;
  std::string chain;         // "pair2", "block32" or "fast"
  std::string reduction;     // "canonical" or "rank_order" (a control)
  std::string weight_dtype;  // "f32" or "bf16"
  int64_t max_len = 0;
  int64_t max_seqs = 0;
  std::vector<RankPlace> ranks;        // tensor-parallel groups, stage after stage; all of one kind
  std::string collectives = "staged";  // of CUDA ranks (plans/collectives.h)
  std::string cluster;                 // canonical text, or "2 CPU ranks on one host"
  std::vector<std::pair<std::string, std::string>> options;  // as given, sorted by name
};

void WriteFacts(const PlanFacts& facts, mlir::ModuleOp module);
// Refuses a module that lacks one, or has one of another type: hand-written modules come here.
Result<PlanFacts> ReadFacts(mlir::ModuleOp module);

}  // namespace mrs::planner
