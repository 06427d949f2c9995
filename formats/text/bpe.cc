#include "formats/text/bpe.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

Status ParseVocab(const Json& vocab, std::string_view where, Bpe* bpe) {
  if (vocab.empty()) return Refuse("{}: 'vocab' is empty", where);
  bpe->vocab.reserve(vocab.size());
  int64_t max_id = -1;
  for (const auto& [token, id] : vocab.get_ref<const Json::object_t&>()) {
    if (!id.is_number_integer() || id < 0 || id > kMaxTokenId) {
      return Refuse("{}: vocab: token {}: expected an id from 0 to {}, got {}", where, DescribeJson(Json(token)),
                    kMaxTokenId, DescribeJson(id));
    }
    bpe->vocab.emplace(token, id.get<int32_t>());
    max_id = std::max(max_id, id.get<int64_t>());
  }
  // Ids may have holes, but not so many that a small file asks for much memory.
  if (max_id > 1024 + 16 * static_cast<int64_t>(vocab.size())) {
    return Refuse("{}: vocab: id {} in a vocabulary of {} tokens", where, max_id, vocab.size());
  }
  bpe->tokens.resize(static_cast<size_t>(max_id) + 1);
  std::vector<bool> seen(bpe->tokens.size(), false);
  for (const auto& [token, id] : bpe->vocab) {
    const auto index = static_cast<size_t>(id);
    if (seen[index]) {
      return Refuse("{}: vocab: id {} belongs to two tokens, {} and {}", where, id,
                    DescribeJson(Json(std::min(token, bpe->tokens[index]))),
                    DescribeJson(Json(std::max(token, bpe->tokens[index]))));
    }
    seen[index] = true;
    bpe->tokens[index] = token;
  }
  return {};
}

// "a b", or ["a", "b"].
Status ParsePair(const Json& merge, const std::string& where, std::string_view* left, std::string_view* right) {
  if (const auto* text = merge.get_ptr<const std::string*>(); text != nullptr) {
    const size_t space = text->find(' ');
    if (space != text->npos && text->find(' ', space + 1) == text->npos) {
      *left = std::string_view(*text).substr(0, space);
      *right = std::string_view(*text).substr(space + 1);
      return {};
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    *left = merge[0].get_ref<const std::string&>();
    *right = merge[1].get_ref<const std::string&>();
    return {};
  }
  return Refuse("{}: expected \"left right\" or [\"left\", \"right\"], got {}", where, DescribeJson(merge));
}

Status ParseMerges(const Json& merges, std::string_view where, Bpe* bpe) {
  bpe->merges.reserve(merges.size());
  int32_t rank = 0;
  for (const Json& merge : merges) {
    const auto here = [&] { return fmt::format("{}: merges[{}]", where, rank); };
    std::string_view left;
    std::string_view right;
    MRS_RETURN_IF_ERROR(ParsePair(merge, here(), &left, &right));
    const auto find = [&](const std::string& token) -> Result<int32_t> {
      const auto found = bpe->vocab.find(token);
      if (found == bpe->vocab.end()) {
        return Refuse("{}: token {} is not in the vocabulary", here(), DescribeJson(Json(token)));
      }
      return found->second;
    };
    MRS_ASSIGN_OR_RETURN(const int32_t left_id, find(std::string(left)));
    MRS_ASSIGN_OR_RETURN(const int32_t right_id, find(std::string(right)));
    MRS_ASSIGN_OR_RETURN(const int32_t merged_id, find(std::string(left).append(right)));
    bpe->merges[PairKey(left_id, right_id)] = {rank, merged_id};  // the last one counts
    ++rank;
  }
  return {};
}

Status RefuseAffix(const Json& model, std::string_view key, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const std::string affix, GetStringOr(model, key, where, ""));
  if (!affix.empty()) return Refuse("{}: {} '{}' is not supported; supported: none", where, key, affix);
  return {};
}

struct Symbol {
  int32_t id;
  int32_t previous;  // -1: none
  int32_t next;      // -1: none
  bool merged_away = false;
};

// The word's characters as ids; what the vocabulary lacks becomes bytes, the unknown token, or nothing.
Result<std::vector<Symbol>> FirstSymbols(const Bpe& bpe, std::string_view word) {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  const auto add = [&](int32_t id) {
    const auto index = static_cast<int32_t>(symbols.size());
    if (!symbols.empty()) symbols.back().next = index;
    symbols.push_back({id, index - 1, -1});
  };
  bool unknown_waits = false;
  for (size_t i = 0; i < word.size();) {
    const auto length = static_cast<size_t>(Utf8Length(word[i]));
    const std::string character(word.substr(i, length));
    i += length;
    if (const auto found = bpe.vocab.find(character); found != bpe.vocab.end()) {
      if (unknown_waits) add(bpe.unk_id);
      unknown_waits = false;
      add(found->second);
      continue;
    }
    if (!bpe.byte_ids.empty()) {
      const auto id_of = [&](char c) { return bpe.byte_ids[static_cast<unsigned char>(c)]; };
      if (std::all_of(character.begin(), character.end(), [&](char c) { return id_of(c) >= 0; })) {
        for (const char c : character) add(id_of(c));
        continue;
      }
    }
    if (bpe.unk_is_missing) {
      return Refuse("the vocabulary has neither {} nor the unknown token {}; mend tokenizer.json",
                    DescribeJson(Json(character)), DescribeJson(Json(bpe.missing_unk_token)));
    }
    if (bpe.unk_id < 0) continue;
    if (unknown_waits && !bpe.fuse_unk) add(bpe.unk_id);
    unknown_waits = true;
  }
  if (unknown_waits) add(bpe.unk_id);
  return symbols;
}

struct Candidate {
  int32_t rank;
  int32_t position;  // of the left symbol
  int32_t id;        // what the pair becomes
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

Result<Bpe> ParseBpe(const Json& model, std::string_view where) {
  Bpe bpe;
  MRS_ASSIGN_OR_RETURN(const std::string type, GetStringOr(model, "type", where, "BPE"));
  if (type != "BPE") return Refuse("{} type '{}' is not supported; supported: BPE", where, type);
  MRS_RETURN_IF_ERROR(RefuseAffix(model, "continuing_subword_prefix", where));
  MRS_RETURN_IF_ERROR(RefuseAffix(model, "end_of_word_suffix", where));
  MRS_ASSIGN_OR_RETURN(const double dropout, GetDoubleOr(model, "dropout", where, 0.0));
  if (dropout != 0.0) return Refuse("{}: dropout {} is not supported; supported: none", where, dropout);
  MRS_ASSIGN_OR_RETURN(const Json* vocab, GetObject(model, "vocab", where));
  MRS_RETURN_IF_ERROR(ParseVocab(*vocab, where, &bpe));
  MRS_ASSIGN_OR_RETURN(const Json* merges, GetArray(model, "merges", where));
  MRS_RETURN_IF_ERROR(ParseMerges(*merges, where, &bpe));
  MRS_ASSIGN_OR_RETURN(bpe.fuse_unk, GetBoolOr(model, "fuse_unk", where, false));
  MRS_ASSIGN_OR_RETURN(bpe.ignore_merges, GetBoolOr(model, "ignore_merges", where, false));
  MRS_ASSIGN_OR_RETURN(const bool byte_fallback, GetBoolOr(model, "byte_fallback", where, false));
  if (byte_fallback) {
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = bpe.vocab.find(fmt::format("<0x{:02X}>", byte));
      bpe.byte_ids.push_back(found == bpe.vocab.end() ? -1 : found->second);
    }
  }
  if (FindValue(model, "unk_token") != nullptr) {
    MRS_ASSIGN_OR_RETURN(const std::string unknown, GetString(model, "unk_token", where));
    const auto found = bpe.vocab.find(unknown);
    if (found != bpe.vocab.end()) {
      bpe.unk_id = found->second;
    } else {
      bpe.missing_unk_token = unknown;
      bpe.unk_is_missing = true;
    }
  }
  return bpe;
}

// A heap holds the pairs that can merge, best first. Merging turns the left symbol into the new one, unlinks the right
// one, and offers the two new pairs; entries whose pair has changed meanwhile are dropped when they come up.
Status TokenizeWord(const Bpe& bpe, std::string_view word, std::vector<int32_t>* ids) {
  if (bpe.ignore_merges) {
    if (const auto whole = bpe.vocab.find(std::string(word)); whole != bpe.vocab.end()) {
      ids->push_back(whole->second);
      return {};
    }
  }
  MRS_ASSIGN_OR_RETURN(std::vector<Symbol> symbols, FirstSymbols(bpe, word));
  const auto at = [&](int32_t index) -> Symbol& { return symbols[static_cast<size_t>(index)]; };
  std::vector<Candidate> storage;
  storage.reserve(symbols.size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>(), std::move(storage));
  const auto offer = [&](int32_t left) {
    if (left < 0 || at(left).next < 0) return;
    const auto merge = bpe.merges.find(PairKey(at(left).id, at(at(left).next).id));
    if (merge != bpe.merges.end()) queue.push({merge->second.rank, left, merge->second.id});
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(symbols.size()); ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = at(best.position);
    if (left.merged_away || left.next < 0) continue;
    Symbol& right = at(left.next);
    const auto merge = bpe.merges.find(PairKey(left.id, right.id));
    if (merge == bpe.merges.end() || merge->second.id != best.id) continue;
    left.id = best.id;
    left.next = right.next;
    right.merged_away = true;
    if (right.next >= 0) at(right.next).previous = best.position;
    offer(left.previous);
    offer(best.position);
  }
  for (const Symbol& symbol : symbols) {
    if (!symbol.merged_away) ids->push_back(symbol.id);
  }
  return {};
}

}  // namespace mrs::text
