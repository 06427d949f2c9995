// What a node is, before anything heavy happens; whether it is as the head; and which difference to name.
//
//   CompareFacts(nodes, FactsOf(opened, nodes, 0, memory), facts)
//   ->  "node 1 (b at 10.0.0.2), rank 1: its plan is 3fb0..., the head's is 91c2...; give every node the same plan
//   file"
#pragma once

#include <string>
#include <vector>

#include "plans/cluster_nodes.h"
#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/world/node_wire.h"

namespace mrs {

// memory_bytes: of the host (host/memory.h), as much as processes here may have.
wire::Facts FactsOf(const OpenedPlan& opened, const std::vector<PlanNode>& nodes, uint32_t node, uint64_t memory_bytes);

// Names the first field in which a node differs from what the head and the plan make of it. `nodes` are the head's.
Status CompareFacts(const std::vector<PlanNode>& nodes, const wire::Facts& head, const wire::Facts& node);

// That a node has tags where the head has none, or the other way round.
Status UnlikeIntegrity(const std::vector<PlanNode>& nodes, uint32_t node, bool of_node);

// Whether a node has the memory that the plan's ranks there need in all.
Status CompareMemory(const std::vector<PlanNode>& nodes, const plan::Plan& plan, const wire::Facts& node);

// What a rank of the plan needs of its host in all, in bytes, for each: of a GPU's the buffers that its weights pass.
std::vector<uint64_t> MemoryNeeds(const plan::Plan& plan);

// "rank 1", "ranks 1 and 3", "ranks 4 to 7", "ranks 0, 2, 5".
std::string RanksText(const std::vector<uint32_t>& ranks);

}  // namespace mrs
