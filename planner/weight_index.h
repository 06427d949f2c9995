// Which tensors a checkpoint folder holds and in which file each lies, from headers alone.
//
//   model.safetensors.index.json {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors", ...}}
//     ->  Checkpoint{files: 2, tensors["lm_head.weight"] = {bf16, [2000, 256], file 1, offset 8312, 1024000 bytes}}
#pragma once

#include <map>
#include <set>
#include <string>

#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

// Reads `folder`/model.safetensors, else the files of `folder`/model.safetensors.index.json. The index decides which
// tensors there are: what a file holds beyond it is left out. A tensor of a type that mrs cannot read (integers, F64,
// F8_E4M3, ...) is listed in `other_dtypes` only, one that no file holds in `only_in_index`. File names must be plain
// names ending in ".safetensors".
Result<Checkpoint> ReadCheckpoint(const std::string& folder);

// model.safetensors.index.json itself: which file each tensor is in.
struct WeightIndex {
  std::map<std::string, std::string> file_of;
  std::set<std::string> file_names;
  int64_t total_bytes = 0;  // `total_size` of its metadata; 0 where it does not say
};
Result<WeightIndex> ReadWeightIndex(const std::string& folder);

// "BF16", as safetensors spells it.
const char* DtypeName(ElementType type);

}  // namespace mrs
