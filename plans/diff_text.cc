// DiffText: each group with its summary, then its fields, alike changes together.
#include <fmt/format.h>

#include <algorithm>

#include "plans/append.h"
#include "plans/diff.h"
#include "plans/diff/shorten.h"
#include "plans/printable.h"
#include "plans/text.h"

namespace mrs {
namespace {

using namespace diff;

constexpr size_t kFieldsShown = 16;  // of a group
constexpr size_t kRunsShown = 8;     // of ranks
constexpr size_t kTensorsShown = 5;
constexpr size_t kStagesShown = 16;
constexpr size_t kValueBytes = 400;  // of a value, with --all

template <typename... Args>
void Line(std::string* out, fmt::format_string<Args...> format, Args&&... args) {
  out->append("  ");
  AppendLine(out, format, std::forward<Args>(args)...);
}

std::string Plural(uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string Ranks(uint32_t first, uint32_t last) {
  return first == last ? fmt::format("rank {}", first) : fmt::format("ranks {} to {}", first, last);
}

std::string MeshText(const Layout& l) {
  std::string axes = fmt::format("tp {}", l.tp);
  if (l.ep != 1) axes += fmt::format(", ep {}", l.ep);
  return fmt::format("{} ({}, dp {}, {})", Plural(l.ranks, "rank", "ranks"), axes, l.dp,
                     Plural(l.layers.size(), "stage", "stages"));
}

std::string LayersText(const Layout& l, bool all) {
  std::string text;
  const size_t shown = all ? l.layers.size() : std::min(l.layers.size(), kStagesShown);
  for (size_t s = 0; s < shown; ++s) {
    const auto& [begin, end] = l.layers[s];
    text += fmt::format("{}{}", s == 0 ? "" : " | ", end > begin ? fmt::format("{} to {}", begin, end - 1) : "none");
  }
  if (shown < l.layers.size()) text += fmt::format(" | ... ({} stages)", l.layers.size());
  return text;
}

void AppendLayout(const Summary& s, bool all, std::string* out) {
  if (const auto a = MeshText(s.layout_a), b = MeshText(s.layout_b); a != b) Line(out, "mesh: {} -> {}", a, b);
  if (s.layout_a.layers != s.layout_b.layers) {
    Line(out, "layers of the stages: {} -> {}", LayersText(s.layout_a, all), LayersText(s.layout_b, all));
  }
  size_t moved = 0;
  const auto& a = s.layout_a.devices;
  const auto& b = s.layout_b.devices;
  for (size_t r = 0; r < std::max(a.size(), b.size()); ++r) {
    const std::string before = r < a.size() ? a[r] : "none", after = r < b.size() ? b[r] : "none";
    if (before == after) continue;
    if (all || moved < kRunsShown) Line(out, "rank {} on: {} -> {}", r, before, after);
    ++moved;
  }
  if (!all && moved > kRunsShown) Line(out, "... {} more ranks on other devices", moved - kRunsShown);
}

// "ranks 0 to 7 +0 -1024, rank 8 +1024 -0"
std::string SharesText(const std::vector<RankShare>& shares, bool all) {
  std::string text;
  size_t runs = 0;
  for (size_t i = 0; i < shares.size();) {
    size_t next = i + 1;
    while (next < shares.size() && shares[next].rank == shares[next - 1].rank + 1 &&
           shares[next].added == shares[i].added && shares[next].dropped == shares[i].dropped) {
      ++next;
    }
    if (all || runs < kRunsShown) {
      text += fmt::format("{}{} +{} -{}", text.empty() ? "" : ", ", Ranks(shares[i].rank, shares[next - 1].rank),
                          shares[i].added, shares[i].dropped);
    }
    ++runs;
    i = next;
  }
  if (!all && runs > kRunsShown) text += fmt::format(", ... {} ranks", shares.size());
  return text;
}

// Ranks that follow one another with the same figures are one line.
void AppendMoved(const Summary& s, bool all, std::string* out) {
  const MovedBytes& moved = s.moved;
  if (!moved.computed) {
    Line(out, "bytes that move: not computed, there are too many ranks times tensors");
    return;
  }
  if (moved.added == 0 && moved.dropped == 0) return;
  if (s.other_model) Line(out, "the models differ: their tensors are compared by name, shape and type");
  Line(out,
       "to read of the checkpoint that a rank did not hold: {}, {} of it held by another rank of A; no longer held: {}",
       HumanBytes(moved.added), HumanBytes(moved.moved), HumanBytes(moved.dropped));
  size_t runs = 0;
  for (size_t r = 0; r < moved.ranks.size();) {
    const RankBytes& first = moved.ranks[r];
    size_t next = r + 1;
    const auto alike = [&](const RankBytes& other) {
      return std::tie(other.before, other.after, other.added, other.dropped) ==
             std::tie(first.before, first.after, first.added, first.dropped);
    };
    while (next < moved.ranks.size() && alike(moved.ranks[next])) ++next;
    if (all || runs < kRunsShown) {
      Line(out, "{}: {} -> {}{}: {} new, {} dropped", Ranks(first.rank, moved.ranks[next - 1].rank),
           HumanBytes(first.before), HumanBytes(first.after), next - r > 1 ? " each" : "", HumanBytes(first.added),
           HumanBytes(first.dropped));
    }
    ++runs;
    r = next;
  }
  if (!all && runs > kRunsShown) Line(out, "... {} more lines of ranks", runs - kRunsShown);
  const size_t shown = all ? moved.tensors.size() : std::min(moved.tensors.size(), kTensorsShown);
  for (size_t t = 0; t < shown; ++t) {
    const TensorBytes& tensor = moved.tensors[t];
    const std::string shares = SharesText(tensor.ranks, all);
    Line(out, "{} ({}){}: {} bytes new, {} dropped: {}", Printable(tensor.name),
         Printable(fmt::format("{}", fmt::join(tensor.weights, ", "))), tensor.redefined ? ", another tensor" : "",
         tensor.added, tensor.dropped, shares);
  }
  if (shown < moved.tensors.size()) Line(out, "... {} more tensors", moved.tensors.size() - shown);
}

std::string TalkText(uint64_t count, uint64_t bytes, const std::vector<uint32_t>& sizes) {
  if (count == 0) return "none";
  std::string text = fmt::format("{} of {} in all", count, HumanBytes(bytes));
  if (!sizes.empty()) text += fmt::format(" in groups of {}", fmt::join(sizes, ", "));
  return text;
}

void AppendTalks(const Summary& s, std::string* out) {
  for (const Talk& talk : s.talks) {
    const std::string a = TalkText(talk.count_a, talk.row_bytes_a, talk.group_sizes_a);
    const std::string b = TalkText(talk.count_b, talk.row_bytes_b, talk.group_sizes_b);
    if (a != b || talk.row_bytes_a != talk.row_bytes_b) Line(out, "{}: {} -> {}", talk.what, a, b);
  }
}

std::string TextOf(const Memory& m) {
  if (m == Memory{}) return "none";
  return fmt::format("{} ({}; allowed {})", HumanBytes(m.needs.Total()), MemoryText(m.needs, HumanBytes),
                     HumanBytes(m.allowed));
}

void AppendMemory(const Summary& s, bool all, std::string* out) {
  size_t runs = 0;
  for (const MemoryOfRanks& m : s.memory) {
    if (m.a == m.b) continue;
    if (all || runs < kRunsShown) {
      Line(out, "{}: {} -> {}", Ranks(m.first, m.last), TextOf(m.a), TextOf(m.b));
    }
    ++runs;
  }
  if (!all && runs > kRunsShown) Line(out, "... {} more lines of ranks", runs - kRunsShown);
}

void AppendOps(const Summary& s, std::string* out) {
  std::string text;
  for (const OpCount& op : s.ops) {
    if (op.a != op.b) text += fmt::format("{}{} {} -> {}", text.empty() ? "" : ", ", op.op, op.a, op.b);
  }
  if (!text.empty()) Line(out, "steps: {}", text);
}

std::string ChangeText(const Change& change) {
  std::string before = change.before.value_or(""), after = change.after.value_or("");
  Shorten(&before, &after, kValueBytes);
  if (!change.before) return fmt::format("+ {}: {}", change.path, after);
  if (!change.after) return fmt::format("- {}: {}", change.path, before);
  return fmt::format("{}: {} -> {}", change.path, before, after);
}

void AppendField(const FieldDiff& field, bool all, std::string* out) {
  if (all || field.count == 1) {
    for (const AlikeChanges& alike : field.alike) Line(out, "{}", ChangeText(alike.first));
    return;
  }
  uint64_t told = 0;
  for (const AlikeChanges& alike : field.alike) told += alike.count;
  const bool one_line = field.alike.size() == 1 && told == field.count;
  if (one_line) {
    Line(out, "{}, and {} more alike", ChangeText(field.alike[0].first), field.count - 1);
    return;
  }
  Line(out, "{}: {} changes", field.field, field.count);
  for (const AlikeChanges& alike : field.alike) {
    Line(out, "  {}{}", ChangeText(alike.first),
         alike.count == 1 ? "" : fmt::format(", and {} more alike", alike.count - 1));
  }
  if (told < field.count) Line(out, "  ... {} more", field.count - told);
}

void AppendFields(const GroupDiff& group, bool all, std::string* out) {
  const size_t shown = all ? group.fields.size() : std::min(group.fields.size(), kFieldsShown);
  for (size_t f = 0; f < shown; ++f) AppendField(group.fields[f], all, out);
  if (shown == group.fields.size()) return;
  std::string rest;
  for (size_t f = shown; f < group.fields.size(); ++f) {
    rest += fmt::format("{}{} ({})", f == shown ? "" : ", ", group.fields[f].field, group.fields[f].count);
  }
  Line(out, "also: {}", rest);
}

// What the plans as wholes say of a group; "" where nothing changed there.
std::string SummaryOf(FactGroup group, const Summary& summary, bool all) {
  std::string out;
  switch (group) {
    case FactGroup::kLayout:
      AppendLayout(summary, all, &out);
      break;
    case FactGroup::kWeights:
      AppendMoved(summary, all, &out);
      break;
    case FactGroup::kCollectives:
      AppendTalks(summary, &out);
      break;
    case FactGroup::kMemory:
      AppendMemory(summary, all, &out);
      break;
    case FactGroup::kProgram:
      AppendOps(summary, &out);
      break;
    default:
      break;
  }
  return out;
}

void AppendSide(char name, std::string_view path, std::string_view sha256, std::string* out) {
  Append(out, "{} {} {}\n", name, sha256, Printable(path));
}

}  // namespace

std::string OneSidedText(char name, const DiffSide& only) {
  std::string out;
  if (name == 'B') out += "A no plan\n";
  AppendSide(name, only.path, only.sha256, &out);
  if (name == 'A') out += "B no plan\n";
  return out + PlanSummary(only.plan, only.sha256);
}

std::string DiffText(const PlanDiff& diff, const Summary& summary) {
  if (diff.same()) return "";
  std::string out;
  AppendSide('A', diff.path_a, diff.sha256_a, &out);
  AppendSide('B', diff.path_b, diff.sha256_b, &out);
  bool shortened = false;
  auto group = diff.groups.begin();
  for (size_t i = 0; i < kFactGroupCount; ++i) {
    const bool changed = group != diff.groups.end() && group->group == static_cast<FactGroup>(i);
    const std::string about = SummaryOf(static_cast<FactGroup>(i), summary, diff.all);
    // A rank more, of a stage that is as it was, reads bytes and has memory: no field of either group changed.
    if (!changed && !about.empty()) {
      Append(&out, "{}: no field changed\n{}", NameOf(static_cast<FactGroup>(i)), about);
    }
    if (!changed) continue;
    Append(&out, "{}: {}\n{}", NameOf(group->group), Plural(group->count, "change", "changes"), about);
    AppendFields(*group, diff.all, &out);
    for (const FieldDiff& field : group->fields) shortened = shortened || field.count > 1;
    ++group;
  }
  if (diff.left_out > 0) {
    Append(&out, "{} changes more are counted above, and not shown\n", diff.left_out);
  }
  if (!diff.all && shortened) out += "every change: mrs-plan diff --all\n";
  return out;
}

}  // namespace mrs
