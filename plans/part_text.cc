// PartText: the rank, layer or tensor, then what is held, read and done.

#include "plans/append.h"
#include "plans/part.h"
#include "plans/printable.h"
#include "plans/rank_memory.h"
#include "plans/text.h"
#include "plans/text_program.h"
#include "plans/verify/context.h"

namespace mrs {
namespace {

using verify::StageView;

void AppendRank(const plan::Plan& plan, const PlanPart& part, std::string* out) {
  const uint32_t index = *part.selection.rank;
  const plan::Rank& rank = *plan.ranks()->Get(index);
  const plan::Stage& stage = *plan.stages()->Get(rank.stage());
  AppendLine(out, "rank {}: tp {}, ep {}, stage {}, dp {}; node {}, {} {}; layers {} to {}", index, rank.tp(),
             rank.ep(), rank.stage(), rank.dp(), rank.node(), plan::EnumNameDeviceKind(rank.kind()), rank.device(),
             stage.layer_begin(), stage.layer_end() - 1);
  const RankMemory needs = MemoryOf(stage);
  const auto& memory = *plan.cluster()->memory_bytes();
  AppendLine(out, "  memory {} ({} bytes): {} bytes; {}", HumanBytes(needs.Total()), needs.Total(),
             MemoryText(needs, [](uint64_t bytes) { return std::to_string(bytes); }),
             index < memory.size() ? fmt::format("it may use {}", memory.Get(index)) : "what it may use is not said");
  for (const GroupOfRank& group : part.groups) {
    AppendLine(out, "  group {}: {}, itself number {} of them; {} collectives a forward{}", group.group,
               RanksText(group.ranks), group.number, group.collectives,
               part.selection.layer || part.selection.tensor ? " in what is shown here" : "");
  }
  for (const PeerOfRank& peer : part.peers) {
    if (peer.sends > 0) AppendLine(out, "  sends to rank {}: {} a forward", peer.rank, peer.sends);
    if (peer.receives > 0) AppendLine(out, "  receives from rank {}: {} a forward", peer.rank, peer.receives);
  }
  AppendLine(out, "  reads {} ({} bytes) of the checkpoint{}", HumanBytes(part.checkpoint_bytes), part.checkpoint_bytes,
             part.selection.layer || part.selection.tensor ? " for what is shown here" : "");
}

void AppendLayer(const plan::Plan& plan, const PlanPart& part, std::string* out) {
  const StagePart& of_stage = part.stages[0];
  verify::Budget budget;
  const StageView stage(plan, of_stage.stage, &budget);
  AppendLine(out, "layer {}: stage {}, {}", *part.selection.layer, of_stage.stage, RanksText(of_stage.ranks));
  for (const KvOfLayer& kv : part.kv) {
    const plan::KvClass& c = stage.kv_classes[kv.kv_class];
    const uint64_t layer_bytes = c.layer_count() == 0 ? 0 : c.block_bytes() / c.layer_count();
    AppendLine(out, "  KV: layer {} of {} of class {}; {} bytes of a block of {} tokens, {} bytes of all {} blocks",
               kv.layer, c.layer_count(), kv.kv_class, layer_bytes, c.block_tokens(), layer_bytes * c.block_count(),
               c.block_count());
  }
}

std::string BytesText(const FileRanges& bytes) {
  if (bytes.range_count == 0) return "nothing, it is all padding";
  if (bytes.range_count == 1) return fmt::format("bytes [{}, {})", bytes.first_byte, bytes.end_byte());
  return fmt::format("{} ranges of {} bytes, every {}, in [{}, {})", bytes.range_count, bytes.range_bytes,
                     bytes.stride_bytes, bytes.first_byte, bytes.end_byte());
}

void AppendWeight(const StageView& stage, const WeightPart& part, std::string* out) {
  AppendLine(out, "  {}", WeightText(stage, part.weight));
  for (const SourcePart& source : part.sources) {
    const plan::WeightSource& facts = stage.sources[source.source];
    AppendLine(out, "    row {} <- \"{}\" {} [{}, {}], file {} \"{}\" at {}{}", facts.dest_row(),
               Printable(stage.Name(facts.name())), plan::EnumNameDType(facts.dtype()), facts.tensor_rows(),
               facts.tensor_columns(), facts.file(),
               Printable(stage.plan.files()->Get(facts.file())->name()->string_view()), facts.file_offset(),
               facts.transform() == plan::Transform::none
                   ? ""
                   : fmt::format(", {}", plan::EnumNameTransform(facts.transform())));
    for (const RankPart& rank : source.ranks) {
      const diff::Rectangle& e = rank.elements;
      if (e.empty()) {
        AppendLine(out, "      rank {}: {}", rank.rank, BytesText(rank.bytes));
      } else {
        AppendLine(out, "      rank {}: rows [{}, {}) columns [{}, {}), {} bytes: {}", rank.rank, e.row_begin,
                   e.row_end, e.column_begin, e.column_end, rank.bytes.total_bytes(), BytesText(rank.bytes));
      }
    }
  }
}

}  // namespace

std::string PartText(const plan::Plan& plan, const PlanPart& part) {
  std::string out;
  if (part.selection.tensor) AppendLine(&out, "tensor \"{}\"", Printable(*part.selection.tensor));
  if (part.selection.rank) AppendRank(plan, part, &out);
  if (part.selection.layer) AppendLayer(plan, part, &out);
  for (const StagePart& of_stage : part.stages) {
    verify::Budget budget;
    const StageView stage(plan, of_stage.stage, &budget);
    if (part.stages.size() > 1) AppendLine(&out, "stage {}", of_stage.stage);
    AppendLine(&out, "weights: {}", of_stage.weights.size());
    for (const WeightPart& weight : of_stage.weights) AppendWeight(stage, weight, &out);
    if (!of_stage.kv_classes.empty()) {
      AppendLine(&out, "KV: {}", of_stage.kv_classes.size());
      for (const uint32_t c : of_stage.kv_classes) AppendLine(&out, "  {}", KvClassText(stage, c));
    }
    if (!of_stage.buffers.empty()) {
      std::vector<uint32_t> tokens;
      for (const plan::Bucket& bucket : stage.buckets) tokens.push_back(bucket.tokens());
      AppendLine(&out, "buffers: {}, each with its place in batches of {} tokens", of_stage.buffers.size(),
                 fmt::join(tokens, ", "));
      for (const uint32_t b : of_stage.buffers) AppendLine(&out, "  {}", BufferText(stage, b));
    }
    AppendLine(&out, "steps: {}", of_stage.steps.size());
    for (const uint32_t i : of_stage.steps) AppendLine(&out, "  {}", StepText(stage, i));
  }
  return out;
}

}  // namespace mrs
