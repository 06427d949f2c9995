// JSON of a model's files, which may be large and hostile: no string or number in it is longer than such files have
// any. The parser keeps what it read last several times over, and quotes all of it in a message: 11 times its size.
//
//   ParseModelJson(text, "tokenizer.json", kTokenizerLimits)
//     ->  tokenizer.json: line 1, column 9: a string or number of more than 8388608 bytes, or one without an end
#pragma once

#include <cstddef>
#include <string_view>

#include "formats/json.h"
#include "plans/status.h"

namespace mrs {

// A chat template is of some thousand bytes, a normalizer's table (precompiled_charsmap of a tokenizer.json) of
// 500,000.
inline constexpr size_t kMaxModelTokenBytes = size_t{8} << 20;

// As ParseJson, after FindLongToken.
Result<Json> ParseModelJson(std::string_view text, std::string_view where, const JsonLimits& limits = {});

// Where a string, or what else stands between structural characters, is longer than `most` bytes as written; npos:
// nowhere. Of a string that does not end, all that follows is part.
size_t FindLongToken(std::string_view text, size_t most);

}  // namespace mrs
