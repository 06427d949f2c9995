// What is known of each model of device, as rows of data: what a vendor's data sheet says, under every name it goes by.
//
//   FindDeviceModel("NVIDIA H100 80GB HBM3")->name  ->  "H100-SXM": 81559 MiB, 3350 GB/s, 989.4 TFLOP/s in bf16,
//                                                       18 NVLinks of 25 GB/s each way to an NVSwitch, PCIe 5.0 x16
//
// The rows lie in catalogue_*.cc, and where their figures come from in catalogue_rows.h.
//
// Names match exactly, but for case, spaces, dashes and makers' names in front: an RTX 4070 Ti is no RTX 4070 Ti SUPER.
// Where a bare name is several models the row's aliases say which is meant: "H100" is the SXM module, "A100" its 80 GB
// one; "V100" is its 16 GB one.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "planner/cluster/cluster.h"

namespace mrs::cluster {

// How devices of one model are joined in the node that a short form means.
enum class Joined : uint8_t {
  kPcie,    // each on a root port of its own; an NVLink bridge may join pairs, and is there where a description says so
  kSwitch,  // all links of each go to an NVSwitch fabric
  kMesh,    // one link to each other device
  kVaries,  // by links of which each machine has others: only a description says which
};

struct DeviceModel {
  std::string_view name;
  DeviceKind kind = DeviceKind::kCuda;
  uint64_t memory_bytes = 0;    // what the driver offers, which is less than the name says; 0: the host's own
  double memory_gigabytes = 0;  // read per second
  double bf16_teraflops = 0;    // dense, sums in f32; 0: none, or not published
  int sm = 0;                   // compute capability: 90 is 9.0; 0: not CUDA
  std::string_view gcn = {};    // AMD's architecture, gfx942; "": not ROCm
  PeerKind peer = PeerKind::kNvlink;
  int peer_links = 0;         // that the device has; 0: none
  double peer_gigabytes = 0;  // of one and direction, per second
  Joined joined = Joined::kPcie;
  int pcie_generation = 0;  // 0: not on PCIe
  int pcie_lanes = 0;
  bool pcie_peers = true;    // the driver lets them reach each other's memory over PCIe switches; GeForce cards: not
  int most_per_node = 0;     // as many as a node has; 0: no limit of the model's
  int nodes_per_domain = 0;  // that share one NVSwitch fabric in the rack it is built for; 0: a node its own
  int sockets = 1;           // of the node that a short form means
  std::array<uint32_t, 4> pci_ids = {};  // vendor << 16 | device; 0: none
  std::string_view aliases = {};         // further names, normalized (NormalizedModel), a space between
  std::string_view source;               // of the rates
  std::string_view memory_source;
};

std::span<const DeviceModel> Catalogue();

// Null where no row has that name, or id.
const DeviceModel* FindDeviceModel(std::string_view name);
const DeviceModel* FindDevicePci(uint16_t vendor, uint16_t device);

// "NVIDIA GeForce RTX 4090" -> "rtx4090": lower case, without spaces, punctuation and makers' names; 80g is 80gb.
std::string NormalizedModel(std::string_view name);

// The row of a name that is nearest to a misspelt one, for messages. Never null.
const DeviceModel* NearestDeviceModel(std::string_view name);

// 5.0 -> 32 GT/s a lane. 0 for 0.
double GigatransfersOf(int pcie_generation);

}  // namespace mrs::cluster
