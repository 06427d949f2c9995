// What a reader of a plan should know and would else have to work out: each with its numbers.
//
//   {kNote, "kv-capacity", "The KV cache holds 512 tokens: 5 sequences of 100, and 4 are run at once."}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plans/html/facts.h"

namespace mrs::html {

enum class Weighing : uint8_t { kGood, kNote, kWarning };

struct Finding {
  Weighing weighing = Weighing::kNote;
  std::string_view id;  // stable
  std::string text;     // markup: what comes from the plan is escaped
};

// In the order in which they are worth reading. Every plan has the first ones, the others where they apply.
std::vector<Finding> FindingsOf(const PageFacts& facts);

}  // namespace mrs::html
