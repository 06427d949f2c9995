#include "runtime/world/node_wire.h"

#include <gtest/gtest.h>

#include <cstring>

namespace mrs::wire {
namespace {

// The body of an encoded message, aligned as a channel keeps it.
class Decoded {
 public:
  explicit Decoded(const std::string& message) : words_(message.size() / 8 + 2), size_(message.size() - kHeaderBytes) {
    EXPECT_TRUE(DecodeHeader(std::as_bytes(std::span(message).first(kHeaderBytes)), UINT32_MAX).ok());
    std::memcpy(words_.data(), message.data() + kHeaderBytes, size_);
  }
  Body body() const { return std::as_bytes(std::span(words_)).first(size_); }

 private:
  std::vector<uint64_t> words_;
  size_t size_;
};

Facts SomeFacts() {
  return {.mrs_version = MRS_VERSION,
          .format_major = 3,
          .format_minor = 1,
          .numerics_revision = 7,
          .plan_sha256 = {1, 2},
          .node = 3,
          .node_count = 4,
          .streams = 8,
          .ranks = {6, 7, 9},
          .memory_bytes = 1ull << 40};
}

Facts OfRing() {
  Facts facts = SomeFacts();
  facts.ring = RingFacts{.file = "/etc/r3.json",
                         .listen = {"10.0.0.2", 9004},
                         .right = {"gpu-a.example", 9001},
                         .network = "boot:4026531840",
                         .machine_bytes = 1ull << 40};
  return facts;
}

Beat SomeBeat() {
  const RankProgress progress{.beat = 1,
                              .work = 2,
                              .looks = 3,
                              .wakes = 8,
                              .step = 4,
                              .phase = RankPhase::kWorking,
                              .operation = 5,
                              .operations = 6,
                              .plan_step = 7,
                              .waits_for = 0};
  return {.ranks = {{.rank = 6, .progress = progress}, {.rank = 7, .progress = {}}}};
}

TEST(NodeWire, RoundTrips) {
  EXPECT_EQ(*DecodeFacts(Decoded(Encode(SomeFacts())).body()), SomeFacts());
  EXPECT_EQ(*DecodeFacts(Decoded(Encode(OfRing())).body()), OfRing());
  EXPECT_EQ(DecodeSeat(Decoded(Encode(Seat{{9, 8}})).body())->token, (Token{9, 8}));
  EXPECT_EQ(DecodeClaim(Decoded(Encode(Claim{{9, 8}})).body())->token, (Token{9, 8}));
  EXPECT_EQ(DecodeWaiting(Decoded(Encode(Waiting{"node 1"})).body())->text, "node 1");
  const Result<Stands> stands = DecodeStands(Decoded(Encode(Stands{RehearsalScope::kAll, 29500})).body());
  EXPECT_EQ(stands->rehearsal, RehearsalScope::kAll);
  EXPECT_EQ(stands->cluster_port, 29500);
  const Result<Beat> beat = DecodeBeat(Decoded(Encode(SomeBeat())).body());
  ASSERT_TRUE(beat.ok());
  ASSERT_EQ(beat->ranks.size(), 2u);
  EXPECT_EQ(beat->ranks[0].rank, 6u);
  EXPECT_EQ(beat->ranks[0].progress, SomeBeat().ranks[0].progress);
  EXPECT_EQ(beat->ranks[1].progress, RankProgress{});
  const Result<Ended> ended =
      DecodeEnded(Decoded(Encode(Ended{.first_rank = 1, .rank_count = 2, .pid = 3, .wait_status = 9})).body());
  EXPECT_EQ(ended->wait_status, 9);
  EXPECT_EQ(ended->pid, 3u);
  EXPECT_FALSE(DecodeEnded(Decoded(Encode(Ended{})).body())->wait_status.has_value());
  EXPECT_EQ(DecodeLeaving(Decoded(Encode(Leaving{"bye"})).body())->text, "bye");
  EXPECT_EQ(DecodeVerdict(Decoded(Encode(Verdict{std::string(1 << 20, 'x')})).body())->text.size(), kMaxTextBytes);
}

// Another version may go on as it likes.
TEST(NodeWire, FactsOfAnotherVersionAreReadAsFarAsTheVersion) {
  Facts facts = SomeFacts();
  facts.mrs_version = "99";
  std::string message = Encode(facts) + "and more";
  const Result<Facts> read = DecodeFacts(Decoded(message).body());
  ASSERT_TRUE(read.ok()) << read.message();
  EXPECT_EQ(read->mrs_version, "99");
  EXPECT_EQ(read->node, 3u);
  EXPECT_TRUE(read->ranks.empty());
}

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

TEST(NodeWire, RefusesAnyOtherLength) {
  ExpectOnlyItsOwnLength(Encode(SomeFacts()), DecodeFacts);
  ExpectOnlyItsOwnLength(Encode(OfRing()), DecodeFacts);
  ExpectOnlyItsOwnLength(Encode(Seat{}), DecodeSeat);
  ExpectOnlyItsOwnLength(Encode(Claim{}), DecodeClaim);
  ExpectOnlyItsOwnLength(Encode(Waiting{"w"}), DecodeWaiting);
  ExpectOnlyItsOwnLength(Encode(Stands{}), DecodeStands);
  ExpectOnlyItsOwnLength(Encode(SomeBeat()), DecodeBeat);
  ExpectOnlyItsOwnLength(Encode(Ended{}), DecodeEnded);
  ExpectOnlyItsOwnLength(Encode(Leaving{"l"}), DecodeLeaving);
  ExpectOnlyItsOwnLength(Encode(Verdict{"v"}), DecodeVerdict);
}

TEST(NodeWire, RefusesNumbersOutOfRange) {
  Facts facts = SomeFacts();
  facts.ranks = {1, 1};
  EXPECT_EQ(DecodeFacts(Decoded(Encode(facts)).body()).message(),
            "malformed facts message between supervisor and rank (83 bytes): order of ranks");
  facts.ranks = {kMaxWorld};
  EXPECT_FALSE(DecodeFacts(Decoded(Encode(facts)).body()).ok());
  for (const uint32_t streams : {0u, 9u}) {
    facts = SomeFacts();
    facts.streams = streams;
    EXPECT_FALSE(DecodeFacts(Decoded(Encode(facts)).body()).ok());
  }
  EXPECT_FALSE(DecodeStands(Decoded(Encode(Stands{static_cast<RehearsalScope>(9)})).body()).ok());
  EXPECT_FALSE(DecodeEnded(Decoded(Encode(Ended{.first_rank = kMaxWorld, .rank_count = 1})).body()).ok());
  Beat beat = SomeBeat();
  beat.ranks[0].progress.phase = static_cast<RankPhase>(99);
  EXPECT_FALSE(DecodeBeat(Decoded(Encode(beat)).body()).ok());
}

}  // namespace
}  // namespace mrs::wire
