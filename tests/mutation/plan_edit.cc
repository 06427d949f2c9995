#include "tests/mutation/plan_edit.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "plans/contract.h"
#include "plans/dtype.h"
#include "plans/encoding.h"
#include "plans/writer.h"

namespace mrs::mutation {
namespace {

using plan::OpKind;
using plan::RefSpace;
using plan::Variant;

bool IsCollective(OpKind op) { return op == OpKind::all_reduce || op == OpKind::all_gather; }
bool IsTransfer(OpKind op) { return op == OpKind::send || op == OpKind::recv; }

uint64_t RoundUp(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

uint64_t RowCount(const plan::Bucket& bucket, plan::Rows rows) {
  switch (rows) {
    case plan::Rows::tokens:
      return bucket.tokens();
    case plan::Rows::sequences:
      return bucket.sequences();
    case plan::Rows::logit_rows:
      return bucket.logit_rows();
    case plan::Rows::one:
      return 1;
  }
  return 1;
}

// "l0.q_proj+k_proj+v_proj" -> {"l0.q_proj", "k_proj", "v_proj"}
std::vector<std::string_view> Parts(std::string_view name) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t plus = name.find('+');
    parts.push_back(name.substr(0, plus));
    if (plus == std::string_view::npos) return parts;
    name.remove_prefix(plus + 1);
  }
}

}  // namespace

std::string LayersOn(std::string_view name, int layers) {
  const size_t dot = name.find('.');
  int layer = 0;
  if (dot == std::string_view::npos || name[0] != 'l') return std::string(name);
  const auto [end, error] = std::from_chars(name.data() + 1, name.data() + dot, layer);
  if (error != std::errc() || end != name.data() + dot) return std::string(name);
  std::string moved = "l";
  return moved.append(std::to_string(layer + layers)).append(name.substr(dot));
}

PlanEdit::PlanEdit(plan::PlanT whole, uint64_t seed, size_t stage_index)
    : plan(std::move(whole)), index(stage_index), stage(*plan.stages[stage_index]), state_(seed) {
  stage.joined.clear();  // each step a launch of its own
  for (const plan::Step& step : stage.steps) {
    const auto begin = stage.refs.begin() + step.operand_begin();
    Instruction instruction{step, {begin, begin + step.operand_count()}, {}, {}, {}};
    instruction.results.assign(begin + step.operand_count(), begin + step.operand_count() + step.result_count());
    if (IsCollective(step.op())) instruction.collective = stage.collectives[step.attr()];
    if (IsTransfer(step.op())) instruction.transfer = stage.transfers[step.attr()];
    steps.push_back(std::move(instruction));
  }
  for (const plan::Weight& weight : stage.weights) {
    const auto begin = stage.sources.begin() + weight.source_begin();
    sources.emplace_back(begin, begin + weight.source_count());
  }
}

size_t PlanEdit::Draw(size_t count) {  // splitmix64: the same on any host
  uint64_t z = (state_ += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return (z ^ (z >> 31)) % count;
}

std::vector<size_t> PlanEdit::All(OpKind op, std::string_view part, std::optional<int> layer) const {
  std::vector<size_t> found;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].step.op() != op || (layer && steps[i].step.layer() != *layer)) continue;
    if (NameOf(steps[i]).find(part) != std::string_view::npos) found.push_back(i);
  }
  return found;
}

std::optional<size_t> PlanEdit::One(OpKind op, std::string_view part) {
  const auto all = All(op, part);
  if (all.empty()) return std::nullopt;
  return all[Draw(all.size())];
}

std::optional<size_t> PlanEdit::OneWhere(OpKind op, const std::function<bool(const Instruction&)>& fits) {
  std::vector<size_t> found = All(op);
  std::erase_if(found, [&](size_t step) { return !fits(steps[step]); });
  if (found.empty()) return std::nullopt;
  return found[Draw(found.size())];
}

std::optional<uint32_t> PlanEdit::InputNamed(std::string_view name) const {
  for (uint32_t i = 0; i < stage.buffers.size(); ++i) {
    if (stage.buffers[i].input() && plan.names[stage.buffers[i].name()] == name) return i;
  }
  return std::nullopt;
}

std::optional<size_t> PlanEdit::PartOf(size_t step, std::string_view part) const {
  const auto parts = Parts(NameOf(steps[step]));
  const auto found = std::ranges::find_if(parts, [&](std::string_view name) { return name.ends_with(part); });
  if (found == parts.end()) return std::nullopt;
  return static_cast<size_t>(found - parts.begin());
}

std::vector<size_t> PlanEdit::Weights(std::string_view suffix) const {
  std::vector<size_t> found;
  for (size_t i = 0; i < stage.weights.size(); ++i) {
    if (NameOf(stage.weights[i]).ends_with(suffix)) found.push_back(i);
  }
  return found;
}

std::optional<uint32_t> PlanEdit::Lookalike(uint32_t buffer, size_t step, bool latest) {
  const plan::Buffer& wanted = stage.buffers[buffer];
  std::vector<uint32_t> found;
  for (size_t i = 0; i < step; ++i) {
    if (steps[i].step.variant() != Variant::always && steps[i].step.variant() != steps[step].step.variant()) continue;
    for (const plan::Ref& result : steps[i].results) {
      const plan::Buffer& b = stage.buffers[result.index()];
      if (result.index() != buffer && b.width() == wanted.width() && b.dtype() == wanted.dtype() &&
          b.rows() == wanted.rows()) {
        found.push_back(result.index());
      }
    }
  }
  if (found.empty()) return std::nullopt;
  return latest ? found.back() : found[Draw(found.size())];
}

void PlanEdit::Redirect(uint32_t from, uint32_t to, size_t first_step) {
  for (size_t i = first_step; i < steps.size(); ++i) {
    for (plan::Ref& operand : steps[i].operands) {
      if (operand.space() == RefSpace::buffer && operand.index() == from) operand.mutate_index(to);
    }
  }
  if (stage.candidates_buffer == from) stage.candidates_buffer = to;
  if (stage.logits_buffer == from) stage.logits_buffer = to;
}

void PlanEdit::RemoveStep(size_t step) {
  const Instruction gone = steps[step];
  steps.erase(steps.begin() + static_cast<ptrdiff_t>(step));
  Redirect(gone.results.front().index(), gone.operands.front().index(), step);
}

void PlanEdit::RepeatStep(size_t step) {
  Instruction copy = steps[step];
  const uint32_t first = copy.results.front().index(), second = CopyBuffer(first);
  Redirect(first, second, step + 1);
  copy.operands.front() = copy.results.front();
  copy.results.front().mutate_index(second);
  copy.step.mutate_name(AddName(std::string(NameOf(copy)) + ".again"));
  steps.insert(steps.begin() + static_cast<ptrdiff_t>(step) + 1, copy);
}

uint32_t PlanEdit::AddName(std::string name) {
  plan.names.push_back(std::move(name));
  return static_cast<uint32_t>(plan.names.size() - 1);
}

uint32_t PlanEdit::CopyBuffer(uint32_t buffer) {
  stage.buffers.push_back(stage.buffers[buffer]);
  return static_cast<uint32_t>(stage.buffers.size() - 1);
}

// A step waits for the last one before it that runs whenever it does, as mrs-plan has it.
void PlanEdit::SealProgram() {
  stage.steps.clear();
  stage.refs.clear();
  stage.deps.clear();
  stage.collectives.clear();
  stage.transfers.clear();
  uint32_t order[3] = {0, 0, 0};  // of all steps, and of each variant's after the shared ones
  for (Instruction& instruction : steps) {
    plan::Step step = instruction.step;
    step.mutate_operand_begin(static_cast<uint32_t>(stage.refs.size()));
    step.mutate_operand_count(static_cast<uint16_t>(instruction.operands.size()));
    step.mutate_result_count(static_cast<uint16_t>(instruction.results.size()));
    stage.refs.insert(stage.refs.end(), instruction.operands.begin(), instruction.operands.end());
    stage.refs.insert(stage.refs.end(), instruction.results.begin(), instruction.results.end());
    step.mutate_dep_begin(static_cast<uint32_t>(stage.deps.size()));
    for (size_t before = stage.steps.size(); before-- > 0;) {
      const Variant earlier = stage.steps[before].variant();
      if (earlier != Variant::always && earlier != step.variant()) continue;
      stage.deps.push_back(static_cast<uint32_t>(before));
      break;
    }
    step.mutate_dep_count(static_cast<uint16_t>(stage.deps.size() - step.dep_begin()));
    if (instruction.collective) {
      plan::Collective entry = *instruction.collective;
      const auto variant = static_cast<size_t>(step.variant());
      entry.mutate_order(order[variant]++);
      if (step.variant() == Variant::always) order[1] = order[2] = order[0];
      step.mutate_attr(static_cast<uint32_t>(stage.collectives.size()));
      stage.collectives.push_back(entry);
    }
    if (instruction.transfer) {
      step.mutate_attr(static_cast<uint32_t>(stage.transfers.size()));
      stage.transfers.push_back(*instruction.transfer);
    }
    stage.steps.push_back(step);
  }
}

// Buffers that nobody writes any more go; the others lie side by side.
void PlanEdit::SealBuffers() {
  std::vector<bool> written(stage.buffers.size(), false);
  for (size_t i = 0; i < stage.buffers.size(); ++i) written[i] = stage.buffers[i].input();
  for (const Instruction& instruction : steps) {
    for (const plan::Ref& result : instruction.results) written[result.index()] = true;
  }
  std::vector<uint32_t> now(stage.buffers.size(), 0);
  std::vector<plan::Buffer> kept;
  for (size_t i = 0; i < stage.buffers.size(); ++i) {
    now[i] = static_cast<uint32_t>(kept.size());
    if (written[i]) kept.push_back(stage.buffers[i]);
  }
  stage.buffers = kept;
  for (plan::Ref& ref : stage.refs) {
    if (ref.space() == RefSpace::buffer) ref.mutate_index(now[ref.index()]);
  }
  for (uint32_t* output : {&stage.candidates_buffer, &stage.logits_buffer}) {
    if (*output != contract::kNone) *output = now[*output];
  }
  stage.placements.clear();
  stage.activation_arena_bytes = 0;
  for (plan::Bucket& bucket : stage.buckets) {
    uint64_t end = 0;
    for (const plan::Buffer& buffer : stage.buffers) {
      stage.placements.push_back(end);
      const uint64_t bytes = RowCount(bucket, buffer.rows()) * buffer.width() * ByteSize(buffer.dtype());
      end = RoundUp(end + bytes, contract::kArenaAlignment);
    }
    bucket.mutate_arena_bytes(end);
    stage.activation_arena_bytes = std::max(stage.activation_arena_bytes, end);
  }
}

// Weights that no step reads go, as a compiler that meant it would have left them out; the others follow one another.
void PlanEdit::SealWeights() {
  std::vector<bool> read(stage.weights.size(), false);
  for (const plan::Ref& ref : stage.refs) {
    if (ref.space() == RefSpace::weight) read[ref.index()] = true;
  }
  std::vector<uint32_t> now(stage.weights.size(), 0);
  std::vector<plan::Weight> kept;
  stage.sources.clear();
  uint64_t arena = 0;
  for (size_t i = 0; i < stage.weights.size(); ++i) {
    now[i] = static_cast<uint32_t>(kept.size());
    if (!read[i]) continue;
    plan::Weight& weight = stage.weights[i];
    weight.mutate_source_begin(static_cast<uint32_t>(stage.sources.size()));
    weight.mutate_source_count(static_cast<uint32_t>(sources[i].size()));
    stage.sources.insert(stage.sources.end(), sources[i].begin(), sources[i].end());
    const EncodingRow* row = FindEncoding(plan.encodings[weight.encoding()]->kind, weight.dtype());
    if (row != nullptr) weight.mutate_bytes(EncodedBytes(*row, weight.n(), weight.chunk_k(), weight.chunk_count()));
    weight.mutate_offset(arena);
    arena = RoundUp(arena + weight.bytes(), contract::kArenaAlignment);
    kept.push_back(weight);
  }
  for (plan::Ref& ref : stage.refs) {
    if (ref.space() == RefSpace::weight) ref.mutate_index(now[ref.index()]);
  }
  stage.weights = kept;
  stage.weight_arena_bytes = arena;
}

std::string PlanEdit::Seal() {
  SealProgram();
  SealBuffers();
  SealWeights();
  return PackPlan(plan);
}

}  // namespace mrs::mutation
