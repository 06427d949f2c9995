// A tiny plan made by hand, valid, and using every operation: what tests start from before they break one thing.
//
//   plan::PlanT plan = TinyPlan({.tp = 2});
//   StepOf(plan, "l0.attn").mutate_attr(7);   Refusal(plan) == "stage 0 step 10 'l0.attn': its attribute is entry 7 of
//   1"
//
// One layer, hidden 32, 4 heads (2 KV, each on two ranks at tp 4) of 8, ffn 64, vocabulary 40 padded to 48, bf16,
// QK-norm and both kinds of bias.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plans/plan_generated.h"

namespace mrs::testing {

struct TinyOptions {
  uint32_t tp = 2;
  uint32_t dp = 1;
  uint32_t layer_count = 1;
  uint32_t bucket_count = 2;  // 1, 32, 64, ... tokens
  uint64_t scale = 1;         // multiplies heads, hidden, ffn and vocabulary
  uint64_t head_scale = 1;    // multiplies heads once more
  bool fused = false;         // for GPUs: rope_append, matmul_silu_mul, and add_rms_norm within a layer
  // And these in launches with what comes before them: rope_append, of heads of 32 and no QK-norm, with the products;
  // add_rms_norm, without a bias before it, with the product, or by peer memory with the ranks' sum.
  bool joined = false;
};

plan::PlanT TinyPlan(const TinyOptions& options = {});

// Parts of the first stage by name, to be changed; these abort where there is none of that name.
uint32_t StepNamed(const plan::PlanT& plan, std::string_view name);
uint32_t BufferNamed(const plan::PlanT& plan, std::string_view name);
uint32_t WeightNamed(const plan::PlanT& plan, std::string_view name);
plan::Step& StepOf(plan::PlanT& plan, std::string_view name);
plan::Buffer& BufferOf(plan::PlanT& plan, std::string_view name);
plan::Weight& WeightOf(plan::PlanT& plan, std::string_view name);
plan::WeightSource& SourceOf(plan::PlanT& plan, std::string_view weight);
plan::Ref& RefOf(plan::PlanT& plan, std::string_view step, uint32_t ref);  // operands, then results
plan::Collective& CollectiveOf(plan::PlanT& plan, std::string_view step);
uint64_t& PlaceOf(plan::PlanT& plan, std::string_view buffer, uint32_t bucket);  // its offset in the arena
uint32_t& DepOf(plan::PlanT& plan, std::string_view step);                       // its first dependency

// Makes the last 32 bytes of a file the SHA-256 of the rest again.
void Reseal(std::string* file);

// What VerifyPlan says of it: "" where it passes.
std::string Refusal(const plan::PlanT& plan);

}  // namespace mrs::testing
