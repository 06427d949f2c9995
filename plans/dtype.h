// Element sizes of the plan's types: ByteSize(plan::DType::bf16) -> 2.
#pragma once

#include <cstdint>

#include "plans/plan_generated.h"

namespace mrs {

inline uint64_t ByteSize(plan::DType dtype) {
  switch (dtype) {
    case plan::DType::f32:
    case plan::DType::i32:
      return 4;
    case plan::DType::bf16:
    case plan::DType::f16:
      return 2;
    case plan::DType::u8:
      return 1;
  }
  return 1;  // not reached: enums were checked
}

}  // namespace mrs
