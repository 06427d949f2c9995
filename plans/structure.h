// The first half of opening a plan: from bytes to a `const plan::Plan&` that may be walked without leaving the buffer.
//
//   seal (SHA-256 trailer)  ->  identifier MRSP  ->  flatbuffers verifier  ->  format major.minor
#pragma once

#include <cstddef>
#include <span>

#include "plans/plan_generated.h"
#include "plans/sha256.h"
#include "plans/status.h"

namespace mrs {

struct SealedPlan {
  const plan::Plan* plan;  // inside the bytes
  Sha256Digest digest;
};

// `bytes` is a whole file, aligned to 16. What it says is still to be verified (verify.h).
Result<SealedPlan> CheckStructure(std::span<const std::byte> bytes);

}  // namespace mrs
