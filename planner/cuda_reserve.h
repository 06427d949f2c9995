// What a CUDA rank takes of its device beside its arenas, and its plan counts:
//   workspace      of cuBLASLt's products
//   graphs         one a batch size, of a kernel a step
//   communicators  NCCL's buffers, one group of tensor-parallel ranks and one of stages
//
//   CudaReserveOf({.steps = 1000, .buckets = 3, .tp = 8})   ->   32 MiB, 187.5 MiB, 290.5 MiB
//
// What the driver's context, the library code and fragments take is the tenth that no plan may use (fit.h).
#pragma once

#include <cstdint>

namespace mrs {

struct CudaReserve {
  int64_t workspace = 0;
  int64_t graphs = 0;
  int64_t communicators = 0;
  int64_t Total() const { return workspace + graphs + communicators; }
};

struct CudaRank {
  int64_t steps = 0;    // of its program
  int64_t buckets = 0;  // batch sizes
  int64_t tp = 1;
  bool first = true, last = true;  // of the stages
  bool nccl = true;                // without it there are no communicators
};

CudaReserve CudaReserveOf(const CudaRank& rank);

}  // namespace mrs
