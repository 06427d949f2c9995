// What is different between two plans, by stable names: a step, weight or buffer is compared with the one of its name,
// whatever its number, and every field of plan.fbs is compared.
//
//   const PlanDiff diff = DiffPlans({a.plan(), a.name(), "a.mrsplan"}, {b.plan(), b.name(), "b.mrsplan"}, {});
//   diff.groups[0].fields[0]  ->  "steps[].attr.heads", 4 changes: 4 -> 2 at steps["l0.attention"].attr.heads, ...
//   DiffText(diff, diff::Summarize(a.plan(), b.plan()))   // summaries first, then the fields that changed
//
// DiffPlans needs no more than a checked structure, Summarize verified plans (reader.h). diff/facts.h says what is
// compared; diff/summary.h what the summaries are made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plans/diff/facts.h"
#include "plans/diff/summary.h"
#include "plans/plan_generated.h"

namespace mrs {

struct DiffSide {
  const plan::Plan& plan;
  std::string_view sha256;  // its name
  std::string_view path;    // as people call it
};

struct DiffOptions {
  bool all = false;  // keep every change; else the first few of each field
};

namespace diff {

// One field of one record, or a whole record: then `before` or `after` is absent, and the other describes it.
struct Change {
  std::string path;  // steps["l0.attention"].attr.heads
  std::optional<std::string> before;
  std::optional<std::string> after;
};

// Changes of one field from the same to the same.
struct AlikeChanges {
  Change first;
  uint64_t count = 0;
};

struct FieldDiff {
  std::string field;  // steps[].attr.heads
  uint64_t count = 0;
  std::vector<AlikeChanges> alike;  // of the first few pairs of values; with `all`, of every change on its own
};

struct GroupDiff {
  FactGroup group;
  uint64_t count = 0;
  std::vector<FieldDiff> fields;  // what came and went, then fields; each in the plan's order
};

}  // namespace diff

struct PlanDiff {
  std::string path_a, path_b, sha256_a, sha256_b;
  std::vector<diff::GroupDiff> groups;  // those with changes, in the order of FactGroup
  uint64_t count = 0;
  bool all = false;
  uint64_t left_out = 0;  // changes that are counted, but not kept, though `all` was asked for

  bool same() const { return count == 0; }
};

PlanDiff DiffPlans(const DiffSide& a, const DiffSide& b, const DiffOptions& options);

// For people: "" where they are the same (diff_text.cc). For programs: one object (diff_json.cc).
std::string DiffText(const PlanDiff& diff, const diff::Summary& summary);
std::string DiffJson(const PlanDiff& diff, const diff::Summary& summary);

// Where there is no plan on the other side, as git has it of a file that was added or removed: `name` is 'A' or 'B'.
std::string OneSidedText(char name, const DiffSide& only);
std::string OneSidedJson(char name, const DiffSide& only);

}  // namespace mrs
