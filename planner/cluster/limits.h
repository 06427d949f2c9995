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
// [ and { in a file, wherever they stand: two for each of kMaxLinks links, one for each of as many parts, and as many
// again for devices, nodes and what is said beside them.
inline constexpr size_t kMaxFileBrackets = size_t{1} << 18;
static_assert(kMaxFileBrackets >= 3 * kMaxLinks + kMaxDevices + 8 * kMaxNodes);

}  // namespace mrs::cluster
