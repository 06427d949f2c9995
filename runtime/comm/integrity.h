// A Seal puts a tag on every record of one direction of a connection, and holds what comes against its tag.
//
//   record = length (4 bytes), payload (1 to 64 KiB), tag (16 bytes)
//   tag    = AES-256-GMAC(key of this direction, number of the record, length | payload)
//   key    = HMAC-SHA256(secret, "mrs integrity", who writes, both nonces of the handshake)
//
//   Keys keys = MakeKeys(secret, acceptor_nonce, connector_nonce);
//   Seal seal(keys.of_connector);
//   Tag tag = seal.Next({length, header, payload});            // 7th call: record 7
//
// The number is of the connection and is never sent, so a record that is left out, comes twice, out of order, from the
// other direction or from another connection fails like one that was changed. GMAC is AES-GCM (NIST SP 800-38D) of no
// text: it authenticates, nothing is encrypted.
#pragma once

#include <openssl/aes.h>
#include <openssl/modes.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/tcp_auth.h"

namespace mrs {

using Tag = std::array<std::byte, 16>;
using IntegrityKey = std::array<std::byte, 32>;

constexpr size_t kMaxRecordPayload = size_t{64} << 10;
constexpr size_t kRecordHead = 4;
constexpr size_t kRecordOverhead = kRecordHead + sizeof(Tag);

struct Keys {
  IntegrityKey of_connector;  // of what the connector writes
  IntegrityKey of_acceptor;
};

Keys MakeKeys(std::string_view secret, const Nonce& acceptor_nonce, const Nonce& connector_nonce);

// The keys of one end.
struct LinkKeys {
  IntegrityKey write;
  IntegrityKey read;
};
LinkKeys KeysOf(AuthRole end, const Keys& keys);

// Bytes a second that the calling thread makes tags of, in records of the largest size; takes about so long.
double MeasureTagRate(std::chrono::microseconds time);

class Seal {
 public:
  explicit Seal(const IntegrityKey& key);
  // The tag of the next record, which is these bytes in a row.
  Tag Next(std::span<const std::span<const std::byte>> record);
  Tag Next(std::initializer_list<std::span<const std::byte>> record) {
    return Next(std::span(record.begin(), record.size()));
  }
  uint64_t count() const { return count_; }  // of records so far

 private:
  struct Free {
    void operator()(GCM128_CONTEXT* context) const { CRYPTO_gcm128_release(context); }
  };
  std::unique_ptr<AES_KEY> key_;  // the context holds its address
  std::unique_ptr<GCM128_CONTEXT, Free> context_;
  uint64_t count_ = 0;
};

// What comes in from one direction: bytes are given out once their record's tag has been found right.
class RecordReader {
 public:
  explicit RecordReader(const IntegrityKey& key) : seal_(key), buffer_(2 * (kMaxRecordPayload + kRecordOverhead)) {}

  // Where bytes from the socket go; never empty. Then Came says how many did.
  std::span<std::byte> Space();
  void Came(size_t bytes) { end_ += bytes; }
  // Checks as many whole records as are there, one at a time: none is checked while bytes of an earlier one are left.
  // kRefused: a record that is none, or whose tag is wrong; the text goes on from "rank 2 ".
  Status Check();
  // Takes up to head + body bytes of what has been checked.
  size_t Take(std::span<std::byte> head, std::span<std::byte> body);

 private:
  Seal seal_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;  // of the checked bytes or, where there are none, of the next record
  size_t ready_ = 0;  // checked bytes from begin_ on; its tag follows them
  size_t end_ = 0;    // of what came
};

}  // namespace mrs
