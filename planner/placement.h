// Lays a model out over the devices of a cluster: the layout that flags ask for, or the default; which device each rank
// is on, and what the ranks' traffic crosses.
//
//   70B on 8 H100 of one NVSwitch, nothing said  ->  tp 8: ranks 0 to 7 on devices 0 to 7, all-reduces over NVLink
//   8B on 24 GB and 48 GB, without NCCL          ->  stages 0:11;1:21, by memory
//
// The default: one device has all of the model; several share it by tensor parallelism over all of them, and where the
// model allows no size above 1, or nothing would carry the sums (there is no NCCL, and the GPUs do not reach each
// other's memory), they are stages, cut by memory. A size that the model forbids is
// refused: what was asked for is never quietly made less, and what works instead is said (ways_out.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "planner/fit.h"
#include "planner/visible_devices.h"

namespace mrs {

struct LayoutWish {
  std::optional<int64_t> tp = {};
  std::optional<int64_t> pp = {};
  std::string device_layers = {};
  int64_t max_seqs = 1;
  int64_t max_batched_tokens = 0;  // as LayoutFlags has it
  int64_t max_len = 0;
  bool bf16 = true;
  std::string no_nccl = {};                     // what says that there is none: "--no-nccl"; "": nothing does
  std::optional<Collectives> collectives = {};  // as it is said; nothing: ChooseCollectives is asked
};

struct Placement {
  LayoutFlags flags;
  std::vector<VisibleDevice> ranks;  // in the order of ranks, group after group; what is left over is not among them
  Budget budget;                     // of the devices in that order
  std::string chosen;                // why this layout, where no flag says it
};

Result<Placement> Place(const ModelSpec& spec, const cluster::Cluster& cluster,
                        const std::vector<VisibleDevice>& devices, const LayoutWish& wish);

// "0:20;1:12" over the devices in groups of `tp`, one or more: it fills them to about the same share of what each may
// use (layer_map.h).
Result<std::string> MapByMemory(const ModelSpec& spec, const cluster::Cluster& cluster,
                                const std::vector<VisibleDevice>& devices, const LayoutWish& wish, int64_t tp,
                                bool cuda);

// What of --collectives ipc can be: each rank of a group reaches the others' memory, as they are of one node, joined
// without the host, and few enough. Where so do all that hand on from stage to stage, they do that by it, too: kIpc;
// else kIpcInStages. Refuses the first group that does not by its name, with those of the `visible` devices that do, as
// many as one of `sizes`, the legal ones in order; of groups of one the first stage that does not reach the next.
Result<Collectives> PeersOf(const cluster::Cluster& cluster, const std::vector<VisibleDevice>& visible,
                            const std::vector<VisibleDevice>& ranks, const Layout& layout,
                            const std::vector<int64_t>& sizes);

// Where each group and border lies, one line each: "tp group 0: devices 0 to 3 of node gpu-0, over NVLink, ...".
std::vector<std::string> PlacementLines(const cluster::Cluster& cluster, const std::vector<VisibleDevice>& ranks,
                                        const Layout& layout);

}  // namespace mrs
