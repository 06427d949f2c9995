// One stage as text: memory, buckets, weights with their sources, buffers with their places, the program.
//
//   step 6 attention 'l0.attn' (l0.q_roped bf16 [tokens, 16], ...) -> (l0.attn bf16 [tokens, 16]) {"heads":2,...} after 5
#pragma once

#include <string>

#include "plans/verify/context.h"

namespace mrs {

void AppendStage(const verify::StageView& stage, std::string* out);

}  // namespace mrs
