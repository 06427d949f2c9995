// What a rank of a stage takes of its device: its arenas, and of a GPU what CUDA, NCCL and peers keep beside them.
//
//   MemoryOf(stage).Total()   ->   what the verifier holds against Cluster.memory_bytes
#pragma once

#include <cstdint>
#include <string>

#include "plans/plan_generated.h"

namespace mrs {

struct RankMemory {
  uint64_t weights = 0, kv = 0, activations = 0;          // arenas
  uint64_t workspace = 0, graphs = 0, communicators = 0;  // of a CUDA rank, which has a workspace; else 0
  auto operator<=>(const RankMemory&) const = default;

  uint64_t Beside() const;  // all that is in no arena
  uint64_t Total() const;   // both; what a uint64_t does not hold is at its top
};

RankMemory MemoryOf(const plan::Stage& stage);

// "weights 64 B, KV 2 B, activations 3 B", with ", CUDA 7 B (workspace 5 B, graphs 1 B, communicators 1 B)" where it
// has any; `bytes` writes a number.
template <typename Bytes>
std::string MemoryText(const RankMemory& memory, const Bytes& bytes) {
  std::string text = "weights ";
  text.append(bytes(memory.weights)).append(", KV ").append(bytes(memory.kv));
  text.append(", activations ").append(bytes(memory.activations));
  if (memory.Beside() == 0) return text;
  text.append(", CUDA ").append(bytes(memory.Beside())).append(" (workspace ").append(bytes(memory.workspace));
  text.append(", graphs ").append(bytes(memory.graphs));
  return text.append(", communicators ").append(bytes(memory.communicators)).append(")");
}

}  // namespace mrs
