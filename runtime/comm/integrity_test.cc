// A tag holds exactly for the bytes, the place, the direction and the connection that it was made for.
#include "runtime/comm/integrity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#include <thread>

#include "runtime/comm/tcp_transport.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;
using Record = std::vector<std::byte>;

IntegrityKey Key(int seed) {
  IntegrityKey key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(seed * 41 + static_cast<int>(i) * 7);
  return key;
}

std::vector<std::byte> Text(size_t size, int salt = 0) {
  std::vector<std::byte> text(size);
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<std::byte>(i * 31 + static_cast<size_t>(salt));
  return text;
}

Record MakeRecord(Seal& seal, std::span<const std::byte> payload) {
  const uint32_t length = static_cast<uint32_t>(payload.size());
  const auto length_bytes = std::as_bytes(std::span(&length, 1));
  const Tag tag = seal.Next({length_bytes, payload});
  Record record(payload.size() + kRecordOverhead);
  std::copy(length_bytes.begin(), length_bytes.end(), record.begin());
  std::copy(payload.begin(), payload.end(), record.begin() + kRecordHead);
  std::copy(tag.begin(), tag.end(), record.end() - sizeof(Tag));
  return record;
}

// Feeds bytes in pieces and takes what comes out; the error, or "".
std::string Read(RecordReader& reader, std::span<const std::byte> bytes, size_t piece, std::vector<std::byte>* out) {
  std::vector<std::byte> taken(1000);
  while (true) {
    if (const Status status = reader.Check(); !status.ok()) return status.message();
    if (const size_t count = reader.Take(std::span(taken).first(7), std::span(taken).subspan(7)); count > 0) {
      out->insert(out->end(), taken.begin(), taken.begin() + static_cast<ptrdiff_t>(count));
      continue;
    }
    if (bytes.empty()) return "";
    const std::span<std::byte> space = reader.Space();
    const size_t count = std::min({piece, bytes.size(), space.size()});
    std::copy_n(bytes.begin(), count, space.begin());
    reader.Came(count);
    bytes = bytes.subspan(count);
  }
}

// The same tag as OpenSSL's own AES-256-GCM gives for additional data alone.
TEST(Integrity, TagIsThatOfAesGcmOfNoText) {
  for (const size_t size : {0, 1, 15, 16, 17, 4096, 65540}) {
    const std::vector<std::byte> data = Text(size);
    const IntegrityKey key = Key(3);
    Seal seal(key);
    for (uint64_t number = 0; number < 3; ++number) {
      const size_t cut = size / 3;
      const Tag tag = seal.Next({std::span(data).first(cut), {}, std::span(data).subspan(cut)});
      std::array<unsigned char, 12> iv{};
      std::memcpy(iv.data() + 4, &number, 8);
      std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                              EVP_CIPHER_CTX_free);
      Tag expected;
      int length = 0;
      ASSERT_EQ(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr,
                                   reinterpret_cast<const unsigned char*>(key.data()), iv.data()),
                1);
      ASSERT_EQ(EVP_EncryptUpdate(context.get(), nullptr, &length, reinterpret_cast<const unsigned char*>(data.data()),
                                  static_cast<int>(size)),
                1);
      ASSERT_EQ(EVP_EncryptFinal_ex(context.get(), reinterpret_cast<unsigned char*>(expected.data()), &length), 1);
      ASSERT_EQ(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, 16, expected.data()), 1);
      EXPECT_EQ(tag, expected) << size << " bytes, record " << number;
    }
  }
}

TEST(Integrity, KeysDependOnSecretNoncesAndDirection) {
  const Nonce a = *RandomNonce();
  const Nonce b = *RandomNonce();
  const Keys keys = MakeKeys("s", a, b);
  EXPECT_NE(keys.of_connector, keys.of_acceptor);
  EXPECT_NE(keys.of_connector, MakeKeys("t", a, b).of_connector);
  EXPECT_NE(keys.of_connector, MakeKeys("s", b, a).of_connector);
  EXPECT_EQ(keys.of_connector, MakeKeys("s", a, b).of_connector);
}

TEST(Integrity, RecordsComeThroughInAnyPieces) {
  for (const size_t piece : {1, 19, 4096, 1 << 20}) {
    Seal seal(Key(1));
    RecordReader reader(Key(1));
    std::vector<std::byte> wire;
    std::vector<std::byte> sent;
    for (const size_t size : {1, 40, 65536, 3, 65535, 1000, 65536}) {
      const std::vector<std::byte> payload = Text(size, static_cast<int>(size));
      const Record record = MakeRecord(seal, payload);
      wire.insert(wire.end(), record.begin(), record.end());
      sent.insert(sent.end(), payload.begin(), payload.end());
    }
    std::vector<std::byte> received;
    EXPECT_EQ(Read(reader, wire, piece, &received), "");
    EXPECT_TRUE(received == sent);
  }
}

TEST(Integrity, EveryFlippedBitIsNoticed_AndNothingOfItsRecordGivenOut) {
  Seal seal(Key(1));
  const Record first = MakeRecord(seal, Text(20));
  const Record second = MakeRecord(seal, Text(33));
  for (size_t bit = 0; bit < second.size() * 8; ++bit) {
    Record wire = first;
    wire.insert(wire.end(), second.begin(), second.end());
    wire[first.size() + bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    RecordReader reader(Key(1));
    std::vector<std::byte> received;
    const std::string error = Read(reader, wire, wire.size(), &received);
    // A length that grew waits for bytes that never come, and gives nothing out either.
    if (bit >= 32) {
      EXPECT_THAT(error, HasSubstr("integrity tag is wrong (record 1, 33 bytes)")) << "bit " << bit;
    }
    EXPECT_TRUE(received == Text(20)) << "bit " << bit;
  }
}

TEST(Integrity, LeftOutRepeatedMovedAndForeignRecordsAreRefused) {
  Seal seal(Key(1));
  Seal other(Key(2));
  std::vector<Record> records;
  for (int i = 0; i < 3; ++i) records.push_back(MakeRecord(seal, Text(50, i)));
  const Record foreign = MakeRecord(other, Text(50, 0));
  const std::pair<const char*, std::vector<const Record*>> cases[] = {
      {"left out", {&records[0], &records[2]}},
      {"repeated", {&records[0], &records[0]}},
      {"moved", {&records[1], &records[0], &records[2]}},
      {"of another connection or direction", {&foreign}},
  };
  for (const auto& [name, wire_records] : cases) {
    std::vector<std::byte> wire;
    for (const Record* record : wire_records) wire.insert(wire.end(), record->begin(), record->end());
    RecordReader reader(Key(1));
    std::vector<std::byte> received;
    EXPECT_THAT(Read(reader, wire, 64, &received), HasSubstr("whose integrity tag is wrong")) << name;
  }
}

TEST(Integrity, LengthsThatNoRecordHasAreRefusedBeforeAnythingElseComes) {
  for (const uint32_t length : {0u, 65537u, 0xffffffffu}) {
    RecordReader reader(Key(1));
    std::vector<std::byte> received;
    EXPECT_THAT(Read(reader, std::as_bytes(std::span(&length, 1)), 4, &received),
                HasSubstr("no record with an integrity tag (record 0)"));
  }
}

// Between two transports, somebody changes a byte: the receiver names the rank. Small socket buffers make writes stop
// in the middle of records.
TEST(Integrity, ATransportNamesTheRankWhoseMessageWasChanged) {
  for (const bool change : {false, true}) {
    int left[2];
    int right[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, left), 0);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, right), 0);
    const int small = 8192;
    setsockopt(left[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    const Keys keys = MakeKeys("s", {}, {});
    const auto make = [&](int rank, int fd, bool connector) {
      std::vector<TcpLink> links(2);
      links[1 - rank].streams.push_back({.fd = Fd(fd),
                                         .keys = connector ? LinkKeys{keys.of_connector, keys.of_acceptor}
                                                           : LinkKeys{keys.of_acceptor, keys.of_connector}});
      return TcpTransport(rank, std::move(links));
    };
    TcpTransport sender = make(0, left[0], true);
    TcpTransport receiver = make(1, right[0], false);
    const std::vector<std::byte> head = Text(40, 5);
    const std::vector<std::byte> body = Text(300000, 9);
    std::thread writing([&] {
      for (size_t sent = 0; sent < head.size() + body.size();) {
        const size_t of_head = std::min(sent, head.size());
        const Result<size_t> put =
            sender.TryWrite(1, std::span(head).subspan(of_head), std::span(body).subspan(sent - of_head));
        if (!put.ok()) break;
        sent += *put;
        if (*put == 0) sender.Wait(1, -1, std::chrono::milliseconds(1000));
      }
      sender.Shut();
    });
    std::thread between([&] {
      std::vector<std::byte> buffer(5000);
      size_t at = 0;
      for (;;) {
        const ssize_t bytes = recv(left[1], buffer.data(), buffer.size(), 0);
        if (bytes < 0 && errno == EAGAIN) {
          std::this_thread::yield();
          continue;
        }
        if (bytes <= 0) break;
        for (ssize_t i = 0; i < bytes; ++i, ++at) {
          if (change && at == 200000) buffer[static_cast<size_t>(i)] ^= std::byte{1};
        }
        if (send(right[1], buffer.data(), static_cast<size_t>(bytes), MSG_NOSIGNAL) < 0) break;
      }
      shutdown(right[1], SHUT_WR);
    });
    std::vector<std::byte> received_head(head.size());
    std::vector<std::byte> received_body(body.size());
    std::string error;
    for (size_t received = 0; received < head.size() + body.size();) {
      const size_t of_head = std::min(received, head.size());
      const Result<size_t> got = receiver.TryRead(0, std::span(received_head).subspan(of_head),
                                                  std::span(received_body).subspan(received - of_head));
      if (!got.ok()) {
        error = got.message();
        break;
      }
      received += *got;
      if (*got == 0) receiver.Wait(-1, 0, std::chrono::milliseconds(1000));
    }
    shutdown(right[1], SHUT_RDWR);
    shutdown(left[1], SHUT_RDWR);
    writing.join();
    between.join();
    close(left[1]);
    close(right[1]);
    if (change) {
      EXPECT_EQ(error,
                "rank 0 sent a record whose integrity tag is wrong (record 3, 65536 bytes): it was changed, left out, "
                "repeated or moved on the way");
    } else {
      EXPECT_EQ(error, "");
      EXPECT_TRUE(received_head == head && received_body == body);
    }
  }
}

}  // namespace
}  // namespace mrs
