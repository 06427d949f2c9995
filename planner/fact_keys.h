// Which facts a model's small files may state: what mrs uses, what has no effect here and why, and a warning for the
// rest, so that no fact is dropped in silence.
//
//   WarnOfKeys(FactFile::kConfig, {{"hidden_size", 64}, {"use_mrope", true}, {"logit_scale", 2}}, "config.json",
//   &warnings)
//     ->  config.json: 'use_mrope' true is not used: positions are those of text
//         config.json: mrs does not know "logit_scale"; nothing of it is used
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"

namespace mrs {

enum class FactFile { kConfig, kRope, kGeneration, kTokenizerConfig, kSpecialTokensMap, kTokenizer };

// Whether `words`, separated by spaces, have `word`.
bool HasWord(std::string_view words, std::string_view word);

// Warns of each key of `facts` (an object) that has an effect elsewhere and none here, and of all unknown ones in one
// line. Keys with null say nothing.
void WarnOfKeys(FactFile file, const Json& facts, std::string_view where, std::vector<std::string>* warnings);

// The keys without effect as a table in Markdown; README.md shows it.
std::string KeysWithoutEffect();

}  // namespace mrs
