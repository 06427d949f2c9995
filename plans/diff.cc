#include "plans/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <utility>

#include "plans/diff/groups.h"
#include "plans/diff/shorten.h"

namespace mrs {
namespace diff {
namespace {

constexpr size_t kAlikeShown = 3;                 // pairs of values of one field
constexpr size_t kShownBytes = 160;               // of a value
constexpr uint64_t kMaxKept = uint64_t{1} << 20;  // changes, whatever was asked for

// "offset[16 tokens]" -> "offset[]"
std::string WithoutIndices(std::string_view field) {
  std::string out;
  bool inside = false;
  for (const char c : field) {
    if (c == ']') inside = false;
    if (!inside) out.push_back(c);
    if (c == '[') inside = true;
  }
  return out;
}

class Collector {
 public:
  Collector(bool all, PlanDiff* out) : all_(all), out_(*out) {}

  void Add(FactGroup group, std::string field, Change change) {
    Group& of_group = groups_[static_cast<size_t>(group)];
    const auto [it, is_new] = of_group.index.try_emplace(field, of_group.diff.fields.size());
    if (is_new) of_group.diff.fields.push_back({.field = std::move(field), .count = 0, .alike = {}});
    FieldDiff& of_field = of_group.diff.fields[it->second];
    ++of_field.count;
    ++of_group.diff.count;
    ++out_.count;
    if (change.before && change.after) {
      if (!all_) Shorten(&*change.before, &*change.after, kShownBytes);
    } else if (!all_) {
      std::string none;
      Shorten(&(change.before ? *change.before : none), &(change.after ? *change.after : none), kShownBytes);
    }
    if (!all_) {
      for (AlikeChanges& alike : of_field.alike) {
        if (alike.first.before != change.before || alike.first.after != change.after) continue;
        ++alike.count;
        return;
      }
      if (of_field.alike.size() >= kAlikeShown) return;
    } else if (kept_ >= kMaxKept && !of_field.alike.empty()) {
      ++out_.left_out;
      return;
    }
    ++kept_;
    of_field.alike.push_back({.first = std::move(change), .count = 1});
  }

  void Finish() {
    for (size_t i = 0; i < kFactGroupCount; ++i) {
      if (groups_[i].diff.count == 0) continue;
      groups_[i].diff.group = static_cast<FactGroup>(i);
      std::vector<FieldDiff>& fields = groups_[i].diff.fields;
      std::stable_partition(fields.begin(), fields.end(),
                            [](const FieldDiff& f) { return f.field.find('.') == std::string::npos; });
      out_.groups.push_back(std::move(groups_[i].diff));
    }
  }

 private:
  struct Group {
    GroupDiff diff;
    std::unordered_map<std::string, size_t> index;
  };
  bool all_;
  PlanDiff& out_;
  uint64_t kept_ = 0;
  std::array<Group, kFactGroupCount> groups_;
};

std::string PathOf(const Record& record) {
  return record.list.empty() ? "" : fmt::format("{}[{}]", record.list, record.label);
}

std::string FieldPath(const std::string& record, const std::string& field) {
  return record.empty() ? field : fmt::format("{}.{}", record, field);
}

// "op matmul, stage 0, ...": enough to know what was added or is gone.
std::string Described(const std::vector<Fact>& facts, bool all) {
  std::string text;
  for (const Fact& fact : facts) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", fact.field, fact.value);
    if (!all && text.size() > kShownBytes) break;
  }
  return text.empty() ? "there" : text;
}

class Comparer {
 public:
  Comparer(const PlanFacts& a, const PlanFacts& b, bool all, PlanDiff* out)
      : a_(a), b_(b), all_(all), collector_(all, out) {}

  // Records of a list are matched by label; of several with one label, the first with the first.
  void Run() {
    std::unordered_map<std::string, std::vector<const Record*>> in_b;
    for (const Record& record : b_.records()) in_b[PathOf(record)].push_back(&record);
    std::unordered_map<std::string, size_t> taken;
    std::map<std::string_view, std::vector<std::pair<const Record*, const Record*>>> matched;
    for (const Record& record : a_.records()) {
      const std::string path = PathOf(record);
      const auto found = in_b.find(path);
      size_t& next = taken[path];
      if (found == in_b.end() || next >= found->second.size()) {
        Whole(record, a_, /*added=*/false);
        continue;
      }
      const Record* other = found->second[next++];
      Facts(path, record, *other);
      matched[record.list].emplace_back(&record, other);
    }
    std::unordered_map<std::string, size_t> passed;
    for (const Record& record : b_.records()) {
      const std::string path = PathOf(record);
      if (passed[path]++ >= taken[path]) Whole(record, b_, /*added=*/true);
    }
    for (const auto& [list, pairs] : matched) Order(list, pairs);
  }

  void NamesInOtherOrder(const plan::Plan& a, const plan::Plan& b) {
    const auto& of_a = *a.names();
    const auto& of_b = *b.names();
    if (of_a.size() != of_b.size()) return;
    std::vector<std::string_view> sorted_a, sorted_b;
    std::optional<uint32_t> first;
    for (uint32_t i = 0; i < of_a.size(); ++i) {
      sorted_a.push_back(of_a.Get(i)->string_view());
      sorted_b.push_back(of_b.Get(i)->string_view());
      if (!first && sorted_a.back() != sorted_b.back()) first = i;
    }
    if (!first) return;
    const std::string before(sorted_a[*first]), after(sorted_b[*first]);
    std::ranges::sort(sorted_a);
    std::ranges::sort(sorted_b);
    if (sorted_a == sorted_b) {
      collector_.Add(FactGroup::kFile, "names[]", {fmt::format("names[{}]", *first), before, after});
    }
  }

  Collector& collector() { return collector_; }

 private:
  void Facts(const std::string& path, const Record& a, const Record& b) {
    const std::vector<Fact> facts_a = a_.FactsOf(a);
    std::vector<Fact> facts_b = b_.FactsOf(b);
    const std::string list = a.list.empty() ? "" : fmt::format("{}[]", a.list);
    std::unordered_map<std::string_view, const Fact*> by_field;
    const auto alike = [&](size_t i) { return i < facts_b.size() && facts_a[i].field == facts_b[i].field; };
    bool aligned = facts_a.size() == facts_b.size();
    for (size_t i = 0; i < facts_a.size() && aligned; ++i) aligned = alike(i);
    if (!aligned) {
      for (const Fact& fact : facts_b) by_field[fact.field] = &fact;
    }
    for (size_t i = 0; i < facts_a.size(); ++i) {
      const Fact& fact = facts_a[i];
      const Fact* other = nullptr;
      if (aligned) {
        other = &facts_b[i];
      } else if (const auto found = by_field.find(fact.field); found != by_field.end()) {
        other = found->second;
        by_field.erase(found);
      }
      if (other != nullptr && other->value == fact.value) continue;
      collector_.Add(
          fact.group, FieldPath(list, WithoutIndices(fact.field)),
          {FieldPath(path, fact.field), fact.value, other == nullptr ? std::nullopt : std::optional(other->value)});
    }
    if (aligned) return;
    for (const Fact& fact : facts_b) {
      if (!by_field.contains(fact.field)) continue;
      collector_.Add(fact.group, FieldPath(list, WithoutIndices(fact.field)),
                     {FieldPath(path, fact.field), std::nullopt, fact.value});
    }
  }

  void Whole(const Record& record, const PlanFacts& facts_of, bool added) {
    const std::vector<Fact> facts = facts_of.FactsOf(record);
    const FactGroup group = facts.empty() ? GroupOf(record.list, "") : facts.front().group;
    Change change{PathOf(record), std::nullopt, std::nullopt};
    (added ? change.after : change.before) = Described(facts, all_);
    collector_.Add(group, fmt::format("{}[]", record.list), std::move(change));
  }

  // What both have, in another order: said once a list.
  void Order(std::string_view list, const std::vector<std::pair<const Record*, const Record*>>& pairs) {
    for (size_t i = 1; i < pairs.size(); ++i) {
      if (pairs[i - 1].second < pairs[i].second) continue;
      collector_.Add(
          GroupOf(list, ""), fmt::format("{}[] order", list),
          {fmt::format("{} order", PathOf(*pairs[i].first)), fmt::format("after {}", pairs[i - 1].first->label),
           fmt::format("before {}", pairs[i - 1].first->label)});
      return;
    }
  }

  const PlanFacts& a_;
  const PlanFacts& b_;
  bool all_;
  Collector collector_;
};

}  // namespace
}  // namespace diff

PlanDiff DiffPlans(const DiffSide& a, const DiffSide& b, const DiffOptions& options) {
  PlanDiff out{.path_a = std::string(a.path),
               .path_b = std::string(b.path),
               .sha256_a = std::string(a.sha256),
               .sha256_b = std::string(b.sha256),
               .groups = {},
               .all = options.all};
  const diff::PlanFacts facts_a(a.plan), facts_b(b.plan);
  diff::Comparer comparer(facts_a, facts_b, options.all, &out);
  comparer.Run();
  comparer.NamesInOtherOrder(a.plan, b.plan);
  if (out.count == 0 && a.sha256 != b.sha256) {
    comparer.collector().Add(diff::FactGroup::kFile, "bytes",
                             {"the same facts in other bytes", out.sha256_a, out.sha256_b});
  }
  comparer.collector().Finish();
  return out;
}

}  // namespace mrs
