// What a plan must keep to, once: every rule of legality and of memory, with what it says where it is broken. The
// messages of layout, legality and fit come from here, as does `mrs-plan rules`.
//
//   Broken<RuleId::kTpHeads>(12, 8)  ->  "12 attention heads do not divide by 8"
//
// A message's places are checked against its values by the compiler.
#pragma once

#include <fmt/ranges.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "plans/status.h"

namespace mrs {

enum class RuleId : uint8_t {
  kTpPowerOfTwo,
  kTpHeads,
  kTpKvHeads,
  kTpKvNorm,
  kTpFfnChunks,
  kTpHeadChunks,
  kEp,
  kDp,
  kStageCount,
  kStageLayers,
  kStageDevice,
  kAllLayers,
  kPpLayers,
  kPpOrMap,
  kMapForm,
  kMapEmptyStage,
  kMapDeviceTwice,
  kMapDeviceUnknown,
  kMapDeviceOfCluster,
  kMapLayers,
  kNodeLeft,
  kMaxLen,
  kMaxSeqs,
  kMaxBatchedTokens,
  kMemoryRange,
  kWorld,
  kDevices,
  kNeedsNccl,
  kNoDevices,
  kOrdinalForm,
  kOrdinalUnknown,
  kOrdinalTwice,
  kLocalWorld,
  kDeviceMemory,
  kFits,
  kCount_,
};

enum class Severity : uint8_t { kError, kWarning };

struct Rule {
  RuleId id;
  std::string_view name;  // stable: "tp.heads"
  Severity severity;
  std::string_view formula;  // what must hold
  std::string_view source;   // where it comes from
  std::string_view remedy;   // how to satisfy it
  std::string_view message;  // what is said where it is broken; {} for each number
};

inline constexpr std::array<Rule, static_cast<size_t>(RuleId::kCount_)> kRules = {{
    {RuleId::kTpPowerOfTwo, "tp.power-of-two", Severity::kError, "tp = 2^n",
     "sums are one binary tree over canonical chunks, of which a rank owns a whole subtree (kernels/kernels.h)",
     "take a size that `mrs-plan build --dry-run` lists as legal, or --pp for other numbers of ranks",
     "not a power of two"},
    {RuleId::kTpHeads, "tp.heads", Severity::kError, "heads % tp = 0, in every layer",
     "a query head is computed by one rank (planner/passes/apply_layout.cc)",
     "take a smaller --tp, and --pp for the other ranks", "{} attention heads do not divide by {}"},
    {RuleId::kTpKvHeads, "tp.kv-heads", Severity::kError, "kv_heads % tp = 0 or tp % kv_heads = 0, in every layer",
     "key-value heads are split evenly, or each is copied to equally many ranks (ir/dim_slice.h)",
     "take a smaller --tp, and --pp for the other ranks",
     "{} key-value heads neither divide by {} nor replicate evenly over {} ranks"},
    {RuleId::kTpKvNorm, "tp.kv-norm", Severity::kError,
     "kv_heads % tp = 0, in layers whose keys have one norm over all heads",
     "a copied head would be counted twice in the norm's sum (OLMo 2 and 3)",
     "take a --tp that divides the key-value heads",
     "{} key-value heads, which have a norm over all of them, do not divide by {}"},
    {RuleId::kTpFfnChunks, "tp.ffn-chunks", Severity::kError,
     "tp <= min(16, the largest power of two that divides ffn), in every layer",
     "down_proj is summed in canonical chunks of its width, the same for every layout (ir/canonical_chunks.h)",
     "take a smaller --tp, and --pp for the other ranks",
     "FFN width {} gives down_proj {} canonical chunks, fewer than {} ranks"},
    {RuleId::kTpHeadChunks, "tp.head-chunks", Severity::kError,
     "tp <= min(16, the largest power of two that divides heads), in every layer",
     "o_proj is summed in canonical chunks of query heads, the same for every layout (ir/canonical_chunks.h)",
     "take a smaller --tp, and --pp for the other ranks",
     "{} attention heads give o_proj {} canonical chunks, fewer than {} ranks"},
    {RuleId::kEp, "layout.experts", Severity::kError, "ep = 1", "dense models have no experts", "leave ep at 1",
     "ep {}: this model has no experts"},
    {RuleId::kDp, "layout.replicas", Severity::kError, "dp = 1", "a plan is one replica's",
     "run one mrs-exec for each replica", "dp {}: replicas of a model are not there yet"},
    {RuleId::kStageCount, "layout.stage-count", Severity::kError, "stages of the layout = stages of its mesh",
     "ranks are counted by the mesh (ir/mesh.h)", "give one entry for each stage",
     "the layout has {} stages, its mesh {}"},
    {RuleId::kStageLayers, "layout.stage-layers", Severity::kError,
     "stage s has at least one layer, and begins where stage s - 1 ends",
     "a token passes the layers in their order, each once", "give every stage one run of layers, in their order",
     "stage {} has layers {} to {}, expected at least one, from {}"},
    {RuleId::kStageDevice, "layout.stage-device", Severity::kError, "no two stages are on one device",
     "a device has one run of layers", "put each stage on a device of its own",
     "stage {} is on device {}, as an earlier one"},
    {RuleId::kAllLayers, "layout.all-layers", Severity::kError, "layers of all stages = layers of the model",
     "every layer is computed once", "give the stages all layers",
     "the stages have {} layers together, the model has {}"},
    {RuleId::kPpLayers, "pp.layers", Severity::kError, "pp <= layers", "a stage has at least one layer",
     "take at most as many stages as the model has layers",
     "--pp {}: the model has {} layer{}, and a stage at least one"},
    {RuleId::kPpOrMap, "pp.or-map", Severity::kError, "at most one of --pp and --device-layers",
     "both say how many stages there are", "leave one of them out",
     "--pp {} says how many stages there are, too; give one"},
    {RuleId::kMapForm, "map.form", Severity::kError, "DEVICE:LAYERS, separated by semicolons",
     "the form of mistral.rs' --num-device-layers", "write, say, 0:16;1:16",
     "\"{}\" is no stage; expected DEVICE:LAYERS for each stage, separated by semicolons, e.g. 0:16;1:16"},
    {RuleId::kMapEmptyStage, "map.empty-stage", Severity::kError, "layers of each device >= 1",
     "a stage has at least one layer", "leave the device out, or give it some layers",
     "device {} has no layers; leave it out, or give it some"},
    {RuleId::kMapDeviceTwice, "map.device-twice", Severity::kError, "each device stands once",
     "a device has one run of layers", "join its layers into one entry",
     "device {} stands twice; a device has one run of layers, so it stands once, in the order of the layers"},
    {RuleId::kMapDeviceUnknown, "map.device-unknown", Severity::kError, "0 <= device < stages",
     "without a cluster the devices are CPU ranks of this host, or their groups of --tp, one a stage",
     "count devices from 0",
     "device {} is unknown; without a cluster the devices are CPU ranks of this host, or their groups of --tp, one for "
     "each of the {} stage{}: 0 to {}"},
    {RuleId::kMapDeviceOfCluster, "map.device-of-cluster", Severity::kError, "0 <= device < devices / tp",
     "devices are the cluster's, or their groups of --tp", "count devices from 0",
     "device {} is unknown; the cluster has {} device{}, or groups of --tp: 0 to {}"},
    {RuleId::kMapLayers, "map.layers", Severity::kError, "layers of all entries = layers of the model",
     "every layer is computed once", "make the numbers add up to the model's layers",
     "its stages have {} layers together, the model has {}"},
    {RuleId::kNodeLeft, "map.node-left", Severity::kWarning, "stages of one node follow each other",
     "each return to a node sends every token over the network once more", "order the map node by node",
     "--device-layers {}: stage {} returns to node {}, which an earlier stage has left; each return sends every token "
     "over the network once more"},
    {RuleId::kMaxLen, "limits.max-len", Severity::kError,
     "1 <= max-len <= max_position_embeddings, or as far as RoPE scaling reaches", "the model's config.json",
     "take a smaller --max-len", "--max-len {}: the model was made for 1 to {} tokens (max_position_embeddings{})"},
    {RuleId::kMaxSeqs, "limits.max-seqs", Severity::kError, "1 <= max-seqs <= 4096",
     "the smallest batch holds a token of every sequence (planner/layout.cc)", "take a --max-seqs within it",
     "--max-seqs {}: expected 1 to 4096 sequences in one forward"},
    {RuleId::kMaxBatchedTokens, "limits.max-batched-tokens", Severity::kError,
     "max-seqs <= max-batched-tokens <= 65536", "every batch holds a token of every sequence (planner/layout.cc)",
     "take a larger one, or a smaller --max-seqs",
     "--max-batched-tokens {}: expected at least --max-seqs {}, a token of each sequence"},
    {RuleId::kMemoryRange, "memory.range", Severity::kError, "memory <= 2^48 bytes a rank",
     "what a plan may ask for (plans/contract.h)", "take a smaller --memory",
     "--memory {}: expected at most {} bytes a rank"},
    {RuleId::kWorld, "world.power-of-two", Severity::kError,
     "stages x tp = 2^n where both are above 1, or --allow-any-world", "sums over all ranks are binary trees, too",
     "take 2^n stages, or say --allow-any-world", "{} stages x tp {} are {} ranks, which is no power of two"},
    {RuleId::kDevices, "layout.devices", Severity::kError, "stages x tp <= devices", "a rank has a device of its own",
     "take fewer ranks, or give more devices", "{} ranks (tp {} x {} stages) are more than the {} devices there are"},
    {RuleId::kNeedsNccl, "layout.needs-nccl", Severity::kError,
     "tp = 1 on GPUs without NCCL that are not known to reach each other's memory",
     "sums through the hosts' memory are slow: who says that there is no NCCL gets stages, or says staged as well "
     "(planner/choose_collectives.h)",
     "leave --no-nccl out, take stages: --pp N, or say --collectives staged",
     "tp {} needs NCCL, and {} says there is none"},
    {RuleId::kNoDevices, "devices.none", Severity::kError, "devices >= 1", "a rank has a device of its own",
     "make a device visible", "no device is left to plan for; make some visible, or name them with --devices"},
    {RuleId::kOrdinalForm, "devices.form", Severity::kError, "whole numbers, separated by commas",
     "the form of CUDA_VISIBLE_DEVICES; UUIDs are not in a cluster's description", "write ordinals: cuda:0,1",
     "\"{}\" is no device; expected ordinals separated by commas, such as 0,1"},
    {RuleId::kOrdinalUnknown, "devices.unknown", Severity::kError, "0 <= ordinal < devices of the node",
     "ordinals count what CUDA_VISIBLE_DEVICES leaves, from 0", "take ordinals that are there",
     "device {} is not there: node {} has {} (to device {})"},
    {RuleId::kOrdinalTwice, "devices.twice", Severity::kError, "each ordinal stands once, but of --collectives ipc",
     "ranks of one device take turns, and NCCL refuses them",
     "name each device once, or for tests say --collectives ipc", "device {} stands twice"},
    {RuleId::kLocalWorld, "devices.local-world", Severity::kError, "ranks of a node <= its devices",
     "a rank has a device of its own", "make the variable at most the number of devices",
     "{}={}: node {} has {} devices"},
    {RuleId::kDeviceMemory, "memory.known", Severity::kError, "every device's memory is known",
     "what fits is computed from it",
     "give the device's memory in the cluster file, or a model of the catalogue, or --memory",
     "{} ({}): its memory is not known; give it in the cluster file, or say --memory BYTES"},
    {RuleId::kFits, "memory.fits", Severity::kError,
     "weights + activations + one sequence's KV cache of max-len tokens <= what a rank may use: --memory, else 90 % of "
     "the host's over its ranks",
     "planner/fit.h states each term; KV: layers x 2 x kv_heads / tp x head_dim x bytes x tokens, in blocks of 32",
     "give more --memory, a larger --tp or --pp, or a smaller --max-len",
     "the plan does not fit: {} may use {} bytes, but its weights take {}, activations {}, and the KV cache of one "
     "sequence of {} tokens {}"},
}};

constexpr const Rule& RuleOf(RuleId id) { return kRules[static_cast<size_t>(id)]; }

// The message of a broken rule, without what it is about.
template <RuleId id, typename... Values>
std::string Broken(const Values&... values) {
  static_assert(RuleOf(id).id == id, "kRules is in the order of RuleId");
  return fmt::format(RuleOf(id).message, values...);
}

// The same as an Error; `about` ("--device-layers 0:1") stands before it where it is given.
template <RuleId id, typename... Values>
Error BrokenRule(std::string_view about, const Values&... values) {
  const std::string message = Broken<id>(values...);
  return Refuse("{}{}{}", about, about.empty() ? "" : ": ", message);
}

std::string RulesText();  // a table for people, each rule with its four facts
std::string RulesJson();  // an array of objects, one a rule

}  // namespace mrs
