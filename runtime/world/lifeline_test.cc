#include "runtime/world/lifeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <future>
#include <thread>

#include "runtime/world/node_wire.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct TwoEnds {
  TwoEnds() {
    auto pair = Channel::MakePair();
    EXPECT_TRUE(pair.ok());
    ours = std::make_unique<Channel>(std::move(pair->first));
    theirs = std::make_unique<Channel>(std::move(pair->second));
  }
  std::unique_ptr<Lifelines> Start(std::function<void(const Message&)> on_message = {}, std::string last_word = {}) {
    std::vector<std::unique_ptr<Channel>> channels;
    channels.push_back(std::move(ours));
    auto lines = Lifelines::Start(std::move(channels),
                                  {.on_message =
                                       [on_message](size_t, const Message& message) {
                                         if (on_message) on_message(message);
                                       },
                                   .on_lost = [this](size_t, const std::string& why) { lost.set_value(why); },
                                   .beat = [] { return wire::Encode(wire::Beat{}); },
                                   .last_word = std::move(last_word)});
    EXPECT_TRUE(lines.ok());
    return *std::move(lines);
  }
  std::unique_ptr<Channel> ours, theirs;
  std::promise<std::string> lost;
};

TEST(Lifelines, BeatAndTellAndHear) {
  TwoEnds ends;
  std::promise<std::string> heard;
  const auto lines = ends.Start([&](const Message& message) {
    if (message.type == wire::MessageType::kLeaving) heard.set_value(wire::DecodeLeaving(message.body)->text);
  });
  const Deadline soon = Clock::now() + milliseconds(10000);
  EXPECT_EQ(ends.theirs->Receive(soon)->type, wire::MessageType::kBeat);
  lines->TellAll(wire::Encode(wire::Verdict{"because"}));
  for (;;) {
    const Result<Message> message = ends.theirs->Receive(soon);
    ASSERT_TRUE(message.ok());
    if (message->type == wire::MessageType::kBeat) continue;
    EXPECT_EQ(wire::DecodeVerdict(message->body)->text, "because");
    break;
  }
  ASSERT_TRUE(ends.theirs->Send(wire::Encode(wire::Leaving{"bye"}), soon).ok());
  EXPECT_EQ(heard.get_future().get(), "bye");
  EXPECT_FALSE(lines->AwaitClosed(milliseconds(1)));
  ends.theirs.reset();
  EXPECT_EQ(ends.lost.get_future().get(), "its connection closed");
  EXPECT_TRUE(lines->AwaitClosed(milliseconds(5000)));
  lines->TellAll(wire::Encode(wire::Verdict{"late"}));
}

// What was said before the end is heard before it.
TEST(Lifelines, HearLastWords) {
  TwoEnds ends;
  std::promise<std::string> heard;
  const Deadline soon = Clock::now() + milliseconds(10000);
  ASSERT_TRUE(ends.theirs->Send(wire::Encode(wire::Verdict{"the end"}), soon).ok());
  ends.theirs.reset();
  const auto lines =
      ends.Start([&](const Message& message) { heard.set_value(wire::DecodeVerdict(message.body)->text); });
  EXPECT_EQ(heard.get_future().get(), "the end");
  EXPECT_EQ(ends.lost.get_future().get(), "its connection closed");
}

// And whoever is silent may hear still.
TEST(Lifelines, SilenceIsALoss) {
  TwoEnds ends;
  const auto lines = ends.Start({}, wire::Encode(wire::Leaving{"nothing is heard here"}));
  EXPECT_EQ(ends.lost.get_future().get(), "it has said nothing for 4 s");
  lines->TellAll(wire::Encode(wire::Verdict{"because of the silence"}));
  std::vector<std::string> heard;
  const Deadline soon = Clock::now() + milliseconds(10000);
  while (heard.size() < 2) {
    const Result<Message> message = ends.theirs->Receive(soon);
    ASSERT_TRUE(message.ok()) << message.message();
    if (message->type == wire::MessageType::kLeaving) heard.push_back(wire::DecodeLeaving(message->body)->text);
    if (message->type == wire::MessageType::kVerdict) heard.push_back(wire::DecodeVerdict(message->body)->text);
  }
  EXPECT_THAT(heard, testing::UnorderedElementsAre("nothing is heard here", "because of the silence"));
}

// What came was changed; what goes the other way need not be.
TEST(Lifelines, WhoseWordsWereChangedStillHearsWhy) {
  TwoEnds ends;
  const auto lines = ends.Start();
  ASSERT_TRUE(ends.theirs->Send("no message at all", Clock::now() + milliseconds(1000)).ok());
  ends.lost.get_future().get();
  lines->TellAll(wire::Encode(wire::Verdict{"because"}));
  const Deadline soon = Clock::now() + milliseconds(10000);
  for (;;) {
    const Result<Message> message = ends.theirs->Receive(soon);
    ASSERT_TRUE(message.ok());
    if (message->type != wire::MessageType::kVerdict) continue;
    EXPECT_EQ(wire::DecodeVerdict(message->body)->text, "because");
    break;
  }
  EXPECT_FALSE(lines->AwaitClosed(milliseconds(50)));
  ends.theirs.reset();
  EXPECT_TRUE(lines->AwaitClosed(milliseconds(5000)));
}

// However much still comes of it, who hears gets on: others are heard, and the end is seen.
TEST(Lifelines, AFloodOfWhoseWordsWereChangedHoldsNothingUp) {
  TwoEnds ends;
  auto lines = ends.Start();
  ASSERT_TRUE(ends.theirs->Send("no message at all", Clock::now() + milliseconds(1000)).ok());
  ends.lost.get_future().get();
  std::atomic<bool> over{false};
  std::vector<std::thread> floods;
  for (int i = 0; i < 4; ++i) {
    floods.emplace_back([&] {
      const std::string many(256 << 10, 'x');
      while (!over) {
        pollfd ready{.fd = ends.theirs->fd(), .events = POLLOUT, .revents = 0};
        poll(&ready, 1, 10);
        [[maybe_unused]] const ssize_t sent =
            send(ends.theirs->fd(), many.data(), many.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      }
    });
  }
  // Beats still go out in the midst of it.
  const Deadline soon = Clock::now() + milliseconds(10000);
  for (int beats = 0; beats < 4;) {
    const Result<Message> message = ends.theirs->Receive(soon);
    ASSERT_TRUE(message.ok()) << message.message();
    beats += message->type == wire::MessageType::kBeat ? 1 : 0;
  }
  lines.reset();
  over = true;
  for (std::thread& flood : floods) flood.join();
}

TEST(Lifelines, NonsenseIsALoss) {
  TwoEnds ends;
  const auto lines = ends.Start();
  ASSERT_TRUE(ends.theirs->Send("no message at all", Clock::now() + milliseconds(1000)).ok());
  EXPECT_EQ(ends.lost.get_future().get(),
            "message between supervisor and rank starts with 0x6d206f6e, expected 0x5753524d");
}

}  // namespace
}  // namespace mrs
