// A mesh of authenticated TCP connections between all ranks.
//
//   TcpListener listener = *TcpListener::Bind("127.0.0.1");        // each rank; tells listener.port() to the others
//   MeshConfig config{.rank = 1, .endpoints = {{"127.0.0.1", 4000}, {"127.0.0.1", 4001}}, .secret = secret};
//   std::unique_ptr<Communicator> world = *ConnectMesh(listener, config);
//
// A rank connects to all lower ranks and accepts all higher ones, at the same time; strangers on the port are dropped
// and counted (tcp_meeting.h). Close the listener once the mesh stands. An endpoint's index is its rank. Who may use an
// empty secret is the caller's decision: on loopback only, unless asked.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/fd.h"

namespace mrs {

struct MetLink;        // tcp_meeting.h
struct TcpConnection;  // tcp_stream.h
struct TcpLink;        // tcp_transport.h

struct TcpEndpoint {
  std::string address;  // numeric or a name
  uint16_t port = 0;
};

class TcpListener {
 public:
  // port 0: any free one.
  static Result<TcpListener> Bind(const std::string& address = "127.0.0.1", uint16_t port = 0);
  uint16_t port() const { return port_; }
  int fd() const { return fd_.get(); }

 private:
  TcpListener(Fd fd, uint16_t port) : fd_(std::move(fd)), port_(port) {}
  Fd fd_;
  uint16_t port_;
};

struct TcpTuning {
  std::string congestion = {};  // congestion control of all links; empty: see tcp_socket.h
  std::string source = {};      // numeric address that connections are made from; empty: as the kernel routes
};

struct MeshConfig {
  int rank = 0;
  std::vector<TcpEndpoint> endpoints;        // [size]; the own entry is not used
  std::string secret;                        // the same on all ranks
  std::chrono::milliseconds deadline{5000};  // for the whole mesh, from the call on; or kNoTimeout
  std::chrono::milliseconds reach{0};        // see tcp_meeting.h; 0: the deadline's
  std::vector<int> without_socket = {};      // ranks that are reached otherwise (mixed.h)
  Pulse* pulse = nullptr;                    // borrowed; told which rank is waited for
  bool integrity = false;                    // a tag on every message (integrity.h); the same on all ranks
  int streams = 1;                           // connections to each other rank (stripes.h); the same on all ranks
  std::vector<int> near = {};                // ranks with which one is enough, being of this host; alike at both
  TcpTuning tuning = {};
  std::vector<std::string>* notes = nullptr;  // borrowed: what the caller should print; null: nothing is wanted
};

// kRefused: a peer that knows another secret, rank, world size or count of streams. kUnavailable: somebody is missing
// at the deadline.
Result<std::unique_ptr<Communicator>> ConnectMesh(const TcpListener& listener, const MeshConfig& config,
                                                  const CommOptions& options = {});

// The connections alone, by rank; those of this rank and of ranks without a socket are empty.
Result<std::vector<TcpLink>> ConnectLinks(const TcpListener& listener, const MeshConfig& config,
                                          const CommOptions& options);

// A connection that was made, with its keys where messages are to have tags.
TcpConnection ConnectionOf(MetLink met, bool integrity, const std::string& secret);

}  // namespace mrs
