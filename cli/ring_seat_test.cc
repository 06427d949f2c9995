#include "cli/ring_seat.h"

#include <gtest/gtest.h>

namespace mrs::cli {
namespace {

ListenSources Sources(std::string planned, std::string interface, bool hinted, std::string right) {
  ListenSources sources;
  sources.planned = std::move(planned);
  sources.interface = std::move(interface);
  sources.hinted = hinted;
  sources.right = std::move(right);
  return sources;
}

TEST(ListenAddress, TheClusterThenTheInterfaceThenTheWayToTheRight) {
  const struct {
    ListenSources sources;
    const char* address;
  } cases[] = {
      {Sources("", "", false, ""), "127.0.0.1"},
      {Sources("", "", true, ""), "127.0.0.1"},
      {Sources("", "", false, "127.0.0.9"), "127.0.0.1"},  // as the kernel would send it
      {Sources("", "10.0.0.2", false, ""), "10.0.0.2"},
      {Sources("", "10.0.0.2", false, "127.0.0.9"), "10.0.0.2"},
      {Sources("", "10.0.0.2", true, "127.0.0.9"), "10.0.0.2"},
      {Sources("", "10.0.0.2", true, ""), "127.0.0.1"},  // a hint of what is between hosts
      {Sources("10.0.0.3", "", false, ""), "10.0.0.3"},
      {Sources("10.0.0.3", "10.0.0.2", true, "127.0.0.9"), "10.0.0.3"},
      {Sources("10.0.0.3", "10.0.0.3", false, ""), "10.0.0.3"},
  };
  for (const auto& one : cases) {
    const Result<std::string> address = ListenAddress(one.sources);
    ASSERT_TRUE(address.ok()) << address.message();
    EXPECT_EQ(*address, one.address);
  }
  EXPECT_EQ(
      ListenAddress(Sources("10.0.0.3", "10.0.0.2", false, "")).message(),
      "--interface gives this rank 10.0.0.2, and the plan's cluster 10.0.0.3; leave it out, or correct the cluster "
      "file and plan anew");
}

}  // namespace
}  // namespace mrs::cli
