// Random clusters of every shape that the structs can hold: the canonical text of each reads back to it, and to itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "planner/cluster/catalogue.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/units.h"

namespace mrs::cluster {
namespace {

class RandomCluster {
 public:
  explicit RandomCluster(uint64_t seed) : random_(seed) {}

  Cluster Make() {
    Cluster cluster;
    if (Chance()) cluster.name = Name();
    if (Chance()) cluster.network_gigabits = Rate();
    const int entries = Below(4) + 1;
    for (int e = 0; e < entries; ++e) {
      const Node node = MakeNode();
      const bool addressed = Chance();
      for (int copies = Below(3) + 1; copies > 0; --copies) {
        cluster.nodes.push_back(node);
        cluster.nodes.back().name = fmt::format("{}{}", Name(), cluster.nodes.size());
        if (addressed) cluster.nodes.back().address = fmt::format("10.0.0.{}", cluster.nodes.size());
      }
    }
    return cluster;
  }

 private:
  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }
  bool Chance() { return Below(2) == 0; }

  // Pieces that mean something to YAML, and letters that do not.
  std::string Name() {
    constexpr std::string_view kPieces[] = {"a", "\"", "\\", ": ", " #",     "'",      "- ",     "{",         "]",
                                            ",", "&x", "*y", "!t", "|",      "~",      "null",   "0",         "no",
                                            "%", "@",  "`",  " ",  "\u00e9", "\u2028", "\u0085", "\U0001F600"};
    std::string name;
    for (int length = Below(5) + 1; length > 0; --length) name += kPieces[Below(std::size(kPieces))];
    return name;
  }

  double Rate() {
    const double rates[] = {0.001, 1, 12.5, 100.0 / 3, 400, 999999.9};
    return rates[Below(std::size(rates))];
  }

  uint64_t Size() {
    const uint64_t sizes[] = {1, 1000, 1 << 20, uint64_t{81559} << 20, 47500000001, kMaxBytes};
    return sizes[Below(std::size(sizes))];
  }

  std::string BusId(int device) { return Chance() ? "" : fmt::format("{:04x}:{:02x}:00.0", Below(65536), device); }

  Attachment MakeAttachment(const Node& node, int switches) {
    Attachment at;
    at.parent = Below(switches + 1) - 1;
    at.socket = at.parent >= 0 ? node.switches[at.parent].at.socket : Below(static_cast<int>(node.sockets.size()));
    if (Chance()) at.link.gigatransfers = GigatransfersOf(Below(6) + 1);
    if (Chance()) at.link.lanes = 1 << Below(6);
    return at;
  }

  Node MakeNode() {
    Node node;
    if (Chance()) node.memory_bytes = Size();
    if (Chance()) node.cores = Below(256) + 1;
    for (int s = Below(3) + 1; s > 0; --s) {
      Socket socket{.numa = Below(8)};
      if (Chance()) socket.arch = Name();
      if (Chance()) socket.vendor = Name();
      if (Chance()) socket.cpu = Name();
      node.sockets.push_back(std::move(socket));
    }
    // Parents come first; then their order is turned round, which a file may do as well.
    const int switches = Below(5);
    for (int s = 0; s < switches; ++s) {
      const Attachment at = MakeAttachment(node, s);
      node.switches.push_back({fmt::format("{}{}", Name(), s), Chance(), at});
    }
    std::vector<Switch> turned(node.switches.rbegin(), node.switches.rend());
    for (Switch& part : turned) part.at.parent = part.at.parent < 0 ? -1 : switches - 1 - part.at.parent;
    if (Chance()) node.switches = std::move(turned);
    const int devices = Below(9);
    int ordinal = 0;
    for (int d = 0; d < devices; ++d) {
      Device device;
      const DeviceModel& row = Catalogue()[Below(static_cast<int>(Catalogue().size()))];
      device.kind = static_cast<DeviceKind>(Below(3));
      if (Chance()) {
        device.kind = row.kind;
        device.model = row.name;
      }
      if (Chance()) device.memory_bytes = Size();
      device.ordinal = ordinal += Below(2) + 1;
      device.bus_id = BusId(d);
      device.at = MakeAttachment(node, switches);
      node.devices.push_back(std::move(device));
    }
    for (int n = Below(4); n > 0; --n) {
      Nic nic{.name = fmt::format("{}{}", Name(), n)};
      if (Chance()) nic.gigabits = Rate();
      nic.gpu_direct = Chance();
      nic.bus_id = BusId(128 + n);
      nic.at = MakeAttachment(node, switches);
      node.nics.push_back(std::move(nic));
    }
    for (int from = 0; from < devices; ++from) {
      for (int to = kSocket; to < devices; ++to) {
        if (to == from || Below(3) != 0) continue;
        const double gigabytes = Chance() ? 0 : Rate() / 8;
        node.links.push_back({static_cast<PeerKind>(Below(3)), from, to, Below(64) + 1, gigabytes});
      }
    }
    const bool fabric = std::ranges::any_of(
        node.links, [](const PeerLink& link) { return link.kind == PeerKind::kNvlink && link.to == kFabric; });
    if (fabric && Chance()) node.nvlink_domain = fmt::format("{}d", Name());
    for (int c = Below(3); c > 0; --c) node.completed.push_back(Name());
    return node;
  }

  std::mt19937_64 random_;
};

TEST(ClusterText, OfNamesThatAreNotSeenReadsBackToThem) {
  Cluster cluster = RandomCluster(1).Make();
  cluster.nodes[0].name = "a\u009B2J\u202E\uFEFF\uFFFE\"\\\U000E0041\u00E9";
  const std::string text = CanonicalText(cluster);
  EXPECT_NE(text.find("\"a\\x9b2J\\u202e\\ufeff\\ufffe\\\"\\\\\\U000e0041\u00E9\""), text.npos) << text;
  const Result<Cluster> again = ParseCluster(text, "again");
  ASSERT_TRUE(again) << again.message() << "\n" << text;
  EXPECT_EQ(*again, cluster) << text;
}

TEST(ClusterText, OfAnyClusterReadsBackToIt) {
  constexpr uint64_t kSeed = 20;
  for (uint64_t i = 0; i < 500; ++i) {
    SCOPED_TRACE(fmt::format("seed {}", kSeed + i));
    const Cluster cluster = RandomCluster(kSeed + i).Make();
    const std::string text = CanonicalText(cluster);
    const Result<Cluster> again = ParseCluster(text, "again");
    ASSERT_TRUE(again) << again.message() << "\n" << text;
    ASSERT_EQ(*again, cluster) << text;
    ASSERT_EQ(CanonicalText(*again), text);
    // Another cluster has another text: a change of any part shows.
    Cluster other = cluster;
    Node& node = other.nodes[i % other.nodes.size()];
    switch (i % 6) {
      case 0:
        node.name += "'";
        break;
      case 1:
        node.memory_bytes ^= 1 << 3;
        break;
      case 2:
        node.sockets[0].numa += 1;
        break;
      case 3:
        node.completed.push_back("x");
        break;
      case 4:
        node.nvlink_domain += "x";
        break;
      default:
        other.network_gigabits += 1;
    }
    ASSERT_NE(CanonicalText(other), text);
    ASSERT_NE(Fingerprint(other), Fingerprint(cluster));
  }
}

}  // namespace
}  // namespace mrs::cluster
