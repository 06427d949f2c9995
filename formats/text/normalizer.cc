#include "formats/text/normalizer.h"

#include <map>
#include <utility>

namespace mrs::text {
namespace {

Status AppendSteps(const Json& json, const std::string& where, Normalizer* steps) {
  MRS_ASSIGN_OR_RETURN(const std::string type, GetString(json, "type", where));
  static const std::map<std::string, NormalForm> forms = {
      {"NFC", NormalForm::kNfc}, {"NFD", NormalForm::kNfd}, {"NFKC", NormalForm::kNfkc}, {"NFKD", NormalForm::kNfkd}};
  NormalizerStep step;
  if (const auto form = forms.find(type); form != forms.end()) {
    step.kind = NormalizerStep::kForm;
    step.form = form->second;
  } else if (type == "Lowercase") {
    step.kind = NormalizerStep::kLowercase;
  } else if (type == "Replace") {
    step.kind = NormalizerStep::kReplace;
    MRS_ASSIGN_OR_RETURN(step.pattern, ParsePattern(json, "pattern", where));
    MRS_ASSIGN_OR_RETURN(step.content, GetString(json, "content", where));
  } else if (type == "Prepend") {
    step.kind = NormalizerStep::kPrepend;
    MRS_ASSIGN_OR_RETURN(step.content, GetString(json, "prepend", where));
  } else if (type == "Sequence") {
    MRS_ASSIGN_OR_RETURN(const Json* inner, GetArray(json, "normalizers", where));
    for (const Json& one : *inner) MRS_RETURN_IF_ERROR(AppendSteps(one, where, steps));
    return {};
  } else {
    return Refuse(
        "{} type '{}' is not supported; supported: NFC, NFD, NFKC, NFKD, Lowercase, Replace, Prepend, Sequence", where,
        type);
  }
  steps->push_back(std::move(step));
  return {};
}

}  // namespace

Result<Normalizer> ParseNormalizer(const Json& json, std::string_view where) {
  Normalizer steps;
  if (json.is_null()) return steps;
  MRS_RETURN_IF_ERROR(AppendSteps(json, std::string(where), &steps));
  return steps;
}

Result<std::string> Normalize(const Normalizer& normalizer, std::string_view text) {
  // Replacing and composing can each make text longer; a chain of them must not make it boundless.
  const size_t max_bytes = 1024 + 64 * text.size();
  std::string now(text);
  for (const NormalizerStep& step : normalizer) {
    switch (step.kind) {
      case NormalizerStep::kForm: {
        MRS_ASSIGN_OR_RETURN(now, Normalize(step.form, now));
        break;
      }
      case NormalizerStep::kLowercase:
        now = LowerEach(now);
        break;
      case NormalizerStep::kReplace: {
        MRS_ASSIGN_OR_RETURN(now, ReplaceAll(*step.pattern, step.content, now));
        break;
      }
      case NormalizerStep::kPrepend:
        if (!now.empty()) now.insert(0, step.content);
        break;
    }
    if (now.size() > max_bytes) return Refuse("the normalizer makes {} bytes of {}", now.size(), text.size());
  }
  return now;
}

Result<Regex> ParsePattern(const Json& object, std::string_view key, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const Json* pattern, GetObject(object, key, where));
  if (FindValue(*pattern, "Regex") != nullptr) {
    MRS_ASSIGN_OR_RETURN(const std::string regex, GetString(*pattern, "Regex", where));
    return CompileRegex(regex, where);
  }
  if (FindValue(*pattern, "String") != nullptr) {
    MRS_ASSIGN_OR_RETURN(const std::string literal, GetString(*pattern, "String", where));
    return CompileLiteral(literal, where);
  }
  return Refuse("{}: '{}': expected {{\"String\": ...}} or {{\"Regex\": ...}}, got {}", where, key, DumpJson(*pattern));
}

Result<std::string> ReplaceAll(const Regex& pattern, std::string_view content, std::string_view text) {
  if (text.empty()) return std::string();
  MRS_ASSIGN_OR_RETURN(const std::vector<Span> spans, FindAll(pattern, text));
  std::string out;
  for (const Span& span : spans) {
    out.append(span.is_match ? content : text.substr(span.begin, span.end - span.begin));
  }
  return out;
}

}  // namespace mrs::text
