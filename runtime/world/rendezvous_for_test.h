// A world of a test's own for those who meet: nodes of one process, on the addresses of its loopback, and strangers.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/comm/tcp_auth.h"
#include "runtime/world/rendezvous.h"

namespace mrs::testing {

inline const std::vector<PlanNode> kThree = {
    {"a", "127.0.0.1", {0}}, {"b", "127.0.0.2", {1}}, {"c", "127.0.0.3", {2, 3}}};

inline Party MakeParty(uint32_t node, const std::vector<PlanNode>& nodes = kThree) {
  Party party{.nodes = nodes, .node = node, .facts = {}, .secret = "open sesame"};
  party.facts.mrs_version = "0.1.0";
  party.facts.numerics_revision = 1;
  party.facts.plan_sha256 = {0xab};
  party.facts.node = node;
  party.facts.node_count = static_cast<uint32_t>(nodes.size());
  party.facts.ranks = nodes[node].ranks;
  party.facts.memory_bytes = 1 << 30;
  party.start_timeout = std::chrono::milliseconds(20000);
  party.stands.rehearsal = RehearsalScope::kLinks;
  return party;
}

// The head of a world on a thread of its own, and what it says.
class Head {
 public:
  explicit Head(Party party, const std::string& address = "127.0.0.1") {
    Result<TcpListener> listener = TcpListener::Bind(address);
    EXPECT_TRUE(listener.ok()) << listener.message();
    port_ = listener->port();
    party.say = [this](const std::string& line) {
      const std::lock_guard lock(mutex_);
      said_ += line + "\n";
    };
    links_ = std::async(std::launch::async, [party, taken = std::move(*listener)]() mutable {
      return HoldRendezvous(std::move(taken), party);
    });
  }
  TcpEndpoint endpoint() const { return {"127.0.0.1", port_}; }
  Result<std::vector<NodeLink>> Links() { return links_.get(); }
  std::string said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }

 private:
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::string said_;
  std::future<Result<std::vector<NodeLink>>> links_;
};

inline std::future<Result<NodeLink>> Join(const Head& head, Party party) {
  return std::async(std::launch::async, [party, where = head.endpoint()] { return JoinRendezvous(where, party); });
}

inline Fd Intrude(const TcpEndpoint& where) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(where.port);
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  [[maybe_unused]] const int connected = connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  return fd;
}

// From an address of its own, and waits.
inline Fd IntrudeFrom(const TcpEndpoint& where, const char* from) {
  Fd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, from, &address.sin_addr);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  address.sin_port = htons(where.port);
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

// What such a stranger says to a nonce that it is sent, of a hello that it makes up; the socket waits.
inline void Prove(int fd, const Hello& hello, std::string_view secret) {
  Nonce nonce;
  EXPECT_EQ(recv(fd, nonce.data(), nonce.size(), MSG_WAITALL), 32);
  ConnectorMessage message;
  message.nonce = *RandomNonce();
  message.hello = hello;
  message.proof = MakeProof(secret, AuthRole::kConnector, nonce, message.nonce, message.hello);
  EXPECT_EQ(send(fd, &message, sizeof(message), MSG_NOSIGNAL), static_cast<ssize_t>(sizeof(message)));
}

}  // namespace mrs::testing
