// What the connections of a server share. All of it belongs to the I/O thread, but for `io` and `translator`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <set>

#include "runtime/serve/api_model.h"
#include "runtime/serve/server.h"

namespace mrs::serve {

class HttpSession;

struct ServerState : std::enable_shared_from_this<ServerState> {
  boost::asio::io_context io{1};
  boost::asio::io_context translator{1};  // templates and tokenizers may take a while; sockets must not wait for them
  ApiModel model;
  EngineHandle engine;
  ServeOptions options;
  boost::asio::ip::tcp::acceptor acceptor{io};
  boost::asio::steady_timer accept_again{io};
  boost::asio::steady_timer heartbeat{io};
  bool listening = false;     // waits for the next client
  bool client_waits = false;  // there is one, and no seat: whoever could be idle now leaves instead
  bool stopping = false;
  std::mt19937_64 random{std::random_device{}()};  // seeds and response ids
  std::set<std::shared_ptr<HttpSession>> sessions;

  // For Server::Stop, which waits on another thread.
  std::mutex mutex;
  std::condition_variable changed;
  size_t session_count = 0;
};

// Removes a closed session, and accepts again where the limit had been reached.
void ForgetSession(ServerState& state, const std::shared_ptr<HttpSession>& session);

}  // namespace mrs::serve
