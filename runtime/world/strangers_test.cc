// Strangers of this process at a listener of it.
#include "runtime/world/strangers.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "runtime/comm/tcp.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

Fd ConnectFrom(const char* from, uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, from, &address.sin_addr);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  address.sin_port = htons(port);
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

bool IsGreeted(const Fd& fd) {
  Nonce nonce;
  return recv(fd.get(), nonce.data(), nonce.size(), MSG_DONTWAIT) == sizeof(nonce);
}

bool IsClosed(const Fd& fd) {
  char byte;
  return recv(fd.get(), &byte, 1, MSG_DONTWAIT) == 0;
}

size_t PolledBy(const Strangers& strangers) {
  std::vector<pollfd> polls;
  strangers.AddTo(&polls);
  return polls.size();
}

// So many files that this process may open from now on.
class FewFiles {
 public:
  explicit FewFiles(rlim_t more) {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const Fd next(socket(AF_INET, SOCK_STREAM, 0));
    const rlimit few{.rlim_cur = static_cast<rlim_t>(next.get()) + more, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~FewFiles() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(Strangers, WithoutAnotherFileSomebodyMakesRoomOrTheQueueWaits) {
  const TcpListener listener = *TcpListener::Bind("127.0.0.1");
  Strangers strangers(listener.fd(), "open sesame", [](const Hello&) { return true; });
  const Fd first = ConnectFrom("127.0.0.2", listener.port());
  {
    const FewFiles none(0);
    strangers.Advance(Clock::now(), {});
    EXPECT_EQ(strangers.no_room(), "Too many open files; raise the limit on open files (ulimit -n)");
    EXPECT_EQ(PolledBy(strangers), 0u);  // the listener's queue is readable, and would end each poll at once
    EXPECT_FALSE(IsGreeted(first));
  }
  strangers.Advance(Clock::now(), {});
  EXPECT_EQ(strangers.no_room(), "");
  EXPECT_EQ(PolledBy(strangers), 2u);
  EXPECT_TRUE(IsGreeted(first));
  // Of those who are in the oldest goes, of the address that has most of them.
  const Fd second = ConnectFrom("127.0.0.3", listener.port());
  const Fd third = ConnectFrom("127.0.0.3", listener.port());
  strangers.Advance(Clock::now(), {});
  const Fd fourth = ConnectFrom("127.0.0.4", listener.port());
  const FewFiles none(0);
  strangers.Advance(Clock::now(), {});
  EXPECT_TRUE(IsGreeted(fourth));
  EXPECT_FALSE(IsClosed(first));
  EXPECT_TRUE(IsGreeted(second));
  EXPECT_TRUE(IsClosed(second));
  EXPECT_TRUE(IsGreeted(third));
  EXPECT_FALSE(IsClosed(third));
  EXPECT_EQ(strangers.no_room(), "");
  EXPECT_EQ(strangers.dropped_count(), 1u);
}

TEST(Strangers, WhereSlotsRunOutAFloodMakesRoomForItselfAlone) {
  const TcpListener listener = *TcpListener::Bind("127.0.0.1");
  Strangers strangers(listener.fd(), "open sesame", [](const Hello&) { return true; });
  const Clock::time_point now = Clock::now();
  const Fd other = ConnectFrom("127.0.0.2", listener.port());
  strangers.Advance(now, {});
  std::vector<Fd> flood;
  for (size_t i = 0; i < Strangers::kMaxCount; ++i) {
    flood.push_back(ConnectFrom("127.0.0.3", listener.port()));
    strangers.Advance(now, {});
  }
  EXPECT_FALSE(IsGreeted(flood.back()));  // nobody has had its time yet
  strangers.Advance(now + Strangers::kLeastPatience, {});
  EXPECT_TRUE(IsGreeted(flood.back()));
  EXPECT_TRUE(IsGreeted(flood.front()) && IsClosed(flood.front()));
  EXPECT_TRUE(IsGreeted(other));
  EXPECT_FALSE(IsClosed(other));
}

}  // namespace
}  // namespace mrs
