// From a model folder to the bytes of a plan: read, check, build the graph, run the passes, emit, verify.
//
//   BuildOptions options{.model_dir = "models/mini", .tp = 2};
//   MRS_ASSIGN_OR_RETURN(Built built, Build(options));
//   MRS_RETURN_IF_ERROR(WritePlanFile("mini.mrsplan", built.plan_bytes));
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "planner/cluster/cluster.h"
#include "planner/rank_place.h"
#include "plans/status.h"

namespace mrs::planner {

// Where a plan that there is has its ranks, for who builds its graph again (verify_model.h).
struct PlannedRanks {
  std::vector<RankPlace> ranks;
  std::string cluster;  // Cluster.description
};

struct BuildOptions {
  std::string model_dir;
  std::string name;                // what clients call the model; "": after its folder
  std::optional<int64_t> tp;       // absent: 1, or with a cluster as placement.h chooses
  int64_t pp = 0;                  // stages; 0: not said
  std::string device_layers = {};  // "0:16;1:16": device ordinal : layers of each stage; "": not said
  std::optional<int64_t> max_len;  // absent: the model's own, at most 8192
  int64_t max_seqs = 16;
  std::optional<int64_t> max_batched_tokens;  // of one forward; absent: 512, of fast numerics what fits up to 8192
  std::string numerics = "auto";              // pair2, block32, fast; auto: as choose_numerics.h has it
  std::string dtype = "auto";                 // f32, bf16; auto: bf16 for bf16 checkpoints, else f32
  std::optional<uint64_t> memory;             // bytes a rank may use; absent: 90 % of this host's over its ranks
  std::string reduction = "canonical";        // rank_order: a control that is not invariant
  bool config_only = false;                   // tensors are what config.json makes them: DryRun
  std::optional<cluster::Cluster> cluster;    // absent: as many CPU ranks of this host as the layout has
  std::string devices = {};                   // of the cluster: "cuda:0,1"; "": all
  bool cluster_of_file = false;               // it is a file's: the variables below count without `devices`, too
  std::optional<std::string> cuda_visible;  // CUDA_VISIBLE_DEVICES and MISTRALRS_MN_LOCAL_WORLD_SIZE, as they are set;
  std::optional<std::string> local_world;   // decision.h says where they count
  std::string no_nccl = {};       // what says that there is none: "--no-nccl and MISTRALRS_NO_NCCL=1"; "": nothing does
  std::string collectives = {};   // "staged", "nccl", "ipc" between GPUs; "": as choose_collectives.h has it
  bool any_world = false;         // stages x tp need be no power of two
  std::string hash_weights = {};  // "xxh3", "sha256": read them all, and record digests; "": headers alone
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> on_hashed = {};
  std::optional<PlannedRanks> as_planned;  // instead of a cluster and of `memory`
  std::string solve = {};                  // "max-len", "max-seqs": the largest that fits, instead of that option
};

struct Built {
  std::string plan_bytes;
  std::string unsharded_ir;  // text, before any pass
  std::vector<std::string> warnings;
  std::vector<std::string> notes;  // what was chosen: a solved option
};

// The plan is the model's by the erasure check (erasure.h), or it is refused.
Result<Built> Build(const BuildOptions& options);
// Only the unsharded module as text, with every fact and option as attributes: what mrs-opt starts from.
Result<Built> BuildUnsharded(const BuildOptions& options);
// A finished module (hand-written, or of mrs-opt --mrs-plan) to a plan. Runs no pass: what is not decided is refused.
// `source_path`: the unsharded module that it must compute; "": the plan has no certificate of erasure, which is warned
// of.
Result<Built> BuildFromIr(const std::string& path, const std::string& source_path);

}  // namespace mrs::planner
