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
  size_t max_connections = 1024;  // then one gives way (seats.h); where all are busy, more wait unaccepted
  std::chrono::milliseconds header_timeout{30'000};
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds write_timeout{60'000};  // without any progress
  std::chrono::milliseconds idle_timeout{75'000};   // between requests of a connection
  std::chrono::milliseconds linger_timeout{5'000};  // for a refused client to take the refusal
  std::chrono::milliseconds stop_timeout{2'000};    // for clients to take their last bytes
  std::chrono::milliseconds keep_alive{10'000};     // a stream of events that says nothing for so long gets a comment
  std::chrono::milliseconds probe_interval{1'000};  // of a client that sends no more: does it still listen?

  // Bytes of one connection, and of all of them together.
  size_t max_read_ahead_bytes = 64 << 10;         // while its request runs
  size_t max_linger_bytes = 256 << 20;            // thrown away of a refused client
  size_t free_bytes = 64 << 10;                   // of a body, and of what is not sent yet: counted beyond these only
  size_t max_all_body_bytes = size_t{256} << 20;  // read, and waiting for their translation or in it
  size_t max_backlog_bytes = size_t{16} << 20;    // of a stream whose client does not keep up
  size_t max_all_backlog_bytes = size_t{256} << 20;  // of all of them
  size_t max_all_answer_bytes = size_t{256} << 20;   // kept for responses that are not streamed
  size_t trim_bytes = size_t{8} << 20;               // given back to the system when so many have been freed
};

// What a server has done and holds, for tests and measurements.
struct ServeUsage {
  size_t connections = 0;
  size_t body_bytes = 0;  // now, and the most that there ever was
  size_t body_peak_bytes = 0;
  size_t backlog_bytes = 0;
  size_t backlog_peak_bytes = 0;
  size_t answer_bytes = 0;
  size_t answer_peak_bytes = 0;
  uint64_t translated = 0;  // requests whose translation was begun
  uint64_t given_up = 0;    // of these, stopped because nobody waited any more
  uint64_t trims = 0;
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

  // From now on /health says 503 and new requests are refused, so that whoever asks is sent elsewhere; those under way
  // go on. Connections end with their answers.
  void BeginDrain();
  // Connections whose request is being answered; 1 where the I/O thread does not say so within a second. Any thread.
  size_t busy() const;

  ServeUsage usage() const;

 private:
  struct Threads;
  Server();
  static void Drain(ServerState* state);
  Status StartThreads(BoundListener listener, EngineHandle engine, const ServeOptions& options);
  std::shared_ptr<ServerState> state_;
  std::unique_ptr<Threads> threads_;
};

}  // namespace mrs::serve
