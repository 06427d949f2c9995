// A TcpTransport is one rank's sockets to its peers, one each, all non-blocking.
//
//   TcpTransport transport(/*rank=*/1, std::move(sockets));        // sockets[1] is empty
//
// See scheduled_communicator.h for what the functions promise.
#pragma once

#include <chrono>
#include <span>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"

namespace mrs {

class TcpTransport {
 public:
  // sockets[peer]: connected, authenticated.
  TcpTransport(int rank, std::vector<Fd> sockets) : rank_(rank), sockets_(std::move(sockets)) {}

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(sockets_.size()); }
  Result<size_t> TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body);
  void Wait(int write_peer, int read_peer, std::chrono::milliseconds limit);
  void Shut();

 private:
  int rank_;
  std::vector<Fd> sockets_;
};

}  // namespace mrs
