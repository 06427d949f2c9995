#include "plans/diff/groups.h"

namespace mrs::diff {
namespace {

struct Row {
  std::string_view list;    // "*": any
  std::string_view prefix;  // of the field
  FactGroup group;
};

// The first that fits.
constexpr Row kRows[] = {
    {"", "format_", FactGroup::kFile},
    {"", "producer", FactGroup::kFile},
    {"", "names", FactGroup::kFile},
    {"", "model.sampling.", FactGroup::kSampling},
    {"", "model", FactGroup::kModel},
    {"", "cluster", FactGroup::kCluster},
    {"", "numerics", FactGroup::kNumerics},
    {"", "digest_kind", FactGroup::kWeights},
    {"", "max_len", FactGroup::kLimits},
    {"", "max_seqs", FactGroup::kLimits},
    {"", "tp", FactGroup::kLayout},
    {"", "ep", FactGroup::kLayout},
    {"", "dp", FactGroup::kLayout},
    {"ranks", "", FactGroup::kLayout},
    {"groups", "", FactGroup::kCollectives},
    {"files", "", FactGroup::kModel},
    {"ropes", "", FactGroup::kNumerics},
    {"encodings", "", FactGroup::kNumerics},
    {"options", "", FactGroup::kOptions},
    {"predictions", "", FactGroup::kPredictions},
    {"certificates", "", FactGroup::kCertificates},
    {"stages", "layer_", FactGroup::kLayout},
    {"stages", "tp_group", FactGroup::kCollectives},
    {"stages", "weight_arena_bytes", FactGroup::kMemory},
    {"stages", "kv_arena_bytes", FactGroup::kMemory},
    {"stages", "activation_arena_bytes", FactGroup::kMemory},
    {"stages", "workspace_bytes", FactGroup::kMemory},
    {"stages", "graphs_bytes", FactGroup::kMemory},
    {"stages", "communicators_bytes", FactGroup::kMemory},
    {"stages", "placements", FactGroup::kMemory},
    {"stages", "sources", FactGroup::kWeights},
    {"stages", "digests", FactGroup::kWeights},
    {"stages", "collectives", FactGroup::kCollectives},
    {"stages", "transfers", FactGroup::kCollectives},
    {"stages", "", FactGroup::kProgram},
    {"kv_classes", "", FactGroup::kMemory},
    {"buckets", "", FactGroup::kMemory},
    {"weights", "", FactGroup::kWeights},
    {"buffers", "offset", FactGroup::kMemory},
    {"buffers", "", FactGroup::kProgram},
    {"steps", "", FactGroup::kProgram},
};

}  // namespace

FactGroup GroupOf(std::string_view list, std::string_view field) {
  for (const Row& row : kRows) {
    if (row.list == list && field.starts_with(row.prefix)) return row.group;
  }
  return FactGroup::kOther;
}

std::string_view NameOf(FactGroup group) {
  constexpr std::string_view kNames[kFactGroupCount] = {
      "layout",   "weights", "collectives", "memory",      "numerics",     "program", "model", "cluster",
      "sampling", "limits",  "options",     "predictions", "certificates", "file",    "other"};
  return kNames[static_cast<size_t>(group)];
}

}  // namespace mrs::diff
