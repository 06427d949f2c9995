// PartJson: the same part as PartText's, every index beside the name of what it points to.
#include <algorithm>
#include <string>

#include "plans/json_writer.h"
#include "plans/part.h"
#include "plans/text.h"
#include "plans/text_program.h"
#include "plans/verify/context.h"

namespace mrs {
namespace {

using verify::StageView;

void WriteRank(const plan::Plan& plan, const PlanPart& part, JsonWriter* json) {
  const uint32_t index = *part.selection.rank;
  const plan::Rank& rank = *plan.ranks()->Get(index);
  const plan::Stage& stage = *plan.stages()->Get(rank.stage());
  const auto& memory = *plan.cluster()->memory_bytes();
  json->Begin('{').Key("rank").Value(index).Key("place").Raw(ObjectToJson(&rank, *plan::RankTypeTable()));
  json->Key("layer_begin").Value(stage.layer_begin()).Key("layer_end").Value(stage.layer_end());
  json->Key("weight_arena_bytes").Value(stage.weight_arena_bytes()).Key("kv_arena_bytes").Value(stage.kv_arena_bytes());
  json->Key("activation_arena_bytes").Value(stage.activation_arena_bytes());
  json->Key("workspace_bytes").Value(stage.workspace_bytes()).Key("graphs_bytes").Value(stage.graphs_bytes());
  json->Key("communicators_bytes").Value(stage.communicators_bytes()).Key("memory_bytes");
  index < memory.size() ? json->Value(memory.Get(index)) : json->Null();
  json->Key("checkpoint_bytes").Value(part.checkpoint_bytes).Key("groups").Begin('[');
  for (const GroupOfRank& group : part.groups) {
    json->Begin('{').Key("group").Value(group.group).Key("number").Value(group.number);
    json->Key("collectives").Value(group.collectives).Key("ranks").Begin('[');
    for (const uint32_t r : group.ranks) json->Value(r);
    json->End().End();
  }
  json->End().Key("peers").Begin('[');
  for (const PeerOfRank& peer : part.peers) {
    json->Begin('{').Key("rank").Value(peer.rank).Key("sends").Value(peer.sends);
    json->Key("receives").Value(peer.receives).End();
  }
  json->End().End();
}

void WriteWeight(const StageView& stage, const WeightPart& part, JsonWriter* json) {
  const plan::Weight& weight = stage.weights[part.weight];
  json->Line().Begin('{').Key("weight").Value(part.weight).Key("name").Value(stage.Name(weight.name()));
  json->Key("facts").Raw(ObjectToJson(&weight, *plan::WeightTypeTable())).Key("sources").Begin('[');
  for (const SourcePart& source : part.sources) {
    const plan::WeightSource& facts = stage.sources[source.source];
    json->Line().Begin('{').Key("tensor").Value(stage.Name(facts.name()));
    json->Key("file").Value(stage.plan.files()->Get(facts.file())->name()->string_view());
    json->Key("facts").Raw(ObjectToJson(&facts, *plan::WeightSourceTypeTable())).Key("ranks").Begin('[');
    for (const RankPart& rank : source.ranks) {
      const diff::Rectangle& e = rank.elements;
      json->Line().Begin('{').Key("rank").Value(rank.rank);
      json->Key("rows").Begin('[').Value(e.row_begin).Value(e.row_end).End();
      json->Key("columns").Begin('[').Value(e.column_begin).Value(e.column_end).End();
      json->Key("bytes").Value(rank.bytes.total_bytes()).Key("first_byte").Value(rank.bytes.first_byte);
      json->Key("end_byte").Value(rank.bytes.end_byte()).Key("range_count").Value(rank.bytes.range_count);
      json->Key("range_bytes").Value(rank.bytes.range_bytes).Key("stride_bytes").Value(rank.bytes.stride_bytes).End();
    }
    json->End().End();
  }
  json->End().End();
}

void WriteBuffer(const StageView& stage, uint32_t index, JsonWriter* json) {
  json->Line().Begin('{').Key("buffer").Value(index).Key("name").Value(stage.BufferName(index));
  json->Key("facts").Raw(ObjectToJson(&stage.buffers[index], *plan::BufferTypeTable())).Key("offsets").Begin('[');
  for (size_t b = 0; b < stage.buckets.size(); ++b) {
    json->Begin('{').Key("tokens").Value(stage.buckets[b].tokens()).Key("offset");
    json->Value(stage.placements[b * stage.buffers.size() + index]).End();
  }
  json->End().End();
}

void WriteRefs(const StageView& stage, std::span<const plan::Ref> refs, JsonWriter* json) {
  json->Begin('[');
  for (const plan::Ref& ref : refs) {
    if (ref.space() == plan::RefSpace::none) {
      json->Null();
    } else if (ref.space() == plan::RefSpace::weight) {
      json->Begin('{').Key("weight").Value(stage.Name(stage.weights[ref.index()].name())).Key("index");
      json->Value(ref.index()).End();
    } else {
      json->Begin('{').Key("buffer").Value(stage.BufferName(ref.index())).Key("index").Value(ref.index()).End();
    }
  }
  json->End();
}

void WriteStep(const StageView& stage, uint32_t index, JsonWriter* json) {
  const plan::Step& step = stage.steps[index];
  json->Line().Begin('{').Key("step").Value(index).Key("name").Value(stage.Name(step.name()));
  json->Key("op").Value(plan::EnumNameOpKind(step.op())).Key("layer").Value(step.layer());
  json->Key("variant").Value(plan::EnumNameVariant(step.variant())).Key("operands");
  WriteRefs(stage, stage.Operands(step), json);
  json->Key("results");
  WriteRefs(stage, stage.Results(step), json);
  json->Key("attr");
  stage.Visit(index, [&](const auto& view) {
    if constexpr (requires { view.attr; }) {
      json->Raw(ObjectToJson(view.attr, *view.attr->MiniReflectTypeTable()));
    } else if constexpr (requires { view.rope; }) {
      json->Begin('{').Key("rope").Value(view.rope).End();
    } else {
      json->Null();
    }
  });
  json->Key("after").Begin('[');
  for (const uint32_t dep : stage.Deps(step)) json->Value(dep);
  json->End().Key("joined").Value(std::ranges::binary_search(stage.joined, index)).End();
}

}  // namespace

std::string PartJson(const plan::Plan& plan, std::string_view sha256, const PlanPart& part) {
  JsonWriter json;
  json.Begin('{').Key("sha256").Value(sha256).Key("rank");
  part.selection.rank ? WriteRank(plan, part, &json) : void(json.Null());
  json.Key("layer");
  if (part.selection.layer) {
    json.Begin('{').Key("layer").Value(*part.selection.layer).Key("kv").Begin('[');
    for (const KvOfLayer& kv : part.kv) {
      json.Begin('{').Key("kv_class").Value(kv.kv_class).Key("kv_layer").Value(kv.layer).End();
    }
    json.End().End();
  } else {
    json.Null();
  }
  json.Key("tensor");
  part.selection.tensor ? json.Value(*part.selection.tensor) : json.Null();
  json.Key("stages").Begin('[');
  for (const StagePart& of_stage : part.stages) {
    verify::Budget budget;
    const StageView stage(plan, of_stage.stage, &budget);
    json.Line().Begin('{').Key("stage").Value(of_stage.stage).Key("ranks").Begin('[');
    for (const uint32_t rank : of_stage.ranks) json.Value(rank);
    json.End().Key("weights").Begin('[');
    for (const WeightPart& weight : of_stage.weights) WriteWeight(stage, weight, &json);
    json.End().Key("kv_classes").Begin('[');
    for (const uint32_t c : of_stage.kv_classes) {
      json.Line().Begin('{').Key("kv_class").Value(c);
      json.Key("facts").Raw(ObjectToJson(&stage.kv_classes[c], *plan::KvClassTypeTable())).End();
    }
    json.End().Key("buffers").Begin('[');
    for (const uint32_t b : of_stage.buffers) WriteBuffer(stage, b, &json);
    json.End().Key("steps").Begin('[');
    for (const uint32_t i : of_stage.steps) WriteStep(stage, i, &json);
    json.End().End();
  }
  return json.End().End().Take() + "\n";
}

}  // namespace mrs
