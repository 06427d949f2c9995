// Which tensors a model cannot run without, and whether a checkpoint has them: the rows of families.h with the sizes of
// one model.
//
//   ExpectedTensors(spec)[1]                  ->  {layer 0, "model.layers.0.input_layernorm.weight", {256}, not a
//   matrix} FindPart(spec, TensorRole::kK, 0)         ->  rows [3072, 3584) of
//   "model.layers.0.self_attn.qkv_proj.weight"
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "planner/families.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

// A tensor as the checkpoint has it: [rows] or [rows, columns].
struct ModelTensor {
  int64_t layer = -1;  // -1: belongs to no layer
  std::string name;
  std::vector<int64_t> shape;
  bool matrix = false;  // matrices (and the embedding) share one element type; norms and biases are vectors of any
};

// All of them in the order of the computation; a tied head is not listed. spec.architecture must be supported, here and
// below.
std::vector<ModelTensor> ExpectedTensors(const ModelSpec& spec);

int64_t CountParameters(const ModelSpec& spec);

// What the layout weighs stages by.
TokenReads ReadsOfAToken(const ModelSpec& spec);

// A checkpoint that has them all, of one type, in no file.
Checkpoint ImaginedCheckpoint(const ModelSpec& spec, ElementType type);

// What one role is: rows of a tensor, often all of them.
struct TensorPart {
  std::string tensor;
  int64_t row_begin = 0;
  std::vector<int64_t> out;      // sizes of the rows' dimensions; their product is the number of rows
  std::vector<int64_t> in;       // of the columns'; none: a vector
  Size contracted = Size::kOne;  // the first of `in`
};

// Nothing where this model has no such tensor. A tied kHead is the embedding. `layer` matters for roles in layers.
std::optional<TensorPart> FindPart(const ModelSpec& spec, TensorRole role, int64_t layer = -1);

// What `tie_word_embeddings` means for this checkpoint, as in transformers: where it holds both the embedding and
// lm_head.weight, they are not tied after all, which is warned of; where it holds lm_head.weight alone, that is the
// embedding, too, and is listed under its name.
void ResolveTiedHead(ModelSpec& spec, Checkpoint& checkpoint, std::vector<std::string>* warnings);

struct TensorReport {
  ElementType matrix_type = ElementType::kF32;  // of every matrix
  std::vector<std::string> warnings;            // tensors of the checkpoint that the model does not know
};

// Every expected tensor is there, of the right shape and type. Leftovers of old exports (rotary_emb.inv_freq) are
// passed over in silence, other unknown tensors warned of.
Result<TensorReport> CheckTensors(const ModelSpec& spec, const Checkpoint& checkpoint);

}  // namespace mrs
