#include "runtime/world/ring_facts.h"

#include <gtest/gtest.h>

namespace mrs {
namespace {

using wire::RingFacts;
using Ring = std::vector<std::optional<RingFacts>>;

// All on one host, ports 9001, 9002, ...
Ring OneHost(uint32_t size) {
  Ring ring(size);
  for (uint32_t rank = 0; rank < size; ++rank) {
    ring[rank] = RingFacts{.file = fmt::format("r{}.json", rank),
                           .listen = {"127.0.0.1", static_cast<uint16_t>(9001 + rank)},
                           .right = {"", static_cast<uint16_t>(9001 + (rank + 1) % size)},
                           .network = "a"};
  }
  return ring;
}

// Ranks 0 and 1 on host a, 2 and 3 on host b, every address said.
Ring TwoHosts() {
  Ring ring = OneHost(4);
  for (uint32_t rank = 0; rank < 4; ++rank) {
    ring[rank]->listen.address = rank < 2 ? "10.0.0.1" : "10.0.0.2";
    ring[rank]->right.address = rank == 0 || rank == 3 ? "10.0.0.1" : "10.0.0.2";
    ring[rank]->network = rank < 2 ? "a" : "b";
  }
  return ring;
}

TEST(CompareRing, TakesWhatIsClosed) {
  for (const uint32_t size : {2u, 4u, 8u, 16u}) EXPECT_TRUE(CompareRing(OneHost(size)).ok()) << size;
  EXPECT_TRUE(CompareRing(TwoHosts()).ok());
  Ring same_ports = TwoHosts();  // of other hosts
  same_ports[3]->listen.port = same_ports[2]->right.port = 9001;
  EXPECT_TRUE(CompareRing(same_ports).ok());
  Ring one_missing = OneHost(4);  // whatever its neighbours take it for
  one_missing[2].reset();
  one_missing[1]->right.port = 77;
  EXPECT_TRUE(CompareRing(one_missing).ok());
  Ring unknown = TwoHosts();  // where networks are not known, connecting tells
  for (auto& facts : unknown) facts->network = "";
  unknown[0]->right.address = "";
  unknown[1]->listen.address = "127.0.0.1";
  EXPECT_TRUE(CompareRing(unknown).ok());
}

TEST(CompareRing, CountsTheRanksOfAMachineTogether) {
  const auto ring_of = [](std::vector<const char*> networks) {
    Ring ring(networks.size());
    for (size_t rank = 0; rank < networks.size(); ++rank) {
      ring[rank] = RingFacts{.file = {}, .listen = {}, .right = {}, .network = networks[rank], .machine_bytes = 100};
    }
    return ring;
  };
  struct Case {
    Ring ring;
    std::vector<uint64_t> needs;
    std::string message;
  };
  Case cases[] = {
      {ring_of({"a:1", "a:1", "b:1"}), {50, 50, 100}, ""},
      {ring_of({"a:1", "a:1", "b:1"}),
       {50, 51, 20},
       "ranks 0 and 1 of the ring are on one machine, whose memory is 100 bytes, and together they need 101; start "
       "some "
       "on others, or plan with --memory"},
      // In containers with a network of their own.
      {ring_of({"b:1", "a:1", "a:2", "a:3"}),
       {1, 40, 40, 40},
       "ranks 1 to 3 of the ring are on one machine, whose memory is 100 bytes, and together they need 120; start some "
       "on others, or plan with --memory"},
      {ring_of({"a:1", "b:1"}),
       {1, 101},
       "rank 1 of the ring is on one machine, whose memory is 100 bytes, and needs 101; start some on others, or plan "
       "with --memory"},
      {ring_of({"a:1", "a:1"}),
       {UINT64_MAX, UINT64_MAX},
       "ranks 0 and 1 of the ring are on one machine, whose memory is 100 bytes, and together they need "
       "18446744073709551615; start some on others, or plan with --memory"},
      {ring_of({"", ""}), {99, 99}, ""},
      {ring_of({"a:1", "a:1"}), {99, 99}, ""},
      {ring_of({"a:1", "a:1"}), {99, 99}, ""},
  };
  cases[6].ring[0].reset();  // not there yet
  cases[7].ring[1]->machine_bytes = 0;
  for (const auto& [ring, needs, message] : cases) {
    const Status fits = CompareRingMemory(ring, needs);
    EXPECT_EQ(fits.ok() ? "" : fits.message(), message);
  }
}

TEST(CompareRing, NamesWhatIsNotClosed) {
  struct Case {
    Ring ring;
    std::function<void(Ring&)> break_it;
    std::string message;
  };
  const std::string start = "the ring is not closed: rank 1 (r1.json) takes its right neighbour, rank 2 (r2.json), ";
  const Case cases[] = {
      {OneHost(4), [](Ring& ring) { ring[1]->right.port = 9055; },
       start + "to listen at port 9055, but it listens at port 9003; make 'right_port' of rank 1 the 'port' of rank 2"},
      {OneHost(4), [](Ring& ring) { ring[1]->right.port = 9004; },
       start +
           "to listen at port 9004, but it listens at port 9003 (9004 is rank 3's); make 'right_port' of rank 1 the "
           "'port' of rank 2"},
      {OneHost(2), [](Ring& ring) { ring[1]->right.port = 9009; },
       "the ring is not closed: rank 1 (r1.json) takes its right neighbour, rank 0 (r0.json), to listen at port 9009, "
       "but "
       "it listens at port 9001; make 'right_port' of rank 1 the 'port' of rank 0"},
      {OneHost(4), [](Ring& ring) { ring[3]->listen.port = 9002; },
       "port clash: rank 1 (r1.json) and rank 3 (r3.json) both listen at 127.0.0.1:9002; give each a 'port' of its "
       "own, "
       "and its left neighbour the same as 'right_port'"},
      {TwoHosts(), [](Ring& ring) { ring[1]->right.address = ""; },
       start + "to be on its own host, as its 'right_ip' is left out or 0.0.0.0, but that is another: it listens at "
               "10.0.0.2:9003; write its address into 'right_ip' of rank 1"},
      // Rank 1 listens at the loopback for that, which rank 0 does not take it to: the cause is named.
      {TwoHosts(),
       [](Ring& ring) {
         ring[1]->right.address = "";
         ring[1]->listen.address = "127.0.0.1";
       },
       start + "to be on its own host, as its 'right_ip' is left out or 0.0.0.0, but that is another: it listens at "
               "10.0.0.2:9003; write its address into 'right_ip' of rank 1"},
      {TwoHosts(), [](Ring& ring) { ring[2]->listen.address = "127.0.0.1"; },
       start +
           "to listen at 10.0.0.2:9003, but it listens at 127.0.0.1:9003 alone, as its own 'right_ip' says no other "
           "host; write the address of its host there, or start it with --interface NAME"},
  };
  for (const Case& one : cases) {
    Ring ring = one.ring;
    one.break_it(ring);
    EXPECT_EQ(CompareRing(ring).message(), one.message);
  }
}

TEST(DialedBy, IsTheFilesAddressBetweenHosts) {
  Ring ring = TwoHosts();
  ring[1]->right.address = "gpu-b";
  EXPECT_EQ(DialedBy(*ring[1], *ring[2]), (wire::Endpoint{"gpu-b", 9003}));
  // Of one host, where the neighbour listens, whichever of its addresses that is.
  ring[0]->right.address = "";
  EXPECT_EQ(DialedBy(*ring[0], *ring[1]), (wire::Endpoint{"10.0.0.1", 9002}));
  ring[0]->right.address = "10.7.0.1";
  EXPECT_EQ(DialedBy(*ring[0], *ring[1]), (wire::Endpoint{"10.0.0.1", 9002}));
}

TEST(DoubtAbout, NamesTwoAddressesOfOneRank) {
  Ring ring = TwoHosts();
  EXPECT_EQ(DoubtAbout(ring), "");
  ring[1]->right.address = "10.1.0.2";
  EXPECT_EQ(DoubtAbout(ring),
            "rank 1 connects to 10.1.0.2:9003, and rank 2 listens at 10.0.0.2:9003 alone; if it is not reached, start "
            "rank 2 with --interface NAME of the address that is connected to");
  ring[1]->right.address = "gpu-b";
  EXPECT_EQ(DoubtAbout(ring), "");
}

}  // namespace
}  // namespace mrs
