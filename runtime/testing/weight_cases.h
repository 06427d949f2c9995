// What tests of loading change in a test model: a matrix of several tensors, and digests of all that is read.
//
//   FuseInto(&model, {"l0.gate", "l0.up"});         // a weight of both, the second's rows after the first's
//   AddDigests(&model, plan::DigestKind::sha256);   // of the file as it is
//   Repack(&model);
#pragma once

#include <string>
#include <vector>

#include "runtime/testing/llama_plan.h"

namespace mrs::testing {

// Tensors of one shape, as often as they are named; no step uses the matrix.
void FuseInto(TestModel* model, const std::vector<std::string>& tensors);

void AddDigests(TestModel* model, plan::DigestKind kind);

}  // namespace mrs::testing
