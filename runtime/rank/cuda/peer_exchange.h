// What GPUs of one host tell each other by each other's memory: in the order of their streams, and so inside of graphs.
// What the ranks of a stage sum and gather, and what stages hand on.
//
//   MRS_ASSIGN_OR_RETURN(auto exchange, PeerExchange::Meet(*device, {.group = group, .ranks = {2, 3}, ...}));
//   MRS_RETURN_IF_ERROR(exchange->Run(collective, /*rows=*/4));   // also while the stream is captured
//   MRS_RETURN_IF_ERROR(exchange->Finish());                      // the stream is done, or a wait in it was given up
//
// The kernels are kernels/cuda/peer_exchange.h, the bits of communicators of the host, and peer_transfer.h. All ranks
// exchange as many rows: those that their kernels run, with rows that pad. A wait for a rank that does not come ends
// when its process does, by Abort, and after `deadline`; then nothing is exchanged any more.
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
#include "runtime/rank/cuda/peer_memory.h"
#include "runtime/rank/launch.h"

namespace mrs {

// One of a neighbouring stage.
struct PeerNeighbour {
  Communicator* pair = nullptr;  // borrowed, as PeerOptions::group; who sends is its first. Null: there is none
  int rank = 0;                  // what it is called
  int own_rank = 0;              // and this one
};

struct PeerOptions {
  Communicator* group = nullptr;  // borrowed, and used while ranks meet and part; of two ranks or more. Null: none sum
  std::vector<int> ranks = {};    // what each of them is called
  PeerNeighbour before = {}, after = {};  // who hands on to this rank, and to whom it does
  PeerTerms terms = {};                   // that this rank says it has
  Pulse* pulse = nullptr;                 // borrowed; told which rank is waited for. Null: nobody looks
  // Of a wait. A slow rank is not cut off: one that hangs is the business of who watches all ranks.
  std::chrono::milliseconds deadline{std::chrono::hours{24}};
};

class PeerExchange {
 public:
  // All ranks of the group and those of neighbouring stages at once; `device` is borrowed. They try each other's memory
  // before anything waits there (peer_memory.h).
  static Result<std::unique_ptr<PeerExchange>> Meet(Device& device, PeerOptions options);
  // After the graphs that have exchanges of it. Waits for the others to do so, too, as they read this rank's memory.
  ~PeerExchange();
  PeerExchange(const PeerExchange&) = delete;
  PeerExchange& operator=(const PeerExchange&) = delete;

  Status Run(const CollectiveLaunch& collective, int64_t rows);
  Status Run(const SumNormLaunch& joined, int64_t rows);
  Status Run(const TransferLaunch& transfer, int64_t rows);
  // Whether what stages hand on goes so.
  bool HandsOn() const { return before_ != nullptr || after_ != nullptr; }
  // Waits for the stream.
  Status Finish();
  // Ends what is under way here, and all that comes. Any thread.
  void Abort();

 private:
  PeerExchange(Device& device, PeerOptions options) : device_(device), options_(std::move(options)) {}
  // Those that a wait may be for: by the kernels' numbers, members of the group, then the neighbours.
  struct Peer {
    int number = 0;
    int rank = 0;  // what it is called
    int pid = 0;
    Fd process = {};
  };
  std::vector<PeerMemory*> Memories() const;
  std::string Name(int number) const;  // "rank 3"
  const Peer* Find(int number) const;
  void AddPeers(const PeerMemory& memory, int first_number);
  kernels::cuda::PeerExchangeArgs ArgsOf(const CollectiveLaunch& collective) const;
  Status StartWatch();
  void Watch();
  void TellWait(std::optional<int>* told);
  kernels::cuda::PeerState& state() const;

  Device& device_;
  const PeerOptions options_;
  DeviceArena state_;                                  // of all waits, so that none goes on after one was given up
  std::unique_ptr<PeerMemory> sums_, before_, after_;  // null: there is none
  bool is_met_ = false;
  std::vector<Peer> peers_;
  // Of the thread that looks after the others' processes.
  Fd end_;                     // is readable once it must end
  std::atomic<int> gone_{-1};  // the number of a peer whose process has ended
  std::atomic<bool> parts_{false};
  std::thread watch_;
};

}  // namespace mrs
