#include "plans/diff/stage_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "plans/diff/groups.h"
#include "plans/diff/reflect.h"

namespace mrs::diff {
namespace {

std::string NumberText(uint64_t index, size_t count) { return fmt::format("number {} of {}", index, count); }

// The label of each entry: its text, and from the second of the same on which one it is.
template <typename Entries, typename TextOf>
std::vector<std::string> Labels(const Entries& entries, TextOf text_of) {
  std::vector<std::string> labels;
  std::unordered_map<std::string, uint32_t> seen;
  for (const auto& entry : entries) {
    std::string text = text_of(entry);
    const uint32_t times = ++seen[text];
    labels.push_back(times == 1 ? std::move(text) : fmt::format("{}#{}", text, times));
  }
  return labels;
}

bool Within(uint64_t begin, uint64_t count, size_t size) { return begin + count <= size; }

// Marks what the entries' ranges cover.
template <typename Entries, typename RangeOf>
std::vector<bool> Covered(size_t size, const Entries& entries, RangeOf range_of) {
  std::vector<bool> covered(size, false);
  for (const auto& entry : entries) {
    const auto [begin, count] = range_of(entry);
    if (!Within(begin, count, size)) continue;
    for (uint64_t i = begin; i < begin + count; ++i) covered[i] = true;
  }
  return covered;
}

bool IsCollective(plan::OpKind op) { return op >= plan::OpKind::all_reduce && op <= plan::OpKind::barrier; }

std::pair<uint64_t, uint64_t> RefsOf(const plan::Step& step) {
  return {step.operand_begin(), uint64_t{step.operand_count()} + step.result_count()};
}
std::pair<uint64_t, uint64_t> DepsOf(const plan::Step& step) { return {step.dep_begin(), step.dep_count()}; }
std::pair<uint64_t, uint64_t> SourcesOf(const plan::Weight& weight) {
  return {weight.source_begin(), weight.source_count()};
}

}  // namespace

StageFacts::StageFacts(const plan::Plan& plan, uint32_t stage, const std::vector<std::string>& names,
                       std::vector<bool>* used)
    : plan_(plan), view_(plan, stage, &budget_), names_(names) {
  const auto text = [&](const auto& entry) {
    if (entry.name() < names_.size()) (*used)[entry.name()] = true;
    return NameText(entry.name());
  };
  step_labels_ = Labels(view_.steps, text);
  weight_labels_ = Labels(view_.weights, text);
  buffer_labels_ = Labels(view_.buffers, text);
  bucket_labels_ =
      Labels(view_.buckets, [](const plan::Bucket& bucket) { return fmt::format("{} tokens", bucket.tokens()); });
  for (const plan::WeightSource& source : view_.sources) text(source);
  FindAttributes();
}

std::string StageFacts::NameText(uint32_t name) const {
  return name < names_.size() ? names_[name] : NumberText(name, names_.size());
}

std::string StageFacts::RefText(const plan::Ref& ref) const {
  if (ref.space() == plan::RefSpace::none) return ref.index() == 0 ? "none" : fmt::format("none, {}", ref.index());
  if (ref.space() == plan::RefSpace::weight) {
    return fmt::format("weight {}", ref.index() < weight_labels_.size()
                                        ? weight_labels_[ref.index()]
                                        : NumberText(ref.index(), weight_labels_.size()));
  }
  const std::string label = ref.index() < buffer_labels_.size() ? buffer_labels_[ref.index()]
                                                                : NumberText(ref.index(), buffer_labels_.size());
  return ref.space() == plan::RefSpace::buffer ? label : fmt::format("space {} {}", int(ref.space()), label);
}

bool StageFacts::HasOperands(const plan::Step& step) const {
  const auto [begin, count] = RefsOf(step);
  return Within(begin, count, view_.refs.size());
}

StageFacts::Attribute StageFacts::AttributeOf(const plan::Step& step) const {
  if (!HasOperands(step)) return {};
  const Result<plan::StepView> view = plan::ViewOf(plan_, view_.stage, step);
  if (!view) return {};
  return std::visit(
      [](const auto& of_op) -> Attribute {
        if constexpr (requires { of_op.attr->MiniReflectTypeTable(); }) {
          return {of_op.attr, of_op.attr->MiniReflectTypeTable()};
        } else {
          return {};
        }
      },
      *view);
}

// Attributes lie in the order in which steps first use them, each used once: then nothing is said of where they lie.
void StageFacts::FindAttributes() {
  std::map<std::pair<const flatbuffers::TypeTable*, uint32_t>, uint32_t> first_user;
  std::map<const flatbuffers::TypeTable*, uint32_t> next;
  for (uint32_t i = 0; i < view_.steps.size(); ++i) {
    const plan::Step& step = view_.steps[i];
    const Attribute attribute = AttributeOf(step);
    if (attribute.object == nullptr) continue;
    owned_attributes_.insert(attribute.object);
    const auto [user, is_first] = first_user.try_emplace({attribute.type, step.attr()}, i);
    if (!is_first) {
      attribute_notes_[i] = fmt::format("with step {}", step_labels_[user->second]);
    } else if (const uint32_t expected = std::exchange(next[attribute.type], step.attr() + 1);
               expected != step.attr()) {
      attribute_notes_[i] = fmt::format("entry {} instead of {}", step.attr(), expected);
    }
  }
}

std::vector<Fact> StageFacts::OfStage() const {
  std::vector<Fact> facts;
  const auto emit = [&](std::string path, std::string value) {
    facts.push_back({GroupOf("stages", path), std::move(path), std::move(value)});
  };
  const auto output = [&](std::string_view name, uint32_t buffer) {
    emit(std::string(name), buffer < buffer_labels_.size() ? buffer_labels_[buffer]
                            : buffer == contract::kNone    ? "none"
                                                           : NumberText(buffer, buffer_labels_.size()));
  };
  // Entries of a vector that nobody owns.
  const auto rest = [&](const FieldAt& field, const std::vector<bool>& covered) {
    for (size_t i = 0; i < covered.size(); ++i) {
      if (!covered[i]) WalkObject(ObjectAt(field, i), *field.ref, fmt::format("{}[{}].", field.name, i), emit);
    }
  };
  for (const FieldAt& field : FieldsOf(&view_.stage, *plan::StageTypeTable())) {
    const std::string_view name = field.name;
    if (name == "buffers" || name == "buckets" || name == "weights" || name == "steps" || name == "kv_classes") {
      continue;
    } else if (name == "candidates_buffer") {
      output(name, view_.stage.candidates_buffer());
    } else if (name == "logits_buffer") {
      output(name, view_.stage.logits_buffer());
    } else if (name == "refs") {
      rest(field, Covered(view_.refs.size(), view_.steps, RefsOf));
    } else if (name == "sources") {
      rest(field, Covered(view_.sources.size(), view_.weights, SourcesOf));
    } else if (name == "deps") {
      const std::vector<bool> covered = Covered(view_.deps.size(), view_.steps, DepsOf);
      for (size_t i = 0; i < covered.size(); ++i) {
        if (!covered[i]) emit(fmt::format("deps[{}]", i), fmt::format("{}", view_.deps[i]));
      }
    } else if (name == "joined") {
      for (size_t i = 0; i < view_.joined.size(); ++i) {  // of steps, which say so themselves
        const bool follows = i == 0 || view_.joined[i - 1] < view_.joined[i];
        if (follows && view_.joined[i] < view_.steps.size()) continue;
        emit(fmt::format("joined[{}]", i), fmt::format("{}", view_.joined[i]));
      }
    } else if (name == "placements") {
      const size_t shown = view_.buffers.size() * view_.buckets.size();
      if (view_.placements.size() < shown) emit("placements", fmt::format("only {}", view_.placements.size()));
      for (size_t i = shown; i < view_.placements.size(); ++i) {
        emit(fmt::format("placements[{}]", i), fmt::format("{}", view_.placements[i]));
      }
    } else if (field.repeated && field.type == flatbuffers::ET_SEQUENCE) {
      for (size_t i = 0; i < CountOf(field); ++i) {
        const uint8_t* object = ObjectAt(field, i);
        if (owned_attributes_.contains(object)) continue;
        WalkObject(object, *field.ref, fmt::format("{}[{}].", name, i), emit);
        if (field.ref->num_elems == 0) emit(fmt::format("{}[{}]", name, i), "there");
      }
    } else {
      WalkField(field, "", emit);
    }
  }
  return facts;
}

std::vector<Fact> StageFacts::OfStep(uint32_t index) const {
  const plan::Step& step = view_.steps[index];
  const FactGroup group = IsCollective(step.op()) ? FactGroup::kCollectives : GroupOf("steps", "");
  std::vector<Fact> facts;
  const auto emit = [&](std::string path, std::string value) {
    facts.push_back({group, std::move(path), std::move(value)});
  };
  emit("stage", fmt::format("{}", view_.index));
  const Attribute attribute = AttributeOf(step);
  for (const FieldAt& field : FieldsOf(&step, *plan::StepTypeTable())) {
    const std::string_view name = field.name;
    if (name == "name" || name == "dep_count" || name == "operand_count" || name == "result_count" ||
        name == "operand_begin" || name == "dep_begin") {
      continue;  // said by the label, by the lists below, and by where those begin
    }
    if (name == "attr" && attribute.object != nullptr) continue;
    if (name == "attr" && step.attr() == 0) continue;
    WalkField(field, "", emit);
  }
  if (attribute.object != nullptr) WalkObject(attribute.object, *attribute.type, "attr.", emit);
  if (const auto note = attribute_notes_.find(index); note != attribute_notes_.end()) emit("attr_entry", note->second);

  if (HasOperands(step)) {
    const auto operands = view_.Operands(step);
    const auto results = view_.Results(step);
    for (size_t i = 0; i < operands.size(); ++i) emit(fmt::format("operands[{}]", i), RefText(operands[i]));
    for (size_t i = 0; i < results.size(); ++i) emit(fmt::format("results[{}]", i), RefText(results[i]));
  } else {
    emit("operands", fmt::format("{} and {} results past the end", step.operand_count(), step.result_count()));
  }
  std::string after;
  if (!Within(step.dep_begin(), step.dep_count(), view_.deps.size())) {
    after = fmt::format("{} past the end", step.dep_count());
  } else {
    for (const uint32_t dep : view_.Deps(step)) {
      if (!after.empty()) after += ", ";
      after += dep < step_labels_.size() ? step_labels_[dep] : NumberText(dep, step_labels_.size());
    }
  }
  emit("after", std::move(after));
  if (std::ranges::find(view_.joined, index) != view_.joined.end()) emit("launch", "that of the step before");
  const auto follows = [&](const char* field, auto range_of) {
    const auto before = index == 0 ? std::pair<uint64_t, uint64_t>{0, 0} : range_of(view_.steps[index - 1]);
    const uint64_t begin = range_of(step).first;
    if (begin != before.first + before.second) {
      emit(field, fmt::format("{:+}", static_cast<int64_t>(begin - before.first - before.second)));
    }
  };
  follows("operand_begin", RefsOf);
  follows("dep_begin", DepsOf);
  return facts;
}

std::vector<Fact> StageFacts::OfWeight(uint32_t index) const {
  const plan::Weight& weight = view_.weights[index];
  std::vector<Fact> facts;
  const auto emit = [&](std::string path, std::string value) {
    facts.push_back({GroupOf("weights", path), std::move(path), std::move(value)});
  };
  emit("stage", fmt::format("{}", view_.index));
  for (const FieldAt& field : FieldsOf(&weight, *plan::WeightTypeTable())) {
    const std::string_view name = field.name;
    if (name == "name" || name == "source_begin" || name == "source_count") continue;
    WalkField(field, "", emit);
  }
  const auto before = index == 0 ? std::pair<uint64_t, uint64_t>{0, 0} : SourcesOf(view_.weights[index - 1]);
  if (const auto gap = static_cast<int64_t>(weight.source_begin() - before.first - before.second); gap != 0) {
    emit("source_begin", fmt::format("{:+}", gap));
  }
  if (!Within(weight.source_begin(), weight.source_count(), view_.sources.size())) {
    emit("sources", fmt::format("{} past the end", weight.source_count()));
    return facts;
  }
  for (uint32_t i = 0; i < weight.source_count(); ++i) {
    const plan::WeightSource& source = view_.sources[weight.source_begin() + i];
    const std::string prefix = fmt::format("sources[{}].", i);
    for (const FieldAt& field : FieldsOf(&source, *plan::WeightSourceTypeTable())) {
      const std::string_view name = field.name;
      if (name == "name") {
        emit(prefix + "name", NameText(source.name()));
      } else if (name == "file") {
        emit(prefix + "file",
             source.file() < plan_.files()->size()
                 ? fmt::format("{} {}", source.file(), Quoted(plan_.files()->Get(source.file())->name()->string_view()))
                 : NumberText(source.file(), plan_.files()->size()));
      } else {
        WalkField(field, prefix, emit);
      }
    }
  }
  return facts;
}

std::vector<Fact> StageFacts::OfBuffer(uint32_t index) const {
  std::vector<Fact> facts;
  const auto emit = [&](std::string path, std::string value) {
    facts.push_back({GroupOf("buffers", path), std::move(path), std::move(value)});
  };
  emit("stage", fmt::format("{}", view_.index));
  for (const FieldAt& field : FieldsOf(&view_.buffers[index], *plan::BufferTypeTable())) {
    if (std::string_view(field.name) != "name") WalkField(field, "", emit);
  }
  for (size_t b = 0; b < view_.buckets.size(); ++b) {
    const size_t place = b * view_.buffers.size() + index;
    if (place >= view_.placements.size()) break;
    emit(fmt::format("offset[{}]", bucket_labels_[b]), fmt::format("{}", view_.placements[place]));
  }
  return facts;
}

}  // namespace mrs::diff
