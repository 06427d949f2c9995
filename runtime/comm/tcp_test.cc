// What is TCP's alone: strangers, secrets and worlds that do not fit.
#include "runtime/comm/tcp.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "runtime/comm/tcp_auth.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

struct TwoRanks {
  TcpListener listener0 = *TcpListener::Bind();
  TcpListener listener1 = *TcpListener::Bind();

  MeshConfig Config(int rank, std::string secret) const {
    return {.rank = rank,
            .endpoints = {{"127.0.0.1", listener0.port()}, {"127.0.0.1", listener1.port()}},
            .secret = std::move(secret),
            .deadline = milliseconds(20000)};
  }
};

// A connection of somebody who is no rank.
Fd Intrude(uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

// Cases 1, 2 and 6 of RFC 4231.
TEST(TcpAuth, Hmac_IsThatOfTheRfc) {
  const auto hex = [](const Proof& proof) {
    std::string text;
    for (const std::byte byte : proof) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
    return text;
  };
  EXPECT_EQ(hex(Hmac(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(Hmac("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(Hmac(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(TcpAuth, Proof_DependsOnEveryInput) {
  const Nonce a = *RandomNonce();
  const Nonce b = *RandomNonce();
  EXPECT_NE(a, b);
  const Hello hello{.rank = 1, .size = 2};
  Hello other = hello;
  other.rank = 0;
  const Proof proof = MakeProof("secret", AuthRole::kConnector, a, b, hello);
  EXPECT_TRUE(SameProof(proof, MakeProof("secret", AuthRole::kConnector, a, b, hello)));
  EXPECT_FALSE(SameProof(proof, MakeProof("Secret", AuthRole::kConnector, a, b, hello)));
  EXPECT_FALSE(SameProof(proof, MakeProof("", AuthRole::kConnector, a, b, hello)));
  EXPECT_FALSE(SameProof(proof, MakeProof("secret", AuthRole::kAcceptor, a, b, hello)));
  EXPECT_FALSE(SameProof(proof, MakeProof("secret", AuthRole::kConnector, b, a, hello)));
  EXPECT_FALSE(SameProof(proof, MakeProof("secret", AuthRole::kConnector, a, b, other)));
}

TEST(Tcp, WrongSecret_IsRefusedByBothNames) {
  TwoRanks world;
  MeshConfig patient = world.Config(0, "right");
  patient.deadline = milliseconds(500);
  Status acceptor;
  std::thread thread([&] { acceptor = ConnectMesh(world.listener0, patient).status(); });
  const Status connector = ConnectMesh(world.listener1, world.Config(1, "wrong")).status();
  thread.join();
  ASSERT_FALSE(connector.ok());
  EXPECT_EQ(connector.error().kind, ErrorKind::kRefused);
  EXPECT_THAT(connector.message(), HasSubstr("rank 1 to rank 0 at 127.0.0.1:"));
  EXPECT_THAT(connector.message(), HasSubstr("is the cluster secret the same on both?"));
  ASSERT_FALSE(acceptor.ok());
  EXPECT_THAT(acceptor.message(), HasSubstr("rank 0 of 2: no connection from rank 1 within 500 ms"));
  EXPECT_THAT(acceptor.message(), HasSubstr("connections without the cluster secret"));
}

TEST(Tcp, Strangers_DoNotKeepRanksOut) {
  TwoRanks world;
  std::vector<Fd> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(Intrude(world.listener0.port()));
  Fd babbling = Intrude(world.listener0.port());
  const std::string noise(500, 'x');
  ASSERT_EQ(send(babbling.get(), noise.data(), noise.size(), MSG_NOSIGNAL), static_cast<ssize_t>(noise.size()));
  Fd gone = Intrude(world.listener0.port());
  gone = Fd();
  Status status0;
  std::thread thread([&] {
    auto comm = ConnectMesh(world.listener0, world.Config(0, "s"));
    status0 = comm ? (*comm)->Barrier() : comm.status();
  });
  auto comm = ConnectMesh(world.listener1, world.Config(1, "s"));
  const Status status1 = comm ? (*comm)->Barrier() : comm.status();
  thread.join();
  EXPECT_TRUE(status0.ok()) << status0.message();
  EXPECT_TRUE(status1.ok()) << status1.message();
}

// 2,000 connections that say nothing, or too little, or rubbish, before the ranks come, and more while they meet: each
// takes a slot, which another stranger gets. More descriptors than the default limit of 1024 are not needed.
TEST(Tcp, TwoThousandStrangers_DoNotKeepRanksOut) {
  constexpr int kStrangers = 2000;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  if (before.rlim_max < kStrangers + 1200) GTEST_SKIP() << "the limit on open files is " << before.rlim_max;
  const rlimit enough{std::max<rlim_t>(before.rlim_cur, kStrangers + 1200), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &enough), 0);
  TwoRanks world;
  std::vector<Fd> strangers;
  const std::string noise(500, 'x');
  const auto intrude = [&](int index) {
    strangers.push_back(Intrude(world.listener0.port()));
    const size_t said = index % 3 == 0 ? 0 : index % 3 == 1 ? 95 : noise.size();
    send(strangers.back().get(), noise.data(), said, MSG_NOSIGNAL | MSG_DONTWAIT);
  };
  for (int i = 0; i < kStrangers; ++i) intrude(i);
  Status status0;
  std::unique_ptr<Communicator> comm0;
  std::atomic<bool> met = false;
  std::thread rank0([&] {
    auto comm = ConnectMesh(world.listener0, world.Config(0, "s"));
    status0 = comm ? (*comm)->Barrier() : comm.status();
    if (comm) comm0 = *std::move(comm);
  });
  std::thread more([&] {
    for (int i = 0; i < 200 && !met; ++i) intrude(i);
  });
  auto comm = ConnectMesh(world.listener1, world.Config(1, "s"));
  const Status status1 = comm ? (*comm)->Barrier() : comm.status();
  met = true;
  rank0.join();
  more.join();
  EXPECT_TRUE(status0.ok()) << status0.message();
  EXPECT_TRUE(status1.ok()) << status1.message();
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(Tcp, IPv6AndNames_AreAddresses) {
  for (const char* address : {"::1", "localhost"}) {
    const Result<TcpListener> listeners[] = {TcpListener::Bind(address), TcpListener::Bind(address)};
    if (!listeners[0].ok() && std::string(address) == "::1") continue;  // a host without IPv6
    std::vector<TcpEndpoint> endpoints;
    for (const auto& listener : listeners) {
      ASSERT_TRUE(listener.ok()) << listener.message();
      endpoints.push_back({address, listener->port()});
    }
    Status statuses[2];
    std::unique_ptr<Communicator> comms[2];
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, rank] {
        auto comm = ConnectMesh(*listeners[rank], {.rank = rank, .endpoints = endpoints, .secret = "s"});
        statuses[rank] = comm ? (*comm)->Barrier() : comm.status();
        if (comm) comms[rank] = *std::move(comm);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << address << ": " << status.message();
  }
}

TEST(Tcp, AddressesInErrors_AreAsPeopleWriteThem) {
  TwoRanks world;
  MeshConfig config = world.Config(1, "s");
  config.endpoints[0].address = "::1";
  config.deadline = milliseconds(60);
  EXPECT_THAT(ConnectMesh(world.listener1, config).status().message(),
              HasSubstr(fmt::format("[::1]:{}", config.endpoints[0].port)));
  config.endpoints[0].address = "no-such-host.invalid";
  config.deadline = milliseconds(300);
  EXPECT_THAT(ConnectMesh(world.listener1, config).status().message(),
              HasSubstr(fmt::format("at no-such-host.invalid:{}: ", config.endpoints[0].port)));
}

TEST(Tcp, CongestionControl_IsSetWhereAllowed_AndElseSaidNotToBe) {
  for (const char* name : {"reno", "no-such-control"}) {
    TwoRanks world;
    std::vector<std::string> notes[2];
    Status statuses[2];
    std::unique_ptr<Communicator> comms[2];
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, rank] {
        MeshConfig config = world.Config(rank, "s");
        config.tuning.congestion = name;
        config.notes = &notes[rank];
        auto comm = ConnectMesh(rank == 0 ? world.listener0 : world.listener1, config);
        statuses[rank] = comm ? (*comm)->Barrier() : comm.status();
        if (comm) comms[rank] = *std::move(comm);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (int rank = 0; rank < 2; ++rank) {
      EXPECT_TRUE(statuses[rank].ok()) << statuses[rank].message();
      if (std::string(name) == "reno") {
        EXPECT_TRUE(notes[rank].empty()) << notes[rank][0];
      } else {
        ASSERT_EQ(notes[rank].size(), 1u);
        EXPECT_THAT(notes[rank][0],
                    HasSubstr("congestion control 'no-such-control' is not to be had (this kernel has none "
                              "of that name; allowed here: "));
      }
    }
  }
}

TEST(Tcp, ASourceThatIsNoAddressOfThisHost_IsNamed) {
  TwoRanks world;
  MeshConfig config = world.Config(1, "s");
  config.deadline = milliseconds(60);
  config.tuning.source = "192.0.2.1";  // of documentation alone (RFC 5737)
  EXPECT_THAT(ConnectMesh(world.listener1, config).status().message(),
              HasSubstr("from 192.0.2.1: Cannot assign requested address"));
}

TEST(Tcp, AnotherWorldSize_IsNamedOnBothSides) {
  TwoRanks world;
  MeshConfig larger = world.Config(1, "s");
  larger.endpoints.push_back({"127.0.0.1", 1});
  Status acceptor;
  std::thread thread([&] { acceptor = ConnectMesh(world.listener0, world.Config(0, "s")).status(); });
  const Status connector = ConnectMesh(world.listener1, larger).status();
  thread.join();
  ASSERT_FALSE(connector.ok());
  EXPECT_THAT(connector.message(), HasSubstr("expected rank 0 of 3 (version 3), found rank 0 of 2"));
  ASSERT_FALSE(acceptor.ok());
  EXPECT_THAT(acceptor.message(), HasSubstr("rank 0 of 2 (version 3): rank 1 of 3 (version 3) connected"));
}

TEST(Tcp, MissingRank_IsNamedAtTheDeadline) {
  TwoRanks world;
  MeshConfig config = world.Config(0, "s");
  config.deadline = milliseconds(100);
  const Status acceptor = ConnectMesh(world.listener0, config).status();
  ASSERT_FALSE(acceptor.ok());
  EXPECT_EQ(acceptor.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(acceptor.message(), HasSubstr("no connection from rank 1 within 100 ms (1 missing"));
}

TEST(Tcp, NobodyListening_IsNamedAtTheDeadline) {
  TwoRanks world;
  MeshConfig config = world.Config(1, "s");
  {
    const TcpListener closed = *TcpListener::Bind();
    config.endpoints[0].port = closed.port();
  }
  config.deadline = milliseconds(100);
  const Status connector = ConnectMesh(world.listener1, config).status();
  ASSERT_FALSE(connector.ok());
  EXPECT_THAT(connector.message(), HasSubstr("connection refused: nobody listens there (for 100 ms)"));
}

TEST(Tcp, WhoIsOutOfReach_IsNamedWithoutADeadline) {
  TwoRanks world;
  MeshConfig config = world.Config(1, "s");
  {
    const TcpListener closed = *TcpListener::Bind();
    config.endpoints[0].port = closed.port();
  }
  config.deadline = kNoTimeout;
  config.reach = milliseconds(200);
  const Status connector = ConnectMesh(world.listener1, config).status();
  ASSERT_FALSE(connector.ok());
  EXPECT_EQ(connector.error().kind, ErrorKind::kUnavailable);
  EXPECT_EQ(connector.message(),
            fmt::format("tcp: rank 1 to rank 0 at 127.0.0.1:{}: connection refused: nobody listens there (for 200 ms); "
                        "rank 0 listens there, but nothing comes through: open its port to rank 1, in the firewalls of "
                        "both hosts and between them",
                        config.endpoints[0].port));
}

TEST(Tcp, WhoIsReachedMayTakeItsTime) {
  TwoRanks world;
  MeshConfig config = world.Config(1, "s");
  config.deadline = milliseconds(1000);  // of a peer that is connected to and says nothing
  config.reach = milliseconds(200);
  const Status connector = ConnectMesh(world.listener1, config).status();
  ASSERT_FALSE(connector.ok());
  EXPECT_THAT(connector.message(), HasSubstr("connected, but what listens there says nothing (for 1000 ms)"));
}

TEST(Tcp, BusyPort_IsRefusedByName) {
  const TcpListener first = *TcpListener::Bind();
  const Result<TcpListener> second = TcpListener::Bind("127.0.0.1", first.port());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.message(), HasSubstr(fmt::format("listening on 127.0.0.1 port {}", first.port())));
}

}  // namespace
}  // namespace mrs
