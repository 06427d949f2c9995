// What a TCP connection between ranks is made of: addresses, attempts to connect, and the options of its socket.
//
//   AddressList list = *Resolve("fe80::1%eth0", 4000, /*flags=*/0);      // or 10.0.0.2, or rank-1.cluster.local
//   AddressText("fe80::1", 4000)                                         // "[fe80::1]:4000"
//   Result<std::string> note = TuneSocket(fd, "bbr");                    // "congestion control 'bbr' is not allowed
//   ..."
//
// Socket buffers keep the sizes that the kernel gives and adapts: to set one ends that.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "plans/status.h"
#include "runtime/comm/fd.h"

namespace mrs {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// address: numeric, or a name, which may take as long as the resolver likes.
Result<AddressList> Resolve(const std::string& address, uint16_t port, int flags);

// "10.0.0.2", "fe80::1%eth0".
std::string NumericHost(const addrinfo& info);

// As people write it, IPv6 in brackets.
std::string AddressText(const std::string& address, uint16_t port);

// "10.0.0.2:4000"; of the other end where `peer`.
std::string SocketText(int fd, bool peer);

// Both ends of the connection are this one socket.
inline bool ConnectedToItself(int fd) { return SocketText(fd, false) == SocketText(fd, true); }

// A lookup that nobody has to wait for: numeric addresses are answered at once, names by a thread of their own.
class Lookup {
 public:
  Lookup(const std::string& address, uint16_t port);
  bool done() const;
  Result<AddressList> Take();  // once done

 private:
  struct State {
    std::mutex mutex;
    bool done = false;
    std::optional<Result<AddressList>> list;
  };
  std::shared_ptr<State> state_;  // the thread's, too: it may outlive the lookup
};

// No delay; probes on what is idle, as streams are while messages are small; and congestion control `congestion`, "":
// what the kernel has, except that both ends of a connection within this host take `reno` where it is allowed, which
// moves bulk twice as fast there as bbr. Returns what the caller should be told: that the kernel allows no such
// control, and which one is used; empty where there is nothing to tell.
std::string TuneSocket(int fd, const std::string& congestion);

// The congestion control of a socket: "bbr".
std::string CongestionOf(int fd);

// Why a connection was not made, as a sentence of its own: "connection refused: nobody listens there".
std::string ConnectErrorText(int error);

}  // namespace mrs
