// Which numerics a plan has, and how many tokens its largest batch, where nothing says them.
//
//   GPUs, bf16 matrices   ->  fast, batches of 8192 tokens, or of half as many, and so on, until it fits
//   GPUs, f32 matrices    ->  pair2: what tensor cores multiply is bf16
//   CPU ranks             ->  pair2, which CPUs have in hardware
//
// What is chosen has the planner refuse nothing that pair2 and batches of kBatchedTokens would serve; a host without
// cuBLASLt refuses fast, and says so. What fast gives up is said: the
// CPU's bits, and that a row's are the same in every batch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "planner/decision.h"

namespace mrs {

// pair2 runs natively on AVX-512 BF16, AMX hosts included; block32 has no tiles yet, so it is emulated everywhere.
inline constexpr const char* kNativeChain = "pair2";

// Of a forward on tensor cores, which many rows keep busy: what vLLM batches on large GPUs (max_num_batched_tokens).
inline constexpr int64_t kFastBatchedTokens = 8192;

struct ChosenNumerics {
  std::string chain;                          // "pair2", "block32", "fast"
  std::optional<int64_t> max_batched_tokens;  // said or chosen; nothing: as layout.h has it
  std::vector<std::string> because;           // of what was chosen: "--numerics fast, as ..."
};

// `said`: --numerics, "auto" where nothing is. With --solve batches are small, as what it finds is to be large.
ChosenNumerics ChooseNumerics(const Decider& decider, const Wish& wish, const std::string& said);

}  // namespace mrs
