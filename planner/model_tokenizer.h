// A model's tokenizer.json, read once: the bytes that are hashed are the bytes that are parsed.
//
//   MRS_ASSIGN_OR_RETURN(const std::optional<ModelTokenizer> tokenizer, ReadModelTokenizer(folder, &warnings));
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/text/tokenizer.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

struct ModelTokenizer {
  CheckpointFile file;  // header_sha256 covers the whole file
  text::Tokenizer tokenizer;
};

// Refuses what mrs-exec could not load, with the reason. Without a tokenizer.json a plan serves token ids only; a
// folder that has a tokenizer of another form is warned of. A git-lfs pointer is refused, as of any file.
Result<std::optional<ModelTokenizer>> ReadModelTokenizer(const std::string& folder, std::vector<std::string>* warnings);

// A checkout without git-lfs: what stands there says nothing of the tokenizer.
bool TokenizerIsGitLfsPointer(const std::string& folder);

}  // namespace mrs
