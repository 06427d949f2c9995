// Text to token ids and back, as a Hugging Face tokenizer.json says: byte-pair models, and only what it can do exactly.
//
//   MRS_ASSIGN_OR_RETURN(const Tokenizer tokenizer, LoadTokenizer(folder + "/tokenizer.json"));
//   MRS_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, Encode(tokenizer, "Hello", /*add_special_tokens=*/true));
//   MRS_ASSIGN_OR_RETURN(const std::string text, Decode(tokenizer, ids, /*skip_special_tokens=*/true));  // "Hello"
//
// A Tokenizer never changes once read: threads may share it.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/text/added_tokens.h"
#include "formats/text/bpe.h"
#include "formats/text/decoder.h"
#include "formats/text/normalizer.h"
#include "formats/text/pre_tokenizer.h"
#include "plans/status.h"

namespace mrs::text {

struct Tokenizer {
  AddedTokens added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  std::vector<int32_t> prefix_ids;  // put before and after the text's tokens where special tokens are asked for
  std::vector<int32_t> suffix_ids;
  Decoder decoder;
};

// Refuses by name what is not supported, and a file that is malformed or contradicts itself.
Result<Tokenizer> LoadTokenizer(const std::string& path);
Result<Tokenizer> ParseTokenizer(std::string_view json_text, std::string_view where);
Result<Tokenizer> MakeTokenizer(const Json& file, std::string_view where);

// One vocabulary of 256 thousand tokens is about 20 MB of JSON.
inline constexpr JsonLimits kTokenizerLimits = {
    .max_bytes = size_t{128} << 20, .max_values = size_t{16} << 20, .max_depth = 32};

inline constexpr size_t kMaxTextBytes = size_t{64} << 20;

// `text` must be UTF-8 of at most kMaxTextBytes. Added tokens in the text become their ids, special ones too.
// `stop`: set by another thread when nobody wants the ids any more; then it is kCancelled.
Result<std::vector<int32_t>> Encode(const Tokenizer& tokenizer, std::string_view text, bool add_special_tokens,
                                    const std::atomic<bool>* stop = nullptr);

// Always UTF-8. Ids that name no token give no text.
Result<std::string> Decode(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool skip_special_tokens);

// The token as the decoder gets it; nothing for an id that names none.
std::optional<std::string_view> IdToToken(const Tokenizer& tokenizer, int32_t id);
std::optional<int32_t> TokenToId(const Tokenizer& tokenizer, std::string_view token);
bool IsSpecial(const Tokenizer& tokenizer, int32_t id);

// The bytes that the token adds to a text; they may be half a character. Empty for an id that names no token.
Result<std::string> TokenBytes(const Tokenizer& tokenizer, int32_t id);

// One more than the largest id that names a token.
int32_t VocabSize(const Tokenizer& tokenizer);

}  // namespace mrs::text
