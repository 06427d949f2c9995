// DiffJson: the summaries as numbers, and each field that changed with its changes.
#include "plans/diff.h"
#include "plans/json_writer.h"

namespace mrs {
namespace {

using namespace diff;

void Write(const Layout& layout, JsonWriter* json) {
  json->Begin('{').Key("ranks").Value(layout.ranks).Key("tp").Value(layout.tp).Key("ep").Value(layout.ep);
  json->Key("dp").Value(layout.dp).Key("layers").Begin('[');
  for (const auto& [begin, end] : layout.layers) json->Begin('[').Value(begin).Value(end).End();
  json->End().Key("devices").Begin('[');
  for (const std::string& device : layout.devices) json->Value(device);
  json->End().End();
}

void Write(const MovedBytes& moved, JsonWriter* json) {
  json->Begin('{').Key("computed").Value(moved.computed);
  json->Key("new_bytes").Value(moved.added).Key("dropped_bytes").Value(moved.dropped);
  json->Key("moved_bytes").Value(moved.moved).Key("ranks").Begin('[');
  for (const RankBytes& rank : moved.ranks) {
    json->Line().Begin('{').Key("rank").Value(rank.rank).Key("bytes_a").Value(rank.before);
    json->Key("bytes_b").Value(rank.after).Key("new_bytes").Value(rank.added);
    json->Key("dropped_bytes").Value(rank.dropped).Key("moved_bytes").Value(rank.moved).End();
  }
  json->End().Key("tensors").Begin('[');
  for (const TensorBytes& tensor : moved.tensors) {
    json->Line().Begin('{').Key("tensor").Value(tensor.name).Key("weights").Begin('[');
    for (const std::string& weight : tensor.weights) json->Value(weight);
    json->End().Key("redefined").Value(tensor.redefined).Key("new_bytes").Value(tensor.added);
    json->Key("dropped_bytes").Value(tensor.dropped).Key("ranks").Begin('[');
    for (const RankShare& share : tensor.ranks) {
      json->Begin('{').Key("rank").Value(share.rank).Key("new_bytes").Value(share.added);
      json->Key("dropped_bytes").Value(share.dropped).End();
    }
    json->End().End();
  }
  json->End().End();
}

void Write(const Talk& talk, JsonWriter* json) {
  const auto side = [&](uint64_t count, uint64_t bytes, const std::vector<uint32_t>& sizes) {
    json->Begin('{').Key("count").Value(count).Key("row_bytes").Value(bytes).Key("group_sizes").Begin('[');
    for (const uint32_t size : sizes) json->Value(size);
    json->End().End();
  };
  json->Line().Begin('{').Key("what").Value(talk.what).Key("a");
  side(talk.count_a, talk.row_bytes_a, talk.group_sizes_a);
  json->Key("b");
  side(talk.count_b, talk.row_bytes_b, talk.group_sizes_b);
  json->End();
}

void Write(const Memory& memory, JsonWriter* json) {
  const RankMemory& needs = memory.needs;
  json->Begin('{').Key("weights_bytes").Value(needs.weights).Key("kv_bytes").Value(needs.kv);
  json->Key("activations_bytes").Value(needs.activations).Key("workspace_bytes").Value(needs.workspace);
  json->Key("graphs_bytes").Value(needs.graphs).Key("communicators_bytes").Value(needs.communicators);
  json->Key("allowed_bytes").Value(memory.allowed).End();
}

void Write(const FieldDiff& field, JsonWriter* json) {
  json->Line().Begin('{').Key("field").Value(field.field).Key("count").Value(field.count).Key("changes").Begin('[');
  for (const AlikeChanges& alike : field.alike) {
    json->Line().Begin('{').Key("path").Value(alike.first.path);
    const auto value = [&](const char* key, const std::optional<std::string>& text) {
      json->Key(key);
      text ? json->Value(*text) : json->Null();
    };
    value("a", alike.first.before);
    value("b", alike.first.after);
    json->Key("count").Value(alike.count).End();
  }
  json->End().End();
}

}  // namespace

std::string DiffJson(const PlanDiff& diff, const Summary& summary) {
  JsonWriter json;
  json.Begin('{').Key("same").Value(diff.same());
  json.Key("a").Begin('{').Key("path").Value(diff.path_a).Key("sha256").Value(diff.sha256_a).End();
  json.Key("b").Begin('{').Key("path").Value(diff.path_b).Key("sha256").Value(diff.sha256_b).End();
  json.Key("count").Value(diff.count).Key("left_out").Value(diff.left_out);
  json.Key("groups").Begin('[');
  for (const GroupDiff& group : diff.groups) {
    json.Line().Begin('{').Key("group").Value(NameOf(group.group)).Key("count").Value(group.count);
    json.Key("fields").Begin('[');
    for (const FieldDiff& field : group.fields) Write(field, &json);
    json.End().End();
  }
  json.End();
  if (!diff.same()) {
    json.Line().Key("layout").Begin('{').Key("a");
    Write(summary.layout_a, &json);
    json.Key("b");
    Write(summary.layout_b, &json);
    json.End().Line().Key("checkpoint");
    Write(summary.moved, &json);
    json.Line().Key("collectives").Begin('[');
    for (const Talk& talk : summary.talks) Write(talk, &json);
    json.End().Line().Key("memory").Begin('[');
    for (const MemoryOfRanks& m : summary.memory) {
      json.Line().Begin('{').Key("first_rank").Value(m.first).Key("last_rank").Value(m.last).Key("a");
      Write(m.a, &json);
      json.Key("b");
      Write(m.b, &json);
      json.End();
    }
    json.End().Line().Key("steps").Begin('[');
    for (const OpCount& op : summary.ops) {
      json.Begin('{').Key("op").Value(op.op).Key("a").Value(op.a).Key("b").Value(op.b).End();
    }
    json.End();
  }
  return json.End().Take() + "\n";
}

std::string OneSidedJson(char name, const DiffSide& only) {
  JsonWriter json;
  json.Begin('{').Key("same").Value(false);
  for (const char side : {'A', 'B'}) {
    json.Key(side == 'A' ? "a" : "b");
    if (side != name) {
      json.Null();
    } else {
      json.Begin('{').Key("path").Value(only.path).Key("sha256").Value(only.sha256).End();
    }
  }
  return json.Key("groups").Begin('[').End().End().Take() + "\n";
}

}  // namespace mrs
