// Every change of a plan is told, by name; of a plan and itself nothing is.
#include "plans/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>

#include "flatbuffers/minireflect.h"
#include "plans/contract.h"
#include "plans/reader.h"
#include "plans/testing/tiny_plan.h"
#include "plans/writer.h"

namespace mrs::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A plan in its bytes, not verified.
struct Bytes {
  explicit Bytes(const plan::PlanT& plan) : Bytes(PackPlan(plan)) {}
  explicit Bytes(std::string text) : file(std::move(text)) {}
  const plan::Plan& plan() const { return *plan::GetPlan(file.data()); }
  std::string file;
};

PlanDiff Compare(const Bytes& a, const Bytes& b, bool all = true) {
  return DiffPlans({a.plan(), a.file == b.file ? "one" : "a", "a.mrsplan"},
                   {b.plan(), a.file == b.file ? "one" : "b", "b.mrsplan"}, {.all = all});
}
PlanDiff Compare(const plan::PlanT& a, const plan::PlanT& b) { return Compare(Bytes(a), Bytes(b)); }

std::string TextOf(const Bytes& a, const Bytes& b, bool all = false) {
  return DiffText(Compare(a, b, all), diff::Summarize(a.plan(), b.plan()));
}

// "program steps["l0.attn"].variant: always -> candidates"
std::vector<std::string> Lines(const PlanDiff& diff) {
  std::vector<std::string> lines;
  for (const diff::GroupDiff& group : diff.groups) {
    for (const diff::FieldDiff& field : group.fields) {
      for (const diff::AlikeChanges& alike : field.alike) {
        lines.push_back(fmt::format("{} {}: {} -> {}", diff::NameOf(group.group), alike.first.path,
                                    alike.first.before.value_or("nothing"), alike.first.after.value_or("nothing")));
      }
    }
  }
  return lines;
}

TEST(DiffPlans, OfAPlanAndItselfIsEmpty) {
  for (const TinyOptions& options :
       {TinyOptions{}, TinyOptions{.tp = 1}, TinyOptions{.tp = 4, .dp = 2, .layer_count = 3}}) {
    const Bytes plan(TinyPlan(options));
    const PlanDiff diff = Compare(plan, plan);
    EXPECT_TRUE(diff.same());
    EXPECT_EQ(DiffText(diff, {}), "");
    const auto json = nlohmann::json::parse(DiffJson(diff, {}));
    EXPECT_EQ(json["same"], true);
    EXPECT_TRUE(json["groups"].empty());
  }
}

TEST(DiffPlans, NamesTheFieldOfAStep) {
  plan::PlanT b = TinyPlan();
  StepOf(b, "l0.attn").mutate_variant(plan::Variant::candidates);
  EXPECT_THAT(Lines(Compare(TinyPlan(), b)), ElementsAre("program steps[\"l0.attn\"].variant: always -> candidates"));
}

TEST(DiffPlans, FollowsIndicesToNames) {
  plan::PlanT b = TinyPlan();
  RefOf(b, "l0.attn", 0).mutate_index(BufferNamed(b, "l0.k_rope.out"));
  DepOf(b, "l0.o") = StepNamed(b, "l0.silu");
  EXPECT_THAT(Lines(Compare(TinyPlan(), b)),
              ElementsAre("program steps[\"l0.attn\"].operands[0]: \"l0.q_rope.out\" -> \"l0.k_rope.out\"",
                          "program steps[\"l0.o\"].after: \"l0.attn\" -> \"l0.silu\""));
}

TEST(DiffPlans, TellsWhichStepsAreOneLaunch) {
  const plan::PlanT a = TinyPlan({.fused = true, .joined = true});
  plan::PlanT b = a;
  b.stages[0]->joined.clear();
  EXPECT_THAT(Lines(Compare(a, b)),
              ElementsAre("program steps[\"l0.rope_append\"].launch: that of the step before -> nothing",
                          "program steps[\"l0.add_norm\"].launch: that of the step before -> nothing"));
  b.stages[0]->joined = {a.stages[0]->joined[1], 5, 1000};  // what no step says of itself
  EXPECT_THAT(Lines(Compare(a, b)), Contains(HasSubstr("joined[2]: nothing -> 1000")));
}

TEST(DiffPlans, AttributesAreOfTheStepThatHasThem) {
  plan::PlanT b = TinyPlan();
  b.stages[0]->attentions[0]->scale = 0.5f;
  EXPECT_THAT(Lines(Compare(TinyPlan(), b)), ElementsAre("program steps[\"l0.kv_append\"].attr.scale: 0.35 -> 0.5",
                                                         "program steps[\"l0.attn\"].attr.scale: 0.35 -> 0.5"));
}

// A layer more moves every index behind it; what it adds is all that is said of steps and weights.
TEST(DiffPlans, ALayerMoreRenumbersNothing) {
  const PlanDiff diff = Compare(TinyPlan({.layer_count = 1}), TinyPlan({.layer_count = 2}));
  std::set<std::string> changed;
  for (const std::string& line : Lines(diff)) {
    const bool of_layer_1 = line.find("[\"l1.") != std::string::npos;
    if (of_layer_1) {
      EXPECT_THAT(line, HasSubstr(": nothing -> ")) << line;
      continue;
    }
    for (const char* list : {"steps[", "weights["}) {
      if (const size_t at = line.find(list); at != std::string::npos)
        changed.insert(line.substr(at, line.find(": ") - at));
    }
  }
  EXPECT_THAT(changed,
              ElementsAre("steps[\"gather_logits\"].attr.order", "steps[\"gather_records\"].attr.order",
                          "steps[\"select\"].after", "steps[\"select\"].operands[0]", "weights[\"lm_head\"].offset",
                          "weights[\"norm\"].offset", "weights[\"norm\"].sources[0].file_offset"));
}

TEST(DiffPlans, ARenamedStepIsAnotherOne) {
  plan::PlanT b = TinyPlan();
  b.names[StepOf(b, "l0.silu").name()] = "l0.swiglu";
  const std::vector<std::string> lines = Lines(Compare(TinyPlan(), b));
  EXPECT_THAT(lines, Contains(HasSubstr("program steps[\"l0.silu\"]: stage 0, layer 0, op silu_mul")));
  EXPECT_THAT(lines, Contains(HasSubstr("program steps[\"l0.swiglu\"]: nothing -> stage 0, layer 0, op silu_mul")));
}

TEST(DiffPlans, TellsAnOrderThatChanged) {
  plan::PlanT b = TinyPlan();
  std::swap(b.stages[0]->steps[0], b.stages[0]->steps[1]);
  EXPECT_THAT(Lines(Compare(TinyPlan(), b)),
              Contains("program steps[\"embed\"] order: after \"rope_angles\" -> before \"rope_angles\""));
}

TEST(DiffPlans, NamesOfTheTableInAnotherOrder) {
  plan::PlanT b = TinyPlan();
  b.names.push_back("nobody's");
  EXPECT_THAT(Lines(Compare(TinyPlan(), b)), ElementsAre(HasSubstr("file names[unused \"nobody's\"]: nothing -> ")));
  plan::PlanT a = b;
  a.names.insert(a.names.end() - 1, "no one's");
  b.names.push_back("no one's");
  EXPECT_THAT(Lines(Compare(a, b)), Contains(HasSubstr("file names[")));
}

TEST(DiffPlans, SameFactsInOtherBytesAreTold) {
  // Without ForceDefaults, zeros are left out: other bytes, the same values.
  flatbuffers::FlatBufferBuilder builder;
  const plan::PlanT tiny = TinyPlan();
  plan::FinishPlanBuffer(builder, plan::Plan::Pack(builder, &tiny));
  const Bytes b(std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()));
  EXPECT_THAT(Lines(Compare(Bytes(tiny), b)), ElementsAre("file the same facts in other bytes: a -> b"));
}

TEST(DiffPlans, LongValuesAreShownWhereTheyDiffer) {
  plan::PlanT a = TinyPlan(), b = TinyPlan();
  a.model->chat_template = std::string(5000, 'x') + "one" + std::string(5000, 'y');
  b.model->chat_template = std::string(5000, 'x') + "two" + std::string(5000, 'y');
  for (const bool all : {false, true}) {
    const std::string text = TextOf(Bytes(a), Bytes(b), all);
    EXPECT_THAT(text, HasSubstr("xone"));
    EXPECT_THAT(text, HasSubstr("xtwo"));
    EXPECT_LT(text.size(), 1200u);
  }
  EXPECT_THAT(Lines(Compare(a, b)), ElementsAre(HasSubstr(a.model->chat_template))) << "with --all it is whole";
}

TEST(DiffPlans, ClustersAreComparedLineByLine) {
  plan::PlanT a = TinyPlan(), b = TinyPlan();
  a.cluster->description = "nodes:\n  - name: a\n    devices:\n      - {kind: cpu}\n";
  b.cluster->description = "nodes:\n  - name: a\n    devices:\n      - {kind: cpu}\n      - {kind: cuda}\n";
  EXPECT_THAT(Lines(Compare(a, b)),
              ElementsAre(HasSubstr("cluster cluster.description: 52 bytes, sha256 "),
                          "cluster cluster.description.nodes[0].devices[1]: nothing -> \"{kind: cuda}\""));
  b.cluster->description = a.cluster->description + " \n";
  EXPECT_THAT(Lines(Compare(a, b)), ElementsAre(HasSubstr("cluster cluster.description: 52 bytes, sha256 ")));
}

TEST(DiffPlans, OfTwoTensorParallelSizesNamesEveryGroupOfChanges) {
  const Bytes a(TinyPlan({.tp = 2})), b(TinyPlan({.tp = 4}));
  std::vector<std::string> groups;
  for (const diff::GroupDiff& group : Compare(a, b).groups) groups.emplace_back(diff::NameOf(group.group));
  EXPECT_THAT(groups, ElementsAre("layout", "weights", "collectives", "memory", "program", "cluster", "options",
                                  "predictions"));
  const std::string text = TextOf(a, b);
  EXPECT_THAT(text, HasSubstr("  mesh: 2 ranks (tp 2, dp 1, 1 stage) -> 4 ranks (tp 4, dp 1, 1 stage)\n"));
  EXPECT_THAT(text, HasSubstr("rank 2 on: none -> node 0 cpu 2\n"));
  EXPECT_THAT(text, HasSubstr("all_reduce halving_doubling f32 a token: 1 of 128 B in all in groups of 2 -> 1 of 128 B "
                              "in all in groups of 4\n"));
  EXPECT_THAT(text, HasSubstr("l0.gate.tensor (l0.gate): "));
}

// A replica more: its ranks read and hold what no field of a weight or an arena says.
TEST(DiffPlans, BytesOfRanksOfAReplicaAreTold) {
  const std::string text = TextOf(Bytes(TinyPlan({.dp = 1})), Bytes(TinyPlan({.dp = 2})));
  EXPECT_THAT(text, HasSubstr("weights: no field changed\n"));
  EXPECT_THAT(text, HasSubstr("  rank 2: 0 B -> "));
  EXPECT_THAT(text, HasSubstr("memory: no field changed\n  ranks 2 to 3: none -> "));
}

TEST(OneSided, IsWhatThePlanIs) {
  const Bytes plan(TinyPlan());
  EXPECT_THAT(OneSidedText('B', {plan.plan(), "abc", "b.mrsplan"}),
              ::testing::StartsWith("A no plan\nB abc b.mrsplan\nplan         abc\n"));
  EXPECT_THAT(OneSidedText('A', {plan.plan(), "abc", "a.mrsplan"}),
              ::testing::StartsWith("A abc a.mrsplan\nB no plan\nplan         abc\n"));
  const auto json = nlohmann::json::parse(OneSidedJson('B', {plan.plan(), "abc", "b.mrsplan"}));
  EXPECT_EQ(json["a"], nullptr);
  EXPECT_EQ(json["b"]["sha256"], "abc");
  EXPECT_EQ(json["same"], false);
}

// --- Random edits -------------------------------------------------------------------------------------------------

// Calls `visit` with each scalar and each byte of text in the plan, and its path without indices.
struct Place {
  std::string path;
  size_t offset, size;
};

class Places {
 public:
  explicit Places(const std::string& file) : base_(reinterpret_cast<const uint8_t*>(file.data())) {
    Object(reinterpret_cast<const uint8_t*>(plan::GetPlan(file.data())), *plan::PlanTypeTable(), "");
  }
  std::vector<Place> found;

 private:
  using Type = flatbuffers::ElementaryType;
  static const uint8_t* Follow(const uint8_t* at) { return at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at); }

  void Object(const uint8_t* object, const flatbuffers::TypeTable& type, const std::string& path) {
    for (size_t i = 0; i < type.num_elems; ++i) {
      const auto code = type.type_codes[i];
      const auto base = static_cast<Type>(code.base_type);
      const auto* ref = code.sequence_ref >= 0 ? type.type_refs[code.sequence_ref]() : nullptr;
      const uint8_t* at = type.st == flatbuffers::ST_STRUCT
                              ? object + type.values[i]
                              : reinterpret_cast<const flatbuffers::Table*>(object)->GetAddressOf(
                                    flatbuffers::FieldIndexToOffset(static_cast<uint16_t>(i)));
      const std::string name = path + "." + type.names[i];
      if (at == nullptr) continue;
      if (!code.is_repeating) {
        Value(at, base, ref, name);
        continue;
      }
      const uint8_t* vector = Follow(at);
      const auto count = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(vector);
      for (size_t e = 0; e < count; ++e)
        Value(vector + 4 + e * flatbuffers::InlineSize(base, ref), base, ref, name + "[]");
    }
  }

  void Value(const uint8_t* at, Type type, const flatbuffers::TypeTable* ref, const std::string& path) {
    if (type == flatbuffers::ET_STRING) {
      const uint8_t* text = Follow(at);
      const auto size = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(text);
      for (size_t i = 0; i < size; ++i) found.push_back({path, static_cast<size_t>(text + 4 + i - base_), 1});
    } else if (type != flatbuffers::ET_SEQUENCE) {
      found.push_back({path, static_cast<size_t>(at - base_), flatbuffers::InlineSize(type, ref)});
    } else {
      Object(ref->st == flatbuffers::ST_STRUCT ? at : Follow(at), *ref, path);
    }
  }

  const uint8_t* base_;
};

// The file with one bit of one scalar or text turned over; whether the plan still makes sense is no matter.
std::string Turned(std::string file, const Place& place, std::mt19937* random) {
  const size_t byte = place.offset + (*random)() % place.size;
  file[byte] = static_cast<char>(file[byte] ^ (1u << ((*random)() % 8)));
  return file;
}

TEST(DiffPlans, TellsEveryFieldThatIsEdited) {
  constexpr uint32_t kSeed = 9;
  std::mt19937 random(kSeed);
  const Bytes original(TinyPlan({.tp = 2, .dp = 2}));
  const std::vector<Place> places = Places(original.file).found;
  std::set<std::string> fields;
  size_t sound = 0;
  for (const Place& place : places) {
    // Each bit of the schema's small fields would be many runs of the same: one bit of each scalar.
    const Bytes edited(Turned(original.file, place, &random));
    const PlanDiff diff = Compare(original, edited);
    ASSERT_FALSE(diff.same()) << place.path << " at byte " << place.offset << ", seed " << kSeed;
    ASSERT_NE(Lines(diff)[0], "file the same facts in other bytes: a -> b")
        << place.path << " at byte " << place.offset << ", seed " << kSeed;
    fields.insert(place.path);
    std::string sealed = edited.file;
    Reseal(&sealed);
    if (!OpenPlanBytes(std::as_bytes(std::span(sealed)))) continue;
    ++sound;  // what people see of plans that are both sound
    ASSERT_THAT(TextOf(original, edited), HasSubstr(" change")) << place.path;
  }
  EXPECT_GT(fields.size(), 130u) << "the tiny plan has most fields of the schema";
  EXPECT_GT(sound, 100u);
}

// Of several edits none hides behind another: each alone has lines, and all of them together have lines, too.
TEST(DiffPlans, EditsTogetherAreAllTold) {
  constexpr uint32_t kSeed = 10;
  std::mt19937 random(kSeed);
  const Bytes original(TinyPlan());
  // What names, lists and owns the rest is edited alone above: it turns a field's line into a record less and one more.
  const std::set<std::string> structure = {".names[]",
                                           ".stages[].steps[].name",
                                           ".stages[].steps[].op",
                                           ".stages[].steps[].attr",
                                           ".stages[].steps[].operand_begin",
                                           ".stages[].steps[].operand_count",
                                           ".stages[].steps[].result_count",
                                           ".stages[].steps[].dep_begin",
                                           ".stages[].steps[].dep_count",
                                           ".stages[].buffers[].name",
                                           ".stages[].weights[].name",
                                           ".stages[].weights[].source_begin",
                                           ".stages[].weights[].source_count",
                                           ".stages[].buckets[].tokens",
                                           ".stages[].refs[].space",
                                           ".options[].name",
                                           ".files[].name",
                                           ".predictions[].name",
                                           ".certificates[].name"};
  std::vector<Place> places = Places(original.file).found;
  std::erase_if(places, [&](const Place& place) { return structure.contains(place.path); });
  const auto paths = [&](const std::string& file) {
    std::set<std::string> out;
    for (const std::string& line : Lines(Compare(original, Bytes(file)))) out.insert(line.substr(0, line.find(": ")));
    return out;
  };
  for (int round = 0; round < 100; ++round) {
    std::string file = original.file;
    std::set<std::string> expected;
    for (int edit = 0; edit < 6; ++edit) {
      const Place& place = places[random() % places.size()];
      if (file.compare(place.offset, place.size, original.file, place.offset, place.size) != 0) continue;
      const std::string alone = Turned(original.file, place, &random);
      file.replace(place.offset, place.size, alone, place.offset, place.size);
      expected.merge(paths(alone));
    }
    const std::set<std::string> told = paths(file);
    for (const std::string& path : expected) {
      EXPECT_TRUE(told.contains(path)) << path << " in round " << round << ", seed " << kSeed;
    }
  }
}

// --- Bytes that move ----------------------------------------------------------------------------------------------

const diff::TensorBytes& TensorNamed(const diff::MovedBytes& moved, std::string_view name) {
  for (const diff::TensorBytes& tensor : moved.tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error(fmt::format("no tensor {}", name));
}

TEST(MovedBetween, CountsWhatARankDidNotHold) {
  const plan::PlanT a = TinyPlan({.tp = 2}), b = TinyPlan({.tp = 4});
  const Bytes bytes_a(a), bytes_b(b);
  const diff::MovedBytes moved = diff::MovedBetween(bytes_a.plan(), bytes_b.plan());
  ASSERT_TRUE(moved.computed);
  ASSERT_EQ(moved.ranks.size(), 4u);
  // gate [64, 32] bf16 by rows: [0, 32) [32, 64) -> [0, 16) [16, 32) [32, 48) [48, 64).
  const diff::TensorBytes& gate = TensorNamed(moved, "l0.gate.tensor");
  EXPECT_THAT(gate.weights, ElementsAre("l0.gate"));
  ASSERT_EQ(gate.ranks.size(), 4u);
  EXPECT_EQ(gate.ranks[0].added, 0u);
  EXPECT_EQ(gate.ranks[0].dropped, 1024u);
  EXPECT_EQ(gate.ranks[1].added, 1024u);
  EXPECT_EQ(gate.ranks[1].dropped, 2048u);
  EXPECT_EQ(gate.ranks[2].added, 1024u);
  EXPECT_EQ(gate.ranks[3].added, 1024u);
  EXPECT_EQ(gate.added, 3072u);
  // k [16, 32]: rank 1 had the second half, and has the first at tp 4, where each half is on two ranks.
  const diff::TensorBytes& k = TensorNamed(moved, "l0.k.tensor");
  ASSERT_EQ(k.ranks.size(), 3u);
  EXPECT_EQ(k.ranks[0].rank, 1u);
  EXPECT_EQ(k.ranks[0].added, 512u);
  EXPECT_EQ(k.ranks[0].dropped, 512u);
  // Everything was on some rank before.
  EXPECT_EQ(moved.added, moved.moved);
  EXPECT_EQ(diff::MovedBetween(bytes_b.plan(), bytes_b.plan()).added, 0u);
}

TEST(MovedBetween, ATensorOfAnotherTypeIsAllNew) {
  plan::PlanT b = TinyPlan();
  SourceOf(b, "l0.gate").mutate_dtype(plan::DType::f32);
  const Bytes bytes_a(TinyPlan()), bytes_b(b);
  const diff::MovedBytes moved = diff::MovedBetween(bytes_a.plan(), bytes_b.plan());
  ASSERT_EQ(moved.tensors.size(), 1u);
  EXPECT_TRUE(moved.tensors[0].redefined);
  EXPECT_EQ(moved.added, 64u * 32 * 4);
  EXPECT_EQ(moved.dropped, 64u * 32 * 2);
  EXPECT_EQ(moved.moved, 0u);
}

// 65536 ranks of 98 sources each, in both plans: seconds of work, which nobody asked for.
TEST(MovedBetween, SaysWhereThereIsTooMuchToCount) {
  const Bytes plan(TinyPlan({.tp = 2, .dp = 32768, .layer_count = 6})), other(TinyPlan({.tp = 2}));
  EXPECT_FALSE(diff::MovedBetween(plan.plan(), plan.plan()).computed);
  EXPECT_TRUE(diff::MovedBetween(other.plan(), other.plan()).computed);
  // Of a tensor that nobody holds whole, each rank reads a row of its own: A every other one, B those between.
  const auto with_rows = [](uint32_t ranks, int64_t start) {
    plan::PlanT rows_cut = TinyPlan({.tp = 1, .dp = ranks});
    plan::WeightSource& gate = SourceOf(rows_cut, "l0.gate");
    gate.mutate_tensor_rows(1 << 20);
    gate.mutate_row_count(1 << 20);
    gate.mutable_rows() = plan::Slice(start, 2, 1, 1, plan::Axis::dp);
    return Bytes(rows_cut);
  };
  const diff::MovedBytes few = diff::MovedBetween(with_rows(256, 0).plan(), with_rows(256, 1).plan());
  EXPECT_TRUE(few.computed);
  EXPECT_EQ(few.added, 256u * 32 * 2);
  EXPECT_EQ(few.moved, 0u);
  EXPECT_FALSE(diff::MovedBetween(with_rows(4096, 0).plan(), with_rows(4096, 1).plan()).computed);
  PlanDiff diff;
  diff.count = 1;
  diff::Summary summary;
  summary.moved.computed = false;
  EXPECT_THAT(DiffText(diff, summary),
              HasSubstr("weights: no field changed\n  bytes that move: not computed, there are too "
                        "many ranks times tensors\n"));
}

TEST(DiffJson, HasTheSummariesAsNumbers) {
  const Bytes a(TinyPlan({.tp = 2})), b(TinyPlan({.tp = 4}));
  const auto json = nlohmann::json::parse(DiffJson(Compare(a, b, false), diff::Summarize(a.plan(), b.plan())));
  EXPECT_EQ(json["same"], false);
  EXPECT_EQ(json["layout"]["b"]["ranks"], 4);
  EXPECT_EQ(json["checkpoint"]["ranks"].size(), 4u);
  EXPECT_EQ(json["memory"][0]["a"]["weights_bytes"], a.plan().stages()->Get(0)->weight_arena_bytes());
  uint64_t count = 0;
  for (const auto& group : json["groups"]) {
    for (const auto& field : group["fields"]) count += field["count"].get<uint64_t>();
  }
  EXPECT_EQ(json["count"], count);
}

}  // namespace
}  // namespace mrs::testing
