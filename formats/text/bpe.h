// The byte-pair model of tokenizer.json: a vocabulary, and the pairs it merges, best first.
//
//   merges {"l o", "lo w"}: "slow" -> s l o w -> s lo w -> s low
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/json.h"
#include "plans/status.h"

namespace mrs::text {

inline constexpr int64_t kMaxTokenId = (int64_t{1} << 22) - 1;

struct Bpe {
  struct Merge {
    int32_t rank = 0;  // lower merges first
    int32_t id = 0;    // what the pair becomes
  };
  struct PairHash {
    size_t operator()(uint64_t pair) const {  // the finalizer of splitmix64
      pair = (pair ^ (pair >> 30)) * 0xBF58476D1CE4E5B9u;
      pair = (pair ^ (pair >> 27)) * 0x94D049BB133111EBu;
      return pair ^ (pair >> 31);
    }
  };

  std::unordered_map<std::string, int32_t> vocab;
  std::vector<std::string> tokens;                       // by id; ids that the vocabulary leaves out hold ""
  std::unordered_map<uint64_t, Merge, PairHash> merges;  // key: left << 32 | right
  std::vector<int32_t> byte_ids;  // 256 ids of "<0x00>".. where byte_fallback is on (-1: no such token); else empty
  int32_t unk_id = -1;            // -1: what is not in the vocabulary is dropped
  bool unk_is_missing = false;    // unk_token names no token: an error, but only when it is needed
  std::string missing_unk_token;
  bool fuse_unk = false;       // one unknown token for a run of unknown characters
  bool ignore_merges = false;  // a word that is a token is taken whole
};

Result<Bpe> ParseBpe(const Json& model, std::string_view where);

// Appends the tokens of one word (well-formed UTF-8, not empty). n log n in its length.
Status TokenizeWord(const Bpe& bpe, std::string_view word, std::vector<int32_t>* ids);

}  // namespace mrs::text
