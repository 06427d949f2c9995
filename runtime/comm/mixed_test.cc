// What is the mixed world's alone: one wait for memory and a socket, and configurations that do not fit.
#include "runtime/comm/mixed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <thread>

#include "runtime/comm/mixed_transport.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;

// Rank 0 waits, rank 1 is its neighbour in memory, rank 2 at the other end of a socket.
struct ThreeRanks {
  HostLinks links = *CreateHostLinks(2, 4096);
  Fd ends[2];

  ThreeRanks() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ends[0] = Fd(fds[0]);
    ends[1] = Fd(fds[1]);
  }

  MixedTransport Open(int rank, Fd socket) {
    HostView host{.region = *MapRegion(2, links.region.get()),
                  .members = {0, 1},
                  .bell = Fd(dup(links.bell.get())),
                  .bell_edges = Fd(epoll_create1(EPOLL_CLOEXEC))};
    epoll_event edge{.events = EPOLLIN | EPOLLET, .data = {}};
    EXPECT_EQ(epoll_ctl(host.bell_edges.get(), EPOLL_CTL_ADD, host.bell.get(), &edge), 0);
    std::vector<TcpLink> links_of(3);
    links_of[2].streams.push_back({.fd = std::move(socket)});
    return MixedTransport(std::move(host), TcpTransport(rank, std::move(links_of)));
  }
};

// A wake-up that is lost shows: the wait would last as long as the whole test may.
TEST(Mixed, OneWaitHearsMemoryAndSocket) {
  ThreeRanks world;
  MixedTransport waiting = world.Open(0, std::move(world.ends[0]));
  MixedTransport neighbour = world.Open(1, Fd());
  constexpr int kRounds = 3000;
  constexpr milliseconds kFarTooLong{120000};
  std::thread others([&] {
    std::byte acknowledged[1];
    for (int round = 0; round < kRounds; ++round) {
      const std::byte byte[] = {static_cast<std::byte>(round)};
      if (round % 2 == 0) {
        while (*neighbour.TryWrite(0, byte, {}) == 0) {
        }
      } else {
        EXPECT_EQ(write(world.ends[1].get(), byte, 1), 1);
      }
      // The next comes once this one was seen, so that every round has a sleeper.
      while (*neighbour.TryRead(0, acknowledged, {}) == 0) neighbour.Wait(-1, 0, kFarTooLong);
      EXPECT_EQ(acknowledged[0], byte[0]);
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    std::byte byte[1];
    const int from = round % 2 == 0 ? 1 : 2;
    if (from == 1) {
      // The socket to 2 is full, so that only the neighbour's byte can end the wait.
      std::vector<std::byte> filler(1 << 16);
      while (*waiting.TryWrite(2, filler, {}) > 0) {
      }
      while (*waiting.TryRead(1, byte, {}) == 0) waiting.Wait(2, 1, kFarTooLong);
    } else {
      // Nor is there room in the ring to 1, before 1 reads.
      while (*waiting.TryRead(2, byte, {}) == 0) waiting.Wait(-1, 2, kFarTooLong);
    }
    EXPECT_EQ(byte[0], static_cast<std::byte>(round));
    ASSERT_EQ(*waiting.TryWrite(1, byte, {}), 1u);
  }
  others.join();
}

TEST(Mixed, ASocketEndsAWaitForAFullRing) {
  ThreeRanks world;
  MixedTransport waiting = world.Open(0, std::move(world.ends[0]));
  std::vector<std::byte> filler(4096);
  while (*waiting.TryWrite(1, filler, {}) > 0) {
  }
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(write(world.ends[1].get(), "x", 1), 1);
  });
  std::byte byte[1];
  while (*waiting.TryRead(2, byte, {}) == 0) waiting.Wait(1, 2, milliseconds(120000));
  other.join();
  EXPECT_EQ(byte[0], std::byte{'x'});
}

// A neighbour that gives up or goes ends the wait, and is called what the world calls it.
TEST(Mixed, ANeighbourThatGoesEndsTheWait) {
  ThreeRanks world;
  MixedTransport waiting = world.Open(0, std::move(world.ends[0]));
  auto neighbour = std::make_unique<MixedTransport>(world.Open(1, Fd()));
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(20));
    neighbour.reset();
  });
  std::vector<std::byte> filler(1 << 16);
  while (*waiting.TryWrite(2, filler, {}) > 0) {
  }
  std::byte byte[1];
  Result<size_t> read = size_t{0};
  while (read.ok() && *read == 0) {
    waiting.Wait(2, 1, milliseconds(120000));
    read = waiting.TryRead(1, byte, {});
  }
  other.join();
  EXPECT_EQ(read.message(), "rank 1 closed the connection");
}

TEST(Mixed, ConfigurationsThatDoNotFitAreRefusedByName) {
  const HostLinks links = *CreateHostLinks(2, 4096);
  const TcpListener listener = *TcpListener::Bind();
  const MixedConfig good{.mesh = {.rank = 1, .endpoints = std::vector<TcpEndpoint>(4), .secret = "s"},
                         .local = {1, 3},
                         .region_fd = links.region.get(),
                         .bell_fd = links.bell.get()};
  const auto message = [&](auto change, const TcpListener* at) {
    MixedConfig config = good;
    change(config);
    return ConnectMixed(at, config).status().message();
  };
  EXPECT_EQ(message([](MixedConfig& c) { c.mesh.rank = 4; }, &listener), "mixed: rank 4 of 4 does not exist");
  EXPECT_EQ(message(
                [](MixedConfig& c) {
                  c.local = {1, 1};
                },
                &listener),
            "mixed: rank 1 of 4: rank 1 is twice among those of its host");
  EXPECT_EQ(message(
                [](MixedConfig& c) {
                  c.local = {1, 4};
                },
                &listener),
            "mixed: rank 1 of 4: rank 4 of its host does not exist");
  EXPECT_EQ(message(
                [](MixedConfig& c) {
                  c.local = {0, 2};
                },
                &listener),
            "mixed: rank 1 of 4 is not among the 2 ranks of its host");
  EXPECT_EQ(message(
                [](MixedConfig& c) {
                  c.local = {0, 1, 2};
                },
                &listener),
            "shared region: made for 2 ranks, opened for 3");
  EXPECT_EQ(message([](MixedConfig& c) { c.bell_fd = -1; }, &listener),
            "mixed: rank 1: bell (descriptor -1): Bad file descriptor");
  EXPECT_EQ(message([](MixedConfig&) {}, nullptr), "mixed: rank 1 of 4: ranks of other hosts need a listener");
}

// All of one host: no listener, no socket.
TEST(Mixed, OneHostNeedsNoListener) {
  const HostLinks links = *CreateHostLinks(2);
  Status statuses[2];
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      auto comm = ConnectMixed(nullptr, {.mesh = {.rank = rank, .endpoints = std::vector<TcpEndpoint>(2), .secret = ""},
                                         .local = {0, 1},
                                         .region_fd = links.region.get(),
                                         .bell_fd = links.bell.get()});
      statuses[rank] = comm.ok() ? (*comm)->Barrier() : comm.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << status.message();
}

}  // namespace
}  // namespace mrs
