// Which devices of a cluster a plan is for, in the order of its ranks, and what of each it may use.
//
//   8 GPUs, {.flag = "cuda:0,1"} under CUDA_VISIBLE_DEVICES=4,5,6,7  ->  devices 4 and 5
//
// A flag's ordinals count what CUDA_VISIBLE_DEVICES leaves, as a program's do; a node of CPU ranks alone knows neither.
// Devices of one NVLink island follow each other, then those of one socket, then those of one node, then those of one
// NVLink domain, so that neighbours in the order are near.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/cluster/cluster.h"
#include "planner/cluster/device_paths.h"
#include "plans/status.h"

namespace mrs {

struct VisibleDevice {
  int node = 0;    // index into Cluster.nodes
  int device = 0;  // index into Node.devices
  int island = 0;  // in the cluster (device_paths.h): devices that NVLink, xGMI or an NVSwitch joins, each with each
  int64_t usable_bytes = 0;
  int number = 0;  // what --devices calls it: its ordinal, or its place among those that CUDA_VISIBLE_DEVICES leaves
  bool operator==(const VisibleDevice&) const = default;
};

struct DeviceChoice {
  std::string flag = {};                           // --devices: "cuda:0,1"; "": not said
  std::optional<std::string> cuda_visible = {};    // CUDA_VISIBLE_DEVICES
  std::optional<std::string> per_node_ranks = {};  // MISTRALRS_MN_LOCAL_WORLD_SIZE: so many devices of each node
  std::optional<uint64_t> memory = {};             // --memory: at most so much of each
  bool may_repeat = false;   // a device that the flag names several times has as many ranks, which share its memory
  uint64_t host_memory = 0;  // of a node of CPU ranks that does not say; 0: not known
};

// Errors name the flag or variable. Refuses what is no ordinal, an ordinal that is not there or stands twice where that
// is no choice, devices of several kinds, one of which no memory is known, and ROCm, which has no backend yet.
Result<std::vector<VisibleDevice>> ChooseDevices(const cluster::Cluster& cluster, const DeviceChoice& choice);

// "a,b,c" as whole numbers; what it is called stands in errors. "-1" ends the list, as CUDA has it.
Result<std::vector<int>> ParseOrdinals(std::string_view what, std::string_view text);

// What bytes between any two of these devices cross at worst.
enum class Crossing : uint8_t {
  kNothing,
  kNvlink,
  kNvlinkNodes,    // of one NVLink domain
  kNvlinkThrough,  // NVLinks by way of a third GPU
  kC2c,
  kSwitch,
  kSwitches,
  kHostBridge,
  kSockets,
  kMemory,
  kNetwork
};
Crossing WorstCrossing(const cluster::Cluster& cluster, const cluster::DevicePaths& paths,
                       const std::vector<VisibleDevice>& devices);
std::string_view CrossingText(Crossing crossing);  // "NVLink", "the network"
bool NeedsPeerAccess(Crossing crossing);           // between GPUs that NVLink or switches join

}  // namespace mrs
