// Which of the six inputs a buffer is, and of which KV class: slots and block tables are there once for each. Kernels
// index by slots, rows and block tables, so those operands must be exactly the inputs whose values the executor has
// checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "plans/verify/context.h"

namespace mrs::verify {

enum class Input : uint8_t { kTokens, kPositions, kSequence, kSlots, kBlockTable, kLogitRows };
inline constexpr size_t kInputCount = 6;

struct InputBuffer {
  Input input = Input::kTokens;
  uint32_t kv_class = 0;  // of kSlots and kBlockTable, else 0
  auto operator<=>(const InputBuffer&) const = default;
};

std::optional<InputBuffer> InputOf(const StageView& stage, uint32_t buffer);  // nullopt: none of them
std::string InputName(InputBuffer input);                                     // "slots.1"

}  // namespace mrs::verify
