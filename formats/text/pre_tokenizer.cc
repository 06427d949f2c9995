#include "formats/text/pre_tokenizer.h"

#include <map>
#include <utility>

#include "formats/text/byte_alphabet.h"
#include "formats/text/normalizer.h"
#include "formats/text/unicode.h"

namespace mrs::text {
namespace {

// GPT-2's, from the release of the model.
constexpr std::string_view kByteLevelRegex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Result<SplitBehavior> ParseBehavior(const Json& json, std::string_view where, std::string_view fallback) {
  static const std::map<std::string, SplitBehavior> behaviors = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  MRS_ASSIGN_OR_RETURN(const std::string name, GetStringOr(json, "behavior", where, fallback));
  const auto found = behaviors.find(name);
  if (found != behaviors.end()) return found->second;
  return Refuse(
      "{}: behavior '{}' is not supported; supported: Removed, Isolated, MergedWithPrevious, MergedWithNext, "
      "Contiguous",
      where, name);
}

Status AppendSteps(const Json& json, const std::string& where, PreTokenizer* steps) {
  MRS_ASSIGN_OR_RETURN(const std::string type, GetString(json, "type", where));
  PreTokenizerStep step;
  if (type == "ByteLevel") {
    step.kind = PreTokenizerStep::kByteLevel;
    MRS_ASSIGN_OR_RETURN(step.add_prefix_space, GetBoolOr(json, "add_prefix_space", where, true));
    MRS_ASSIGN_OR_RETURN(const bool use_regex, GetBoolOr(json, "use_regex", where, true));
    if (use_regex) {
      MRS_ASSIGN_OR_RETURN(step.pattern, CompileRegex(kByteLevelRegex, where));
    }
  } else if (type == "Split") {
    step.kind = PreTokenizerStep::kSplit;
    MRS_ASSIGN_OR_RETURN(step.pattern, ParsePattern(json, "pattern", where));
    MRS_ASSIGN_OR_RETURN(step.behavior, ParseBehavior(json, where, ""));
    MRS_ASSIGN_OR_RETURN(step.invert, GetBoolOr(json, "invert", where, false));
  } else if (type == "Digits") {
    step.kind = PreTokenizerStep::kDigits;
    MRS_ASSIGN_OR_RETURN(const bool each, GetBoolOr(json, "individual_digits", where, false));
    step.behavior = each ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  } else if (type == "Punctuation") {
    step.kind = PreTokenizerStep::kPunctuation;
    MRS_ASSIGN_OR_RETURN(step.behavior, ParseBehavior(json, where, "Isolated"));
  } else if (type == "Whitespace") {
    step.kind = PreTokenizerStep::kWhitespace;
  } else if (type == "WhitespaceSplit") {
    step.kind = PreTokenizerStep::kWhitespaceSplit;
    step.behavior = SplitBehavior::kRemoved;
  } else if (type == "Metaspace") {
    step.kind = PreTokenizerStep::kMetaspace;
    step.behavior = SplitBehavior::kMergedWithNext;
    MRS_RETURN_IF_ERROR(ParseMetaspace(json, where, &step.replacement, &step.prepend));
    MRS_ASSIGN_OR_RETURN(step.split, GetBoolOr(json, "split", where, true));
  } else if (type == "Sequence") {
    MRS_ASSIGN_OR_RETURN(const Json* inner, GetArray(json, "pretokenizers", where));
    for (const Json& one : *inner) MRS_RETURN_IF_ERROR(AppendSteps(one, where, steps));
    return {};
  } else {
    return Refuse(
        "{} type '{}' is not supported; supported: ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, "
        "Metaspace, Sequence",
        where, type);
  }
  steps->push_back(std::move(step));
  return {};
}

// \w+|[^\w\s]+ : runs of one of the two kinds; whitespace falls away.
std::vector<Span> FindWords(std::string_view text) {
  std::vector<Span> spans;
  int run_kind = 0;  // 0: whitespace, 1: word, 2: other
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    const size_t end = i + static_cast<size_t>(unit.length);
    const int kind = IsWord(unit.character) ? 1 : IsWhitespace(unit.character) ? 0 : 2;
    if (kind != 0 && kind == run_kind) {
      spans.back().end = end;
    } else if (kind != 0) {
      spans.push_back({i, end, true});
    }
    run_kind = kind;
    i = end;
  }
  return spans;
}

std::string ReplaceSpaces(std::string_view text, std::string_view replacement) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out.append(replacement);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

Status Cut(const PreTokenizerStep& step, Piece piece, std::vector<Piece>* out) {
  std::vector<Span> spans;
  switch (step.kind) {
    case PreTokenizerStep::kByteLevel: {
      if (step.add_prefix_space && !piece.text.starts_with(' ')) piece.text.insert(size_t{0}, 1, ' ');
      spans = {{0, piece.text.size(), false}};
      if (step.pattern) {
        MRS_ASSIGN_OR_RETURN(spans, FindAll(*step.pattern, piece.text));
      }
      const size_t first = out->size();
      AppendParts(piece, spans, out);
      for (size_t i = first; i < out->size(); ++i) (*out)[i].text = ToByteAlphabet((*out)[i].text);
      return {};
    }
    case PreTokenizerStep::kSplit: {
      MRS_ASSIGN_OR_RETURN(spans, FindAll(*step.pattern, piece.text));
      if (step.invert) {
        for (Span& span : spans) span.is_match = !span.is_match;
      }
      break;
    }
    case PreTokenizerStep::kDigits:
      spans = FindEach(piece.text, IsNumeric);
      break;
    case PreTokenizerStep::kPunctuation:
      spans = FindEach(piece.text, IsPunctuation);
      break;
    case PreTokenizerStep::kWhitespace:
      spans = FindWords(piece.text);
      break;
    case PreTokenizerStep::kWhitespaceSplit:
      spans = FindEach(piece.text, IsWhitespace);
      break;
    case PreTokenizerStep::kMetaspace: {
      piece.text = ReplaceSpaces(piece.text, step.replacement);
      const bool wanted =
          step.prepend == PreTokenizerStep::kAlways || (step.prepend == PreTokenizerStep::kFirst && piece.at_start);
      if (wanted && !piece.text.starts_with(step.replacement)) piece.text.insert(0, step.replacement);
      if (!step.split) {
        out->push_back(std::move(piece));
        return {};
      }
      const char32_t mark = ReadUtf8(step.replacement).character;
      spans = FindEach(piece.text, [mark](char32_t c) { return c == mark; });
      break;
    }
  }
  AppendParts(piece, ApplyBehavior(std::move(spans), step.behavior), out);
  return {};
}

}  // namespace

Result<PreTokenizer> ParsePreTokenizer(const Json& json, std::string_view where) {
  PreTokenizer steps;
  if (json.is_null()) return steps;
  MRS_RETURN_IF_ERROR(AppendSteps(json, std::string(where), &steps));
  return steps;
}

Status PreTokenize(const PreTokenizer& pre_tokenizer, std::vector<Piece>* pieces) {
  for (const PreTokenizerStep& step : pre_tokenizer) {
    std::vector<Piece> next;
    next.reserve(pieces->size());
    for (Piece& piece : *pieces) {
      if (piece.id >= 0) {
        next.push_back(std::move(piece));
      } else if (!piece.text.empty()) {
        MRS_RETURN_IF_ERROR(Cut(step, std::move(piece), &next));
      }
    }
    *pieces = std::move(next);
  }
  return {};
}

Status ParseMetaspace(const Json& json, std::string_view where, std::string* replacement,
                      PreTokenizerStep::Prepend* prepend) {
  MRS_ASSIGN_OR_RETURN(*replacement, GetString(json, "replacement", where));
  if (replacement->empty() || ReadUtf8(*replacement).length != static_cast<int>(replacement->size())) {
    return Refuse("{}: 'replacement': expected one character, got {}", where, DumpJson(Json(*replacement)));
  }
  MRS_ASSIGN_OR_RETURN(const bool add_prefix_space, GetBoolOr(json, "add_prefix_space", where, true));
  MRS_ASSIGN_OR_RETURN(const std::string scheme, GetStringOr(json, "prepend_scheme", where, "always"));
  const bool given = FindValue(json, "prepend_scheme") != nullptr;
  if (scheme == "always") {
    *prepend = PreTokenizerStep::kAlways;
  } else if (scheme == "first") {
    *prepend = PreTokenizerStep::kFirst;
  } else if (scheme == "never") {
    *prepend = PreTokenizerStep::kNever;
  } else {
    return Refuse("{}: prepend_scheme '{}' is not supported; supported: always, first, never", where, scheme);
  }
  if (!add_prefix_space) {
    if (given && *prepend != PreTokenizerStep::kNever) {
      return Refuse("{}: add_prefix_space false contradicts prepend_scheme '{}'", where, scheme);
    }
    *prepend = PreTokenizerStep::kNever;
  }
  return {};
}

}  // namespace mrs::text
