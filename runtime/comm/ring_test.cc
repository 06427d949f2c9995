// What is the ring's alone: neighbours that are missing or are not those expected, and ways through others.
#include "runtime/comm/ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "runtime/comm/conformance_oracle.h"
#include "runtime/comm/ring_ways.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RingWays, ConnectAllPairsTheShorterWayRound) {
  EXPECT_THAT(RingWays(1), ElementsAre());
  EXPECT_THAT(RingWays(2), ElementsAre(RingWay{0, 1}, RingWay{1, 0}));
  EXPECT_THAT(RingWays(4),
              ElementsAre(RingWay{0, 1}, RingWay{1, 2}, RingWay{2, 3}, RingWay{3, 0}, RingWay{0, 2}, RingWay{3, 1}));
  for (int size = 3; size <= 16; ++size) {
    std::vector<int> count(size * size);
    std::vector<int> crossing(size);
    for (const RingWay& way : RingWays(size)) {
      ++count[way.from * size + way.to];
      ++count[way.to * size + way.from];
      int length = 0;
      for (int rank = 0; rank < size; ++rank) {
        if (!CrossesRightOf(way, rank, size)) continue;
        ++length;
        ++crossing[rank];
      }
      EXPECT_EQ(length, (way.to - way.from + size) % size);
      EXPECT_LE(length, size / 2);
    }
    for (int a = 0; a < size; ++a) {
      for (int b = 0; b < size; ++b) EXPECT_EQ(count[a * size + b], a == b ? 0 : 1) << a << " " << b << " of " << size;
      EXPECT_LE(crossing[a], size * size / 8 + 1);  // no connection is much more used than others
    }
  }
}

struct TestRing {
  explicit TestRing(int of_size) : size(of_size) {
    for (int rank = 0; rank < size; ++rank) listeners.push_back(*TcpListener::Bind());
  }
  RingConfig Config(int rank) const {
    return {.rank = rank,
            .size = size,
            .right = {"127.0.0.1", listeners[(rank + 1) % size].port()},
            .secret = "one for all",
            .deadline = milliseconds(20000)};
  }
  // What each rank's connecting came to; "": it is connected, and a barrier held. The one with the index `late` begins
  // when one of the others has failed, as one does without it.
  std::vector<std::string> Connect(const std::vector<RingConfig>& configs, int late = -1) const {
    std::vector<std::string> said(configs.size());
    std::vector<std::unique_ptr<Communicator>> comms(configs.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < configs.size(); ++i) {
      threads.emplace_back([&, i] {
        if (static_cast<int>(i) == late) first_failed.wait(-1);
        auto comm = ConnectRing(listeners[configs[i].rank], configs[i]);
        const Status status = comm.ok() ? (*comm)->Barrier() : comm.status();
        if (!status.ok()) said[i] = status.message();
        int none = -1;
        first_failed.compare_exchange_strong(none, status.ok() ? -1 : static_cast<int>(i));
        first_failed.notify_all();
        if (comm.ok()) comms[i] = *std::move(comm);
      });
    }
    for (std::thread& thread : threads) thread.join();
    return said;
  }
  std::string Port(int rank) const { return std::to_string(listeners[rank].port()); }

  int size;
  std::vector<TcpListener> listeners;
  mutable std::atomic<int> first_failed{-1};  // index of what Connect was given
};

TEST(Ring, ARightNeighbourThatIsNotThere_IsNamedWithItsAddressAndWhatRefused) {
  const TestRing ring(4);
  RingConfig config = ring.Config(1);
  uint16_t closed;
  {
    const TcpListener gone = *TcpListener::Bind();
    closed = gone.port();
  }
  config.right.port = closed;
  config.deadline = milliseconds(150);
  EXPECT_EQ(ring.Connect({config})[0],
            fmt::format("ring: rank 1 to its right neighbour, rank 2 at 127.0.0.1:{}: connection refused: nobody "
                        "listens there (for 150 ms); nor did its left neighbour, rank 0 connect",
                        closed));
}

// A way that ends with rank 1 is told later than rank 1 tells why it went.
TEST(Ring, WhoCannotReachItsNeighbour_SaysSoBeforeThoseWhoOnlyWait) {
  const TestRing ring(4);
  std::vector<RingConfig> configs;
  for (int rank = 0; rank < 4; ++rank) {
    configs.push_back(ring.Config(rank));
    configs.back().deadline = milliseconds(300);
    configs.back().others_later = milliseconds(1000);
  }
  {
    const TcpListener gone = *TcpListener::Bind();
    configs[1].right.port = gone.port();
  }
  const std::vector<std::string> said = ring.Connect(configs);
  EXPECT_EQ(ring.first_failed, 1);
  EXPECT_EQ(
      said[1],
      fmt::format("ring: rank 1 to its right neighbour, rank 2 at 127.0.0.1:{}: connection refused: nobody listens "
                  "there (for 300 ms)",
                  configs[1].right.port));
  EXPECT_EQ(said[2],
            "ring: rank 2 of 4: no connection from its left neighbour, rank 1 within 300 ms (2 missing, 0 connections "
            "without the cluster secret)");
  EXPECT_EQ(said[3], "ring: rank 3 to rank 1: the way there ended at the handshake");
}

TEST(Ring, ANeighbourThatSaysNothing_IsNamedSo) {
  const TestRing ring(2);
  RingConfig config = ring.Config(0);
  config.deadline = milliseconds(150);
  EXPECT_EQ(
      ring.Connect({config})[0],
      fmt::format("ring: rank 0 to its right neighbour, rank 1 at 127.0.0.1:{}: connected, but what listens there "
                  "says nothing (for 150 ms); nor did its left neighbour, rank 1 connect",
                  ring.Port(1)));
}

// Where rank 0 reaches rank 1 first and all is well between them, nobody listens there for rank 3 any more, and it only
// hears nothing: rank 0 is late here.
TEST(Ring, ARingThatIsNotClosed_SaysWhoseRightIsWrong) {
  const TestRing ring(4);
  std::vector<RingConfig> configs;
  for (int rank = 0; rank < 4; ++rank) configs.push_back(ring.Config(rank));
  configs[3].right.port = ring.listeners[1].port();  // passes rank 0 by
  for (RingConfig& config : configs) config.deadline = milliseconds(3000);
  const std::vector<std::string> said = ring.Connect(configs, 0);
  EXPECT_EQ(said[3],
            fmt::format("ring: rank 3 to its right neighbour, rank 0 at 127.0.0.1:{}: rank 1 is there: the ring is not "
                        "closed; correct right_ip and right_port of rank 3",
                        ring.Port(1)));
  EXPECT_EQ(said[1],
            "ring: rank 1 of 4: its left neighbour is rank 0, but rank 3 connected, which took it for its right "
            "neighbour: the ring is not closed; correct right_ip and right_port of rank 3");
}

TEST(Ring, ARankThatIsItsOwnNeighbour_IsToldSo) {
  const TestRing ring(2);
  RingConfig config = ring.Config(0);
  config.right.port = ring.listeners[0].port();
  EXPECT_THAT(ring.Connect({config})[0],
              HasSubstr("the ring is not closed; correct right_ip and right_port of rank 0"));
}

TEST(Ring, WorldsThatDiffer_AreNamedOnBothSides) {
  const TestRing ring(2);
  struct Case {
    void (*change)(RingConfig&);
    const char* says;
  };
  const Case cases[] = {
      {[](RingConfig& config) { config.size = 4; }, "start all with the same plan"},
      {[](RingConfig& config) { config.integrity = true; }, "give all the same --cluster-integrity"},
      {[](RingConfig& config) { config.secret = "another"; }, "is the cluster secret the same on both?"},
  };
  for (const Case& unlike : cases) {
    std::vector<RingConfig> configs{ring.Config(0), ring.Config(1)};
    unlike.change(configs[1]);
    for (RingConfig& config : configs) config.deadline = milliseconds(3000);
    const std::vector<std::string> said = ring.Connect(configs);
    EXPECT_THAT(said, ::testing::Contains(HasSubstr(unlike.says)));
    for (const std::string& text : said) EXPECT_THAT(text, HasSubstr("ring: rank"));
  }
}

TEST(Ring, AMeshIsNoRing) {
  const TestRing ring(2);
  RingConfig config = ring.Config(0);
  std::future<Status> mesh = std::async(std::launch::async, [&] {
    return ConnectMesh(ring.listeners[1], {.rank = 1,
                                           .endpoints = {{"127.0.0.1", ring.listeners[0].port()}, {"127.0.0.1", 1}},
                                           .secret = "one for all"})
        .status();
  });
  const std::string said = ring.Connect({config})[0];
  EXPECT_THAT(said + mesh.get().message(), AnyOf(HasSubstr("its transport is tcp, not ring: give all the same"),
                                                 HasSubstr("its transport is ring, not tcp: give all the same")));
}

TEST(Ring, ConfigurationsThatDoNotFit_AreRefusedByName) {
  const TestRing ring(2);
  const auto message = [&](auto change) {
    RingConfig config = ring.Config(0);
    change(config);
    return ConnectRing(ring.listeners[0], config).status().message();
  };
  EXPECT_EQ(message([](RingConfig& c) { c.size = 17; }), "ring: 17 ranks; a ring has 2 to 16");
  EXPECT_EQ(message([](RingConfig& c) { c.size = 1; }), "ring: 1 ranks; a ring has 2 to 16");
  EXPECT_EQ(message([](RingConfig& c) { c.rank = 2; }), "ring: rank 2 of 2 does not exist");
  EXPECT_EQ(message([](RingConfig& c) { c.right = {}; }),
            "ring: rank 0 of 2: its right neighbour, rank 1, has no address and port");
}

// Opposite ranks talk through others that do nothing, much at once and in both directions.
TEST(Ring, RanksBetweenPassOnWhileTheyDoNothing) {
  for (const bool integrity : {false, true}) {
    const TestRing ring(6);
    std::vector<std::unique_ptr<Communicator>> comms(6);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 6; ++rank) {
      threads.emplace_back([&, rank] {
        RingConfig config = ring.Config(rank);
        config.integrity = integrity;
        comms[rank] = *ConnectRing(ring.listeners[rank], config);
      });
    }
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    const size_t count = size_t{3} << 20;
    std::vector<std::string> said(6);
    for (const int rank : {0, 3}) {
      const int peer = 3 - rank;
      threads.emplace_back([&, rank, peer] {
        std::vector<std::byte> received(count);
        for (int round = 0; round < 3; ++round) {
          const std::vector<std::byte> sent = Bytes(rank, count, round);
          Status status;
          if (rank == 0) status = comms[rank]->Send(peer, sent);
          if (status.ok()) status = comms[rank]->Recv(peer, received);
          if (status.ok() && rank == 3) status = comms[rank]->Send(peer, sent);
          if (!status.ok()) said[rank] = status.message();
          if (received != Bytes(peer, count, round)) said[rank] += " other bytes";
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(said[0] + said[3], "");
  }
}

TEST(Ring, ARankBetweenThatGoes_IsNamedByThoseThatTalkThroughIt) {
  const TestRing ring(4);
  std::vector<std::unique_ptr<Communicator>> comms(4);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 4; ++rank) {
    threads.emplace_back([&, rank] { comms[rank] = *ConnectRing(ring.listeners[rank], ring.Config(rank)); });
  }
  for (std::thread& thread : threads) thread.join();
  comms[1].reset();
  std::vector<std::byte> data(8);
  EXPECT_EQ(comms[0]->Recv(2, data).message(),
            "send/recv: rank 0 of 4: rank 2 closed the connection (or rank 1, through which it leads, did)");
}

}  // namespace
}  // namespace mrs
