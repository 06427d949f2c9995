// A plan taken apart so that its program can be edited, and put together again so that only a reader of meaning
// objects.
//
//   PlanEdit edit(std::move(plan), seed);                    // of its first stage
//   edit.RemoveStep(edit.One(plan::OpKind::all_reduce));    // its readers now read what it read
//   const std::string bytes = edit.Seal();                  // gapless lists, every buffer in a place of its own, a
//   SHA-256
//
// Seal() never verifies: what comes out is for the checkers to refuse. It lays all buffers side by side and lets each
// step wait for the one before it, so that an edited program is not refused for its memory or its order, only for what
// it says.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs::mutation {

struct Instruction {
  plan::Step step;
  std::vector<plan::Ref> operands;  // as the plan lists them
  std::vector<plan::Ref> results;
  std::optional<plan::Collective> collective;  // of all_reduce and all_gather
  std::optional<plan::Transfer> transfer;      // of send and recv
};

// A name in the parts that one stage and another have: ("l3.q_proj.weight", 2) -> "l1.q_proj.weight". As it is where it
// is of no layer.
std::string LayersOn(std::string_view name, int layers);

class PlanEdit {
 public:
  // Takes one stage apart; the others are in `plan`.
  PlanEdit(plan::PlanT plan, uint64_t seed, size_t stage = 0);

  // Steps of a kind, in order; of one layer where given, and with `part` in their name ("k_proj").
  std::vector<size_t> All(plan::OpKind op, std::string_view part = "", std::optional<int> layer = std::nullopt) const;
  // One of those, drawn; none where there is none.
  std::optional<size_t> One(plan::OpKind op, std::string_view part = "");
  // One that `fits`, drawn.
  std::optional<size_t> OneWhere(plan::OpKind op, const std::function<bool(const Instruction&)>& fits);
  std::string_view NameOf(const Instruction& instruction) const { return plan.names[instruction.step.name()]; }
  std::string_view NameOf(const plan::Weight& weight) const { return plan.names[weight.name()]; }

  // Where the step named "...k_proj..." keeps that product: its number among the step's results.
  std::optional<size_t> PartOf(size_t step, std::string_view part) const;

  // Weights by the end of their name ("k_proj.weight"), in order of layers.
  std::vector<size_t> Weights(std::string_view suffix) const;
  // The only source of a weight as mrs-plan emits it.
  plan::WeightSource& SourceOf(size_t weight) { return sources[weight].front(); }
  std::string_view TensorOf(size_t weight) { return plan.names[SourceOf(weight).name()]; }

  // The attributes of a step of such a kind; the plan has them as tables.
  plan::NormAttrT& NormOf(size_t step) { return *stage.norms[steps[step].step.attr()]; }
  plan::HeadsAttrT& HeadsOf(size_t step) { return *stage.heads[steps[step].step.attr()]; }
  plan::AttentionAttrT& AttentionOf(size_t step) { return *stage.attentions[steps[step].step.attr()]; }

  // The buffer that the executor writes under this name.
  std::optional<uint32_t> InputNamed(std::string_view name) const;
  // A buffer that a step before `step` writes, of the same type as `buffer` and not it; the latest or a drawn one.
  std::optional<uint32_t> Lookalike(uint32_t buffer, size_t step, bool latest = false);
  // All reads of `from` at or after `first_step` become reads of `to`, the outputs included.
  void Redirect(uint32_t from, uint32_t to, size_t first_step = 0);
  // Takes a step of one operand and one result out; who read its result reads its first operand.
  void RemoveStep(size_t step);
  // Puts a copy of the step behind it, working on its result; who read the result reads the copy's.
  void RepeatStep(size_t step);
  uint32_t AddName(std::string name);
  uint32_t CopyBuffer(uint32_t buffer);

  size_t Draw(size_t count);  // [0, count)

  // Puts the plan together. Call once.
  std::string Seal();

  plan::PlanT plan;
  const size_t index;  // of the stage
  plan::StageT& stage;
  std::vector<Instruction> steps;                        // replaces stage.steps, refs, deps, collectives, transfers
  std::vector<std::vector<plan::WeightSource>> sources;  // of each weight; replaces stage.sources

 private:
  void SealProgram();
  void SealBuffers();
  void SealWeights();
  uint64_t state_;
};

}  // namespace mrs::mutation
