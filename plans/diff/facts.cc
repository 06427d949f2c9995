#include "plans/diff/facts.h"

#include <fmt/format.h>

#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "plans/diff/groups.h"
#include "plans/diff/reflect.h"
#include "plans/diff/stage_facts.h"
#include "plans/diff/text_facts.h"
#include "plans/sha256.h"
#include "plans/verify/context.h"

namespace mrs::diff {

// The names of a plan by their index: a text that stands in the table again is told apart by its number there.
struct Names {
  explicit Names(const plan::Plan& plan) {
    std::unordered_map<std::string_view, uint32_t> seen;
    for (uint32_t i = 0; i < plan.names()->size(); ++i) {
      const std::string_view text = plan.names()->Get(i)->string_view();
      const uint32_t times = ++seen[text];
      texts.push_back(times == 1 ? Quoted(text) : fmt::format("{}~{}", Quoted(text), times));
    }
  }
  std::vector<std::string> texts;
};

struct PlanFacts::State {
  explicit State(const plan::Plan& whole) : plan(whole), names(Names(whole).texts) {
    used.assign(names.size(), false);
    records.push_back({.kind = RecordKind::kPlan, .list = "", .label = ""});
    for (const FieldAt& field : FieldsOf(&plan, *plan::PlanTypeTable())) {
      const std::string_view name = field.name;
      if (!field.repeated || field.type != flatbuffers::ET_SEQUENCE || name == "stages") continue;
      for (uint32_t i = 0; i < CountOf(field); ++i) List(name, ObjectAt(field, i), *field.ref, 0, i, std::to_string(i));
    }
    for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
      stages.push_back(std::make_unique<StageFacts>(plan, s, names, &used));
    }
    for (uint32_t s = 0; s < stages.size(); ++s) {
      records.push_back({.kind = RecordKind::kStage, .list = "stages", .label = std::to_string(s), .stage = s});
    }
    OfEachStage(RecordKind::kStep, "steps", [](const StageFacts& stage) { return stage.step_labels(); });
    OfEachStage(RecordKind::kWeight, "weights", [](const StageFacts& stage) { return stage.weight_labels(); });
    OfEachStage(RecordKind::kBuffer, "buffers", [](const StageFacts& stage) { return stage.buffer_labels(); });
    for (const std::string_view list : {"buckets", "kv_classes"}) {
      for (uint32_t s = 0; s < stages.size(); ++s) {
        for (const FieldAt& field : FieldsOf(plan.stages()->Get(s), *plan::StageTypeTable())) {
          if (field.name != list) continue;
          for (uint32_t i = 0; i < CountOf(field); ++i) {
            const std::string label = list == "buckets" ? stages[s]->bucket_labels()[i] : std::to_string(i);
            List(list, ObjectAt(field, i), *field.ref, s, i, fmt::format("stage {}: {}", s, label));
          }
        }
      }
    }
  }

  void List(std::string_view list, const uint8_t* object, const flatbuffers::TypeTable& type, uint32_t stage,
            uint32_t index, const std::string& number) {
    std::string label = NameIn(object, type);
    if (label.empty()) label = number;
    records.push_back({.kind = RecordKind::kListed,
                       .list = list,
                       .label = std::move(label),
                       .stage = stage,
                       .index = index,
                       .object = object,
                       .type = &type});
  }

  template <typename Labels>
  void OfEachStage(RecordKind kind, std::string_view list, Labels labels_of) {
    for (uint32_t s = 0; s < stages.size(); ++s) {
      const std::vector<std::string>& labels = labels_of(*stages[s]);
      for (uint32_t i = 0; i < labels.size(); ++i) {
        records.push_back({.kind = kind, .list = list, .label = labels[i], .stage = s, .index = i});
      }
    }
  }

  // A description of many lines is the canonical file: each line is a fact, and all of it one, for its blanks.
  static void OfCluster(std::string_view text, std::string value, const Emit& emit) {
    constexpr const char* kPath = "cluster.description";
    if (text.find('\n') == std::string_view::npos) return emit(kPath, std::move(value));
    emit(kPath, fmt::format("{} bytes, sha256 {}", text.size(), Hex(Sha256(std::as_bytes(std::span(text))))));
    for (const auto& [path, line] : TextFacts(text)) emit(fmt::format("{}.{}", kPath, path), Quoted(line));
  }

  std::vector<Fact> OfPlan() const {
    std::vector<Fact> facts;
    const auto emit = [&](std::string path, std::string value) {
      facts.push_back({GroupOf("", path), std::move(path), std::move(value)});
    };
    for (const FieldAt& field : FieldsOf(&plan, *plan::PlanTypeTable())) {
      if (std::string_view(field.name) == "names") continue;
      if (field.repeated && field.type == flatbuffers::ET_SEQUENCE) continue;
      WalkField(field, "", [&](std::string path, std::string value) {
        if (path == "cluster.description") {
          OfCluster(plan.cluster()->description()->string_view(), std::move(value), emit);
        } else {
          emit(std::move(path), std::move(value));
        }
      });
    }
    for (size_t i = 0; i < names.size(); ++i) {
      if (!used[i]) emit(fmt::format("names[unused {}]", names[i]), fmt::format("number {}", i));
    }
    return facts;
  }

  const plan::Plan& plan;
  std::vector<std::string> names;
  std::vector<bool> used;
  std::vector<std::unique_ptr<StageFacts>> stages;
  std::vector<Record> records;
};

PlanFacts::PlanFacts(const plan::Plan& plan) : state_(std::make_unique<State>(plan)) {}
PlanFacts::~PlanFacts() = default;

std::span<const Record> PlanFacts::records() const { return state_->records; }

std::vector<Fact> PlanFacts::FactsOf(const Record& record) const {
  switch (record.kind) {
    case RecordKind::kPlan:
      return state_->OfPlan();
    case RecordKind::kStage:
      return state_->stages[record.stage]->OfStage();
    case RecordKind::kStep:
      return state_->stages[record.stage]->OfStep(record.index);
    case RecordKind::kWeight:
      return state_->stages[record.stage]->OfWeight(record.index);
    case RecordKind::kBuffer:
      return state_->stages[record.stage]->OfBuffer(record.index);
    case RecordKind::kListed:
      break;
  }
  std::vector<Fact> facts;
  const bool named = !NameIn(record.object, *record.type).empty();
  WalkObject(record.object, *record.type, "", [&](std::string path, std::string value) {
    if (named && path == "name") return;
    facts.push_back({GroupOf(record.list, path), std::move(path), std::move(value)});
  });
  return facts;
}

}  // namespace mrs::diff
