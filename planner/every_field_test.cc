// Every number and text of a plan, changed alone, in a plan that is sealed anew: the two checkers together refuse it,
// or the field is one of those listed here with the reason why no answer depends on it. A field that the schema gains
// is tried as soon as it is there.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "flatbuffers/minireflect.h"
#include "planner/erasure_subject_for_test.h"
#include "plans/reader.h"
#include "plans/sha256.h"

namespace mrs::planner {
namespace {

using flatbuffers::ElementaryType;
using flatbuffers::TypeTable;

// What may be otherwise (in some places at least), and why.
const std::map<std::string, std::string> kWithoutEffect = {
    {"producer", "for people"},
    {"format_minor", "fields that an earlier one lacks mean then what they mean as zero"},
    {"names[]", "a label, where it names neither an input nor a tensor"},
    {"certificates[].name", "a claim of the file, shown as one"},
    {"certificates[].statement", "a claim of the file, shown as one"},
    {"cluster.description", "for people"},
    {"cluster.fingerprint[]", "for people"},
    {"predictions[].name", "for people"},
    {"predictions[].unit", "for people"},
    {"predictions[].provenance", "for people"},
    {"predictions[].low", "for people"},
    {"predictions[].high", "for people"},
    {"stages[].activation_arena_bytes", "room at the end of an arena"},
    {"stages[].weight_arena_bytes", "room at the end of an arena"},
    {"stages[].workspace_bytes", "room on a device, beside its arenas"},
    {"stages[].graphs_bytes", "how many graphs a device keeps"},
    {"stages[].communicators_bytes", "room on a device, beside its arenas"},
    {"stages[].buckets[].arena_bytes", "room at the end of an arena"},
    {"stages[].buckets[].tokens", "how many run at once"},
    {"stages[].buckets[].sequences", "how many run at once"},
    {"stages[].buckets[].logit_rows", "how many run at once"},
    {"stages[].buffers[].name", "a label, where it names no input"},
    {"stages[].weights[].name", "a label: the tensor is the source's"},
    {"stages[].steps[].name", "a label"},
    {"stages[].steps[].layer", "a label"},
    {"stages[].steps[].attr", "read by no operation without attributes; else another entry that says the same"},
    {"stages[].steps[].dep_begin", "read only where there are dependencies"},
    {"stages[].steps[].variant", "what one output needs may run for both"},
    {"stages[].refs[].index", "read only of what is there: of a bias that is none, it is not"},
    {"stages[].attentions[].heads", "read of an attention, not of an append"},
    {"stages[].attentions[].scale", "read of an attention, not of an append"},
    {"stages[].attentions[].soft_cap", "read of an attention, not of an append"},
    {"stages[].collectives[].algorithm", "one canonical sum in another way"},
};

// Visits each number and text: its path, indices left out, and its bytes.
using Visit = std::function<void(const std::string& path, ElementaryType type, int enum_count, const uint8_t* at)>;

void Walk(const uint8_t* at, ElementaryType type, const TypeTable* ref, const std::string& path, const Visit& visit);

void WalkField(const uint8_t* at, const TypeTable& owner, size_t i, const std::string& path, const Visit& visit) {
  const auto code = owner.type_codes[i];
  const auto type = static_cast<ElementaryType>(code.base_type);
  const TypeTable* ref = code.sequence_ref >= 0 ? owner.type_refs[code.sequence_ref]() : nullptr;
  const std::string name = path.empty() ? owner.names[i] : path + "." + owner.names[i];
  if (!code.is_repeating) return Walk(at, type, ref, name, visit);
  const uint8_t* vector = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
  const auto count = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(vector);
  for (size_t element = 0; element < count; ++element) {
    Walk(vector + sizeof(flatbuffers::uoffset_t) + element * flatbuffers::InlineSize(type, ref), type, ref, name + "[]",
         visit);
  }
}

void Walk(const uint8_t* at, ElementaryType type, const TypeTable* ref, const std::string& path, const Visit& visit) {
  if (type == flatbuffers::ET_STRING) {
    const uint8_t* text = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
    if (flatbuffers::ReadScalar<flatbuffers::uoffset_t>(text) > 0) {
      visit(path, type, 0, text + sizeof(flatbuffers::uoffset_t));
    }
  } else if (type != flatbuffers::ET_SEQUENCE) {
    visit(path, type, ref != nullptr ? static_cast<int>(ref->num_elems) : 0, at);
  } else if (ref->st == flatbuffers::ST_STRUCT) {
    for (size_t i = 0; i < ref->num_elems; ++i) WalkField(at + ref->values[i], *ref, i, path, visit);
  } else {
    const auto* table =
        reinterpret_cast<const flatbuffers::Table*>(at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at));
    for (size_t i = 0; i < ref->num_elems; ++i) {
      const uint8_t* field = table->GetAddressOf(flatbuffers::FieldIndexToOffset(static_cast<uint16_t>(i)));
      if (field != nullptr) WalkField(field, *ref, i, path, visit);
    }
  }
}

template <typename T>
std::string Bytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

// What a value is changed to: the next and the one before, of an enum all others, of a text another first letter.
std::vector<std::string> Others(ElementaryType type, int enum_count, const uint8_t* at) {
  if (type == flatbuffers::ET_FLOAT) {
    const float value = flatbuffers::ReadScalar<float>(at);
    return {Bytes(std::nextafter(value, INFINITY)), Bytes(std::nextafter(value, -INFINITY)), Bytes(-value)};
  }
  if (type == flatbuffers::ET_STRING || type == flatbuffers::ET_BOOL) return {Bytes(static_cast<uint8_t>(*at ^ 1))};
  std::vector<std::string> others;
  for (int e = 0; e < enum_count; ++e) {
    if (e != *at) others.push_back(Bytes(static_cast<uint8_t>(e)));
  }
  if (enum_count > 0) return others;
  uint64_t value = 0;
  const size_t size = flatbuffers::InlineSize(type, nullptr);
  std::memcpy(&value, at, size);
  return {Bytes(value + 1).substr(0, size), Bytes(value - 1).substr(0, size)};
}

struct Tried {
  size_t mutants = 0;
  size_t accepted = 0;
  std::string example;
};

// Of every field of the model's plan.
std::map<std::string, Tried> TryEveryField(const std::string& model, const Cut& cut) {
  BuildOptions options = Options(model, cut);
  options.max_len = 64;
  options.max_seqs = 4;
  const Result<Built> built = Build(options);
  if (!built) throw std::runtime_error(built.message());
  const Result<ModelFacts> facts = ReadModelFacts(options);
  Compiler compiler;
  const auto module = UnshardedModule(compiler.context(), *facts);
  const UnshardedModel unsharded = *ReadUnsharded(*module);
  const OpenedPlan plan = *OpenPlanBytes(std::as_bytes(std::span(built->plan_bytes)));
  const auto* base = reinterpret_cast<const uint8_t*>(plan.bytes().data());
  const std::string body(reinterpret_cast<const char*>(base), plan.bytes().size() - sizeof(Sha256Digest));

  std::map<std::string, Tried> tried;
  const auto attempt = [&](const std::string& path, ElementaryType type, int enum_count, const uint8_t* at) {
    for (const std::string& other : Others(type, enum_count, at)) {
      std::string bytes = body;
      bytes.replace(static_cast<size_t>(at - base), other.size(), other);
      const Sha256Digest digest = Sha256(std::as_bytes(std::span(bytes)));
      bytes.append(reinterpret_cast<const char*>(digest.data()), digest.size());
      Tried& field = tried[path];
      ++field.mutants;
      const Result<OpenedPlan> opened = OpenPlanBytes(std::as_bytes(std::span(bytes)));
      if (!opened) continue;
      UnshardedModel copy = unsharded;
      if (!CheckErasure(copy, opened->plan()).ok()) continue;
      ++field.accepted;
      field.example = fmt::format("byte {} of the plan of {} at tp {}", at - base, model, cut.tp);
    }
  };
  const auto* table = reinterpret_cast<const flatbuffers::Table*>(&plan.plan());
  for (size_t i = 0; i < plan::PlanTypeTable()->num_elems; ++i) {
    const uint8_t* field = table->GetAddressOf(flatbuffers::FieldIndexToOffset(static_cast<uint16_t>(i)));
    if (field != nullptr) WalkField(field, *plan::PlanTypeTable(), i, "", attempt);
  }
  return tried;
}

TEST(EveryField, IsRefusedWhenChangedOrHasAReasonNotToBe) {
  std::set<std::string> accepted;
  // Between them they have every kind of step; two stages have what passes between them.
  const std::pair<const char*, Cut> subjects[] = {
      {"models/mini", {.tp = 2}},
      {"tests/golden/llama_bias_f32", {.tp = 2}},
      {"Gemma3", {.tp = 2, .stages = 2}},
      {"Phi3", {.tp = 2}},
      {"Olmo3", {.tp = 2, .stages = 2}},
      {"StableLm", {.tp = 1, .stages = 2}},
      {"Ministral3", {.tp = 1}},
      {"Granite", {.tp = 1}},
      {"Glm4", {.tp = 1}},
      {"models/mini", {.tp = 2, .gpus = "2x2GiB"}},  // with fused steps
      {"models/mini", {.tp = 2, .gpus = "2xH100-SXM", .collectives = "ipc"}},
      {"Gemma3", {.tp = 1, .gpus = "2GiB"}}};
  for (const auto& [model, cut] : subjects) {
    size_t mutants = 0;
    for (const auto& [path, field] : TryEveryField(model, cut)) {
      mutants += field.mutants;
      if (field.accepted == 0) continue;
      accepted.insert(path);
      EXPECT_TRUE(kWithoutEffect.contains(path))
          << path << ": " << field.accepted << " of " << field.mutants << " mutants are accepted, as of "
          << field.example << "; compare it (planner/same_facts.cc, planner/erasure.cc, plans/verify) or say why not";
    }
    EXPECT_GT(mutants, 4000u) << model;
  }
  for (const auto& [path, why] : kWithoutEffect)
    EXPECT_TRUE(accepted.contains(path)) << path << " is compared: " << why;
}

}  // namespace
}  // namespace mrs::planner
