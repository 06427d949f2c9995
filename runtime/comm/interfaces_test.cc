#include "runtime/comm/interfaces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs {
namespace {

using ::testing::Contains;

const std::vector<InterfaceAddress> kHost = {
    {.interface = "lo", .address = "127.0.0.1", .loopback = true},
    {.interface = "docker0", .address = "172.17.0.1"},
    {.interface = "eth0", .address = "10.0.0.2"},
    {.interface = "eth0", .address = "fe80::1%eth0"},
    {.interface = "eth1", .address = "10.1.0.2", .up = false},
    {.interface = "ib0", .address = "fd00::7"},
};

TEST(Interfaces, ByName) {
  EXPECT_EQ(*AddressOfInterface(kHost, "eth0"), "10.0.0.2");
  EXPECT_EQ(*AddressOfInterface(kHost, "lo"), "127.0.0.1");
  EXPECT_EQ(AddressOfInterface(kHost, "eth1").message(), "interface 'eth1' is down");
  EXPECT_EQ(AddressOfInterface(kHost, "eth").message(),
            "no interface 'eth' with an address on this host; there are: lo (127.0.0.1), docker0 (172.17.0.1), eth0 "
            "(10.0.0.2), eth1 (10.1.0.2, down), ib0 (fd00::7)");
  EXPECT_EQ(AddressOfInterface({}, "eth0").message(),
            "no interface 'eth0' with an address on this host; there are: none has an address");
}

TEST(Interfaces, ByAHintOfNccl) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "172.17.0.1"},       {"eth", "10.0.0.2"},        {"ib,eth", "10.0.0.2"},    {"=ib0", "fd00::7"},
      {"^docker", "10.0.0.2"},  {"^docker,eth", "fd00::7"}, {"^=docker0", "10.0.0.2"}, {"lo", "127.0.0.1"},
      {"=eth1,ib0", "fd00::7"}, {",eth0", "10.0.0.2"},
  };
  for (const auto& [hint, address] : cases) {
    const Result<std::string> chosen = ChooseInterface(kHost, hint);
    ASSERT_TRUE(chosen.ok()) << chosen.message();
    EXPECT_EQ(*chosen, address) << hint;
  }
  for (const char* hint : {"wlan", "=eth", "eth1", "^docker,eth,ib"}) {
    EXPECT_THAT(
        ChooseInterface(kHost, hint).message(),
        ::testing::StartsWith(fmt::format("no interface of this host is up and fits '{}'; there are: lo", hint)));
  }
}

TEST(Interfaces, ThisHostHasLoopback) {
  const Result<std::vector<InterfaceAddress>> interfaces = ListInterfaces();
  ASSERT_TRUE(interfaces.ok()) << interfaces.message();
  EXPECT_THAT(*interfaces,
              Contains(InterfaceAddress{.interface = "lo", .address = "127.0.0.1", .up = true, .loopback = true}));
}

TEST(Interfaces, ANetworkHasAName) {
  EXPECT_NE(NetworkId(), "");
  EXPECT_EQ(NetworkId(), NetworkId());
}

TEST(Interfaces, TowardsAPeer) {
  EXPECT_EQ(*AddressTowards("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(AddressTowards("ten").message(), "'ten' is no numeric address");
}

}  // namespace
}  // namespace mrs
