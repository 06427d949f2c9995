// Nodes of one process, on the addresses of its loopback: they meet, or each hears what is wrong.
#include "runtime/world/rendezvous.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "runtime/world/node_facts.h"
#include "runtime/world/rendezvous_for_test.h"
#include "runtime/world/strangers.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::Head;
using testing::Intrude;
using testing::Join;
using testing::kThree;
using testing::MakeParty;
using ::testing::MatchesRegex;
using testing::Prove;

TEST(Rendezvous, AllMeetWhoeverComesFirst) {
  Head head(MakeParty(0));
  auto c = Join(head, MakeParty(2));
  auto b = Join(head, MakeParty(1));
  const Result<std::vector<NodeLink>> links = head.Links();
  ASSERT_TRUE(links.ok()) << links.message();
  ASSERT_EQ(links->size(), 2u);
  EXPECT_EQ((*links)[0].node, 1u);
  EXPECT_EQ((*links)[0].address, "127.0.0.2");
  EXPECT_EQ((*links)[0].own_address, "127.0.0.1");
  EXPECT_EQ((*links)[1].address, "127.0.0.3");
  Result<NodeLink> of_b = b.get();
  ASSERT_TRUE(of_b.ok()) << of_b.message();
  EXPECT_EQ(of_b->own_address, "127.0.0.2");
  EXPECT_EQ(of_b->stands.rehearsal, RehearsalScope::kLinks);
  EXPECT_TRUE(c.get().ok());
  // The second connections are each other's ends.
  const Deadline soon = std::chrono::steady_clock::now() + milliseconds(5000);
  ASSERT_TRUE((*links)[0].work->Send(wire::EncodeShutdown(), soon).ok());
  EXPECT_EQ(of_b->work->Receive(soon)->type, wire::MessageType::kShutdown);
  // Nobody listens any longer.
  EXPECT_EQ(TcpListener::Bind("127.0.0.1", head.endpoint().port).ok(), true);
}

TEST(Rendezvous, ADifferenceIsNamedEverywhere) {
  struct Case {
    std::function<void(Party&)> change;
    const char* named;
  };
  const Case cases[] = {
      {[](Party& party) { party.facts.numerics_revision = 7; },
       "node 1 (b at 127.0.0.2), rank 1: its numerics revision is 7, the head's is 1; run the same mrs-exec on every "
       "node"},
      {[](Party& party) { party.facts.mrs_version = "9.9"; },
       "node 1 (b at 127.0.0.2), rank 1: its mrs version is 9.9, the head's is 0.1.0; run the same mrs-exec on every "
       "node"},
      {[](Party& party) { party.facts.plan_sha256 = {0xcd}; },
       "node 1 (b at 127.0.0.2), rank 1: its plan is cd00000000000000000000000000000000000000000000000000000000000000, "
       "the head's is ab00000000000000000000000000000000000000000000000000000000000000; give every node the same plan "
       "file"},
      {[](Party& party) {
         party.facts.ranks = {1, 2};
       },
       "node 1 (b at 127.0.0.2), rank 1: it would start ranks 1 and 2, and the plan has rank 1 there; give every node "
       "the same plan file"},
      {[](Party& party) { party.facts.streams = 4; },
       "node 1 (b at 127.0.0.2), rank 1: its --cluster-streams is 4, the head's is 1; give all nodes the same"},
      // On the host of c, started as b; c itself comes, too.
      {[](Party& party) { party.nodes[1].address = "127.0.0.3"; },
       "node 1 (b at 127.0.0.2): its address is 127.0.0.3, the plan's cluster says 127.0.0.2; is its --node right?"},
  };
  for (const auto& [change, named] : cases) {
    Head head(MakeParty(0));
    Party wrong = MakeParty(1);
    change(wrong);
    const auto began = std::chrono::steady_clock::now();
    auto c = Join(head, MakeParty(2));
    auto b = Join(head, wrong);
    EXPECT_EQ(head.Links().message(), named);
    EXPECT_EQ(b.get().message(), named);
    EXPECT_EQ(c.get().message(), named);
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  }
}

TEST(Rendezvous, WhatIsSaidAfterTheProofsHasTags) {
  const std::vector<PlanNode> nodes = {kThree[0], kThree[1]};
  Party of_head = MakeParty(0, nodes), of_node = MakeParty(1, nodes);
  of_head.integrity = of_node.integrity = true;
  Head head(of_head);
  auto b = Join(head, of_node);
  Result<std::vector<NodeLink>> links = head.Links();
  ASSERT_TRUE(links.ok()) << links.message();
  Result<NodeLink> of_b = b.get();
  ASSERT_TRUE(of_b.ok()) << of_b.message();
  const Deadline soon = std::chrono::steady_clock::now() + milliseconds(5000);
  ASSERT_TRUE((*links)[0].work->Send(wire::EncodeShutdown(), soon).ok());
  EXPECT_EQ(of_b->work->Receive(soon)->type, wire::MessageType::kShutdown);
  // A message without one is none.
  const std::string plain = wire::EncodeShutdown() + std::string(100, 'x');
  for (const auto& [from, to] : {std::pair{&(*links)[0].work, &of_b->work}, {&of_b->control, &(*links)[0].control}}) {
    ASSERT_GT(send((*from)->fd(), plain.data(), plain.size(), MSG_NOSIGNAL), 0);
    Result<Message> heard = (*to)->Receive(soon);
    while (heard.ok()) heard = (*to)->Receive(soon);  // what was under way
    EXPECT_THAT(heard.message(), HasSubstr("it sent bytes that are no record with an integrity tag"));
  }
}

TEST(Rendezvous, UnlikeIntegrityIsNamedByBoth) {
  const std::vector<PlanNode> nodes = {kThree[0], kThree[1]};
  for (const bool of_head : {false, true}) {
    Party head_party = MakeParty(0, nodes), node_party = MakeParty(1, nodes);
    head_party.integrity = of_head;
    node_party.integrity = !of_head;
    Head head(head_party);
    auto b = Join(head, node_party);
    const std::string named = fmt::format(
        "node 1 (b at 127.0.0.2): its --cluster-integrity is {}, the head's is {}; give all nodes the same, and the "
        "same secret (it is on where there is one)",
        of_head ? "off" : "on", of_head ? "on" : "off");
    EXPECT_EQ(head.Links().message(), named);
    EXPECT_EQ(b.get().message(), named);
  }
}

TEST(Rendezvous, ANodeThatComesTwiceIsNamedEverywhere) {
  Head head(MakeParty(0));
  auto first = Join(head, MakeParty(1));
  while (head.said().find("node          node 1 (b at 127.0.0.2) is there") == std::string::npos) {
    std::this_thread::yield();
  }
  auto second = Join(head, MakeParty(1));
  const std::string named =
      "node 1 (b at 127.0.0.2) came twice: from 127.0.0.2 and from 127.0.0.2; give each node its own --node";
  EXPECT_EQ(head.Links().message(), named);
  EXPECT_EQ(first.get().message(), named);
  EXPECT_EQ(second.get().message(), named);
}

// Names with an empty part never are, and no resolver is asked.
TEST(Rendezvous, ANameThatIsNotKnownIsSaidAndKeepsNobodyOut) {
  std::vector<PlanNode> nodes = {kThree[0], {"b", "no..b", {1}}, {"c", "no..c", {2}}};
  Party party = MakeParty(0, nodes);
  party.start_timeout = milliseconds(3000);
  Head head(party);
  const auto began = std::chrono::steady_clock::now();
  Party of_b = MakeParty(1, nodes);
  of_b.own_address = "127.0.0.2";
  auto b = Join(head, of_b);
  while (head.said().find("node 1 (b at no..b) is there") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(3));
    std::this_thread::yield();
  }
  EXPECT_THAT(head.Links().message(),
              MatchesRegex("node 2 \\(c at no\\.\\.c\\) did not come within 3 s \\(--start-timeout\\); tcp: address "
                           "'no..c': .*; start mrs-exec there .*"));
  EXPECT_THAT(b.get().message(), HasSubstr("tcp: address 'no..c': "));
}

TEST(Rendezvous, WhoIsMissingAtTheEndIsNamedEverywhere) {
  Party party = MakeParty(0);
  party.start_timeout = milliseconds(700);
  Head head(party);
  auto b = Join(head, MakeParty(1));
  const std::string named = fmt::format(
      "node 2 (c at 127.0.0.3) did not come within 0.7 s (--start-timeout); start mrs-exec there with the same plan, "
      "and see that it reaches 127.0.0.1 port {}",
      head.endpoint().port);
  EXPECT_EQ(b.get().message(), named);
  EXPECT_EQ(head.Links().message(), named);
}

TEST(Rendezvous, ARingThatIsMetAtTheLoopbackSaysSoWhenSomebodyIsMissing) {
  Party party = MakeParty(0, RingNodes(2));
  party.facts.ring =
      wire::RingFacts{.file = "r0.json", .listen = {"127.0.0.1", 9001}, .right = {"", 9002}, .network = "a"};
  party.start_timeout = milliseconds(300);
  Head head(party);
  EXPECT_EQ(
      head.Links().message(),
      fmt::format("rank 1 of the ring did not come within 0.3 s (--start-timeout); start mrs-exec there with the same "
                  "plan, and see that it reaches 127.0.0.1 port {}, which this host alone does: for ranks of others, "
                  "say another address of rank 0 as 'master_ip', or start it with --interface NAME",
                  head.endpoint().port));
}

TEST(Rendezvous, ANodeWaitsForItsHeadAndSaysForWhom) {
  const uint16_t port = TcpListener::Bind("127.0.0.1")->port();
  Party party = MakeParty(1);
  party.start_timeout = milliseconds(300);
  EXPECT_EQ(JoinRendezvous({"127.0.0.1", port}, party).message(),
            fmt::format("node 1 (b at 127.0.0.2): node 0 (a at 127.0.0.1) was not reached at 127.0.0.1 port {} within "
                        "0.3 s (--start-timeout): connection refused: nobody listens there",
                        port));
}

// It says why, and listens no longer, while a node takes the seat that it gave.
TEST(Rendezvous, WhyTheHeadEndsIsHeardByANodeThatTakesItsSeat) {
  std::optional<TcpListener> listener(*TcpListener::Bind("127.0.0.1"));
  Strangers strangers(listener->fd(), "open sesame", [](const Hello&) { return true; });
  auto node = std::async(std::launch::async, [where = TcpEndpoint{"127.0.0.1", listener->port()}] {
    return JoinRendezvous(where, MakeParty(1)).message();
  });
  std::vector<Guest> guests;
  while (guests.empty()) guests = strangers.Advance(std::chrono::steady_clock::now(), {.version = wire::kVersion});
  listener.reset();
  const Deadline soon = std::chrono::steady_clock::now() + milliseconds(5000);
  ASSERT_TRUE(guests[0].channel->Send(wire::Encode(wire::Seat{}), soon).ok());
  ASSERT_TRUE(guests[0].channel->Send(wire::Encode(wire::Verdict{"because"}), soon).ok());
  EXPECT_EQ(node.get(), "because");
}

TEST(Rendezvous, WhyANodeDoesNotJoinIsSaidEverywhere) {
  for (const bool integrity : {false, true}) {
    const auto party = [&](uint32_t node) {
      Party made = MakeParty(node);
      made.integrity = integrity;
      return made;
    };
    Head head(party(0));
    auto b = Join(head, party(1));
    while (head.said().find("node 1 (b at 127.0.0.2) is there") == std::string::npos) std::this_thread::yield();
    // Of a node that is here, another process that fails is none of the world's.
    EXPECT_TRUE(TellWhyNotJoining(head.endpoint(), party(1), "no such folder"));
    Party stranger = party(2);
    stranger.secret = "open barley";
    EXPECT_FALSE(TellWhyNotJoining(head.endpoint(), stranger, "no such folder"));
    EXPECT_TRUE(TellWhyNotJoining(head.endpoint(), party(2), "no such folder"));
    const std::string named = "node 2 (c at 127.0.0.3) failed before it joined: no such folder";
    EXPECT_EQ(head.Links().message(), named);
    EXPECT_EQ(b.get().message(), named);
  }
  const TcpEndpoint nobody{"127.0.0.1", TcpListener::Bind("127.0.0.1")->port()};
  EXPECT_FALSE(TellWhyNotJoining(nobody, MakeParty(2), "no such folder"));
}

TEST(Rendezvous, ANodeMayGoAndComeAgain) {
  std::vector<PlanNode> nodes = {kThree[0], kThree[1], kThree[2]};
  Head head(MakeParty(0, nodes));
  Party impatient = MakeParty(1, nodes);
  Fd stop(eventfd(0, EFD_CLOEXEC));
  impatient.stop_fd = stop.get();
  auto first = Join(head, impatient);
  while (head.said().find("node 1 (b at 127.0.0.2) is there") == std::string::npos) std::this_thread::yield();
  const uint64_t one = 1;
  ASSERT_EQ(write(stop.get(), &one, sizeof(one)), 8);
  EXPECT_EQ(first.get().error().kind, ErrorKind::kCancelled);
  while (head.said().find("went away again: its connection closed") == std::string::npos) std::this_thread::yield();
  auto b = Join(head, MakeParty(1, nodes));
  auto c = Join(head, MakeParty(2, nodes));
  EXPECT_TRUE(head.Links().ok());
  EXPECT_TRUE(b.get().ok());
  EXPECT_TRUE(c.get().ok());
}

TEST(Rendezvous, AnotherWireVersionIsNamedByBothValues) {
  Head head(MakeParty(0, {kThree[0], kThree[1]}));
  Fd fd = Intrude(head.endpoint());
  fcntl(fd.get(), F_SETFL, 0);
  Prove(fd.get(), {.magic = wire::kFirstConnection, .version = 999, .rank = 1, .size = 0}, "open sesame");
  EXPECT_EQ(head.Links().message(),
            fmt::format("node 1 (b at 127.0.0.2): its wire version is 999, the head's is {}; run the same mrs-exec on "
                        "every node",
                        wire::kVersion));
}

TEST(CompareFacts, NamesANodeThatIsNone) {
  const std::vector<PlanNode> two = {kThree[0], kThree[1]};
  wire::Facts facts = MakeParty(1, two).facts;
  EXPECT_TRUE(CompareFacts(two, MakeParty(0, two).facts, facts).ok());
  facts.node = 5;
  EXPECT_EQ(CompareFacts(two, MakeParty(0, two).facts, facts).message(),
            "a node says that it is node 5, and the plan has 2 nodes, from 0; give each node its own --node");
  facts.node_count = 3;
  EXPECT_EQ(CompareFacts(two, MakeParty(0, two).facts, facts).message(),
            "node 5: its count of nodes is 3, the head's is 2; give every node the same plan file");
  EXPECT_EQ(RanksText({3}), "rank 3");
  EXPECT_EQ(RanksText({1, 3}), "ranks 1 and 3");
  EXPECT_EQ(RanksText({4, 5, 6, 7}), "ranks 4 to 7");
  EXPECT_EQ(RanksText({0, 2, 5}), "ranks 0, 2, 5");
}

}  // namespace
}  // namespace mrs
