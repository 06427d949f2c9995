#include "planner/choose_numerics.h"

#include <fmt/format.h>

#include <algorithm>

namespace mrs {
namespace {

bool OnGpus(const Decider& decider, const Wish& wish) {
  const auto devices = decider.Devices(wish);
  if (!devices || !*devices) return false;  // where it is refused, that is said in its turn
  const VisibleDevice& first = (**devices).front();
  return decider.ClusterOf(wish)->nodes[first.node].devices[first.device].kind == cluster::DeviceKind::kCuda;
}

// The largest batch of which a plan comes, of 8192 tokens, half as many, and so on; nothing: none above kBatchedTokens.
std::optional<int64_t> LargestBatch(const Decider& decider, Wish wish) {
  for (int64_t tokens = kFastBatchedTokens; tokens > std::max(kBatchedTokens, wish.max_seqs); tokens /= 2) {
    wish.max_batched_tokens = tokens;
    if (decider.Plans(wish)) return tokens;
  }
  return std::nullopt;
}

}  // namespace

ChosenNumerics ChooseNumerics(const Decider& decider, const Wish& wish, const std::string& said) {
  ChosenNumerics chosen = {.chain = said, .max_batched_tokens = wish.max_batched_tokens, .because = {}};
  const bool is_bf16 = wish.dtype == "bf16" || (wish.dtype == "auto" && decider.subject().bf16);
  const bool on_gpus = OnGpus(decider, wish);
  if (said == "auto") {
    chosen.chain = on_gpus && is_bf16 ? "fast" : kNativeChain;
    if (on_gpus) {
      chosen.because.push_back(
          is_bf16
              ? "--numerics fast, as ranks are GPUs and matrices bf16; it gives up the CPU's bits, and that a row's "
                "are the same in every batch, which --numerics pair2 keeps"
              : "--numerics pair2, as matrices are f32, and the tensor cores of fast multiply bf16 (--dtype bf16)");
    }
  }
  if (chosen.chain != "fast" || !on_gpus || !is_bf16 || wish.max_batched_tokens || !wish.solve.empty()) return chosen;
  chosen.max_batched_tokens = LargestBatch(decider, wish);
  if (chosen.max_batched_tokens != kFastBatchedTokens) {
    chosen.because.push_back(fmt::format("batches of {} tokens, as larger ones do not fit",
                                         chosen.max_batched_tokens.value_or(std::max(kBatchedTokens, wish.max_seqs))));
  }
  return chosen;
}

}  // namespace mrs
