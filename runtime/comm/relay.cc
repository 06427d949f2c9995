#include "runtime/comm/relay.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "host/thread.h"

namespace mrs {
namespace {

constexpr size_t kHeldBytes = size_t{64} << 10;

// One direction of a way.
struct Stream {
  int from = -1;
  int to = -1;
  std::vector<std::byte> held;
  size_t begin = 0;
  size_t end = 0;
  bool from_ended = false;
  bool over = false;  // nothing more goes this way

  bool empty() const { return begin == end; }

  void Break() {
    over = true;
    begin = end = 0;
    shutdown(to, SHUT_RDWR);
    shutdown(from, SHUT_RDWR);
  }

  // Moves what can be moved without waiting.
  void Move() {
    while (!over) {
      if (empty() && !from_ended) {
        begin = end = 0;
        const ssize_t bytes = recv(from, held.data(), held.size(), MSG_DONTWAIT);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (bytes < 0) return Break();
        if (bytes == 0) from_ended = true;
        end = static_cast<size_t>(bytes);
      }
      if (empty()) {
        over = true;
        shutdown(to, SHUT_WR);
        return;
      }
      const ssize_t bytes = send(to, held.data() + begin, end - begin, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (bytes < 0) return Break();
      begin += static_cast<size_t>(bytes);
    }
  }
};

}  // namespace

Result<std::unique_ptr<Relay>> Relay::Start(std::vector<Way> ways) {
  Fd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return Unavailable("ring: eventfd: {}", std::strerror(errno));
  std::unique_ptr<Relay> relay(new Relay(std::move(ways), std::move(stop)));
  Relay* const raw = relay.get();
  // Where it cannot go on, the ways through it end, and those who talk through it find out.
  MRS_ASSIGN_OR_RETURN(relay->thread_, StartThread(
                                           "what passes on messages between other ranks", [raw] { raw->Run(); },
                                           [raw](const Error&) {
                                             for (const Way& way : raw->ways_) {
                                               shutdown(way.a.get(), SHUT_RDWR);
                                               shutdown(way.b.get(), SHUT_RDWR);
                                             }
                                           }));
  return relay;
}

Relay::~Relay() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Relay::Run() {
  std::vector<Stream> streams;
  for (const Way& way : ways_) {
    streams.push_back({.from = way.a.get(), .to = way.b.get(), .held = std::vector<std::byte>(kHeldBytes)});
    streams.push_back({.from = way.b.get(), .to = way.a.get(), .held = std::vector<std::byte>(kHeldBytes)});
  }
  std::vector<pollfd> polls;
  for (;;) {
    polls.assign(1, {.fd = stop_.get(), .events = POLLIN, .revents = 0});
    for (const Stream& stream : streams) {
      if (stream.over) continue;
      polls.push_back(stream.empty() ? pollfd{.fd = stream.from, .events = POLLIN, .revents = 0}
                                     : pollfd{.fd = stream.to, .events = POLLOUT, .revents = 0});
    }
    if (poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return;
    if ((polls[0].revents & POLLIN) != 0) return;
    size_t next = 1;
    for (Stream& stream : streams) {
      if (stream.over) continue;
      if (next == polls.size()) break;
      if (polls[next++].revents != 0) stream.Move();
    }
  }
}

}  // namespace mrs
