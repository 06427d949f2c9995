// A TcpTransport is one rank's connections to its peers, one each or several, the streams, all non-blocking.
//
//   TcpTransport transport(/*rank=*/1, std::move(links));        // links[1] is empty
//
// Over several, large messages go in stripes (stripes.h). A stream that is lost is a peer that is lost.
//
// See scheduled_communicator.h for what the functions promise.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/tcp_stream.h"

namespace mrs {

struct TcpLink {
  std::vector<TcpConnection> streams = {};  // in the same order at both ends; empty: there is no link
  std::string through = {};                 // "rank 1": who passes on what goes over it; empty: nobody
};

class TcpTransport {
 public:
  // links: by rank. support: what must live as long as they do.
  TcpTransport(int rank, std::vector<TcpLink> links, std::shared_ptr<void> support = nullptr);

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(peers_.size()); }
  Result<size_t> TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body);
  void Wait(int write_peer, int read_peer, std::chrono::milliseconds limit);
  void Shut();

  // For one who waits for more than sockets: where the last TryWrite, or TryRead, found nothing to do.
  int write_socket(int peer) const { return peers_[peer].streams[peers_[peer].write_stream].fd(); }
  int read_socket(int peer) const { return peers_[peer].streams[peers_[peer].read_stream].fd(); }

 private:
  struct Peer {
    std::vector<TcpStream> streams;
    int write_stream = 0;  // of the last call
    int read_stream = 0;
  };

  int rank_;
  std::shared_ptr<void> support_;  // first, so that the streams end before it
  std::vector<Peer> peers_;
};

}  // namespace mrs
