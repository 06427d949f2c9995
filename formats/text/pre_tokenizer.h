// The `pre_tokenizer` of tokenizer.json: cuts text into the words that the model sees one by one.
//
//   ByteLevel: "two words\n" -> "two" "Ġwords" "Ċ"
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/text/pieces.h"
#include "formats/text/regex.h"
#include "plans/status.h"

namespace mrs::text {

struct PreTokenizerStep {
  enum Kind { kByteLevel, kSplit, kDigits, kPunctuation, kWhitespace, kWhitespaceSplit, kMetaspace };
  enum Prepend { kNever, kFirst, kAlways };
  Kind kind = kByteLevel;
  std::optional<Regex> pattern;  // kSplit; kByteLevel where it cuts
  bool invert = false;           // kSplit: cut at what does not match
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool add_prefix_space = false;  // kByteLevel
  std::string replacement;        // kMetaspace: what stands for a space
  Prepend prepend = kAlways;      // kMetaspace
  bool split = true;              // kMetaspace
};

using PreTokenizer = std::vector<PreTokenizerStep>;  // in order; empty: the text is one word

Result<PreTokenizer> ParsePreTokenizer(const Json& json, std::string_view where);

// Replaces the pieces that are text by their words.
Status PreTokenize(const PreTokenizer& pre_tokenizer, std::vector<Piece>* pieces);

// Metaspace as the pre_tokenizer and the decoder both write it.
Status ParseMetaspace(const Json& json, std::string_view where, std::string* replacement,
                      PreTokenizerStep::Prepend* prepend);

}  // namespace mrs::text
