// A mesh of authenticated TCP connections between all ranks.
//
//   TcpListener listener = *TcpListener::Bind("127.0.0.1");        // each rank; tells listener.port() to the others
//   MeshConfig config{.rank = 1, .endpoints = {{"127.0.0.1", 4000}, {"127.0.0.1", 4001}}, .secret = secret};
//   std::unique_ptr<Communicator> world = *ConnectMesh(listener, config);
//
// A rank connects to all lower ranks and accepts all higher ones; strangers on the port are dropped and counted. An
// endpoint's index is its rank. Who may use an empty secret is the caller's decision: on loopback only, unless asked.
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

struct MeshConfig {
  int rank = 0;
  std::vector<TcpEndpoint> endpoints;        // [size]; the own entry is not used
  std::string secret;                        // the same on all ranks
  std::chrono::milliseconds deadline{5000};  // for the whole mesh, from the call on
};

// kRefused: a peer that knows another secret, rank or world size. kUnavailable: somebody is missing at the deadline.
Result<std::unique_ptr<Communicator>> ConnectMesh(const TcpListener& listener, const MeshConfig& config,
                                                  const CommOptions& options = {});

}  // namespace mrs
