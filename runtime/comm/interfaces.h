// Which address of this host others reach it by: of an interface by name, or the one from which a peer is reached.
//
//   *AddressOfInterface(ListInterfaces(), "eth0")          "10.0.0.2"
//   *ChooseInterface(ListInterfaces(), "=eth0,ib")         NCCL_SOCKET_IFNAME: eth0 exactly, or any that begins with ib
//   *AddressTowards("10.0.0.9")                            "10.0.0.2": what the kernel would send from
//
// An interface's addresses are taken in the order: IPv4, IPv6 of any scope, link-local IPv6 (which needs its interface:
// "fe80::1%eth0").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs {

struct InterfaceAddress {
  std::string interface;
  std::string address;  // numeric, with %interface where it is link-local
  bool up = true;
  bool loopback = false;
  bool operator==(const InterfaceAddress&) const = default;
};

// Those with an IPv4 or IPv6 address, in the kernel's order, the best address of each interface first.
Result<std::vector<InterfaceAddress>> ListInterfaces();

// kRefused: there is none of that name, or it is down; the error lists those there are.
Result<std::string> AddressOfInterface(const std::vector<InterfaceAddress>& interfaces, std::string_view name);

// The address of the first interface that a hint in NCCL's form allows: names begin with one of a list ("eth,ib"), are
// one of a list ("=eth0,eth1"), or do neither ("^docker,lo", "^=lo"). Up, and loopback only where it is named. Empty:
// any.
Result<std::string> ChooseInterface(const std::vector<InterfaceAddress>& interfaces, std::string_view hint);

// Which network stack this process has: that of its host, or of the network namespace that it is in. Two processes with
// the same one reach each other over its loopback. "": the kernel does not say.
std::string NetworkId();

// peer: numeric. Nothing is sent. kRefused: it is no address; kUnavailable: no way leads there.
Result<std::string> AddressTowards(const std::string& peer);

}  // namespace mrs
