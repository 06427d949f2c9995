// What GPUs of one host sum and gather by each other's memory: in the order of their streams, and so inside of graphs.
//
//   MRS_ASSIGN_OR_RETURN(auto exchange, PeerExchange::Meet(*device, {.group = group, .ranks = {2, 3}, ...}));
//   MRS_RETURN_IF_ERROR(exchange->Run(collective, /*rows=*/4));   // also while the stream is captured
//   MRS_RETURN_IF_ERROR(exchange->Finish());                      // the stream is done, or a wait in it was given up
//
// The kernel is kernels/cuda/peer_exchange.h: the bits of communicators of the host. All ranks exchange as many rows:
// those that their kernels run, with rows that pad. A wait for a rank that does not come ends when its process does, by
// Abort, and after `deadline`; then nothing is exchanged any more.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/peer_exchange.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/launch.h"

namespace mrs {

// What of a program its exchanges go by, and so all ranks' programs must have alike: a block waits for the one of its
// number on each other rank, for as many pieces, and finds words and pieces where its own program has them.
struct PeerGrid {
  int64_t blocks = kernels::cuda::kPeerBlocks;
  int64_t piece_bytes = kernels::cuda::kPeerPieceBytes;
  int64_t header_bytes = kernels::cuda::kPeerHeaderBytes;
  int64_t most_ranks = kernels::cuda::kMostPeers;  // for whose words there is room
  int64_t two_shot_bytes_of_few = kernels::cuda::TwoShotBytes(4), two_shot_bytes = kernels::cuda::TwoShotBytes(16);
  int64_t most_summed_bytes = int64_t{1} << 30;  // at a time, as the kernel has a limit
  // In one launch with their sum: a block has a row. Of more, the norm has the whole device for itself after the sum.
  int64_t most_normed_rows = kernels::cuda::kPeerBlocks;
};

struct PeerOptions {
  Communicator* group = nullptr;  // borrowed, and used while ranks meet and part: of two ranks or more
  std::vector<int> ranks = {};    // what each of them is called
  int64_t most_decode_rows = 0;   // which all ranks must pad alike
  int64_t ranks_of_device = 1;    // that share this rank's
  PeerGrid grid = {};             // that this rank says it has
  Pulse* pulse = nullptr;         // borrowed; told which rank is waited for. Null: nobody looks
  // Of a wait. A slow rank is not cut off: one that hangs is the business of who watches all ranks.
  std::chrono::milliseconds deadline{std::chrono::hours{24}};
};

class PeerExchange {
 public:
  // All ranks of the group at once, each a process of its own; `device` is borrowed. Each writes into every other's
  // memory and reads it back before anything waits there; where one cannot, all say so by the names of both. So they do
  // before, where their programs' exchanges are unlike.
  static Result<std::unique_ptr<PeerExchange>> Meet(Device& device, PeerOptions options);
  // After the graphs that have exchanges of it. Waits for the others to do so, too, as they read this rank's memory.
  ~PeerExchange();
  PeerExchange(const PeerExchange&) = delete;
  PeerExchange& operator=(const PeerExchange&) = delete;

  Status Run(const CollectiveLaunch& collective, int64_t rows);
  Status Run(const SumNormLaunch& joined, int64_t rows);
  // Waits for the stream.
  Status Finish();
  // Ends what is under way here, and all that comes. Any thread.
  void Abort();

 private:
  PeerExchange(Device& device, PeerOptions options) : device_(device), options_(std::move(options)) {}
  int size() const { return options_.group->size(); }
  int rank() const { return options_.group->rank(); }
  std::string Name(int member) const;  // "rank 3"
  Status Open(const std::vector<SharedHandle>& handles);
  Status Greet(bool looks);
  kernels::cuda::PeerExchangeArgs ArgsOf(const CollectiveLaunch& collective) const;
  Status CompareGreetings(uint64_t* wrong);
  Status StartWatch(const std::vector<int>& pids);
  void Watch();
  void TellWait(std::optional<int>* told);
  kernels::cuda::PeerState& state() const;

  Device& device_;
  const PeerOptions options_;
  DeviceArena own_, state_;
  std::vector<DeviceArena> opened_;  // [member]; this rank's own is none
  bool is_met_ = false;
  // Of the thread that looks after the others' processes.
  std::vector<Fd> processes_;  // [member]
  Fd end_;                     // is readable once it must end
  std::atomic<int> gone_{-1};  // a member whose process has ended
  std::atomic<bool> parts_{false};
  std::thread watch_;
};

}  // namespace mrs
