#include "planner/model_tokenizer.h"

#include "formats/input_file.h"
#include "formats/json.h"
#include "formats/model_json.h"
#include "planner/fact_keys.h"
#include "planner/optional_file.h"
#include "plans/sha256.h"

namespace mrs {
namespace {

constexpr const char* kFile = "tokenizer.json";

// Forms of tokenizers that mrs does not read.
constexpr const char* kOtherForms[] = {"tokenizer.model", "tekken.json", "vocab.json", "spiece.model", "vocab.txt"};

void WarnOfOtherForms(const std::string& folder, std::vector<std::string>* warnings) {
  std::string found;
  for (const char* name : kOtherForms) {
    if (IsThere(folder, name)) found += fmt::format("{}{}", found.empty() ? "" : ", ", name);
  }
  if (found.empty()) return;
  warnings->push_back(
      fmt::format("{}: has {}, but no {}, the only form of tokenizer that mrs reads: this plan serves token ids alone; "
                  "write one with "
                  "transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
                  folder, found, kFile));
}

}  // namespace

bool TokenizerIsGitLfsPointer(const std::string& folder) {
  const Result<InputFile> file = InputFile::Open(fmt::format("{}/{}", folder, kFile));
  if (!file || file->bytes() < kGitLfsPointerStart) return false;
  char start[kGitLfsPointerStart];
  return file->ReadAt(0, start, sizeof(start)).ok() && IsGitLfsPointer({start, sizeof(start)});
}

Result<std::optional<ModelTokenizer>> ReadModelTokenizer(const std::string& folder,
                                                         std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                       ReadIfThere(folder, kFile, text::kTokenizerLimits.max_bytes));
  if (!text) {
    WarnOfOtherForms(folder, warnings);
    return std::optional<ModelTokenizer>();
  }
  const Sha256Digest hash = Sha256(std::as_bytes(std::span(*text)));
  ModelTokenizer result;
  result.file = {kFile, text->size(), text->size(), std::string(hash.begin(), hash.end())};
  MRS_ASSIGN_OR_RETURN(const Json json, ParseModelJson(*text, kFile, text::kTokenizerLimits));
  MRS_ASSIGN_OR_RETURN(result.tokenizer, text::MakeTokenizer(json, kFile));
  WarnOfKeys(FactFile::kTokenizer, json, kFile, warnings);
  return std::optional<ModelTokenizer>(std::move(result));
}

}  // namespace mrs
