// Connections of which nothing is known yet, when there is no room for another: whom to put out.
//
//   from 10.0.0.9, 10.0.0.2, 10.0.0.9   ->  the first: the oldest of the address that has most
//
// Whoever floods a listener so makes room for itself alone, and not at the cost of those who come from elsewhere.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <map>

namespace mrs {

// Where a connection comes from, without the port.
using Origin = std::array<std::byte, 16>;

inline Origin OriginOf(const sockaddr_storage& address) {
  Origin origin{};
  if (address.ss_family == AF_INET6) {
    std::memcpy(origin.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
  } else {
    std::memcpy(origin.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
  }
  return origin;
}

// `crowd`: in the order in which they came. `origin_of` gives nullptr for who may not be put out. end: there is nobody.
template <typename Crowd, typename OriginOfOne>
auto WhomToPutOut(Crowd& crowd, const OriginOfOne& origin_of) {
  std::map<Origin, size_t> counts;
  size_t most = 0;
  for (const auto& one : crowd) {
    if (const Origin* origin = origin_of(one)) most = std::max(most, ++counts[*origin]);
  }
  auto chosen = std::begin(crowd);
  for (; chosen != std::end(crowd); ++chosen) {
    const Origin* origin = origin_of(*chosen);
    if (origin != nullptr && counts[*origin] == most) break;
  }
  return chosen;
}

// Whether accept failed with `error` since this process or host can have no more open, while somebody waits in the
// listener's queue. It says so of an empty queue, too.
inline bool IsScarce(int error, int listener) {
  if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) return false;
  pollfd queue{.fd = listener, .events = POLLIN, .revents = 0};
  return poll(&queue, 1, 0) == 1;
}

}  // namespace mrs
