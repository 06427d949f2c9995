// One stage as text: memory, buckets, weights with their sources, buffers with their places, the program.
//
//   step 6 attention 'l0.attn' (l0.q_roped bf16 [tokens, 16], ...) -> (l0.attn bf16 [tokens, 16]) {"heads":2,...} after
//   5
#pragma once

#include <string>

#include "plans/verify/context.h"

namespace mrs {

void AppendStage(const verify::StageView& stage, std::string* out);

// One entry of a stage as a line, without its end; of a weight without its sources.
std::string WeightText(const verify::StageView& stage, uint32_t weight);
std::string KvClassText(const verify::StageView& stage, uint32_t kv_class);
std::string BufferText(const verify::StageView& stage, uint32_t buffer);
std::string StepText(const verify::StageView& stage, uint32_t step);
// "x f32 [tokens, 256]", "{weight}", "none"
std::string RefText(const verify::StageView& stage, const plan::Ref& ref);

}  // namespace mrs
