// Several streams to one peer: what goes over which, and what is found where one of them is wrong, cut or changed.
#include "runtime/comm/tcp_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "runtime/comm/conformance_oracle.h"
#include "runtime/comm/scheduled_communicator.h"
#include "runtime/comm/stripes.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;

constexpr int kStreams = 3;

// Both ends of the streams between ranks 0 and 1.
struct Streams {
  std::vector<Fd> ends[2];

  Streams() {
    for (int stream = 0; stream < kStreams; ++stream) {
      int fds[2];
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
      for (int rank = 0; rank < 2; ++rank) ends[rank].emplace_back(fds[rank]);
    }
  }

  // Takes the ends of a rank. With tags, each stream has keys of its own.
  TcpTransport Open(int rank, bool tagged = false) {
    std::vector<TcpLink> links(2);
    for (int stream = 0; stream < kStreams; ++stream) {
      TcpConnection connection{.fd = std::move(ends[rank][stream])};
      if (tagged) {
        const Keys keys = MakeKeys("s", Nonce{std::byte(stream)}, {});
        connection.keys = KeysOf(rank == 0 ? AuthRole::kConnector : AuthRole::kAcceptor, keys);
      }
      links[1 - rank].streams.push_back(std::move(connection));
    }
    return TcpTransport(rank, std::move(links));
  }
};

std::unique_ptr<Communicator> CommunicatorOf(TcpTransport transport) {
  const CommOptions options{.timeout = std::chrono::milliseconds(20000), .spin = 0};
  auto link = std::make_shared<Link<TcpTransport>>(std::move(transport), options);
  return std::make_unique<ScheduledCommunicator<TcpTransport>>(std::move(link), AllRanks(2));
}

// Errors of rank 0, which sends, and rank 1, which receives.
std::pair<std::string, std::string> Pass(Communicator& from, Communicator& to, size_t bytes) {
  std::string sender = "passed";
  std::thread sending([&] {
    const Status status = from.Send(1, Bytes(0, bytes, bytes));
    if (!status.ok()) sender = status.message();
  });
  std::vector<std::byte> data(bytes);
  const Status status = to.Recv(0, data);
  std::string receiver = status.ok() ? "passed" : status.message();
  if (status.ok() && data != Bytes(0, bytes, bytes)) receiver = "other bytes";
  sending.join();
  return {sender, receiver};
}

TEST(TcpTransport, AMessageGoesOverItsStreamsInTurns) {
  Streams streams;
  TcpTransport sender = streams.Open(0);
  const std::vector<std::byte> head = Bytes(0, 40, 1);
  const std::vector<std::byte> body = Bytes(0, 2 * kStripeBytes + 10, 2);
  for (size_t sent = 0; sent < head.size() + body.size();) {
    const size_t of_head = std::min(sent, head.size());
    const Result<size_t> put =
        sender.TryWrite(1, std::span(head).subspan(of_head), std::span(body).subspan(sent - of_head));
    ASSERT_TRUE(put.ok() && *put > 0);  // it fits the sockets
    sent += *put;
  }
  sender.Shut();
  const auto all_of = [&](int stream) {
    std::vector<std::byte> bytes(4 * kStripeBytes);
    const ssize_t size = recv(streams.ends[1][stream].get(), bytes.data(), bytes.size(), MSG_WAITALL);
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    return bytes;
  };
  const auto part = [&](size_t begin, size_t size) {
    return std::vector<std::byte>(body.begin() + static_cast<ptrdiff_t>(begin),
                                  body.begin() + static_cast<ptrdiff_t>(begin + size));
  };
  std::vector<std::byte> first = head;
  const std::vector<std::byte> last = part(10 + kStripeBytes, kStripeBytes);
  first.insert(first.end(), last.begin(), last.end());
  EXPECT_TRUE(all_of(0) == first);
  EXPECT_TRUE(all_of(1) == part(10, kStripeBytes));
  EXPECT_TRUE(all_of(2) == part(0, 10));
}

// Nothing comes over the others, and whoever waited for them would wait for the timeout.
TEST(TcpTransport, AnotherMessageIsFoundByItsHeaderAlone) {
  for (const size_t expected : {size_t{0}, size_t{100}, 5 * kStripeBytes}) {
    Streams streams;
    const auto receiver = CommunicatorOf(streams.Open(1));
    const MessageHeader other =
        MakeHeader({.kind = OperationKind::kBarrier, .sequence = 7, .bytes = 9 * kStripeBytes}, 9 * kStripeBytes);
    ASSERT_EQ(send(streams.ends[0][0].get(), &other, sizeof(other), MSG_NOSIGNAL), static_cast<ssize_t>(sizeof(other)));
    std::vector<std::byte> data(expected);
    const Status status = receiver->Recv(0, data);
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(status.message(), HasSubstr(fmt::format("runs send/recv #0 of {} bytes, but rank 0 runs barrier #7 of "
                                                        "589824 bytes",
                                                        expected)));
  }
}

TEST(TcpTransport, AStreamThatIsCutIsAPeerThatIsLost) {
  for (int cut = 0; cut < kStreams; ++cut) {
    Streams streams;
    const Fd between(dup(streams.ends[0][cut].get()));
    const auto sender = CommunicatorOf(streams.Open(0));
    const auto receiver = CommunicatorOf(streams.Open(1));
    EXPECT_EQ(Pass(*sender, *receiver, 6 * kStripeBytes), std::pair(std::string("passed"), std::string("passed")));
    shutdown(between.get(), SHUT_RDWR);
    const auto [of_sender, of_receiver] = Pass(*sender, *receiver, 6 * kStripeBytes);
    const std::string which = fmt::format(" closed the connection (stream {} of 0 to 2)", cut);
    EXPECT_EQ(of_sender, "send/recv: rank 0 of 2: rank 1" + which);
    EXPECT_THAT(of_receiver, HasSubstr("send/recv: rank 1 of 2: rank 0 closed the connection (stream "));
  }
}

// Somebody between the ranks passes what comes over one stream on over another.
TEST(TcpTransport, TagsAreOfTheirStream) {
  for (const bool swapped : {false, true}) {
    Streams streams;
    if (swapped) std::swap(streams.ends[1][1], streams.ends[1][2]);
    const auto sender = CommunicatorOf(streams.Open(0, /*tagged=*/true));
    const auto receiver = CommunicatorOf(streams.Open(1, /*tagged=*/true));
    // What fits a stripe is stream 0's.
    EXPECT_EQ(Pass(*sender, *receiver, kStripeBytes), std::pair(std::string("passed"), std::string("passed")));
    const std::string said = Pass(*sender, *receiver, 3 * kStripeBytes).second;
    EXPECT_EQ(said, swapped
                        ? "send/recv: rank 1 of 2: rank 0 sent a record whose integrity tag is wrong (record 0, "
                          "65536 bytes): it was changed, left out, repeated or moved on the way (stream 2 of 0 to 2)"
                        : "passed");
  }
}

}  // namespace
}  // namespace mrs
