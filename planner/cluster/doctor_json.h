// The cluster of one node that `mrs-exec doctor --json` has seen: its sockets, PCI switches, GPUs as CUDA counts them,
// NVLinks, and the network cards that are up.
//
//   MRS_ASSIGN_OR_RETURN(const std::string text, ReadFile("host.json", kMaxDoctorBytes));
//   MRS_ASSIGN_OR_RETURN(const Cluster cluster, ParseDoctorJson(text, "host.json"));
//   // host.json: line 12, column 15: 'cpu.cores': expected a whole number from 1 to 65536, got "two"; ...
//
// A host without a GPU gives CPU ranks. One whose driver fails, or whose GPUs are cut into MIG instances, is refused.
#pragma once

#include <cstddef>
#include <string_view>

#include "planner/cluster/cluster.h"
#include "plans/status.h"

namespace mrs::cluster {

inline constexpr size_t kMaxDoctorBytes = size_t{4} << 20;
inline constexpr size_t kMaxDoctorValues = size_t{1} << 18;

// Any bytes. The fields are those of "mrs-doctor 1" (runtime/doctor/README.md); what is not read here may be anything.
Result<Cluster> ParseDoctorJson(std::string_view text, std::string_view where);

}  // namespace mrs::cluster
