// What is TCP's alone: strangers, secrets and worlds that do not fit.
#include "runtime/comm/tcp.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
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
  EXPECT_THAT(acceptor.message(), HasSubstr("1 connections without the cluster secret"));
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

TEST(Tcp, AnotherWorldSize_IsNamedOnBothSides) {
  TwoRanks world;
  MeshConfig larger = world.Config(1, "s");
  larger.endpoints.push_back({"127.0.0.1", 1});
  Status acceptor;
  std::thread thread([&] { acceptor = ConnectMesh(world.listener0, world.Config(0, "s")).status(); });
  const Status connector = ConnectMesh(world.listener1, larger).status();
  thread.join();
  ASSERT_FALSE(connector.ok());
  EXPECT_THAT(connector.message(), HasSubstr("expected rank 0 of 3 (version 1), found rank 0 of 2"));
  ASSERT_FALSE(acceptor.ok());
  EXPECT_THAT(acceptor.message(), HasSubstr("rank 0 of 2 (version 1): rank 1 of 3 (version 1) connected"));
}

TEST(Tcp, MissingRank_IsNamedAtTheDeadline) {
  TwoRanks world;
  MeshConfig config = world.Config(0, "s");
  config.deadline = milliseconds(100);
  const Status acceptor = ConnectMesh(world.listener0, config).status();
  ASSERT_FALSE(acceptor.ok());
  EXPECT_EQ(acceptor.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(acceptor.message(), HasSubstr("no connection from rank 1 within 100 ms (1 ranks missing"));
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
  EXPECT_THAT(connector.message(), HasSubstr("nobody listens there within 100 ms"));
}

TEST(Tcp, BusyPort_IsRefusedByName) {
  const TcpListener first = *TcpListener::Bind();
  const Result<TcpListener> second = TcpListener::Bind("127.0.0.1", first.port());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.message(), HasSubstr(fmt::format("listening on 127.0.0.1 port {}", first.port())));
}

}  // namespace
}  // namespace mrs
