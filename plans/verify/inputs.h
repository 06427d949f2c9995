// Which of the six inputs a buffer is. Kernels index by slots, rows and block tables, so those operands must be exactly
// the inputs whose values the executor has checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "plans/verify/context.h"

namespace mrs::verify {

enum class Input : uint8_t { kTokens, kPositions, kSequence, kSlots, kBlockTable, kLogitRows };
inline constexpr size_t kInputCount = 6;

std::optional<Input> InputOf(const StageView& stage, uint32_t buffer);  // nullopt: none of them
std::string_view InputName(Input input);

}  // namespace mrs::verify
