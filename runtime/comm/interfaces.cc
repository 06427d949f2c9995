#include "runtime/comm/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>

#include "runtime/comm/fd.h"
#include "runtime/comm/tcp_socket.h"

namespace mrs {
namespace {

constexpr size_t kMaxListed = 16;  // in an error

Result<std::string> NumericText(const sockaddr* address, socklen_t size) {
  char host[NI_MAXHOST];
  const int error = getnameinfo(address, size, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
  if (error != 0) return Unavailable("an address of this host: {}", gai_strerror(error));
  return std::string(host);
}

// IPv4 first, link-local IPv6 last.
int OrderOf(const InterfaceAddress& of) {
  return of.address.find(':') == std::string::npos ? 0 : of.address.find('%') == std::string::npos ? 1 : 2;
}

std::string Listed(const std::vector<InterfaceAddress>& interfaces) {
  std::string text;
  size_t count = 0;
  const std::string* last = nullptr;
  for (const InterfaceAddress& of : interfaces) {
    if (last != nullptr && *last == of.interface) continue;
    last = &of.interface;
    if (++count > kMaxListed) return text + ", ...";
    text += fmt::format("{}{} ({}{})", text.empty() ? "" : ", ", of.interface, of.address, of.up ? "" : ", down");
  }
  return text.empty() ? "none has an address" : text;
}

// Of a hint's list, one name after another; stops where the function says so.
template <typename Function>
bool AnyName(std::string_view list, const Function& function) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (const std::string_view name = list.substr(0, comma); !name.empty() && function(name)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

Result<std::vector<InterfaceAddress>> ListInterfaces() {
  ifaddrs* raw = nullptr;
  if (getifaddrs(&raw) != 0) return Unavailable("the interfaces of this host: {}", std::strerror(errno));
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> list(raw, freeifaddrs);
  std::vector<InterfaceAddress> interfaces;
  std::vector<std::string> order;
  for (const ifaddrs* entry = raw; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const Result<std::string> text =
        NumericText(entry->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    if (!text.ok()) continue;
    interfaces.push_back({.interface = entry->ifa_name,
                          .address = *text,
                          .up = (entry->ifa_flags & IFF_UP) != 0,
                          .loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0});
    if (std::find(order.begin(), order.end(), entry->ifa_name) == order.end()) order.emplace_back(entry->ifa_name);
  }
  const auto place = [&](const InterfaceAddress& of) {
    return std::tuple(std::find(order.begin(), order.end(), of.interface) - order.begin(), OrderOf(of));
  };
  std::stable_sort(interfaces.begin(), interfaces.end(),
                   [&](const InterfaceAddress& a, const InterfaceAddress& b) { return place(a) < place(b); });
  return interfaces;
}

Result<std::string> AddressOfInterface(const std::vector<InterfaceAddress>& interfaces, std::string_view name) {
  for (const InterfaceAddress& of : interfaces) {
    if (of.interface != name) continue;
    if (!of.up) return Refuse("interface '{}' is down", name);
    return of.address;
  }
  return Refuse("no interface '{}' with an address on this host; there are: {}", name, Listed(interfaces));
}

Result<std::string> ChooseInterface(const std::vector<InterfaceAddress>& interfaces, std::string_view hint) {
  std::string_view list = hint;
  const bool without = list.starts_with('^');
  if (without) list.remove_prefix(1);
  const bool exact = list.starts_with('=');
  if (exact) list.remove_prefix(1);
  for (const InterfaceAddress& of : interfaces) {
    const bool named = AnyName(list, [&](std::string_view name) {
      return exact ? of.interface == name : std::string_view(of.interface).starts_with(name);
    });
    const bool allowed = without ? !named : named || list.empty();
    if (!allowed || !of.up || (of.loopback && (without || !named))) continue;
    return of.address;
  }
  return Refuse("no interface of this host is up and fits '{}'; there are: {}", hint, Listed(interfaces));
}

std::string NetworkId() {
  struct stat info {};
  std::FILE* const file = std::fopen("/proc/sys/kernel/random/boot_id", "re");
  char boot[64] = {};
  const bool read = file != nullptr && std::fscanf(file, "%63s", boot) == 1;
  if (file != nullptr) std::fclose(file);
  if (!read || stat("/proc/self/ns/net", &info) != 0) return "";
  return fmt::format("{}:{}", boot, info.st_ino);
}

Result<std::string> AddressTowards(const std::string& peer) {
  const Result<AddressList> list = Resolve(peer, 9, AI_NUMERICHOST);
  if (!list.ok()) return Refuse("'{}' is no numeric address", peer);
  const addrinfo& info = **list;
  // Connecting a datagram socket only asks the routes.
  const Fd fd(socket(info.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  if (!fd || connect(fd.get(), info.ai_addr, info.ai_addrlen) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return Unavailable("no way from this host to {}: {}", peer, std::strerror(errno));
  }
  return NumericText(reinterpret_cast<const sockaddr*>(&own), size);
}

}  // namespace mrs
