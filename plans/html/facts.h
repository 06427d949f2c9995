// What the page shows, as plain structs: a plan read once, before anything is drawn.
//
//   const PageFacts facts = FactsOf(plan);
//   facts.stages[0].steps[9]   // {matmul, "l0.o_proj", layer 0, 64 KiB of weights, 24 KiB of operands and results}
//
// Names are views into the plan, which outlives the facts, and are text from outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/rank_memory.h"

namespace mrs::html {

// What a weight is for, by the operation that reads it and, among the matrices of a layer, by its name.
enum class Role : uint8_t { kAttention, kMlp, kVocabulary, kVector, kOther };
inline constexpr size_t kRoleCount = 5;
std::string_view RoleName(Role role);   // "attention"
std::string_view RoleClass(Role role);  // its class in style.cc

struct WeightFacts {
  std::string_view name = {};
  int32_t layer = -1;  // of the first step that reads it; -1: of no layer
  Role role = Role::kOther;
  uint64_t bytes = 0;          // on one rank
  uint64_t padding_bytes = 0;  // of these, rows and columns that are there for alignment only
  uint64_t copies = 1;         // ranks of the group that hold the same part
  const plan::Weight* weight = nullptr;
};

enum class StepKind : uint8_t { kCompute, kCollective, kTransfer };

struct StepFacts {
  uint32_t index = 0;
  std::string_view name = {};
  plan::OpKind op = plan::OpKind::none;
  StepKind kind = StepKind::kCompute;
  plan::Variant variant = plan::Variant::always;
  int32_t layer = -1;
  uint64_t weight_bytes = 0;  // that it reads
  uint64_t buffer_bytes = 0;  // of operands and results, in the smallest bucket
  uint64_t bytes() const { return weight_bytes + buffer_bytes; }
};

// What a forward moves between ranks, in the variant that most requests run (candidates).
struct Traffic {
  uint64_t all_reduce_count = 0, all_gather_count = 0, send_count = 0;
  uint64_t all_reduce_token_bytes = 0;  // operands of one rank, for each token
  uint64_t send_token_bytes = 0;        // to the next stage, from one rank
};

struct LayerFacts {
  uint32_t layer = 0, stage = 0;
  bool attends = false;
  uint32_t window = 0;        // of its attention; 0: all tokens
  uint64_t weight_bytes = 0;  // on one rank
  uint32_t step_count = 0, weight_count = 0;
};

struct StageFacts {
  uint32_t index = 0, layer_begin = 0, layer_end = 0;
  RankMemory memory;  // of one rank
  const plan::Stage* stage = nullptr;
  plan::Bucket smallest = {};  // StepFacts.buffer_bytes are of it
  std::vector<StepFacts> steps = {};
  std::vector<WeightFacts> weights = {};
  Traffic traffic = {};
};

struct RankFacts {
  uint32_t rank = 0;
  plan::Rank at = {};
  std::optional<uint64_t> budget_bytes;  // what it may use, where the plan says it
};

struct PageFacts {
  const plan::Plan* plan = nullptr;
  std::vector<RankFacts> ranks = {};
  std::vector<StageFacts> stages = {};
  std::vector<LayerFacts> layers = {};  // in order; those of the first stage, then of the next
};

// `plan` was verified (reader.h).
PageFacts FactsOf(const plan::Plan& plan);

// "0–7", "0, 8, 16, 24", "0, 2, 4, ... 62 (32)".
std::string GroupRanks(const plan::Group& group);

}  // namespace mrs::html
