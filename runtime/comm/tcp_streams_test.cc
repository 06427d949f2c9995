// How several streams between two ranks come about, and who is kept from taking the place of one.
#include <arpa/inet.h>
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <thread>

#include "runtime/comm/conformance_oracle.h"
#include "runtime/comm/stripes.h"
#include "runtime/comm/tcp.h"
#include "runtime/comm/tcp_auth.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;

struct World {
  std::vector<TcpListener> listeners;
  std::vector<TcpEndpoint> endpoints;

  explicit World(int size) {
    for (int rank = 0; rank < size; ++rank) {
      listeners.push_back(*TcpListener::Bind());
      endpoints.push_back({"127.0.0.1", listeners.back().port()});
    }
  }

  MeshConfig Config(int rank, int streams) const {
    return {.rank = rank,
            .endpoints = endpoints,
            .secret = "s",
            .deadline = milliseconds(20000),
            .integrity = true,
            .streams = streams};
  }

  // A connection to a rank of somebody who knows the secret, and says this.
  Fd Say(int rank, const Hello& hello) const {
    Fd fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoints[rank].port);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    Nonce nonce;
    EXPECT_EQ(recv(fd.get(), nonce.data(), nonce.size(), MSG_WAITALL), 32);
    ConnectorMessage message{.nonce = *RandomNonce(), .hello = hello, .proof = {}};
    message.proof = MakeProof("s", AuthRole::kConnector, nonce, message.nonce, hello);
    EXPECT_EQ(send(fd.get(), &message, sizeof(message), MSG_NOSIGNAL), static_cast<ssize_t>(sizeof(message)));
    return fd;
  }

  // Why rank 0 of three streams fails, to which these come.
  std::string WhatZeroSaysTo(const std::vector<Hello>& hellos) const {
    std::string why = "nothing";
    std::thread zero([&] { why = ConnectMesh(listeners[0], Config(0, 3)).status().message(); });
    std::vector<Fd> others;
    for (const Hello& hello : hellos) others.push_back(Say(0, hello));
    zero.join();
    return why;
  }
};

Hello HelloOf(int rank, uint8_t streams, uint8_t stream) {
  return {.rank = static_cast<uint32_t>(rank),
          .size = 2,
          .integrity = 1,
          .streams = streams,
          .stream = stream,
          .from = static_cast<uint32_t>(rank),
          .to = 0};
}

size_t OpenSockets() {
  DIR* const folder = opendir("/proc/self/fd");
  size_t count = 0;
  while (const dirent* entry = readdir(folder)) {
    struct stat what {};
    if (fstatat(dirfd(folder), entry->d_name, &what, 0) == 0 && S_ISSOCK(what.st_mode)) ++count;
  }
  closedir(folder);
  return count;
}

TEST(TcpStreams, AreAsManyAsIsSaid_AndOneWithinAHost) {
  World world(3);
  const size_t before = OpenSockets();
  std::unique_ptr<Communicator> comms[3];
  Status statuses[3];
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      MeshConfig config = world.Config(rank, 4);
      if (rank < 2) config.near = {0, 1};
      auto comm = ConnectMesh(world.listeners[rank], config, {.spin = 0});
      statuses[rank] = comm.status();
      if (!comm.ok()) return;
      comms[rank] = *std::move(comm);
      std::vector<std::byte> data = Bytes(2, 9 * kStripeBytes + 5, 1);
      if (rank != 2) data.assign(data.size(), std::byte{});
      statuses[rank] = comms[rank]->Broadcast(data, 2);
      if (data != Bytes(2, data.size(), 1)) statuses[rank] = Refuse("other bytes");
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(OpenSockets() - before, 2u * (1 + 4 + 4));
}

TEST(TcpStreams, UnlikeCountsAreNamedOnBothSides) {
  World world(2);
  Status acceptor;
  std::thread thread([&] { acceptor = ConnectMesh(world.listeners[0], world.Config(0, 2)).status(); });
  const Status connector = ConnectMesh(world.listeners[1], world.Config(1, 3)).status();
  thread.join();
  ASSERT_FALSE(connector.ok());
  EXPECT_EQ(connector.error().kind, ErrorKind::kRefused);
  EXPECT_EQ(connector.message(),
            fmt::format("tcp: rank 1 to rank 0 at 127.0.0.1:{}: expected rank 0 of 2 (version 3), found rank 0 of 2 "
                        "(version 3); its streams are 2, not 3: give all the same --cluster-streams",
                        world.endpoints[0].port));
  ASSERT_FALSE(acceptor.ok());
  EXPECT_EQ(acceptor.message(),
            "tcp: rank 0 of 2 (version 3): rank 1 of 2 (version 3) connected; its streams are 3, not 2: give all the "
            "same --cluster-streams");
}

TEST(TcpStreams, OneThatThereIsNotIsRefused) {
  for (const uint8_t stream : {uint8_t{3}, uint8_t{255}}) {
    World world(2);
    EXPECT_EQ(world.WhatZeroSaysTo({HelloOf(1, 3, stream)}),
              fmt::format("tcp: rank 0 of 2: rank 1 connected as stream {}, which is not expected or is there already",
                          stream));
  }
}

TEST(TcpStreams, OneThatIsThereAlreadyIsRefused) {
  World world(2);
  EXPECT_EQ(world.WhatZeroSaysTo({HelloOf(1, 3, 1), HelloOf(1, 3, 0), HelloOf(1, 3, 1)}),
            "tcp: rank 0 of 2: rank 1 connected as stream 1, which is not expected or is there already");
}

TEST(TcpStreams, TheirCountIsBounded) {
  World world(2);
  for (const int streams : {0, -1, 9}) {
    EXPECT_EQ(ConnectMesh(world.listeners[0], world.Config(0, streams)).status().message(),
              fmt::format("tcp: {} streams; there are 1 to 8", streams));
  }
}

}  // namespace
}  // namespace mrs
