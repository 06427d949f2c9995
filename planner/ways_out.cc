#include "planner/ways_out.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "planner/layout_ways.h"
#include "planner/memory_that_would.h"
#include "plans/contract.h"

namespace mrs {
namespace {

constexpr size_t kMostWays = 3;

// Limits and type that may be made less, in the order in which they are tried together.
struct Relaxed {
  bool seqs = false, len = false, dtype = false;
};

class Search {
 public:
  Search(const Decider& decider, const Wish& wish, bool memory)
      : decider_(decider), wish_(wish), layouts_(decider, wish, memory) {}

  std::vector<Wish> Run() {
    Limits();
    for (const LayoutWay& way : layouts_.Near()) {
      if (Full()) return ways_;
      Add(way(wish_));
    }
    if (!Full() && CanBeBf16() && !spec_is_f16()) Add(Relaxing({.dtype = true}, false));
    if (ways_.empty()) Add(layouts_.Any(wish_));
    if (ways_.empty()) Together();
    return ways_;
  }

 private:
  bool spec_is_f16() const { return decider_.subject().spec->config_type == ElementType::kF16; }
  bool Full() const { return ways_.size() >= kMostWays; }

  void Add(const std::optional<Wish>& way) {
    if (way && !Full() && std::find(ways_.begin(), ways_.end(), *way) == ways_.end()) ways_.push_back(*way);
  }

  bool CanBeBf16() const {
    if (wish_.dtype == "bf16") return false;
    return wish_.dtype != "auto" || !decider_.subject().bf16;
  }
  bool CanHaveFewer() const { return wish_.solve != "max-seqs" && wish_.max_seqs > 1; }
  bool CanBeSmaller() const { return decider_.BatchedTokensOf(wish_) > std::max(kBatchedTokens, wish_.max_seqs); }
  bool CanBeShorter() const { return wish_.solve != "max-len" && decider_.LengthOf(wish_) > 1; }

  // The layout as it is.
  void Limits() {
    // An f16 checkpoint is computed in f32 unless told otherwise, which takes twice the memory.
    if (CanBeBf16() && spec_is_f16()) Add(Relaxing({.dtype = true}, false));
    Add(SmallerBatches());
    Add(Relaxing({.seqs = true}, false));
    Add(Relaxing({.len = true}, false));
  }

  std::optional<Wish> SmallerBatches() {
    if (!CanBeSmaller()) return std::nullopt;
    Wish smaller = wish_;
    const auto good = [&](int64_t tokens) {
      smaller.max_batched_tokens = tokens;
      return decider_.Plans(smaller);
    };
    const int64_t least = std::max(kBatchedTokens, wish_.max_seqs);
    if (!good(least)) return std::nullopt;
    smaller.max_batched_tokens = LargestGood(least, decider_.BatchedTokensOf(wish_), good);
    return smaller;
  }

  // With these let go as far as it takes, and no further; `layout`: with any layout.
  std::optional<Wish> Relaxing(const Relaxed& relaxed, bool layout) {
    if ((relaxed.seqs && !CanHaveFewer()) || (relaxed.len && !CanBeShorter()) || (relaxed.dtype && !CanBeBf16())) {
      return std::nullopt;
    }
    Wish least = wish_;
    if (relaxed.dtype) least.dtype = "bf16";
    if (relaxed.seqs) least.max_seqs = 1;
    if (relaxed.len) least.max_len = 1;
    if (layout) {
      const auto found = layouts_.Any(least);
      if (!found) return std::nullopt;
      least = *found;
    } else if (!decider_.Plans(least)) {
      return std::nullopt;
    }
    if (relaxed.len) {
      Wish longer = least;
      const auto good = [&](int64_t tokens) {
        longer.max_len = tokens;
        return decider_.Plans(longer);
      };
      // Not good at the wish's own, or the change of length would not be needed.
      least.max_len = LargestGood(1, decider_.LengthOf(wish_), good);
    }
    if (relaxed.seqs) {
      Wish more = least;
      const auto good = [&](int64_t seqs) {
        more.max_seqs = seqs;
        return decider_.Plans(more);
      };
      least.max_seqs = LargestGood(1, wish_.max_seqs, good);
    }
    return least;
  }

  // Several changes at once, fewer first.
  void Together() {
    const bool dtype = CanBeBf16();
    const Relaxed all = {CanHaveFewer(), CanBeShorter(), dtype};
    // What does not help with everything let go does not help with less.
    Wish least = wish_;
    if (all.seqs) least.max_seqs = 1;
    if (all.len) least.max_len = 1;
    if (all.dtype) least.dtype = "bf16";
    if (!decider_.Plans(least) && !layouts_.Any(least)) return;
    constexpr Relaxed kTwo[] = {{true, true, false}, {true, false, true}, {false, true, true}};
    constexpr Relaxed kOne[] = {{true, false, false}, {false, true, false}, {false, false, true}};
    for (const Relaxed& two : kTwo) Add(Relaxing(two, false));
    for (const Relaxed& one : kOne) Add(Relaxing(one, true));
    if (!ways_.empty()) return;
    Add(Relaxing({true, true, true}, false));
    for (const Relaxed& two : kTwo) Add(Relaxing(two, true));
    if (ways_.empty()) Add(Relaxing({true, true, true}, true));
  }

  const Decider& decider_;
  const Wish& wish_;
  LayoutWays layouts_;
  std::vector<Wish> ways_;
};

// "--no-nccl and MISTRALRS_NO_NCCL=1" without values.
std::string NamesOnly(const std::string& said) {
  std::string names;
  bool value = false;
  for (const char c : said) {
    value = c == '=' || (value && c != ' ');
    if (!value) names += c;
  }
  return names;
}

}  // namespace

std::string AsTyped(const Wish& from, const Wish& to) {
  std::vector<std::string> sets, drops;
  const auto number = [&](const char* name, const std::optional<int64_t>& was, const std::optional<int64_t>& is) {
    if (was == is) return;
    if (is) {
      sets.push_back(fmt::format("{} {}", name, *is));
    } else {
      drops.emplace_back(name);
    }
  };
  const auto text = [&](const char* name, const std::string& was, const std::string& is, const char* quote) {
    if (was == is) return;
    if (is.empty()) {
      drops.emplace_back(name);
    } else {
      sets.push_back(fmt::format("{} {}{}{}", name, quote, is, quote));
    }
  };
  if (to.cuda_visible != from.cuda_visible) {
    constexpr std::string_view kVisible = "CUDA_VISIBLE_DEVICES";
    if (to.cuda_visible) {
      sets.push_back(fmt::format("{}={}", kVisible, *to.cuda_visible));
    } else {
      drops.emplace_back(kVisible);
    }
  }
  number("--tp", from.tp, to.tp);
  number("--pp", from.pp, to.pp);
  text("--device-layers", from.device_layers, to.device_layers, "\"");
  text("--devices", from.devices, to.devices, "");
  number("--max-len", from.max_len, to.max_len);
  number("--max-seqs", from.max_seqs, to.max_seqs);
  number("--max-batched-tokens", from.max_batched_tokens, to.max_batched_tokens);
  text("--dtype", from.dtype, to.dtype, "");
  text("--collectives", from.collectives, to.collectives, "");
  if (from.any_world != to.any_world) sets.emplace_back("--allow-any-world");
  if (from.memory != to.memory) sets.push_back(fmt::format("--memory {}", to.memory.value_or(0)));
  if (from.no_nccl != to.no_nccl) {
    if (to.no_nccl.empty()) {
      drops.push_back(NamesOnly(from.no_nccl));
    } else {
      sets.push_back(to.no_nccl);
    }
  }
  if (from.local_world != to.local_world) drops.emplace_back("MISTRALRS_MN_LOCAL_WORLD_SIZE");
  const std::string without = drops.empty() ? "" : fmt::format("without {}", fmt::join(drops, " and "));
  if (sets.empty()) return without;
  return fmt::format("{}{}{}", fmt::join(sets, " "), without.empty() ? "" : ", ", without);
}

Error RefusalOf(const Decider& decider, const Wish& wish) {
  const Wish least = StartOf(wish);
  const auto decision = decider.Decide(least);
  if (!decision && decision.error().kind != ErrorKind::kRefused) return decision.error();
  if (decision && decision->verdict.fits()) {  // what it starts from is not what is wrong
    const auto own = decider.Decide(wish);
    return own ? Refuse("--solve {}: nothing larger than what it starts from was found", wish.solve) : own.error();
  }
  const std::string why =
      !decision ? decision.message()
                : TooFew({.spec = decider.subject().spec, .max_len = decision->max_len, .budget = decision->budget},
                         decision->verdict);
  std::vector<std::string> ways;
  const Wish base = WithTokenOfEach(wish);
  if (base != wish && decider.Plans(base)) ways.push_back(AsTyped(wish, base));
  for (const Wish& way : Search(decider, base, decision.ok()).Run()) ways.push_back(AsTyped(wish, way));
  const auto memory = MemoryThatWould(decider, least);
  if (ways.empty()) {
    if (!memory) return Refuse("{}", why);
    return Refuse(
        "{}; nothing listed suffices ({}); {}", why,
        "fewer sequences, a shorter context, batches of 512 tokens, bf16, other --tp, --pp and --device-layers, "
        "other devices",
        memory->sentence);
  }
  if (decision.ok() && memory && memory->can_be) ways.push_back(memory->text);
  return Refuse("{}; what works: {}", why, fmt::join(ways, "; or "));
}

}  // namespace mrs
