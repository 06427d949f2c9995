#include "formats/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "formats/text/unicode.h"
#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

// Seeking costs at most the longest token per byte of text.
constexpr size_t kMaxContentBytes = 1024;

void Insert(std::string_view content, int32_t index, StringTrie* trie) {
  int32_t node = 0;
  for (const char c : content) {
    const uint64_t edge = static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(c);
    const auto [next, is_new] = trie->edges.emplace(edge, static_cast<int32_t>(trie->token_at.size()));
    if (is_new) trie->token_at.push_back(-1);
    node = next->second;
  }
  // Of two tokens that normalize to one string the first counts.
  int32_t& token = trie->token_at[static_cast<size_t>(node)];
  if (token < 0) token = index;
}

// Index of the longest token that starts at text[begin], and its length; -1 when there is none.
int32_t LongestAt(const StringTrie& trie, std::string_view text, size_t begin, size_t* length) {
  int32_t longest = -1;
  int32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const auto edge = trie.edges.find(static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(text[i]));
    if (edge == trie.edges.end()) break;
    node = edge->second;
    if (trie.token_at[static_cast<size_t>(node)] >= 0) {
      longest = trie.token_at[static_cast<size_t>(node)];
      *length = i + 1 - begin;
    }
  }
  return longest;
}

size_t CharacterBefore(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

bool IsInsideWord(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWord(ReadUtf8(text.substr(CharacterBefore(text, begin))).character)) return true;
  return end < text.size() && IsWord(ReadUtf8(text.substr(end)).character);
}

void Split(const AddedTokens& added, const StringTrie& trie, Piece piece, std::vector<Piece>* out) {
  const std::string_view text = piece.text;
  const auto push_text = [&](size_t begin, size_t end) {
    if (begin < end) out->push_back({piece.text.substr(begin, end - begin), piece.at_start && begin == 0, -1});
  };
  size_t covered = 0;
  for (size_t i = 0; i < text.size();) {
    size_t length = 0;
    const int32_t index = trie.edges.empty() ? -1 : LongestAt(trie, text, i, &length);
    if (index < 0) {
      ++i;
      continue;
    }
    const AddedToken& token = added.tokens[static_cast<size_t>(index)];
    size_t begin = i;
    size_t end = i + length;
    i = end;  // whitespace taken on the right may still begin the next token
    if (token.single_word && IsInsideWord(text, begin, end)) continue;
    while (token.lstrip && begin > covered) {
      const size_t before = CharacterBefore(text, begin);
      if (!IsWhitespace(ReadUtf8(text.substr(before)).character)) break;
      begin = before;
    }
    while (token.rstrip && end < text.size()) {
      const Utf8Unit unit = ReadUtf8(text.substr(end));
      if (!IsWhitespace(unit.character)) break;
      end += static_cast<size_t>(unit.length);
    }
    push_text(covered, begin);
    out->push_back({token.content, piece.at_start && begin == 0, token.id});
    covered = end;
  }
  push_text(covered, text.size());
}

Result<AddedToken> ParseOne(const Json& json, const std::string& where) {
  AddedToken token;
  MRS_ASSIGN_OR_RETURN(token.content, GetString(json, "content", where));
  MRS_ASSIGN_OR_RETURN(const int64_t id, GetInt(json, "id", where, 0, kMaxTokenId));
  token.id = static_cast<int32_t>(id);
  MRS_ASSIGN_OR_RETURN(token.special, GetBoolOr(json, "special", where, false));
  MRS_ASSIGN_OR_RETURN(token.single_word, GetBoolOr(json, "single_word", where, false));
  MRS_ASSIGN_OR_RETURN(token.lstrip, GetBoolOr(json, "lstrip", where, false));
  MRS_ASSIGN_OR_RETURN(token.rstrip, GetBoolOr(json, "rstrip", where, false));
  MRS_ASSIGN_OR_RETURN(token.normalized, GetBoolOr(json, "normalized", where, !token.special));
  if (token.content.size() > kMaxContentBytes) {
    return Refuse("{}: content of {} bytes, at most {} are accepted", where, token.content.size(), kMaxContentBytes);
  }
  return token;
}

Status CheckId(const AddedToken& token, const Bpe& bpe, const std::string& where) {
  const std::string shown = DescribeJson(Json(token.content));
  if (const auto found = bpe.vocab.find(token.content); found != bpe.vocab.end()) {
    if (found->second == token.id) return {};
    return Refuse("{}: token {} has id {}, but id {} in the vocabulary", where, shown, token.id, found->second);
  }
  const auto index = static_cast<size_t>(token.id);
  if (index < bpe.tokens.size() && !bpe.tokens[index].empty()) {
    return Refuse("{}: token {} has id {}, which the vocabulary gives to {}", where, shown, token.id,
                  DescribeJson(Json(bpe.tokens[index])));
  }
  return {};
}

}  // namespace

Result<AddedTokens> ParseAddedTokens(const Json* json, const Bpe& bpe, const Normalizer& normalizer,
                                     std::string_view where) {
  AddedTokens added;
  if (json == nullptr) return added;
  for (size_t i = 0; i < json->size(); ++i) {
    const std::string here = fmt::format("{}[{}]", where, i);
    MRS_ASSIGN_OR_RETURN(AddedToken token, ParseOne((*json)[i], here));
    if (token.content.empty()) continue;
    MRS_RETURN_IF_ERROR(CheckId(token, bpe, here));
    if (!added.by_id.emplace(token.id, added.tokens.size()).second) {
      return Refuse("{}: id {} is given twice", here, token.id);
    }
    if (!added.by_content.emplace(token.content, added.tokens.size()).second) {
      return Refuse("{}: token {} is given twice", here, DescribeJson(Json(token.content)));
    }
    added.tokens.push_back(std::move(token));
  }
  // Special tokens come first, which matters where two tokens normalize to one string.
  for (const bool special : {true, false}) {
    for (size_t i = 0; i < added.tokens.size(); ++i) {
      AddedToken& token = added.tokens[i];
      if (token.special != special) continue;
      token.decoded = token.content;
      if (token.normalized) {
        MRS_ASSIGN_OR_RETURN(token.decoded, Normalize(normalizer, token.content));
      }
      if (!token.decoded.empty())
        Insert(token.decoded, static_cast<int32_t>(i), token.normalized ? &added.normalized : &added.plain);
    }
  }
  return added;
}

Result<std::vector<Piece>> SplitAtAddedTokens(const AddedTokens& added, const Normalizer& normalizer,
                                              std::string_view text) {
  std::vector<Piece> plain;
  Split(added, added.plain, Piece{std::string(text), true, -1}, &plain);
  std::vector<Piece> pieces;
  for (Piece& piece : plain) {
    if (piece.id >= 0) {
      pieces.push_back(std::move(piece));
      continue;
    }
    if (!normalizer.empty()) {
      MRS_ASSIGN_OR_RETURN(piece.text, Normalize(normalizer, piece.text));
    }
    Split(added, added.normalized, std::move(piece), &pieces);
  }
  return pieces;
}

}  // namespace mrs::text
