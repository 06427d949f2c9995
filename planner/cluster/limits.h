// How much of a cluster is read from outside: more is refused by name, each and in total.
#pragma once

#include <cstddef>

namespace mrs::cluster {

inline constexpr size_t kMaxNodes = 1024;
inline constexpr size_t kMaxDevicesPerNode = 64;
inline constexpr size_t kMaxDevices = 8192;
inline constexpr size_t kMaxPartsPerNode = 256;   // sockets, switches and nics, of each
inline constexpr size_t kMaxLinksPerNode = 4096;  // every pair of 64 devices, each way, and 64 to a fabric
inline constexpr size_t kMaxLinks = 65536;        // and as many parts
inline constexpr size_t kMaxNameBytes = 256;      // a name, address, model or bus id

inline constexpr size_t kMaxFileBytes = size_t{8} << 20;
inline constexpr size_t kMaxFileValues = size_t{1} << 20;
inline constexpr int kMaxFileDepth = 16;
inline constexpr size_t kMaxTextBytes = size_t{64} << 10;  // of one value
// Keys and values that are held at once: those of one node, and what stands beside the nodes. A link has 11 of them
// with its own map, a part fewer than 16.
inline constexpr size_t kMaxNodeValues = size_t{1} << 17;
static_assert(kMaxNodeValues >= 11 * kMaxLinksPerNode + 16 * (3 * kMaxPartsPerNode + kMaxDevicesPerNode) +
                                    kMaxLinksPerNode + 3 * kMaxNodes);
// Brackets, quotes and the like that are read before it is known what they are of: a node written as JSON has fewer.
inline constexpr size_t kMaxFileAhead = size_t{1} << 17;

}  // namespace mrs::cluster
