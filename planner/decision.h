// From what options and variables say to what a plan would be: devices, layout, and whether it fits. Planning itself
// decides here, and so does whoever proposes something else (ways_out.h): what is proposed was decided by the same
// function as what is refused.
//
//   Decider({.spec = &llama_70b, .cluster = &eight_h100}).Decide({})
//     ->  tp 8 on devices 0 to 7, "tensor parallel over all 8 devices", it fits
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "planner/cluster/cluster.h"
#include "planner/fit.h"
#include "planner/placement.h"
#include "planner/visible_devices.h"

namespace mrs {

// As it was typed, and as the environment has it.
struct Wish {
  std::optional<int64_t> tp = {};
  std::optional<int64_t> pp = {};
  std::string device_layers = {};
  std::optional<int64_t> max_len = {};
  int64_t max_seqs = 16;
  std::optional<int64_t> max_batched_tokens = {};  // nothing: as layout.h has it
  std::string dtype = "auto";
  std::optional<uint64_t> memory = {};
  std::string devices = {};
  std::optional<std::string> cuda_visible = {};  // CUDA_VISIBLE_DEVICES
  std::optional<std::string> local_world = {};   // MISTRALRS_MN_LOCAL_WORLD_SIZE
  std::string no_nccl = {};                      // what says that there is none: "--no-nccl", "MISTRALRS_NO_NCCL=1"
  std::string collectives = {};                  // of GPUs: "staged", "nccl", "ipc"; "": as choose_collectives.h has it
  bool any_world = false;
  std::string solve = {};  // "max-len", "max-seqs": that option is not among those above then
  bool operator==(const Wish&) const = default;
};

// What is planned, and what for: no wish changes it.
struct Subject {
  const ModelSpec* spec = nullptr;
  bool bf16 = true;                           // what --dtype auto is
  const cluster::Cluster* cluster = nullptr;  // null: CPU ranks of this host
  bool of_file = false;                       // the cluster is a file's: variables count without --devices, too
  std::optional<uint64_t> host_memory = {};   // of this host; nothing: not known
  bool unbounded = false;                     // without --memory and cluster a rank may use what it needs (--dry-run)
  bool takes_devices = false;                 // --devices: of --gpus and of a file

  // Of one host, so that more ranks have less each.
  bool SharesHost(const Wish& wish) const { return cluster == nullptr && !wish.memory && !unbounded; }
};

// What --solve starts from: one token, one sequence.
Wish StartOf(const Wish& wish);
// With batches that hold a token of every sequence, where it asks for smaller ones.
Wish WithTokenOfEach(const Wish& wish);

struct Decision {
  const cluster::Cluster* cluster = nullptr;  // null: as many CPU ranks as the layout has
  std::vector<VisibleDevice> devices;         // of the cluster, in groups of tp
  LayoutFlags flags;
  Budget budget;
  std::string chosen;       // why this layout, where no flag says it
  std::string talk_chosen;  // and why these collectives: "--collectives ipc, as ..."
  int64_t max_len = 0;
  bool bf16 = true;
  Layout layout;
  FitVerdict verdict;  // of Decide alone
};

class Decider {
 public:
  explicit Decider(const Subject& subject);
  const Subject& subject() const { return subject_; }

  // The layout, whether it fits or not. Refuses what model, devices or rules forbid.
  Result<Decision> Place(const Wish& wish) const;
  // Also judged (Judge in fit.h); what does not fit is no error.
  Result<Decision> Decide(const Wish& wish) const;
  // Whether a plan comes of it: with `solve`, whether anything is found.
  bool Plans(const Wish& wish) const;

  // What ranks may be on; nothing: without a cluster. Kept, as many wishes have the same.
  Result<std::optional<std::vector<VisibleDevice>>> Devices(const Wish& wish) const;
  const cluster::Cluster* ClusterOf(const Wish& wish) const;  // null: none, or the variable is not understood
  int64_t LengthOf(const Wish& wish) const;                   // tokens of a sequence
  // Of a forward, as LayoutFlags has it; more than all sequences' tokens are never together.
  int64_t BatchedTokensOf(const Wish& wish) const;

 private:
  Result<Decision> PlaceBy(const Wish& wish, std::optional<Collectives> collectives) const;
  bool CountsHostRanks(const Wish& wish) const;
  const cluster::DevicePaths& PathsOf(const cluster::Cluster& cluster) const;

  Subject subject_;
  using Key = std::tuple<const cluster::Cluster*, std::string, std::optional<std::string>, std::optional<std::string>,
                         std::optional<uint64_t>, bool>;
  mutable std::map<Key, Result<std::vector<VisibleDevice>>> devices_;
  mutable std::map<int, cluster::Cluster> hosts_;  // this one with so many ranks
  mutable std::map<const cluster::Cluster*, cluster::DevicePaths> paths_;
};

// The most tokens a sequence may have for one to fit; nothing: not even one token does.
std::optional<int64_t> SolveMaxLen(const Decider& decider, Wish wish);
// The most sequences that may have max_len tokens all at once; nothing: not even one.
std::optional<int64_t> SolveMaxSeqs(const Decider& decider, Wish wish);

// The largest value in [lowest, below) that is good, where `lowest` is and `below` is not; good(below) is not asked.
int64_t LargestGood(int64_t lowest, int64_t below, const std::function<bool(int64_t)>& good);

}  // namespace mrs
