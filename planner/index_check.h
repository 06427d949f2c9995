// What a folder says of its weights while they are elsewhere: the tensors that its index names, held against the model,
// and what its size tells of their type. For a dry run, and for checks of a repository that keeps no weights.
//
//   CheckWithoutHeaders("llama", spec)->text
//     ->  "291 tensors in 4 files, all that the model needs, 2 bytes for each parameter"
//   an index with model.layers.0.mlp.down_proj.qweight
//     ->  checkpoint: tensor 'model.layers.0.mlp.down_proj.qweight' is of a quantized checkpoint, which is not ...
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "planner/model_spec.h"
#include "planner/weight_index.h"
#include "plans/status.h"

namespace mrs {

struct IndexReport {
  std::string text;
  std::vector<std::string> warnings;
};

// Where the checkpoint has a head beside tied embeddings, `spec` has one afterwards; where its size tells that the
// matrices are f32, `config_type` is.
Result<IndexReport> CheckIndex(ModelSpec& spec, const WeightIndex& index);

// The same of a folder's index. Nothing where there is none, or model.safetensors, which wins. Refuses what files
// beside config.json say to be quantized.
Result<std::optional<IndexReport>> CheckWithoutHeaders(const std::string& folder, ModelSpec& spec);

}  // namespace mrs
