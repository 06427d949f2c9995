// A TcpTransport is one rank's sockets to its peers, one each, all non-blocking.
//
//   TcpTransport transport(/*rank=*/1, std::move(links));        // links[1] is empty
//
// With keys, what goes over a socket is records with tags (integrity.h): a write is one record of up to 64 KiB, which
// counts as written once all of it is with the kernel, so that nothing of a message waits here for another call.
//
// See scheduled_communicator.h for what the functions promise.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/integrity.h"

namespace mrs {

struct TcpLink {
  Fd fd;                              // connected, authenticated; empty: there is none
  std::optional<LinkKeys> keys = {};  // absent: messages have no tags
  std::string through = {};           // "rank 1": who passes on what goes over it; empty: nobody
};

class TcpTransport {
 public:
  // links: by rank. support: what must live as long as they do.
  TcpTransport(int rank, std::vector<TcpLink> links, std::shared_ptr<void> support = nullptr);

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(links_.size()); }
  Result<size_t> TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body);
  void Wait(int write_peer, int read_peer, std::chrono::milliseconds limit);
  void Shut();

  // For one who waits for more than sockets.
  int socket(int peer) const { return links_[peer].fd.get(); }

 private:
  struct Tagged {
    explicit Tagged(const LinkKeys& keys) : seal(keys.write), reader(keys.read) {}
    Seal seal;
    RecordReader reader;
    std::vector<std::byte> rest;  // of the record that is being written
    size_t rest_begin = 0;
    size_t rest_payload = 0;  // bytes of the caller in that record
  };

  Result<size_t> WriteRecord(int peer, std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> ReadRecord(int peer, std::span<std::byte> head, std::span<std::byte> body);
  Result<size_t> NotWritten(int peer) const;
  Error Lost(int peer, int error) const;

  int rank_;
  std::shared_ptr<void> support_;  // first, so that the links end before it
  std::vector<TcpLink> links_;
  std::vector<std::unique_ptr<Tagged>> tagged_;  // null: without tags
};

}  // namespace mrs
