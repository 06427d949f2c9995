// What a CUDA rank takes of its device beside its arenas, and its plan counts:
//   workspace      what blocks leave to others (attention that is spread), or cuBLASLt's products
//   graphs         one a size of decodes, where the stage ends the model one for each variant (plans/cuda_graphs.h)
//   communicators  NCCL's buffers, one group of tensor-parallel ranks and one of stages (plans/nccl_memory.h); or
//                  those of ipc, for a group and for each neighbouring stage
//
//   CudaReserveOf({.steps = 1000, .exchanges = 4, .max_seqs = 16, .tp = 8})   ->   32 MiB, 178.1 MiB, none
//   CudaReserveOf({.steps = 1000, .max_seqs = 16, .tp = 8, .collectives = Collectives::kNccl})
//     ->   32 MiB, 98.1 MiB, 551.3 MiB
//
// What the driver's context, the library code and fragments take is the tenth that no plan may use (fit.h).
#pragma once

#include <cstdint>

#include "plans/collectives.h"

namespace mrs {

struct CudaReserve {
  int64_t workspace = 0;
  int64_t graphs = 0;
  int64_t communicators = 0;
  int64_t Total() const { return workspace + graphs + communicators; }
};

struct CudaRank {
  int64_t steps = 0;      // of its program
  int64_t exchanges = 0;  // of these, what waits for other ranks
  int64_t max_seqs = 1;   // of one forward
  int64_t tp = 1;
  bool first = true, last = true;                  // of the stages
  Collectives collectives = Collectives::kStaged;  // what is staged cuts the graphs
};

CudaReserve CudaReserveOf(const CudaRank& rank);

}  // namespace mrs
