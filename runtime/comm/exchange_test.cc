// The loop that waits, checks and fails, over a transport that a test scripts: what one read or write gives after
// another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <thread>

#include "runtime/comm/scheduled_communicator.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// What the peer does. Shared, since the link owns its transport.
struct Script {
  std::deque<std::vector<std::byte>> arrivals = {};  // one a read; an empty one: nothing is there yet
  std::optional<Error> read_error = {};              // once there are no more
  std::optional<Error> write_error = {};
  size_t room = SIZE_MAX;        // bytes that one write takes
  bool room_after_wait = false;  // only the first write after a wait takes any
  milliseconds wait{0};          // how long each wait lasts
  size_t wait_count = 0;
  bool waited = false;
  size_t written = 0;
};

class ScriptedTransport {
 public:
  explicit ScriptedTransport(Script* script) : script_(script) {}
  int rank() const { return 0; }
  int size() const { return 2; }
  Result<size_t> TryWrite(int, std::span<const std::byte> head, std::span<const std::byte> body) {
    if (script_->write_error) return *script_->write_error;
    if (script_->room_after_wait && !std::exchange(script_->waited, false)) return size_t{0};
    const size_t taken = std::min(script_->room, head.size() + body.size());
    script_->written += taken;
    return taken;
  }
  Result<size_t> TryRead(int, std::span<std::byte> head, std::span<std::byte> body) {
    if (script_->arrivals.empty()) {
      if (script_->read_error) return *script_->read_error;
      return size_t{0};
    }
    const std::vector<std::byte> bytes = script_->arrivals.front();
    script_->arrivals.pop_front();
    EXPECT_LE(bytes.size(), head.size() + body.size());
    const size_t of_head = std::min(bytes.size(), head.size());
    std::copy_n(bytes.begin(), of_head, head.begin());
    std::copy(bytes.begin() + static_cast<ptrdiff_t>(of_head), bytes.end(), body.begin());
    return bytes.size();
  }
  void Wait(int, int, milliseconds) {
    ++script_->wait_count;
    script_->waited = true;
    std::this_thread::sleep_for(script_->wait);
  }
  void Shut() {}

 private:
  Script* script_;
};

std::unique_ptr<Communicator> Make(Script* script, CommOptions options) {
  auto link = std::make_shared<Link<ScriptedTransport>>(ScriptedTransport(script), options);
  return std::make_unique<ScheduledCommunicator<ScriptedTransport>>(std::move(link), AllRanks(2));
}

// The group's fingerprint is the communicator's business: it is taken from what one of them writes.
class Recorder : public ScriptedTransport {
 public:
  Recorder(Script* script, std::vector<std::byte>* bytes) : ScriptedTransport(script), bytes_(bytes) {}
  Result<size_t> TryWrite(int, std::span<const std::byte> head, std::span<const std::byte> body) {
    bytes_->insert(bytes_->end(), head.begin(), head.end());
    bytes_->insert(bytes_->end(), body.begin(), body.end());
    return head.size() + body.size();
  }

 private:
  std::vector<std::byte>* bytes_;
};

// What rank 1 sends in its first Send of so many bytes; both ranks make the same header for it.
std::vector<std::byte> MessageOf(size_t bytes) {
  Script script;
  std::vector<std::byte> written;
  auto link = std::make_shared<Link<Recorder>>(Recorder(&script, &written), CommOptions{});
  ScheduledCommunicator<Recorder> comm(std::move(link), AllRanks(2));
  EXPECT_TRUE(comm.Send(1, std::vector<std::byte>(bytes, std::byte{7})).ok());
  return written;
}

// A byte comes after each wait, and every wait is longer than the timeout: of silence there is never so much.
TEST(Exchange, ProgressInReadingRenewsTheTimeout) {
  Script script{.wait = milliseconds(3)};
  for (const std::byte byte : MessageOf(8)) {
    script.arrivals.push_back({});
    script.arrivals.push_back({byte});
  }
  const auto comm = Make(&script, {.timeout = milliseconds(2), .spin = 0});
  std::vector<std::byte> data(8);
  const Status status = comm->Recv(1, data);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(data, std::vector<std::byte>(8, std::byte{7}));
  EXPECT_EQ(script.wait_count, sizeof(MessageHeader) + 8);
}

TEST(Exchange, ProgressInWritingRenewsTheTimeout) {
  Script script{.room = 1, .room_after_wait = true, .wait = milliseconds(3)};
  const auto comm = Make(&script, {.timeout = milliseconds(2), .spin = 0});
  const Status status = comm->Send(1, std::vector<std::byte>(8));
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(script.written, sizeof(MessageHeader) + 8);
}

TEST(Exchange, SilenceIsTimedOut) {
  Script script{.wait = milliseconds(3)};
  const auto comm = Make(&script, {.timeout = milliseconds(2), .spin = 0});
  std::vector<std::byte> data(8);
  const Status status = comm->Recv(1, data);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kTimedOut);
  EXPECT_EQ(status.message(), "send/recv: rank 0 of 2: no data from rank 1 for 0.002 s");
}

// A peer that was in another operation said so, failed and went: its words are there, in pieces, and no write gets
// through. That it is gone is the consequence; what it said is the cause.
TEST(Exchange, AWriteErrorHidesNoMismatch) {
  MessageHeader other = MakeHeader({.kind = OperationKind::kBarrier}, 0);
  const auto bytes = std::as_bytes(std::span(&other, 1));
  Script script{.read_error = Unavailable("rank 1 closed the connection"),
                .write_error = Unavailable("rank 1 closed the connection")};
  for (size_t at = 0; at < bytes.size(); at += 8)
    script.arrivals.emplace_back(bytes.begin() + at, bytes.begin() + at + 8);
  const auto comm = Make(&script, {.timeout = milliseconds(5000), .spin = 0});
  std::vector<float> data(4);
  const Status status = comm->AllReduce(data, data, ReduceAlgorithm::kDoubling);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kRefused);
  EXPECT_THAT(status.message(),
              StartsWith("all-reduce: rank 0 of 2 runs all-reduce #0 of 16 bytes (doubling), but rank 1 "
                         "runs barrier #0 of 0 bytes"));
}

TEST(Exchange, AWriteErrorAloneIsTheCause) {
  Script script{.write_error = Unavailable("rank 1 closed the connection")};
  const auto comm = Make(&script, {.timeout = milliseconds(5000), .spin = 0});
  const Status status = comm->Barrier();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.message(), "barrier: rank 0 of 2: rank 1 closed the connection");
  EXPECT_THAT(comm->Barrier().message(),
              HasSubstr("failed before: barrier: rank 0 of 2: rank 1 closed the connection"));
}

}  // namespace
}  // namespace mrs
