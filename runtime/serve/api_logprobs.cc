#include "runtime/serve/api_logprobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

#include "formats/text/utf8.h"

namespace mrs::serve {
namespace {

constexpr double kLowestLogprob = -9999.0;  // stands for -inf, which JSON lacks; as OpenAI

std::string BytesOf(int32_t id, const text::Tokenizer& tokenizer) {
  Result<std::string> bytes = text::TokenBytes(tokenizer, id);
  return bytes.ok() ? *std::move(bytes) : "";
}

std::string NameOf(int32_t id) { return fmt::format("token_id:{}", id); }

Json ChatToken(const TokenLogprob& token, const text::Tokenizer* tokenizer) {
  Json object = Json::object();
  if (tokenizer == nullptr) {
    object["token"] = NameOf(token.id);
    object["logprob"] = LogprobJson(token.logprob);
    object["bytes"] = nullptr;
    return object;
  }
  const std::string bytes = BytesOf(token.id, *tokenizer);
  std::string text;
  text::AppendLossy(bytes, &text);
  Json list = Json::array();
  for (const char byte : bytes) list.push_back(static_cast<unsigned char>(byte));
  object["token"] = std::move(text);
  object["logprob"] = LogprobJson(token.logprob);
  object["bytes"] = std::move(list);
  return object;
}

}  // namespace

// The double with the fewest digits that still gives the f32 back: -0.1, not -0.10000000149011612.
Json LogprobJson(float logprob) {
  if (!(logprob > kLowestLogprob)) return kLowestLogprob;
  const std::string digits = fmt::format("{}", logprob);
  double value = logprob;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

// Parts of a character differ only in their bytes, so they are spelled out: "bytes:\xe2\x82", as OpenAI did.
std::string CompletionToken(int32_t id, const text::Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return NameOf(id);
  const std::string bytes = BytesOf(id, *tokenizer);
  if (text::FindInvalidUtf8(bytes) == std::string::npos) return bytes;
  std::string spelled = "bytes:";
  for (const char byte : bytes) spelled += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return spelled;
}

// Characters that begin in the token; special tokens are not shown.
size_t CharactersOf(int32_t id, const text::Tokenizer* tokenizer) {
  if (tokenizer == nullptr || text::IsSpecial(*tokenizer, id)) return 0;
  const std::string bytes = BytesOf(id, *tokenizer);
  return static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

Json ChatLogprob(const TokenLogprob& token, std::span<const TokenLogprob> top, const text::Tokenizer* tokenizer) {
  Json entry = ChatToken(token, tokenizer);
  Json list = Json::array();
  for (const TokenLogprob& candidate : top) list.push_back(ChatToken(candidate, tokenizer));
  entry["top_logprobs"] = std::move(list);
  return entry;
}

Json ChatLogprobs(std::span<const TokenEvent> tokens, const text::Tokenizer* tokenizer) {
  Json content = Json::array();
  for (const TokenEvent& token : tokens) content.push_back(ChatLogprob(token.token, token.top, tokenizer));
  Json object = Json::object();
  object["content"] = std::move(content);
  object["refusal"] = nullptr;
  return object;
}

Json CompletionTop(const TokenLogprob& token, std::span<const TokenLogprob> top, const text::Tokenizer* tokenizer) {
  Json object = Json::object();
  for (const TokenLogprob& candidate : top) {
    object.emplace(CompletionToken(candidate.id, tokenizer), LogprobJson(candidate.logprob));
  }
  object.emplace(CompletionToken(token.id, tokenizer), LogprobJson(token.logprob));  // the chosen one is always there
  return object;
}

Json CompletionLogprobs(std::span<const TokenEvent> tokens, const text::Tokenizer* tokenizer, size_t* text_offset) {
  Json offsets = Json::array();
  Json names = Json::array();
  Json logprobs = Json::array();
  Json tops = Json::array();
  for (const TokenEvent& token : tokens) {
    names.push_back(CompletionToken(token.token.id, tokenizer));
    logprobs.push_back(LogprobJson(token.token.logprob));
    tops.push_back(CompletionTop(token.token, token.top, tokenizer));
    offsets.push_back(*text_offset);
    *text_offset += CharactersOf(token.token.id, tokenizer);
  }
  Json object = Json::object();
  object["text_offset"] = std::move(offsets);
  object["token_logprobs"] = std::move(logprobs);
  object["tokens"] = std::move(names);
  object["top_logprobs"] = std::move(tops);
  return object;
}

}  // namespace mrs::serve
