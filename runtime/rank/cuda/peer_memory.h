// A device's memory that the devices of other ranks of its host write and read (CUDA IPC): each rank of a group gives
// some of its own, opens the others', and tries both before anything is told there.
//
//   MRS_ASSIGN_OR_RETURN(auto memory, PeerMemory::Meet(*device, {.group = group, .ranks = {2, 3}, .bytes = 6 << 20}));
//   memory->at(1)   // what rank 3 gave, as this one's device reaches it
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/peer_exchange.h"
#include "kernels/cuda/peer_transfer.h"
#include "runtime/comm/communicator.h"
#include "runtime/rank/cuda/decode_terms.h"
#include "runtime/rank/cuda/device.h"

namespace mrs {

// What of a program its exchanges go by, and so all ranks' programs must have alike: a block waits for the one of its
// number on each other rank, for as many pieces, and finds words and pieces where its own program has them.
struct PeerGrid {
  int64_t blocks = kernels::cuda::kPeerBlocks;
  int64_t piece_bytes = kernels::cuda::kPeerPieceBytes;
  int64_t header_bytes = kernels::cuda::kPeerHeaderBytes;
  int64_t most_ranks = kernels::cuda::kMostPeers;  // for whose words there is room
  int64_t two_shot_bytes_of_few = kernels::cuda::TwoShotBytes(4), two_shot_bytes = kernels::cuda::TwoShotBytes(16);
  int64_t most_bytes = int64_t{1} << 30;  // summed or handed on at a time, as the kernels have a limit
  // In one launch with their sum: a block has a row. Of more, the norm has the whole device for itself after the sum.
  int64_t most_normed_rows = kernels::cuda::kPeerBlocks;
  int64_t places = kernels::cuda::kPeerPlaces;  // of a block, for what stages hand on
};

// What each of them says of itself, and all must have alike.
struct PeerTerms {
  DecodeTerms decodes = {};
  int64_t ranks_of_device = 1;  // that share this rank's
  PeerGrid grid = {};
  Status prepared = {};  // what this rank lacks otherwise: the others are told
};

// For who cannot exchange so.
constexpr const char* kStagedInstead = "plan with mrs-plan build --collectives staged";

class PeerMemory {
 public:
  struct Options {
    Communicator* group = nullptr;  // borrowed, and used while ranks meet and part: of two ranks or more
    std::vector<int> ranks = {};    // what each of them is called
    int64_t bytes = 0;              // that this one gives; no fewer than a header (kernels/cuda/peer_exchange.h)
    PeerTerms terms = {};
  };

  // All ranks of the group at once, each a process of its own; `device` is borrowed. Each writes into every other's
  // memory and reads it back; where one cannot, all say so by the names of both. So they do before, where their
  // programs' exchanges are unlike.
  static Result<std::unique_ptr<PeerMemory>> Meet(Device& device, Options options);
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  Communicator& group() const { return *options_.group; }
  int size() const { return options_.group->size(); }
  int own() const { return options_.group->rank(); }
  int rank(int member) const { return options_.ranks[static_cast<size_t>(member)]; }
  int pid(int member) const { return pids_[static_cast<size_t>(member)]; }
  // What a member gave, zeros where nobody has written.
  std::byte* at(int member) const {
    return member == own() ? own_.data() : opened_[static_cast<size_t>(member)].data();
  }

  // When it is no longer used, the others' is closed.
  void Close() { opened_.clear(); }
  // All others have done so. Where it is not known, this rank's is left to the end of the process.
  void AreAllClosed() { are_all_closed_ = true; }

 private:
  PeerMemory(Device& device, Options options) : device_(device), options_(std::move(options)) {}
  std::string Name(int member) const;  // "rank 3"
  Status Open(const std::vector<SharedHandle>& handles);
  Status Greet(bool looks);
  Status CompareGreetings(uint64_t* wrong);

  Device& device_;
  const Options options_;
  DeviceArena own_;
  std::vector<DeviceArena> opened_;  // [member]; this rank's own is none
  std::vector<int> pids_;            // [member]
  bool are_all_closed_ = true;       // nobody has it before it is shared
};

}  // namespace mrs
