#include "runtime/comm/tcp_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "runtime/comm/crowd.h"

namespace mrs {
namespace {

TEST(Resolve, SaysWhatIsWrongWithALinkLocalAddress) {
  const struct {
    const char* address;
    const char* message;
  } cases[] = {
      {"127.0.0.1", ""},
      {"::1", ""},
      {"fe80::1%lo", ""},
      {"fe80::1",
       "tcp: address 'fe80::1': it is link-local, and its interface is not said: fe80::1%eth0; say it, or give nodes "
       "addresses that mean the same on every host"},
      {"fe80::1%ib7x",
       "tcp: address 'fe80::1%ib7x': this host has no interface 'ib7x', by which another may reach it; name the "
       "interfaces alike, or give nodes addresses that mean the same on every host"},
      {"no..such", "tcp: address 'no..such': Name or service not known"},
      {"no..such%lo", "tcp: address 'no..such%lo': Name or service not known"},
  };
  for (const auto& [address, message] : cases) {
    const Result<AddressList> list = Resolve(address, 4000, 0);
    EXPECT_EQ(list.ok() ? "" : list.message(), message) << address;
  }
}

TEST(Resolve, NumericForms) {
  EXPECT_EQ(NumericHost(**Resolve("10.0.0.2", 9, 0)), "10.0.0.2");
  EXPECT_EQ(NumericHost(**Resolve("fd00::0:7", 9, 0)), "fd00::7");
  EXPECT_EQ(NumericHost(**Resolve("fe80::1%lo", 9, 0)), "fe80::1%lo");
}

TEST(Crowd, TheOldestOfTheAddressThatHasMostIsPutOut) {
  const auto origin = [](const char* address) {
    const Result<AddressList> list = Resolve(address, 0, AI_NUMERICHOST);
    sockaddr_storage storage{};
    std::memcpy(&storage, (*list)->ai_addr, (*list)->ai_addrlen);
    return OriginOf(storage);
  };
  struct One {
    Origin origin;
    bool may_go = true;
  };
  const Origin a = origin("10.0.0.1"), b = origin("10.0.0.2"), c = origin("fd00::3");
  const struct {
    std::vector<One> crowd;
    size_t chosen;
  } cases[] = {
      {{}, 0},
      {{{a}}, 0},
      {{{a}, {b}, {b}}, 1},
      {{{c}, {a}, {c}, {a}}, 0},
      {{{a}, {c}, {b}, {c}}, 1},
      {{{a, false}, {a, false}, {b}}, 2},
      {{{a, false}}, 1},
  };
  for (const auto& [crowd, chosen] : cases) {
    const auto whom = WhomToPutOut(crowd, [](const One& one) { return one.may_go ? &one.origin : nullptr; });
    EXPECT_EQ(static_cast<size_t>(whom - crowd.begin()), chosen);
  }
}

TEST(TuneSocket, AnIdleConnectionIsProbedBeforeAFirewallForgetsIt) {
  const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  TuneSocket(fd.get(), "");
  const auto option = [&](int level, int name) {
    int value = -1;
    socklen_t size = sizeof(value);
    EXPECT_EQ(getsockopt(fd.get(), level, name, &value, &size), 0);
    return value;
  };
  EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 60);
}

}  // namespace
}  // namespace mrs
