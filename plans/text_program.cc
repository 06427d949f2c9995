#include "plans/text_program.h"

#include <algorithm>
#include <vector>

#include "plans/append.h"
#include "plans/rank_memory.h"
#include "plans/text.h"

namespace mrs {
namespace {

using verify::StageView;

// "[0 + 32 * tp, +32)", "[0, +64)", "[0 + 32 * (tp / 2), +32)"
std::string SliceText(const plan::Slice& slice) {
  if (slice.axis() == plan::Axis::none) return fmt::format("[{}, +{})", slice.start(), slice.size());
  const char* axis = plan::EnumNameAxis(slice.axis());
  const std::string step = slice.every() == 1 ? axis : fmt::format("({} / {})", axis, slice.every());
  return fmt::format("[{} + {} * {}, +{})", slice.start(), slice.step(), step, slice.size());
}

void AppendWeights(const StageView& stage, std::string* out) {
  for (uint32_t w = 0; w < stage.weights.size(); ++w) {
    const plan::Weight& weight = stage.weights[w];
    AppendLine(out, "  {}", WeightText(stage, w));
    for (const plan::WeightSource& source : stage.sources.subspan(weight.source_begin(), weight.source_count())) {
      const bool whole = source.row_count() == source.tensor_rows();
      AppendLine(out, "    row {} <- '{}' {} [{}, {}]{} rows {} columns {}, file {} at {}{}", source.dest_row(),
                 stage.Name(source.name()), plan::EnumNameDType(source.dtype()), source.tensor_rows(),
                 source.tensor_columns(),
                 whole ? "" : fmt::format(" of [{}, +{}),", source.row_begin(), source.row_count()),
                 SliceText(source.rows()), SliceText(source.columns()), source.file(), source.file_offset(),
                 source.transform() == plan::Transform::add_one ? ", 1 added" : "");
    }
  }
}

std::string OperandText(const StageView& stage, uint32_t buffer) {
  const plan::Buffer& b = stage.buffers[buffer];
  return fmt::format("{} {} [{}, {}]", stage.BufferName(buffer), plan::EnumNameDType(b.dtype()),
                     plan::EnumNameRows(b.rows()), b.width());
}

// The members of the step's attribute by their names: one added to the schema shows without a change here.
std::string AttributeText(const StageView& stage, uint32_t step) {
  return stage.Visit(step, [](const auto& view) -> std::string {
    if constexpr (requires { view.attr; }) {
      return fmt::format(" {}", ObjectToJson(view.attr, *view.attr->MiniReflectTypeTable()));
    } else if constexpr (requires { view.rope; }) {
      return fmt::format(" rope {}", view.rope);
    } else {
      return "";
    }
  });
}

}  // namespace

std::string WeightText(const StageView& stage, uint32_t index) {
  const plan::Weight& weight = stage.weights[index];
  const std::string k = !stage.IsVector(weight) ? fmt::format(", {} of {} chunks of {}", weight.chunk_count(),
                                                              weight.chunk_count_global(), weight.chunk_k())
                                                : "";
  return fmt::format("weight {} '{}': {} {} [{}{}] at {}, {} bytes", index, stage.Name(weight.name()),
                     plan::EnumNameEncodingKind(stage.plan.encodings()->Get(weight.encoding())->kind()),
                     plan::EnumNameDType(weight.dtype()), weight.n(), k, weight.offset(), weight.bytes());
}

std::string KvClassText(const StageView& stage, uint32_t index) {
  const plan::KvClass& c = stage.kv_classes[index];
  return fmt::format(
      "kv class {}: {}{} {}, {} layers, {} heads, K {} V {}, {} blocks of {} tokens and {} bytes, {} a sequence", index,
      plan::EnumNameKvKind(c.kind()), c.window() == 0 ? "" : fmt::format(" of {}", c.window()),
      plan::EnumNameDType(c.dtype()), c.layer_count(), c.kv_heads(), c.k_dim(), c.v_dim(), c.block_count(),
      c.block_tokens(), c.block_bytes(), c.sequence_blocks());
}

std::string BufferText(const StageView& stage, uint32_t buffer) {
  std::vector<uint64_t> places;
  for (size_t i = 0; i < stage.buckets.size(); ++i) {
    places.push_back(stage.placements[i * stage.buffers.size() + buffer]);
  }
  return fmt::format("buffer {} {}{} at {}", buffer, OperandText(stage, buffer),
                     stage.buffers[buffer].input() ? " input" : "", fmt::join(places, ", "));
}

std::string RefText(const StageView& stage, const plan::Ref& ref) {
  if (ref.space() == plan::RefSpace::buffer) return OperandText(stage, ref.index());
  if (ref.space() == plan::RefSpace::none) return "none";
  return fmt::format("{{{}}}", stage.Name(stage.weights[ref.index()].name()));
}

std::string StepText(const StageView& stage, uint32_t index) {
  const plan::Step& step = stage.steps[index];
  std::vector<std::string> operands;
  for (const plan::Ref& ref : stage.Operands(step)) operands.push_back(RefText(stage, ref));
  std::vector<std::string> results;
  for (const plan::Ref& ref : stage.Results(step)) results.push_back(RefText(stage, ref));
  return fmt::format(
      "step {} {} '{}' ({}) -> ({}){}{}{}{}{}", index, plan::EnumNameOpKind(step.op()), stage.Name(step.name()),
      fmt::join(operands, ", "), fmt::join(results, ", "), AttributeText(stage, index),
      step.layer() < 0 ? "" : fmt::format(" layer {}", step.layer()),
      step.variant() == plan::Variant::always ? "" : fmt::format(" only {}", plan::EnumNameVariant(step.variant())),
      step.dep_count() == 0 ? "" : fmt::format(" after {}", fmt::join(stage.Deps(step), ", ")),
      std::ranges::binary_search(stage.joined, index) ? ", in one launch with the step before" : "");
}

void AppendStage(const StageView& stage, std::string* out) {
  const plan::Stage& facts = stage.stage;
  AppendLine(out, "stage {}: layers [{}, {}), group {}", stage.index, facts.layer_begin(), facts.layer_end(),
             facts.tp_group());
  AppendLine(out, "  memory of a rank: {} bytes",
             MemoryText(MemoryOf(facts), [](uint64_t bytes) { return std::to_string(bytes); }));
  for (size_t i = 0; i < stage.buckets.size(); ++i) {
    const plan::Bucket& bucket = stage.buckets[i];
    AppendLine(out, "  bucket {}: {} tokens, {} sequences, {} logit rows, {} bytes", i, bucket.tokens(),
               bucket.sequences(), bucket.logit_rows(), bucket.arena_bytes());
  }
  for (uint32_t i = 0; i < stage.kv_classes.size(); ++i) AppendLine(out, "  {}", KvClassText(stage, i));
  AppendWeights(stage, out);
  for (uint32_t b = 0; b < stage.buffers.size(); ++b) AppendLine(out, "  {}", BufferText(stage, b));
  for (uint32_t i = 0; i < stage.steps.size(); ++i) AppendLine(out, "  {}", StepText(stage, i));
}

}  // namespace mrs
