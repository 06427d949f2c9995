// What the connections of a server share. All of it belongs to the I/O thread, but for `io` and `translator`.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <random>
#include <set>

#include "runtime/serve/api_model.h"
#include "runtime/serve/byte_budget.h"
#include "runtime/serve/server.h"

namespace mrs::serve {

class HttpSession;

struct ServerState : std::enable_shared_from_this<ServerState> {
  explicit ServerState(const ServeOptions& serve_options)
      : options(serve_options),
        bodies(options.max_all_body_bytes),
        backlogs(options.max_all_backlog_bytes),
        answers(options.max_all_answer_bytes) {}

  const ServeOptions options;
  ByteBudget bodies;
  ByteBudget backlogs;
  ByteBudget answers;
  std::atomic<uint64_t> translated{0};
  std::atomic<uint64_t> given_up{0};
  std::atomic<uint64_t> trims{0};
  std::atomic<size_t> freed_bytes{0};   // since the last trim
  std::atomic<bool> trim_again{false};  // what was being freed while the last trim ran

  boost::asio::io_context io{1};
  boost::asio::io_context translator{1};  // templates and tokenizers may take a while; sockets must not wait for them
  ApiModel model;
  EngineHandle engine;
  boost::asio::ip::tcp::acceptor acceptor{io};
  boost::asio::steady_timer accept_again{io};
  boost::asio::steady_timer heartbeat{io};
  bool listening = false;      // waits for the next client
  bool client_waits = false;   // there is one, and no seat: whoever could be idle now leaves instead
  bool no_descriptor = false;  // accepting failed for want of one, whether or not a client waits
  bool stopping = false;
  bool draining = false;  // what is under way goes on, nothing new begins
  std::mt19937_64 random{std::random_device{}()};  // seeds and response ids
  std::set<std::shared_ptr<HttpSession>> sessions;
  std::list<HttpSession*> silent;  // of these, who have never said anything, in the order in which they came
  std::deque<std::shared_ptr<HttpSession>> bulk_reads;  // readable, of those who send much
  bool bulk_read_is_posted = false;
  std::deque<std::function<void()>> large_translations;  // that wait, so that small ones wait for one of them at most
  bool large_is_posted = false;

  // For Server::Stop, which waits on another thread.
  std::mutex mutex;
  std::condition_variable changed;
  size_t session_count = 0;
};

// Removes a closed session, and accepts again where the limit had been reached.
void ForgetSession(ServerState& state, const std::shared_ptr<HttpSession>& session);

// Lets the next of bulk_reads read once, and whatever else is ready run before the one after it.
void PostBulkRead(ServerState& state);

// Puts the next large translation behind the small ones that are there, one at a time.
void PostLarge(ServerState& state);

// So much memory was freed. From time to time the allocator is told to give it back to the system, which it would keep
// for good; on the translating thread, since it takes milliseconds.
void NoteFreed(ServerState& state, size_t bytes);

}  // namespace mrs::serve
