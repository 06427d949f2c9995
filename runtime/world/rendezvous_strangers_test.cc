// Who comes to a rendezvous and is none of its nodes, or does not know its secret: the nodes meet all the same, or the
// one that is set up badly is named.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "runtime/comm/tcp_auth.h"
#include "runtime/world/rendezvous_for_test.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::Head;
using testing::Intrude;
using testing::IntrudeFrom;
using testing::Join;
using testing::kThree;
using testing::MakeParty;
using testing::Prove;

TEST(Rendezvous, AWrongSecretIsNamedByBoth) {
  Head head(MakeParty(0));
  Party wrong = MakeParty(1);
  wrong.secret = "open barley";
  auto c = Join(head, MakeParty(2));
  while (head.said().find("node 2") == std::string::npos) std::this_thread::yield();
  auto b = Join(head, wrong);
  const std::string named =
      "node 1 (b at 127.0.0.2): its cluster secret is not the head's; give both the same --cluster-secret-file, and "
      "end "
      "what an earlier run may have left there";
  EXPECT_EQ(head.Links().message(), named);
  EXPECT_EQ(c.get().message(), named);
  EXPECT_EQ(b.get().message(),
            fmt::format("node 1 (b at 127.0.0.2): node 0 (a at 127.0.0.1) at 127.0.0.1 port {} refused this node's "
                        "proof: the cluster secret is not the same on both; give both the same --cluster-secret-file",
                        head.endpoint().port));
}

TEST(Rendezvous, AStrangerWithAWrongSecretEndsNothing) {
  std::vector<PlanNode> nodes = {kThree[0], kThree[1]};
  Head head(MakeParty(0, nodes));
  Party stranger = MakeParty(1, nodes);
  stranger.secret = "open barley";
  stranger.nodes[1].address = "127.0.0.9";
  EXPECT_FALSE(Join(head, stranger).get().ok());
  while (head.said().find("a stranger") == std::string::npos) std::this_thread::yield();
  EXPECT_THAT(head.said(), HasSubstr("127.0.0.9 says that it is node 1, and does not know the cluster secret"));
  auto b = Join(head, MakeParty(1, nodes));
  EXPECT_TRUE(head.Links().ok());
  EXPECT_TRUE(b.get().ok());
}

// A node that is there, whose rendezvous the test carries out itself.
std::unique_ptr<Channel> Arrive(const TcpEndpoint& where, const Party& party) {
  Fd fd = IntrudeFrom(where, party.nodes[party.node].address.c_str());
  Prove(fd.get(), {.magic = wire::kFirstConnection, .version = wire::kVersion, .rank = party.node, .size = 0},
        party.secret);
  AcceptorMessage answer;
  EXPECT_EQ(recv(fd.get(), &answer, sizeof(answer), MSG_WAITALL), static_cast<ssize_t>(sizeof(answer)));
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  auto channel = std::make_unique<Channel>(std::move(fd));
  EXPECT_TRUE(channel->Send(wire::Encode(party.facts), kForever).ok());
  EXPECT_EQ(channel->Receive(kForever)->type, wire::MessageType::kSeat);
  return channel;
}

// Somebody at the address of node 1, once; and at another's, as often as it likes.
TEST(Rendezvous, OneWrongProofFromANodesOwnAddressEndsNothing) {
  std::vector<PlanNode> nodes = kThree;
  nodes.push_back({"d", "127.0.0.4", {4}});
  Head head(MakeParty(0, nodes));
  std::unique_ptr<Channel> d = Arrive(head.endpoint(), MakeParty(3, nodes));
  const auto fail_as = [&](uint32_t node, const char* from) {
    const Fd fd = IntrudeFrom(head.endpoint(), from);
    Prove(fd.get(), {.magic = wire::kFirstConnection, .version = wire::kVersion, .rank = node, .size = 0},
          "open barley");
    char byte;
    EXPECT_LE(recv(fd.get(), &byte, 1, 0), 0);  // the head has closed it
  };
  fail_as(1, "127.0.0.2");
  for (int i = 0; i < 5; ++i) fail_as(2, "127.0.0.2");
  while (head.said().find("a stranger    127.0.0.2 says that it is node 1, and does not know") == std::string::npos) {
    std::this_thread::yield();
  }
  // The head has second thoughts for a second, and says every half that it waits still: what was said before may be on
  // its way here.
  const auto began = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - began <= std::chrono::seconds(1)) {
    const Result<Message> message = d->Receive(kForever);
    ASSERT_TRUE(message.ok()) << message.message();
    ASSERT_EQ(message->type, wire::MessageType::kWaiting);
    ASSERT_TRUE(d->Send(wire::Encode(wire::Beat{}), kForever).ok());
  }
  d.reset();
  while (head.said().find("went away again: its connection closed") == std::string::npos) std::this_thread::yield();
  std::vector<std::future<Result<NodeLink>>> others;
  for (uint32_t node = 1; node < nodes.size(); ++node) others.push_back(Join(head, MakeParty(node, nodes)));
  const Result<std::vector<NodeLink>> links = head.Links();
  EXPECT_TRUE(links.ok()) << links.message();
  for (auto& other : others) EXPECT_TRUE(other.get().ok());
}

// What is between closes each connection once the node has heard that its proof is wrong.
TEST(Rendezvous, ARefusedNodeDoesNotWaitForWhatGreetsNoLonger) {
  TcpListener between = *TcpListener::Bind("127.0.0.1");
  Party party = MakeParty(1);
  auto node = std::async(std::launch::async, [&] {
    return JoinRendezvous({"127.0.0.1", between.port()}, party).message();
  });
  const auto accept_one = [&] {
    pollfd waiting{.fd = between.fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&waiting, 1, 10000), 1);
    return Fd(accept(between.fd(), nullptr, nullptr));
  };
  {
    const Fd fd = accept_one();
    const Nonce nonce = *RandomNonce();
    ASSERT_EQ(send(fd.get(), nonce.data(), nonce.size(), MSG_NOSIGNAL), 32);
    ConnectorMessage message;
    ASSERT_EQ(recv(fd.get(), &message, sizeof(message), MSG_WAITALL), static_cast<ssize_t>(sizeof(message)));
  }
  accept_one();
  EXPECT_EQ(
      node.get(),
      fmt::format("node 1 (b at 127.0.0.2): node 0 (a at 127.0.0.1) at 127.0.0.1 port {} refused this node's proof: "
                  "the cluster secret is not the same on both; give both the same --cluster-secret-file",
                  between.port()));
}

// What they do is their number modulo 6. False: this process may have no more open.
bool Disturb(const TcpEndpoint& where, int number, std::vector<Fd>* strangers) {
  const std::string nonsense(200, 'x');
  Fd fd = Intrude(where);
  if (!fd) return false;
  const auto say = [&](size_t bytes) {
    // Before the connection stands nothing can be sent: it is local, and stands at once.
    [[maybe_unused]] const ssize_t sent = send(fd.get(), nonsense.data(), bytes, MSG_NOSIGNAL);
  };
  switch (number % 6) {
    case 0:  // says nothing
      break;
    case 1:  // all at once, and wrong
      say(200);
      break;
    case 2:  // stops a byte before its proof is whole
      say(sizeof(ConnectorMessage) - 1);
      break;
    case 3:  // begins; the rest drips, below
      say(1);
      break;
    case 4:  // half open: says that it will say nothing more
      shutdown(fd.get(), SHUT_WR);
      break;
    case 5: {  // reset
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
      return true;
    }
  }
  strangers->push_back(std::move(fd));
  return true;
}

// 2,000 come before the nodes do and stay, and others keep coming while they meet.
TEST(Rendezvous, StrangersKeepNobodyOut) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit more{.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192), .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &more), 0);
  std::vector<PlanNode> nodes = {kThree[0], kThree[1], kThree[2]};
  Head head(MakeParty(0, nodes));
  std::vector<Fd> strangers;
  int come = 0;
  while (come < 2000 && Disturb(head.endpoint(), come, &strangers)) ++come;
  EXPECT_EQ(come, more.rlim_cur >= 4096 ? 2000 : come);
  EXPECT_GT(come, 300);
  auto b = Join(head, MakeParty(1, nodes));
  std::atomic<bool> met{false};
  std::thread others([&] {
    std::vector<Fd> newer;
    for (int number = 0; !met; ++number) {
      Disturb(head.endpoint(), number, &newer);
      if (newer.size() > 100) newer.erase(newer.begin());
      for (size_t i = 3; i < strangers.size() && number % 50 == 0; i += 6) {
        [[maybe_unused]] const ssize_t sent = send(strangers[i].get(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  auto c = Join(head, MakeParty(2, nodes));
  const Result<std::vector<NodeLink>> links = head.Links();
  met = true;
  others.join();
  EXPECT_TRUE(links.ok()) << links.message();
  EXPECT_TRUE(b.get().ok());
  EXPECT_TRUE(c.get().ok());
  setrlimit(RLIMIT_NOFILE, &limit);
}

TEST(Rendezvous, OneThatProvesItselfAndSaysNothingKeepsNobodyOut) {
  std::vector<PlanNode> nodes = {kThree[0], kThree[1]};
  Head head(MakeParty(0, nodes));
  Fd fd = Intrude(head.endpoint());
  fcntl(fd.get(), F_SETFL, 0);
  Prove(fd.get(), {.magic = wire::kFirstConnection, .version = wire::kVersion, .rank = 1, .size = 0}, "open sesame");
  auto b = Join(head, MakeParty(1, nodes));
  EXPECT_TRUE(head.Links().ok());
  EXPECT_TRUE(b.get().ok());
}

}  // namespace
}  // namespace mrs
