// OpenAI's HTTP API in front of an engine: one thread for sockets, one that translates requests.
//
//   MRS_ASSIGN_OR_RETURN(BoundListener listener, BindListener("127.0.0.1", 1234));  // before anything loads
//   MRS_ASSIGN_OR_RETURN(std::unique_ptr<Server> server, Server::Start(std::move(listener), handle));
//   ...
//   server->Stop();   // after the engine's last event, so that every client hears its end; bounded
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/engine/served_model.h"

namespace mrs::serve {

struct BoundListener {
  Fd fd;
  uint16_t port = 0;
};

// Port 0: any free one. Refuses other hosts than 127.0.0.1 (or "localhost"), and a busy port by name.
Result<BoundListener> BindListener(const std::string& host, uint16_t port);

struct ServeOptions {
  size_t max_connections = 1024;  // then idle ones are closed; where none is, more wait unaccepted
  std::chrono::milliseconds header_timeout{30'000};
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds write_timeout{60'000};  // without any progress
  std::chrono::milliseconds idle_timeout{75'000};   // between requests of a connection
  std::chrono::milliseconds linger_timeout{5'000};  // for a refused client to take the refusal
  std::chrono::milliseconds stop_timeout{2'000};    // for clients to take their last bytes
  std::chrono::milliseconds probe_interval{1'000};  // of a client that sends no more: does it still listen?
};

struct ServerState;

class Server {
 public:
  static Result<std::unique_ptr<Server>> Start(BoundListener listener, EngineHandle engine,
                                               const ServeOptions& options = {});
  ~Server();  // Stop
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Accepts nothing more, lets open responses end, then closes what is left and cancels its requests. The engine may
  // still send events afterwards; they are dropped.
  void Stop();

 private:
  struct Threads;
  Server();
  static void Drain(ServerState* state);
  Status StartThreads(BoundListener listener, EngineHandle engine, const ServeOptions& options);
  std::shared_ptr<ServerState> state_;
  std::unique_ptr<Threads> threads_;
};

}  // namespace mrs::serve
