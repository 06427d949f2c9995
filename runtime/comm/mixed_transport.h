// A MixedTransport reaches the ranks of its host through a region and all others through sockets.
//
//   MixedTransport transport(HostView{mapping, /*members=*/{1, 3}, bell, edges}, TcpTransport(/*rank=*/3, links));
//   transport.Wait(/*write_peer=*/1, /*read_peer=*/0, limit);    // room in the ring to 1, or bytes from 0's socket
//
// Who waits for ranks of its host sleeps at its doorbell, and who waits for others in poll. Who waits for one of each
// sleeps in poll, too, with one descriptor more: an epoll that reports each ring of the host's bell, an eventfd to
// which ranks write only where the rank that they ring for sleeps like that. All who do wake up then; schedules rarely
// make a rank wait for both (a barrier does, and an all-gather of ranks that are no power of two).
//
// See scheduled_communicator.h for what the functions promise.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/region_transport.h"
#include "runtime/comm/tcp_transport.h"

namespace mrs {

struct HostView {
  std::shared_ptr<RegionMapping> region;
  std::vector<int> members;  // world rank of each rank of the region
  Fd bell;                   // the host's eventfd
  Fd bell_edges;             // this rank's epoll of it, edge-triggered: nobody needs to reset the bell
};

class MixedTransport {
 public:
  // host: absent where this rank is alone on its host.
  MixedTransport(std::optional<HostView> host, TcpTransport sockets);

  int rank() const { return sockets_.rank(); }
  int size() const { return sockets_.size(); }
  Result<size_t> TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body);
  void Wait(int write_peer, int read_peer, std::chrono::milliseconds limit);
  void Shut();

 private:
  int Slot(int peer) const { return peer < 0 ? -1 : slots_[peer]; }

  std::vector<int> slots_;  // of each world rank, its rank in the region; -1: on another host
  TcpTransport sockets_;
  Fd bell_;
  Fd bell_edges_;
  std::optional<RegionTransport> region_;
};

}  // namespace mrs
