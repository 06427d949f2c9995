// What NCCL takes of a GPU's memory over PCIe and networks: the planner counts it, and sums in two steps, for which it
// takes more, are only of plans that count them.
//
//   NcclBytes({.tp = 8})                  ->  551.3 MiB: its group's rings, and what joins a rank to each of 7 others
//   NcclBytes({.tp = 2, .last = false})   ->  422.0 MiB: two ranks gather alone; and what joins it to the next stage
//   CountsNcclShares(NcclBytes({.tp = 8}), {.tp = 8})   ->  true; false of a plan that has the rings alone
//
// A rank that sends to each of its group and receives from each, as it does where sums go in two steps
// (runtime/rank/cuda/nccl_sum.h), is joined to each by channels with buffers of their own.
#pragma once

#include <cstdint>

namespace mrs {

struct NcclRank {
  int64_t tp = 1;
  bool first = true, last = true;  // of the stages
};

// What one NCCL channel keeps for each peer that it receives from: 4 MiB for SIMPLE, and for LL and LL128 their lines
// (nccl/src/include/device.h and src/init.cc: DEFAULT_BUFFSIZE, DEFAULT_LL_BUFFSIZE, DEFAULT_LL128_BUFFSIZE).
constexpr int64_t kNcclSimple = int64_t{1} << 22;
constexpr int64_t kNcclLl = int64_t{8} * 512 * 8 * 16;
constexpr int64_t kNcclLl128 = int64_t{120} * 640 * 8 * 8;
constexpr int64_t kNcclChannels = 32;  // MAXCHANNELS, device.h
constexpr int64_t kNcclGroupBytes = kNcclChannels * (kNcclSimple + kNcclLl + kNcclLl128);
// Sends and receives between two ranks: a few channels with buffers of all protocols (below), less than this.
constexpr int64_t kNcclPeerBytes = kNcclChannels * kNcclSimple;
// Of all that a group's rank exchanges shares with: ncclTopoGetNchannels (src/graph/paths.cc) has two channels over
// PCIe, and over a network a few, whose buffers all peers share. Over NVLink it has two a link, up to 32 channels:
// ranks so joined have ipc where nothing else is said, and what NCCL takes there beyond this is of the tenth that no
// plan uses.
constexpr int64_t kNcclShareChannels = 4;
constexpr int64_t kNcclShareBytes = kNcclShareChannels * (kNcclSimple + kNcclLl + kNcclLl128);

// Between two ranks a sum in two steps moves as much as one that is gathered.
constexpr int64_t NcclSharesBytes(int64_t tp) { return tp > 2 ? (tp - 1) * kNcclShareBytes : 0; }

constexpr int64_t NcclBytes(const NcclRank& rank) {
  int64_t bytes = rank.tp > 1 ? kNcclGroupBytes + NcclSharesBytes(rank.tp) : 0;
  if (!rank.first) bytes += kNcclPeerBytes;
  if (!rank.last) bytes += kNcclPeerBytes;
  return bytes;
}

// Whether a plan that counts so many bytes of communicators has sums in two steps.
constexpr bool CountsNcclShares(int64_t communicators_bytes, const NcclRank& rank) {
  return NcclSharesBytes(rank.tp) > 0 && communicators_bytes >= NcclBytes(rank);
}

}  // namespace mrs
