#include "runtime/world/wire.h"

#include <gtest/gtest.h>

#include <cstring>

namespace mrs::wire {
namespace {

// The body of an encoded message, aligned as a channel keeps it; also checks the header.
class Decoded {
 public:
  Decoded(const std::string& message, MessageType type) : words_(message.size() / 8 + 2) {
    const Result<Header> header = DecodeHeader(std::as_bytes(std::span(message).first(kHeaderBytes)), UINT32_MAX);
    EXPECT_TRUE(header.ok());
    EXPECT_EQ(header->type, type);
    EXPECT_EQ(header->body_bytes, message.size() - kHeaderBytes);
    size_ = message.size() - kHeaderBytes;
    std::memcpy(words_.data(), message.data() + kHeaderBytes, size_);
  }
  Body body() const { return std::as_bytes(std::span(words_)).first(size_); }

 private:
  std::vector<uint64_t> words_;
  size_t size_ = 0;
};

Config SomeConfig() {
  return {.plan_path = "dir/x.mrsplan",
          .plan_sha256 = {1, 2, 3},
          .model_dir = "models/{rank}",
          .world_size = 8,
          .first_rank = 3,
          .rank_count = 2,
          .transport = Transport::kTcp,
          .threads = 5,
          .isa = 4,
          .spin = true,
          .spin_for_batch = false,
          .cuda_graphs = false,
          .dependent_launch = false,
          .listen_address = "10.0.0.2",
          .listen_port = 29504,
          .integrity = true,
          .streams = 3,
          .congestion = "reno"};
}

Batch SomeBatch() {
  return {
      .variant = Variant::kAllLogits,
      .tokens = {5, 6, 7},
      .positions = {0, 1, 2},
      .sequence = {0, 0, 1},
      .logit_rows = {1, 2},
      .kv = {{.slots = {32, 33, 64}, .block_table = {1, 0, 2, 0}}, {.slots = {0, 1, 96}, .block_table = {0, 0, 3, 3}}},
      .table_stride = 2};
}

TEST(Wire, ConfigRoundTrips) {
  const Config config = SomeConfig();
  const Decoded message(Encode(config), MessageType::kConfig);
  const Result<Config> back = DecodeConfig(message.body());
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_EQ(back->plan_path, config.plan_path);
  EXPECT_EQ(back->plan_sha256, config.plan_sha256);
  EXPECT_EQ(back->model_dir, config.model_dir);
  EXPECT_EQ(back->integrity, config.integrity);
  EXPECT_EQ(back->streams, 3u);
  EXPECT_EQ(back->congestion, "reno");
  EXPECT_EQ(back->world_size, 8u);
  EXPECT_EQ(back->first_rank, 3u);
  EXPECT_EQ(back->rank_count, 2u);
  EXPECT_EQ(back->transport, Transport::kTcp);
  EXPECT_EQ(back->threads, 5u);
  EXPECT_EQ(back->isa, 4);
  EXPECT_TRUE(back->spin);
  EXPECT_FALSE(back->spin_for_batch);
  EXPECT_FALSE(back->cuda_graphs);
  EXPECT_FALSE(back->dependent_launch);
  EXPECT_EQ(back->listen_address, "10.0.0.2");
  EXPECT_EQ(back->listen_port, 29504);
}

TEST(Wire, BatchRoundTrips) {
  const Batch batch = SomeBatch();
  const std::string encoded = Encode(77, batch);
  EXPECT_EQ(
      encoded.size(),
      kHeaderBytes + BatchBodyBytes({.tokens = 3, .sequences = 2, .logit_rows = 2, .spaces = 2, .table_stride = 2}));
  const Decoded message(encoded, MessageType::kBatch);
  const Result<BatchMessage> back = DecodeBatch(message.body());
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_EQ(back->step, 77u);
  EXPECT_EQ(back->batch.variant, batch.variant);
  EXPECT_EQ(back->batch.tokens, batch.tokens);
  EXPECT_EQ(back->batch.positions, batch.positions);
  EXPECT_EQ(back->batch.sequence, batch.sequence);
  ASSERT_EQ(back->batch.kv.size(), 2u);
  for (size_t space = 0; space < 2; ++space) {
    EXPECT_EQ(back->batch.kv[space].slots, batch.kv[space].slots);
    EXPECT_EQ(back->batch.kv[space].block_table, batch.kv[space].block_table);
  }
  EXPECT_EQ(back->batch.logit_rows, batch.logit_rows);
  EXPECT_EQ(back->batch.table_stride, 2u);
}

TEST(Wire, ResultRoundTripsWithoutCopy) {
  const std::vector<uint32_t> candidates = {1, 2, 3};
  const std::vector<float> logits = {0.5f, -1.0f};
  const StepOutput output{.candidates = std::as_bytes(std::span(candidates)), .logits = logits};
  std::string encoded = EncodeResultHead(9, output);
  encoded.append(reinterpret_cast<const char*>(candidates.data()), 12);
  encoded.append(reinterpret_cast<const char*>(logits.data()), 8);
  const Decoded message(encoded, MessageType::kResult);
  const Result<ResultMessage> back = DecodeResult(message.body());
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_EQ(back->step, 9u);
  EXPECT_EQ(std::memcmp(back->output.candidates.data(), candidates.data(), 12), 0);
  ASSERT_EQ(back->output.logits.size(), 2u);
  EXPECT_EQ(back->output.logits[1], -1.0f);
  EXPECT_EQ(ResultBodyBytes(12, 2), message.body().size());
}

TEST(Wire, SmallMessagesRoundTrip) {
  const Hello hello{.mrs_version = "1.2.3",
                    .format_major = 1,
                    .format_minor = 2,
                    .numerics_revision = 3,
                    .plan_sha256 = {9},
                    .world_size = 4,
                    .first_rank = 2,
                    .listen_port = 4567};
  const Decoded hello_message(Encode(hello), MessageType::kHello);
  EXPECT_EQ(DecodeHello(hello_message.body())->listen_port, 4567);
  EXPECT_EQ(DecodeHello(hello_message.body())->mrs_version, "1.2.3");
  const Decoded peers(Encode(Peers{.secret = {7}, .endpoints = {{"10.0.0.1", 1}, {"fe80::1%eth0", 65535}}}),
                      MessageType::kPeers);
  EXPECT_EQ(DecodePeers(peers.body())->endpoints, (std::vector<Endpoint>{{"10.0.0.1", 1}, {"fe80::1%eth0", 65535}}));
  const Decoded progress(Encode(Progress{.rank = 1, .bytes_done = 5, .bytes_total = 1ull << 40}),
                         MessageType::kProgress);
  EXPECT_EQ(DecodeProgress(progress.body())->bytes_total, 1ull << 40);
  const Decoded ready(Encode(Ready{.first_rank = 1, .resident_bytes = 8, .graphs = 18, .capture_ms = 412}),
                      MessageType::kReady);
  EXPECT_EQ(DecodeReady(ready.body())->resident_bytes, 8u);
  EXPECT_EQ(DecodeReady(ready.body())->graphs, 18u);
  EXPECT_EQ(DecodeReady(ready.body())->capture_ms, 412u);
  const Decoded failure(Encode(Failure{.rank = 2, .kind = ErrorKind::kUnavailable, .message = "gone"}),
                        MessageType::kFailure);
  EXPECT_EQ(DecodeFailure(failure.body())->message, "gone");
  const Measured measured{.rank = 1,
                          .resident_bytes = 77,
                          .links = {{.from = 1, .to = 0, .latency_ns = 5, .bytes_per_second = 6}},
                          .exchanges = {{.exchange = {ExchangeKind::kAllReduce, plan::CollectiveAlgorithm::doubling, 8},
                                         .count = 9,
                                         .min_ns = 10,
                                         .median_ns = 11}}};
  const Decoded measured_message(Encode(measured), MessageType::kMeasured);
  const Result<Measured> measured_back = DecodeMeasured(measured_message.body());
  ASSERT_TRUE(measured_back.ok()) << measured_back.message();
  EXPECT_EQ(measured_back->resident_bytes, 77u);
  EXPECT_EQ(measured_back->links.at(0).bytes_per_second, 6u);
  EXPECT_EQ(measured_back->exchanges.at(0).exchange, measured.exchanges[0].exchange);
  EXPECT_EQ(measured_back->exchanges.at(0).median_ns, 11u);
  const Decoded digests(Encode(Digests{.rank = 3, .xxh3 = {std::string(16, 'a'), std::string(16, '\0')}}),
                        MessageType::kDigests);
  const Result<Digests> digests_back = DecodeDigests(digests.body());
  ASSERT_TRUE(digests_back.ok()) << digests_back.message();
  EXPECT_EQ(digests_back->rank, 3u);
  EXPECT_EQ(digests_back->xxh3, (std::vector<std::string>{std::string(16, 'a'), std::string(16, '\0')}));
  EXPECT_FALSE(DecodeDigests(digests.body().first(digests.body().size() - 1)).ok());
  const Decoded report(EncodeReport(), MessageType::kReport);
  EXPECT_TRUE(report.body().empty());
  const Decoded bye(EncodeShutdown(), MessageType::kShutdown);
  EXPECT_TRUE(bye.body().empty());
}

TEST(Wire, AFailureTooLongIsCut) {
  const Decoded failure(Encode(Failure{.rank = 0, .kind = ErrorKind::kRefused, .message = std::string(1 << 20, 'x')}),
                        MessageType::kFailure);
  EXPECT_EQ(DecodeFailure(failure.body())->message.size(), kMaxTextBytes);
}

// Every message cut at every length, and with a byte too many, is refused.
template <typename Decode>
void ExpectOnlyItsOwnLength(const std::string& encoded, Decode decode) {
  const std::string body = encoded.substr(kHeaderBytes);
  for (size_t size = 0; size <= body.size() + 1; ++size) {
    if (size == body.size()) continue;
    std::vector<uint64_t> words(body.size() / 8 + 2);
    std::memcpy(words.data(), body.data(), std::min(size, body.size()));
    EXPECT_FALSE(decode(std::as_bytes(std::span(words)).first(size)).ok()) << size;
  }
}

TEST(Wire, RefusesAnyOtherLength) {
  ExpectOnlyItsOwnLength(Encode(SomeConfig()), DecodeConfig);
  ExpectOnlyItsOwnLength(Encode(Hello{.mrs_version = "1"}), DecodeHello);
  ExpectOnlyItsOwnLength(Encode(Peers{.secret = {}, .endpoints = {{"a", 1}, {"b", 2}}}), DecodePeers);
  ExpectOnlyItsOwnLength(Encode(Progress{}), DecodeProgress);
  ExpectOnlyItsOwnLength(Encode(Ready{}), DecodeReady);
  ExpectOnlyItsOwnLength(Encode(1, SomeBatch()), DecodeBatch);
  ExpectOnlyItsOwnLength(Encode(Failure{.rank = 0, .kind = ErrorKind::kRefused, .message = "m"}), DecodeFailure);
}

TEST(Wire, RefusesNumbersOutOfRange) {
  Config config = SomeConfig();
  config.rank_count = 6;  // 3 + 6 > 8
  EXPECT_FALSE(DecodeConfig(Decoded(Encode(config), MessageType::kConfig).body()).ok());
  config = SomeConfig();
  config.transport = static_cast<Transport>(9);
  EXPECT_FALSE(DecodeConfig(Decoded(Encode(config), MessageType::kConfig).body()).ok());
  config = SomeConfig();
  config.plan_path = std::string("a\0b", 3);
  EXPECT_FALSE(DecodeConfig(Decoded(Encode(config), MessageType::kConfig).body()).ok());

  std::string batch = Encode(1, SomeBatch());
  batch[kHeaderBytes + 8] = 7;  // variant
  const Result<BatchMessage> refused = DecodeBatch(Decoded(batch, MessageType::kBatch).body());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.message(), "malformed batch message between supervisor and rank (132 bytes): variant");
  batch = Encode(1, SomeBatch());
  batch[kHeaderBytes + 24] = 0;  // spaces
  EXPECT_EQ(DecodeBatch(Decoded(batch, MessageType::kBatch).body()).message(),
            "malformed batch message between supervisor and rank (132 bytes): count of KV spaces");
}

TEST(Wire, RefusesHeadersOfOthers) {
  const std::string good = EncodeShutdown();
  const auto decode = [](std::string bytes, uint32_t max) {
    return DecodeHeader(std::as_bytes(std::span(bytes)).first(kHeaderBytes), max);
  };
  EXPECT_TRUE(decode(good, 0).ok());
  std::string bad = good;
  bad[0] ^= 1;
  EXPECT_FALSE(decode(bad, 0).ok());
  bad = good;
  bad[4] = 1;
  EXPECT_NE(decode(bad, 0).message().find(fmt::format("version 1, expected {}", kVersion)), std::string::npos);
  bad = good;
  bad[6] = 99;
  EXPECT_FALSE(decode(bad, 0).ok());
  bad = good;
  bad[8] = 11;
  EXPECT_NE(decode(bad, 10).message().find("has 11 bytes, at most 10 are allowed"), std::string::npos);
}

}  // namespace
}  // namespace mrs::wire
