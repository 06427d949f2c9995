// What `nvidia-smi topo -m` prints, copied from a terminal, a log or an issue, as a cluster.
//
//           GPU0    GPU1    NIC0    CPU Affinity    NUMA Affinity
//   GPU0     X      NV12    PIX     0-23            0
//   GPU1    NV12     X      SYS     24-47           1
//   NIC0    PIX     SYS      X
//   ->  sockets 0 and 1; GPU 0 and NIC 0 behind one switch, GPU 1 at the other socket, 12 NVLinks between the GPUs
//
// A tree is made that has exactly the classes of the matrix (SmiClass); what it does not tell (models, memory, link
// rates) stays unknown. NVLinks are kept as each row tells them, asymmetric ones, too; more of them than any GPU has
// links are an NVSwitch's. Several tables are several nodes; where each line begins with a host's name
// ("node1: GPU0 ...", smi_hosts.h), they have these names. Words may stand apart in any way and be coloured; prompts
// and legends around the tables are passed over.
#pragma once

#include <string>
#include <string_view>

#include "planner/cluster/cluster.h"
#include "plans/status.h"

namespace mrs::cluster {

// Any bytes. "m.txt: line 3, column 17: row GPU1, column GPU0: expected X, NV#, PIX, PXB, PHB, NODE or SYS, got 'PXI'".
Result<Cluster> ParseSmiMatrix(std::string_view text, std::string_view where);

// Whether there is such a table in the text.
bool HasSmiMatrix(std::string_view text);

// A device or nic of a node, and what nvidia-smi prints of two of them: "X", "NV12", "PIX", "PXB", "PHB", "NODE",
// "SYS".
struct SmiPart {
  bool nic = false;
  int index = 0;
};
std::string SmiClass(const Node& node, SmiPart from, SmiPart to);

}  // namespace mrs::cluster
