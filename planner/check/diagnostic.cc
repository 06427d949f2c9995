#include "planner/check/diagnostic.h"

#include <algorithm>
#include <vector>

#include "planner/cluster/findings.h"
#include "plans/status.h"

namespace mrs::check {
namespace {

constexpr Severity kNote = Severity::kNote, kWarning = Severity::kWarning, kError = Severity::kError;

// Every id that there is. A new one comes with a case in tests/planner/check_cases.py, which is held against this.
constexpr Rule kRules[] = {
    {"check.unreadable", kError, "Something that is to be checked cannot be read"},
    {"check.unknown-kind", kError, "What was named is nothing that mrs-plan checks"},
    {"check.too-much", kError, "A folder holds more than is checked in one go"},

    {"ring.syntax", kError, "A RING_CONFIG file is no JSON object"},
    {"ring.field", kError, "A field of RING_CONFIG is missing, of another type or out of range"},
    {"ring.address", kError, "An address of RING_CONFIG is no host that a port can follow"},
    {"ring.unknown-key", kWarning, "A key that RING_CONFIG does not have, and mistral.rs passes over"},
    {"ring.world-size", kError, "The world of a ring is 2, 4, 8, ... ranks"},
    {"ring.rank-range", kError, "The ranks of a world of N are 0 to N-1"},
    {"ring.master-ip", kError, "Every rank but 0 must say where the master is"},
    {"ring.own-neighbour", kError, "A rank connects to itself"},
    {"ring.port-clash", kError, "Two listeners of one host have the same port"},
    {"ring.world-mismatch", kError, "The files of a ring disagree about its size"},
    {"ring.rank-twice", kError, "Two files of a ring are of the same rank"},
    {"ring.rank-missing", kError, "A rank of the ring has no file"},
    {"ring.not-closed", kError, "A rank connects where its right neighbour does not listen"},
    {"ring.wrong-host", kError, "An address is this host's, and the rank that it is to reach is on another"},
    {"ring.master-port", kError, "A rank asks for work on another port than the master's"},
    {"ring.address-mismatch", kWarning, "Two files put the master at different addresses"},
    {"ring.partial-sums", kNote, "mistral.rs's ring adds up two ranks only"},
    {"ring.alone", kNote, "One file of a ring, checked in itself only"},

    {"model.syntax", kError, "A file of a model folder is no JSON"},
    {"model.architecture", kError, "The architecture is not supported"},
    {"model.unsupported", kError, "The model computes something that mrs does not plan"},
    {"model.config", kError, "config.json contradicts itself, or lacks something"},
    {"model.generation", kError, "generation_config.json says something impossible"},
    {"model.tokenizer", kError, "The tokenizer could not be loaded"},
    {"model.text", kError, "Special tokens or the chat template could not be used"},
    {"model.weights", kError, "Weights are missing, cut short or no safetensors"},
    {"model.tensors", kError, "The tensors are not those that config.json makes"},
    {"model.no-weights", kNote, "A model folder met on a walk holds no weights"},
    {"model.no-effect", kWarning, "A fact of the model's files has no effect here"},
    {"model.no-end", kWarning, "No file names a token that ends an answer"},
    {"model.unused-tensors", kWarning, "The checkpoint holds tensors that the model does not know"},

    {"cluster.file", kError, "A cluster file says something that cannot be"},

    {"plan.broken", kError, "The file is no plan, or was changed or cut short"},
    {"plan.version", kError, "The plan's format is not one that this version reads"},
    {"plan.unsound", kError, "The plan could not be run"},
    {"plan.old-producer", kWarning, "Another version of mrs-plan made the plan"},
    {"plan.stale-files", kError, "A file of the model is not the one that the plan was made of"},
    {"plan.other-model", kError, "The plan is not that of the model"},
    {"plan.other-cluster", kError, "The plan was made for another cluster"},
};

}  // namespace

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  MRS_CHECK(false);
}

// Those of this folder, and what a sound cluster file may show of its cluster.
std::span<const Rule> AllRules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> all(std::begin(kRules), std::end(kRules));
    for (const cluster::FindingKind& kind : cluster::FindingKinds()) {
      all.push_back({kind.id, kind.by_design ? kNote : kWarning, kind.when});
    }
    return all;
  }();
  return rules;
}

const Rule& RuleOf(std::string_view id) {
  const std::span<const Rule> rules = AllRules();
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const Rule& rule) { return rule.id == id; });
  MRS_CHECK(found != rules.end());
  return *found;
}

Place WholeOf(const std::string& path) {
  Place place;
  place.file = path;
  return place;
}

Diagnostic Finding(std::string_view id, Place place, std::string message) {
  const Rule& rule = RuleOf(id);
  return {rule.id, rule.severity, std::move(place), std::move(message)};
}

Counts CountOf(const Report& report) {
  Counts counts;
  for (const Diagnostic& diagnostic : report.diagnostics) {
    size_t& count = diagnostic.severity == kError     ? counts.errors
                    : diagnostic.severity == kWarning ? counts.warnings
                                                      : counts.notes;
    ++count;
  }
  return counts;
}

int ExitCode(const Report& report, bool warnings_pass) {
  const bool unread = std::any_of(report.diagnostics.begin(), report.diagnostics.end(),
                                  [](const Diagnostic& diagnostic) { return diagnostic.id.starts_with("check."); });
  if (unread) return 2;
  const Counts counts = CountOf(report);
  return counts.errors > 0 || (counts.warnings > 0 && !warnings_pass) ? 1 : 0;
}

}  // namespace mrs::check
