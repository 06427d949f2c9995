#define OPENSSL_SUPPRESS_DEPRECATED  // the functions that need neither a provider nor a configuration file
#include "runtime/comm/integrity.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace mrs {
namespace {

IntegrityKey MakeKey(std::string_view secret, AuthRole writer, const Nonce& acceptor, const Nonce& connector) {
  std::string message = "mrs integrity";
  message.push_back(static_cast<char>(writer));
  for (const Nonce* nonce : {&acceptor, &connector}) {
    message.append(reinterpret_cast<const char*>(nonce->data()), nonce->size());
  }
  return Hmac(secret, message);
}

const unsigned char* Plain(const std::byte* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }

}  // namespace

Keys MakeKeys(std::string_view secret, const Nonce& acceptor_nonce, const Nonce& connector_nonce) {
  return {.of_connector = MakeKey(secret, AuthRole::kConnector, acceptor_nonce, connector_nonce),
          .of_acceptor = MakeKey(secret, AuthRole::kAcceptor, acceptor_nonce, connector_nonce)};
}

LinkKeys KeysOf(AuthRole end, const Keys& keys) {
  return end == AuthRole::kConnector ? LinkKeys{.write = keys.of_connector, .read = keys.of_acceptor}
                                     : LinkKeys{.write = keys.of_acceptor, .read = keys.of_connector};
}

double MeasureTagRate(std::chrono::microseconds time) {
  using Clock = std::chrono::steady_clock;
  const std::vector<std::byte> record(kMaxRecordPayload);
  Seal seal(IntegrityKey{});
  seal.Next({record});  // the tables and the record are in the cache, as they are at work
  double best = 0;      // who is interrupted measures the other process
  const Clock::time_point end = Clock::now() + time;
  Clock::time_point before = Clock::now();
  do {
    for (int i = 0; i < 4; ++i) seal.Next({record});
    const Clock::time_point now = Clock::now();
    best = std::max(best, 4.0 * kMaxRecordPayload / std::chrono::duration<double>(now - before).count());
    before = now;
  } while (before < end);
  return best;
}

Seal::Seal(const IntegrityKey& key) : key_(std::make_unique<AES_KEY>()) {
  MRS_CHECK(AES_set_encrypt_key(Plain(key.data()), static_cast<int>(key.size() * 8), key_.get()) == 0);
  context_.reset(CRYPTO_gcm128_new(key_.get(), reinterpret_cast<block128_f>(AES_encrypt)));
  MRS_CHECK(context_ != nullptr);
}

Tag Seal::Next(std::span<const std::span<const std::byte>> record) {
  // 96 bits: four of zero bytes, then the number of the record.
  std::array<unsigned char, 12> number{};
  std::memcpy(number.data() + 4, &count_, sizeof(count_));
  ++count_;
  CRYPTO_gcm128_setiv(context_.get(), number.data(), number.size());
  for (const std::span<const std::byte> part : record) {
    if (!part.empty()) CRYPTO_gcm128_aad(context_.get(), Plain(part.data()), part.size());
  }
  Tag tag;
  CRYPTO_gcm128_tag(context_.get(), reinterpret_cast<unsigned char*>(tag.data()), tag.size());
  return tag;
}

std::span<std::byte> RecordReader::Space() {
  // At least one whole record fits behind begin_.
  if (begin_ == end_ && ready_ == 0) begin_ = end_ = 0;
  if (begin_ >= buffer_.size() / 2) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(buffer_).subspan(end_);
}

Status RecordReader::Check() {
  if (ready_ > 0 || end_ - begin_ < kRecordHead) return Status();
  uint32_t length = 0;
  std::memcpy(&length, buffer_.data() + begin_, sizeof(length));
  if (length == 0 || length > kMaxRecordPayload) {
    return Refuse("sent bytes that are no record with an integrity tag (record {}): they were changed on the way",
                  seal_.count());
  }
  if (end_ - begin_ < length + kRecordOverhead) return Status();
  const std::span<const std::byte> record = std::span(buffer_).subspan(begin_, kRecordHead + length);
  const uint64_t number = seal_.count();
  const Tag tag = seal_.Next({record});
  if (CRYPTO_memcmp(tag.data(), record.data() + record.size(), tag.size()) != 0) {
    return Refuse(
        "sent a record whose integrity tag is wrong (record {}, {} bytes): it was changed, left out, repeated "
        "or moved on the way",
        number, length);
  }
  begin_ += kRecordHead;
  ready_ = length;
  return Status();
}

size_t RecordReader::Take(std::span<std::byte> head, std::span<std::byte> body) {
  size_t taken = 0;
  for (const std::span<std::byte> part : {head, body}) {
    const size_t bytes = std::min(part.size(), ready_ - taken);
    if (bytes == 0) continue;
    std::memcpy(part.data(), buffer_.data() + begin_ + taken, bytes);
    taken += bytes;
  }
  ready_ -= taken;
  begin_ += taken;
  if (taken > 0 && ready_ == 0) begin_ += sizeof(Tag);
  return taken;
}

}  // namespace mrs
