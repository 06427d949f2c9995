// A channel whose bytes have tags: whole messages, and nothing of what was changed on the way.
#include "runtime/world/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <thread>

#include "runtime/world/node_wire.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

Deadline Soon() { return std::chrono::steady_clock::now() + milliseconds(20000); }

Keys SomeKeys() { return MakeKeys("open sesame", Nonce{std::byte{1}}, Nonce{std::byte{2}}); }

// One end writes, all of it is kept; the other reads what a test makes of it.
struct Way {
  Way() {
    auto first = Channel::MakePair();
    auto second = Channel::MakePair();
    EXPECT_TRUE(first.ok() && second.ok());
    writer = std::make_unique<Channel>(std::move(first->first));
    from_writer = std::move(first->second);
    to_reader = std::move(second->first);
    reader = std::make_unique<Channel>(std::move(second->second));
    writer->Protect(KeysOf(AuthRole::kConnector, SomeKeys()));
    reader->Protect(KeysOf(AuthRole::kAcceptor, SomeKeys()));
  }
  // What is written by `write`, whatever its size.
  Bytes Written(const std::function<void()>& write) {
    Bytes all;
    std::thread thread([&] {
      write();
      shutdown(writer->fd(), SHUT_WR);
    });
    for (std::byte piece[65536];;) {
      const ssize_t got = recv(from_writer.get(), piece, sizeof(piece), 0);
      if (got <= 0) break;
      all.insert(all.end(), piece, piece + got);
    }
    thread.join();
    return all;
  }
  // Hands them on, and says how the reading ends; the texts of what came before in `texts`.
  std::string Read(const Bytes& bytes, std::vector<std::string>* texts) {
    std::thread thread([&] {
      for (size_t at = 0; at < bytes.size();) {
        const ssize_t sent = send(to_reader.get(), bytes.data() + at, std::min<size_t>(bytes.size() - at, 999), 0);
        if (sent <= 0) return;
        at += static_cast<size_t>(sent);
      }
      shutdown(to_reader.get(), SHUT_WR);
    });
    std::string end;
    for (;;) {
      const Result<Message> message = reader->Receive(Soon());
      if (!message.ok()) {
        end = reader->peer_gone() ? "gone" : message.message();
        break;
      }
      const Result<wire::Waiting> waiting = wire::DecodeWaiting(message->body);
      texts->push_back(waiting.ok() ? waiting->text : waiting.message());
    }
    while (end != "gone") {  // the rest, so that the thread can end
      char rest[65536];
      if (recv(reader->fd(), rest, sizeof(rest), 0) <= 0) break;
    }
    thread.join();
    return end;
  }
  std::unique_ptr<Channel> writer, reader;
  Fd from_writer, to_reader;
};

std::vector<std::string> Texts() { return {"", "a", std::string(16384, 'b'), "c"}; }

Bytes SomeMessages(Way& way) {
  return way.Written([&] {
    for (const std::string& text : Texts()) {
      ASSERT_TRUE(way.writer->Send(wire::Encode(wire::Waiting{text}), Soon()).ok());
    }
  });
}

TEST(TaggedChannel, WholeMessagesComeThrough) {
  Way way;
  std::vector<std::string> texts;
  EXPECT_EQ(way.Read(SomeMessages(way), &texts), "gone");
  EXPECT_EQ(texts, Texts());
}

TEST(TaggedChannel, AMessageOfManyRecordsComesThrough) {
  Way way;
  way.reader->set_max_body_bytes(1 << 20);
  Bytes payload(500'001);
  for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(i * 7 / 3);
  const std::span<const std::byte> parts[] = {std::span(payload).first(65536), {}, std::span(payload).subspan(65536)};
  const Bytes bytes = way.Written([&] {
    const std::string head = wire::EncodeHeader(wire::MessageType::kResult, static_cast<uint32_t>(payload.size()));
    ASSERT_TRUE(way.writer->Send(head, parts, Soon()).ok());
  });
  EXPECT_EQ(bytes.size(), wire::kHeaderBytes + payload.size() + 8 * kRecordOverhead);
  std::thread thread([&] {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t sent = send(way.to_reader.get(), bytes.data() + at, bytes.size() - at, 0);
      ASSERT_GT(sent, 0);
      at += static_cast<size_t>(sent);
    }
  });
  const Result<Message> message = way.reader->Receive(Soon());
  thread.join();
  ASSERT_TRUE(message.ok()) << message.message();
  EXPECT_TRUE(std::ranges::equal(message->body, payload));
}

// Whatever is changed, what comes out is a beginning of what was said, and then the same error for ever.
TEST(TaggedChannel, ChangedBytesAreNamed) {
  const auto flip = [](size_t at) {
    return [at](Bytes bytes) {
      bytes.at(at) ^= std::byte{0x10};
      return bytes;
    };
  };
  // Records of the texts above: 36, 37, 16420 and 37 bytes.
  const struct {
    std::function<Bytes(Bytes)> change;
    size_t whole;  // messages before it
    const char* named;
  } cases[] = {
      {flip(0), 0, "it sent bytes that are no record with an integrity tag (record 0): they were changed on the way"},
      {flip(1), 0, "it sent a record whose integrity tag is wrong (record 0, 4112 bytes): it was changed, left out, "},
      {flip(2), 0, "it sent bytes that are no record with an integrity tag (record 0): they were changed on the way"},
      {flip(5), 0, "it sent a record whose integrity tag is wrong (record 0, 16 bytes): it was changed, left out, "},
      {flip(35), 0, "it sent a record whose integrity tag is wrong (record 0, 16 bytes)"},
      {flip(36 + 37 + 9000), 2, "it sent a record whose integrity tag is wrong (record 2, 16400 bytes)"},
      {[](Bytes bytes) {
         bytes.erase(bytes.begin(), bytes.begin() + 36);
         return bytes;
       },
       0, "it sent a record whose integrity tag is wrong (record 0, 17 bytes)"},
      {[](Bytes bytes) {
         const Bytes first(bytes.begin(), bytes.begin() + 36);
         bytes.insert(bytes.begin(), first.begin(), first.end());
         return bytes;
       },
       1, "it sent a record whose integrity tag is wrong (record 1, 16 bytes)"},
  };
  for (const auto& [change, whole, named] : cases) {
    Way way;
    std::vector<std::string> texts;
    const std::string end = way.Read(change(SomeMessages(way)), &texts);
    EXPECT_THAT(end, HasSubstr(named));
    EXPECT_EQ(way.reader->TryReceive().status().message(), end);
    std::vector<std::string> before = Texts();
    before.resize(whole);
    EXPECT_EQ(texts, before);
  }
}

TEST(TaggedChannel, WhatIsSentBackIsNotTaken) {
  Way way;
  // The reader's own messages, in the place of the writer's.
  ASSERT_TRUE(way.reader->Send(wire::Encode(wire::Waiting{"x"}), Soon()).ok());
  Bytes back(100);
  const ssize_t got = recv(way.to_reader.get(), back.data(), back.size(), 0);
  ASSERT_GT(got, 0);
  back.resize(static_cast<size_t>(got));
  std::vector<std::string> texts;
  EXPECT_THAT(way.Read(back, &texts), HasSubstr("integrity tag is wrong (record 0"));
  EXPECT_TRUE(texts.empty());
}

// Of a message that could not be sent whole nothing follows: the other end would take it for the rest.
TEST(Channel, NothingFollowsAMessageOfWhichAPartIsOut) {
  for (const bool tagged : {false, true}) {
    auto pair = Channel::MakePair();
    ASSERT_TRUE(pair.ok());
    Channel channel(std::move(pair->first));
    if (tagged) channel.Protect(KeysOf(AuthRole::kConnector, SomeKeys()));
    const Bytes much(8 << 20);
    const std::span<const std::byte> payload[] = {much};
    const Deadline now = std::chrono::steady_clock::now() + milliseconds(20);
    const std::string head = wire::EncodeHeader(wire::MessageType::kResult, static_cast<uint32_t>(much.size()));
    EXPECT_EQ(channel.Send(head, payload, now).message(),
              "a message could not be sent in time: the other end does not read");
    EXPECT_EQ(channel.Send(wire::EncodeShutdown(), Soon()).message(),
              "a message before this one could not be sent whole");
  }
}

}  // namespace
}  // namespace mrs
