// The `normalizer` of tokenizer.json: rewrites text before it is cut.
//
//   "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "▁"}]}
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/text/regex.h"
#include "formats/text/unicode.h"
#include "plans/status.h"

namespace mrs::text {

struct NormalizerStep {
  enum Kind { kForm, kLowercase, kReplace, kPrepend };
  Kind kind = kForm;
  NormalForm form = NormalForm::kNfc;  // for kForm
  std::optional<Regex> pattern;        // for kReplace
  std::string content;                 // for kReplace and kPrepend
};

using Normalizer = std::vector<NormalizerStep>;  // in order; empty: text stays as it is

Result<Normalizer> ParseNormalizer(const Json& json, std::string_view where);
Result<std::string> Normalize(const Normalizer& normalizer, std::string_view text);

// {"String": "x"} or {"Regex": "x"}, as Split and Replace have it under `key`.
Result<Regex> ParsePattern(const Json& object, std::string_view key, std::string_view where);
// Every match replaced.
Result<std::string> ReplaceAll(const Regex& pattern, std::string_view content, std::string_view text);

}  // namespace mrs::text
