#include "runtime/comm/tcp_socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

namespace mrs {
namespace {

bool SameAddress(const sockaddr_storage& a, const sockaddr_storage& b) {
  if (a.ss_family != b.ss_family) return false;
  if (a.ss_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in&>(b).sin_addr.s_addr;
  }
  return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr,
                     &reinterpret_cast<const sockaddr_in6&>(b).sin6_addr, sizeof(in6_addr)) == 0;
}

bool IsLoopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24 == 127;
  }
  return address.ss_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr) != 0;
}

bool WithinThisHost(int fd) {
  sockaddr_storage own{};
  sockaddr_storage other{};
  socklen_t own_size = sizeof(own);
  socklen_t other_size = sizeof(other);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         getpeername(fd, reinterpret_cast<sockaddr*>(&other), &other_size) == 0 &&
         (IsLoopback(other) || SameAddress(own, other));
}

// Until a connection that carries nothing is probed: firewalls and address translation forget idle ones, some after
// minutes.
constexpr int kIdleSeconds = 60;

int SetCongestion(int fd, const std::string& name) {
  return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size())) == 0 ? 0 : errno;
}

std::string FirstLineOf(const char* path) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return "";
  char line[256] = "";
  if (std::fgets(line, sizeof(line), file) == nullptr) line[0] = 0;
  std::fclose(file);
  line[std::strcspn(line, "\n")] = 0;
  return line;
}

}  // namespace

namespace {

// A link-local IPv6 address says nothing without its interface, and the interface's name is each host's own.
std::string ZoneError(const std::string& address, const AddressList& list, int error) {
  constexpr const char* kAdvice = "or give nodes addresses that mean the same on every host";
  const size_t percent = address.find('%');
  if (error != 0) {
    in6_addr ignored;
    const bool scoped =
        percent != std::string::npos && inet_pton(AF_INET6, address.substr(0, percent).c_str(), &ignored) == 1;
    if (!scoped || if_nametoindex(address.c_str() + percent + 1) != 0) return "";
    return fmt::format("this host has no interface '{}', by which another may reach it; name the interfaces alike, {}",
                       address.substr(percent + 1), kAdvice);
  }
  for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET6) return "";
    const auto& plain = *reinterpret_cast<const sockaddr_in6*>(info->ai_addr);
    if (!IN6_IS_ADDR_LINKLOCAL(&plain.sin6_addr) || plain.sin6_scope_id != 0) return "";
  }
  return fmt::format("it is link-local, and its interface is not said: {}%eth0; say it, {}", address, kAdvice);
}

}  // namespace

Result<AddressList> Resolve(const std::string& address, uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list);
  AddressList found(error == 0 ? list : nullptr, freeaddrinfo);
  if (const std::string zone = ZoneError(address, found, error); !zone.empty()) {
    return Refuse("tcp: address '{}': {}", address, zone);
  }
  if (error != 0) return Refuse("tcp: address '{}': {}", address, gai_strerror(error));
  return found;
}

std::string NumericHost(const addrinfo& info) {
  char host[NI_MAXHOST];
  const int error = getnameinfo(info.ai_addr, info.ai_addrlen, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
  return error == 0 ? host : "an unknown address";
}

std::string AddressText(const std::string& address, uint16_t port) {
  return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port)
                                                : fmt::format("[{}]:{}", address, port);
}

std::string SocketText(int fd, bool peer) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  if ((peer ? getpeername(fd, plain, &size) : getsockname(fd, plain, &size)) != 0) return "an unknown address";
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(plain, size, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "an unknown address";
  }
  return AddressText(host, static_cast<uint16_t>(std::strtoul(port, nullptr, 10)));
}

Lookup::Lookup(const std::string& address, uint16_t port) : state_(std::make_shared<State>()) {
  Result<AddressList> numeric = Resolve(address, port, AI_NUMERICHOST);
  if (numeric.ok()) {
    state_->list.emplace(std::move(numeric));
    state_->done = true;
    return;
  }
  const auto look = [state = state_, address, port]() noexcept {
    Result<AddressList> found = Resolve(address, port, 0);
    const std::lock_guard lock(state->mutex);
    state->list.emplace(std::move(found));
    state->done = true;
  };
  try {
    std::thread(look).detach();
  } catch (const std::exception&) {
    look();  // without a thread, whoever asks waits
  }
}

bool Lookup::done() const {
  const std::lock_guard lock(state_->mutex);
  return state_->done;
}

Result<AddressList> Lookup::Take() {
  const std::lock_guard lock(state_->mutex);
  return *std::exchange(state_->list, std::nullopt);
}

std::string TuneSocket(int fd, const std::string& congestion) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kIdleSeconds, sizeof(kIdleSeconds));
  if (congestion.empty()) {
    // An optimization that nobody asked for: without it, the kernel's own choice is right, too.
    if (WithinThisHost(fd)) SetCongestion(fd, "reno");
    return "";
  }
  const int error = SetCongestion(fd, congestion);
  if (error == 0) return "";
  return fmt::format("congestion control '{}' is not to be had ({}; allowed here: {}); links use '{}'", congestion,
                     error == ENOENT ? "this kernel has none of that name" : std::strerror(error),
                     FirstLineOf("/proc/sys/net/ipv4/tcp_allowed_congestion_control"), CongestionOf(fd));
}

std::string CongestionOf(int fd) {
  char used[64] = "";
  socklen_t size = sizeof(used) - 1;
  return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, used, &size) == 0 ? used : "unknown";
}

std::string ConnectErrorText(int error) {
  switch (error) {
    case ECONNREFUSED:
      return "connection refused: nobody listens there";
    case ETIMEDOUT:
      return "no answer at all: the host is down, or something on the way drops the packets (a firewall?)";
    case EHOSTUNREACH:
    case ENETUNREACH:
      return fmt::format("no way there: {}", std::strerror(error));
    default:
      return std::strerror(error);
  }
}

}  // namespace mrs
