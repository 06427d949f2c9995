// A part of a plan: what one rank holds, reads and does; what one layer is made of; where one tensor of the checkpoint
// goes. They combine: what is shown is of all that were asked for.
//
//   SelectPart(plan, {.rank = 1, .layer = 2})               layer 2 as rank 1 holds it
//   SelectPart(plan, {.tensor = "lm_head.weight"})          its rows and bytes on each rank
//   SelectPart(plan, {.rank = 9})   ->  refused: "rank 9: there is no such rank; the plan has ranks 0 to 3"
//
// The plan is verified (reader.h), and outlives the part.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "plans/tensor_parts.h"

namespace mrs {

struct Selection {
  std::optional<uint32_t> rank = {};
  std::optional<uint32_t> layer = {};
  std::optional<std::string> tensor = {};  // of the checkpoint, or a weight by its name in the plan

  bool empty() const { return !rank && !layer && !tensor; }
};

// What one rank reads of one source.
struct RankPart {
  uint32_t rank = 0;
  diff::Rectangle elements;
  FileRanges bytes;
};

struct SourcePart {
  uint32_t source = 0;  // Stage.sources
  std::vector<RankPart> ranks;
};

struct WeightPart {
  uint32_t weight = 0;  // Stage.weights
  std::vector<SourcePart> sources;
};

// A group that a rank is in, and how often a forward speaks in it.
struct GroupOfRank {
  uint32_t group = 0;   // Plan.groups
  uint32_t number = 0;  // of the rank in it, from 0
  std::vector<uint32_t> ranks;
  uint64_t collectives = 0;  // of a forward that leaves candidates
};

// A rank that this one sends to, or receives from.
struct PeerOfRank {
  uint32_t rank = 0;
  uint64_t sends = 0, receives = 0;  // of a forward
};

// Where a layer keeps its keys and values.
struct KvOfLayer {
  uint32_t kv_class = 0;
  uint32_t layer = 0;  // within the class
};

struct StagePart {
  uint32_t stage = 0;
  std::vector<uint32_t> ranks;  // that were asked for, or all of the stage
  std::vector<WeightPart> weights;
  std::vector<uint32_t> buffers;  // that the steps read or write; with a tensor alone: none
  std::vector<uint32_t> steps;
  std::vector<uint32_t> kv_classes;  // of the rank, or of the layer; with a tensor: none
};

struct PlanPart {
  Selection selection;
  std::vector<StagePart> stages;    // one, but for a tensor that several stages read
  std::vector<GroupOfRank> groups;  // of the rank that was asked for
  std::vector<PeerOfRank> peers;    // of the rank that was asked for
  std::vector<KvOfLayer> kv;        // of the layer that was asked for
  uint64_t checkpoint_bytes = 0;    // that the rank reads of what is shown, each once; 0 without a rank
};

// "rank 3", "ranks 0 to 3", "ranks 0, 2, 5": of ascending ones, at most eight by number.
std::string RanksText(const std::vector<uint32_t>& ranks);

Result<PlanPart> SelectPart(const plan::Plan& plan, const Selection& selection);

std::string PartText(const plan::Plan& plan, const PlanPart& part);                           // part_text.cc
std::string PartJson(const plan::Plan& plan, std::string_view sha256, const PlanPart& part);  // part_json.cc

}  // namespace mrs
