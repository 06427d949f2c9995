#include "runtime/serve/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <future>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "host/output.h"
#include "host/process.h"
#include "host/thread.h"
#include "runtime/serve/http_session.h"
#include "runtime/serve/server_state.h"

namespace mrs::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr int kBacklog = 4096;  // clients not accepted yet; one more would try again only after a second
constexpr std::chrono::milliseconds kAcceptAgainAfter{100};
constexpr std::chrono::seconds kHeartbeat{1};
constexpr int kMmapBytes = 1 << 20;

// A handler runs only while its io_context lives, and that is the state's: it may keep the state's address.
void Accept(ServerState* state);
void AcceptNext(ServerState* state);

// When descriptors run out, accepting fails at once, again and again.
void AcceptLater(ServerState* state) {
  state->accept_again.expires_after(kAcceptAgainAfter);
  state->accept_again.async_wait([state](error_code error) {
    if (!error) Accept(state);
  });
}

void StartSession(ServerState* state, asio::ip::tcp::socket socket) {
  error_code ignored;
  fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);  // no rank started later may hold a client's connection
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  const auto session = std::make_shared<HttpSession>(state->shared_from_this(), std::move(socket));
  state->sessions.insert(session);
  {
    const std::lock_guard lock(state->mutex);
    state->session_count = state->sessions.size();
  }
  session->Start();
}

// A seat goes to a client that waits (ForgetSession accepts). False where all are busy.
bool FreeSeat(ServerState& state) {
  // Found at once: a thousand who say nothing come again as fast as they are closed.
  if (!state.silent.empty()) {
    const std::shared_ptr<HttpSession> gives_way = state.silent.front()->shared_from_this();
    gives_way->Close();
    return true;
  }
  std::vector<Seat> seats;
  seats.reserve(state.sessions.size());
  for (const std::shared_ptr<HttpSession>& session : state.sessions) seats.push_back(session->seat());
  const std::optional<size_t> index = SeatToGive(seats);
  if (!index.has_value()) return false;
  const std::shared_ptr<HttpSession> gives_way = *std::next(state.sessions.begin(), static_cast<ptrdiff_t>(*index));
  gives_way->Close();
  return true;
}

// At the limit of connections: notices the next client without accepting it.
void AwaitClient(ServerState* state) {
  state->listening = true;
  state->acceptor.async_wait(asio::ip::tcp::acceptor::wait_read, [state](error_code error) {
    state->listening = false;
    if (state->stopping) return;
    if (error) return AcceptLater(state);
    state->client_waits = true;
    // Descriptors may run out before the limit is reached: it is the same to the client.
    if (!std::exchange(state->no_descriptor, false) && state->sessions.size() < state->options.max_connections) {
      return Accept(state);
    }
    if (!FreeSeat(*state)) AcceptLater(state);
  });
}

void Accept(ServerState* state) {
  if (state->listening || state->stopping) return;
  if (state->sessions.size() >= state->options.max_connections) {
    if (!state->client_waits) AwaitClient(state);
    return;
  }
  state->listening = true;
  const Status waits = Guarded([state] { AcceptNext(state); });
  if (!waits.ok()) state->listening = false;  // Beat tries again
}

// With `listening` set.
void AcceptNext(ServerState* state) {
  state->acceptor.async_accept([state](error_code error, asio::ip::tcp::socket socket) {
    state->listening = false;
    if (state->stopping) return;
    state->client_waits = false;
    state->no_descriptor = error == boost::system::errc::too_many_files_open ||
                           error == boost::system::errc::too_many_files_open_in_system;
    if (state->no_descriptor) return AwaitClient(state);
    if (error) return AcceptLater(state);
    StartSession(state, std::move(socket));
    Accept(state);
  });
}

// Without memory to ask for it, it is done another time.
void PostTrim(ServerState& state) {
  (void)Guarded([&state] {
    boost::asio::post(state.translator, [&state] {
      malloc_trim(0);
      ++state.trims;
    });
  });
}

// A wake-up that got lost, or an accept that found no memory, costs this long.
void Beat(ServerState* state) {
  state->heartbeat.expires_after(kHeartbeat);
  state->heartbeat.async_wait([state](error_code error) {
    if (error || state->stopping) return;
    Beat(state);
    // All may have been busy when the client that waits came.
    if (state->client_waits && state->sessions.size() >= state->options.max_connections) FreeSeat(*state);
    // A trim comes as a body is given up, and the tree made of it may go just after it, on the other thread.
    if (state->trim_again.exchange(false)) PostTrim(*state);
    Accept(state);
  });
}

// The I/O thread. What leaves a handler (no memory) has closed its connection; the others go on.
void ServeSockets(ServerState* state) {
  for (;;) {
    const Status ran = Guarded([state] { state->io.run(); });
    if (ran.ok()) return;
    Say("mrs-exec: HTTP: {}\n", ran.message());
    if (!Guarded([state] { Beat(state); }).ok()) std::this_thread::sleep_for(kAcceptAgainAfter);
  }
}

// A copy, since sessions leave the set as they close.
std::vector<std::shared_ptr<HttpSession>> SessionsOf(const ServerState& state) {
  return {state.sessions.begin(), state.sessions.end()};
}

}  // namespace

void ForgetSession(ServerState& state, const std::shared_ptr<HttpSession>& session) {
  state.sessions.erase(session);
  state.no_descriptor = false;  // it had one
  {
    const std::lock_guard lock(state.mutex);
    state.session_count = state.sessions.size();
    state.changed.notify_all();
  }
  Accept(&state);
}

void PostBulkRead(ServerState& state) {
  if (state.bulk_read_is_posted || state.bulk_reads.empty()) return;
  state.bulk_read_is_posted = true;
  boost::asio::post(state.io, [&state] {
    state.bulk_read_is_posted = false;
    const std::shared_ptr<HttpSession> next = std::move(state.bulk_reads.front());
    state.bulk_reads.pop_front();
    PostBulkRead(state);
    next->ReadNow();
  });
}

void PostLarge(ServerState& state) {
  if (state.large_is_posted || state.large_translations.empty()) return;
  state.large_is_posted = true;
  boost::asio::post(state.translator, [&state, work = std::move(state.large_translations.front())] {
    work();
    boost::asio::post(state.io, [&state] {
      state.large_is_posted = false;
      PostLarge(state);
    });
  });
  state.large_translations.pop_front();
}

void NoteFreed(ServerState& state, size_t bytes) {
  if (state.freed_bytes.fetch_add(bytes) + bytes < state.options.trim_bytes) return;
  state.freed_bytes = 0;
  state.trim_again = true;
  PostTrim(state);
}

struct Server::Threads {
  using Guard = asio::executor_work_guard<asio::io_context::executor_type>;
  explicit Threads(ServerState& state) : io_guard(state.io.get_executor()), guard(state.translator.get_executor()) {}
  Guard io_guard, guard;
  std::thread io, translator;
};

Result<BoundListener> BindListener(const std::string& host, uint16_t port) {
  if (host != "127.0.0.1" && host != "localhost") {
    return Refuse("--host {}: mrs-exec binds 127.0.0.1 only until API keys come", host);
  }
  BoundListener listener;
  listener.fd = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.fd) return Unavailable("a listening socket cannot be made: {}", std::strerror(errno));
  const int on = 1;
  setsockopt(listener.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.fd.get(), raw, length) != 0 || listen(listener.fd.get(), kBacklog) != 0) {
    if (errno == EADDRINUSE) {
      return Unavailable("port {} on 127.0.0.1 is in use by another process; choose another with --port", port);
    }
    return Unavailable("port {} on 127.0.0.1 cannot be bound: {}; choose another with --port", port,
                       std::strerror(errno));
  }
  if (getsockname(listener.fd.get(), raw, &length) != 0) {
    return Unavailable("the bound port cannot be read: {}", std::strerror(errno));
  }
  listener.port = ntohs(address.sin_port);
  return listener;
}

Server::Server() = default;
Server::~Server() { Stop(); }

Result<std::unique_ptr<Server>> Server::Start(BoundListener listener, EngineHandle engine,
                                              const ServeOptions& options) {
  std::unique_ptr<Server> server;
  // Asio throws what the system refuses: no descriptor, no memory.
  const Status started = Guarded([&]() -> Status {
    server.reset(new Server());
    return server->StartThreads(std::move(listener), std::move(engine), options);
  });
  if (!started.ok()) return Unavailable("the server cannot start: {}", started.message());
  return server;
}

Status Server::StartThreads(BoundListener listener, EngineHandle engine, const ServeOptions& options) {
  // Large blocks come from the system and go back to it at once; by default glibc keeps more the more it has freed.
  mallopt(M_MMAP_THRESHOLD, kMmapBytes);
  const auto state = std::make_shared<ServerState>(options);
  state->model = MakeApiModel(engine.model);
  state->engine = std::move(engine);
  error_code error;
  // The acceptor closes its own.
  state->acceptor.assign(asio::ip::tcp::v4(), fcntl(listener.fd.get(), F_DUPFD_CLOEXEC, 0), error);
  if (error) return Unavailable("port {} cannot be served: {}", listener.port, error.message());
  state_ = state;
  threads_ = std::make_unique<Threads>(*state);
  asio::post(state->io, [raw = state.get()] { Accept(raw); });
  Beat(state.get());
  const auto end = [](const Error& why) { EndProcess("HTTP", why); };
  MRS_ASSIGN_OR_RETURN(threads_->translator,
                       StartThread(
                           "translating requests", [raw = state.get()] { raw->translator.run(); }, end));
  MRS_ASSIGN_OR_RETURN(threads_->io, StartThread(
                                         "HTTP", [raw = state.get()] { ServeSockets(raw); }, end));
  return Status();
}

ServeUsage Server::usage() const {
  ServeUsage usage;
  if (state_ == nullptr) return usage;
  {
    const std::lock_guard lock(state_->mutex);
    usage.connections = state_->session_count;
  }
  usage.body_bytes = state_->bodies.held();
  usage.body_peak_bytes = state_->bodies.peak();
  usage.backlog_bytes = state_->backlogs.held();
  usage.backlog_peak_bytes = state_->backlogs.peak();
  usage.answer_bytes = state_->answers.held();
  usage.answer_peak_bytes = state_->answers.peak();
  usage.translated = state_->translated;
  usage.given_up = state_->given_up;
  usage.trims = state_->trims;
  return usage;
}

void Server::BeginDrain() {
  asio::post(state_->io, [raw = state_.get()] { raw->draining = true; });
}

size_t Server::busy() const {
  const auto told = std::make_shared<std::promise<size_t>>();
  std::future<size_t> count = told->get_future();
  asio::post(state_->io, [state = state_.get(), told] {
    size_t busy = 0;
    for (const std::shared_ptr<HttpSession>& session : state->sessions) busy += session->busy() ? 1 : 0;
    told->set_value(busy);
  });
  return count.wait_for(kHeartbeat) == std::future_status::ready ? count.get() : 1;
}

void Server::Stop() {
  if (threads_ == nullptr) return;
  ServerState* const state = state_.get();
  if (threads_->io.joinable()) {
    Drain(state);
    threads_->io.join();
  }
  state->translator.stop();
  if (threads_->translator.joinable()) threads_->translator.join();
  threads_.reset();
  state_.reset();
}

void Server::Drain(ServerState* state) {
  asio::post(state->io, [state] {
    state->stopping = true;
    error_code ignored;
    state->accept_again.cancel(ignored);
    state->heartbeat.cancel(ignored);
    state->acceptor.close(ignored);
    for (const auto& session : SessionsOf(*state)) session->Drain();
  });
  {
    std::unique_lock lock(state->mutex);
    state->changed.wait_for(lock, state->options.stop_timeout, [state] { return state->session_count == 0; });
  }
  asio::post(state->io, [state] {
    for (const auto& session : SessionsOf(*state)) session->Close();
    state->io.stop();
  });
}

}  // namespace mrs::serve
