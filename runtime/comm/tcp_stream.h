// A TcpStream is one connection to a peer: bytes in order that never block, each way.
//
//   TcpStream stream({.fd = std::move(fd), .keys = keys}, {.peer = 1, .index = 2, .count = 4});
//   stream.TryWrite(head, body)       // an error: "rank 1 closed the connection (stream 2 of 0 to 3)"
//
// With keys, what goes over it is records with tags (integrity.h): a write is one record of up to 64 KiB, which counts
// as written once all of it is with the kernel, so that nothing of a message waits here for another call.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/integrity.h"

namespace mrs {

struct TcpConnection {
  Fd fd;                              // connected, authenticated
  std::optional<LinkKeys> keys = {};  // absent: messages have no tags
};

// For errors.
struct TcpStreamName {
  int peer = 0;
  int index = 0;  // of `count` to this peer
  int count = 1;
  std::string through = {};  // "rank 1": who passes on what goes over it; empty: nobody
};

class TcpStream {
 public:
  TcpStream(TcpConnection connection, TcpStreamName name);

  int fd() const { return fd_.get(); }
  // As of a Transport (scheduled_communicator.h).
  Result<size_t> TryWrite(std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> TryRead(std::span<std::byte> head, std::span<std::byte> body);
  // Only the sending side: what the peer sent before, and this rank's last words, can still be read by both.
  void Shut();

 private:
  struct Tagged {
    explicit Tagged(const LinkKeys& keys) : seal(keys.write), reader(keys.read) {}
    Seal seal;
    RecordReader reader;
    std::vector<std::byte> rest;  // of the record that is being written
    size_t rest_begin = 0;
    size_t rest_payload = 0;  // bytes of the caller in that record
  };

  Result<size_t> WriteRecord(std::span<const std::byte> head, std::span<const std::byte> body);
  Result<size_t> ReadRecord(std::span<std::byte> head, std::span<std::byte> body);
  Result<size_t> NotWritten() const;
  Error Lost(int error) const;
  std::string Which() const;

  Fd fd_;
  TcpStreamName name_;
  std::unique_ptr<Tagged> tagged_;  // null: without tags
};

}  // namespace mrs
