// A plan as records with stable names, each a list of facts: what two plans are compared by.
//
//   steps["l0.attention"]    op attention, stage 0, layer 0, operands[0] "l0.q_rope", attr.heads 4, after "l0.k_append"
//   weights["l0.q_proj"]     n 128, sources[0].name "model.layers.0.self_attn.q_proj.weight", ...
//   buckets[stage 0: 16]     arena_bytes 212992, ...
//
// An index shows as the name of what it points to, so that a step more renumbers nothing. Where an entry lies elsewhere
// than behind the one before it, or is shared, a fact says that, too: two plans have the same facts only where all
// their fields are the same. Nothing is trusted but the structure (plans/structure.h): a number that points nowhere is
// shown as one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flatbuffers/minireflect.h"
#include "plans/plan_generated.h"

namespace mrs::diff {

// What a change is about, in the order in which people want to hear of it.
enum class FactGroup : uint8_t {
  kLayout,
  kWeights,
  kCollectives,
  kMemory,
  kNumerics,
  kProgram,
  kModel,
  kCluster,
  kSampling,
  kLimits,
  kOptions,
  kPredictions,
  kCertificates,
  kFile,   // the format, who wrote it, how it is stored
  kOther,  // of a field that this program gives no group
};
inline constexpr size_t kFactGroupCount = 15;
std::string_view NameOf(FactGroup group);

struct Fact {
  FactGroup group;
  std::string field;  // "attr.heads", "sources[0].rows.start"
  std::string value;
};

enum class RecordKind : uint8_t { kPlan, kStage, kStep, kWeight, kBuffer, kListed };

struct Record {
  RecordKind kind;
  std::string_view list;  // "steps": the vector it is of; "" of the plan itself
  std::string label;      // "\"l0.attention\"", "3"; two of one list may have the same, in different stages
  uint32_t stage = 0;
  uint32_t index = 0;                            // in its vector
  const uint8_t* object = nullptr;               // of kListed
  const flatbuffers::TypeTable* type = nullptr;  // of kListed
};

class PlanFacts {
 public:
  explicit PlanFacts(const plan::Plan& plan);  // borrowed
  ~PlanFacts();
  PlanFacts(const PlanFacts&) = delete;
  PlanFacts& operator=(const PlanFacts&) = delete;

  // All of one list together, in the plan's order.
  std::span<const Record> records() const;
  std::vector<Fact> FactsOf(const Record& record) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mrs::diff
