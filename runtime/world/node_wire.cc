#include "runtime/world/node_wire.h"

#include <algorithm>

#include "runtime/comm/stripes.h"
#include "runtime/world/wire_bytes.h"

namespace mrs::wire {
namespace {

// What follows is longer, or has a zero in it, is cut: these texts are for people.
std::string EncodeText(MessageType type, const std::string& text) {
  std::string out = Begin(type);
  std::string sent = text.substr(0, kMaxTextBytes);
  for (char& c : sent) {
    if (c == '\0') c = ' ';
  }
  AppendText(&out, sent);
  return End(std::move(out));
}

constexpr uint32_t kMaxNetworkBytes = 128;

void AppendEndpoint(std::string* out, const Endpoint& endpoint) {
  AppendText(out, endpoint.address);
  Append(out, endpoint.port);
}

Endpoint GetEndpoint(Reader& reader) {
  Endpoint endpoint;
  endpoint.address = reader.GetText(kMaxAddressBytes, "address");
  endpoint.port = reader.Get<uint16_t>();
  return endpoint;
}

template <typename Message>
Result<Message> DecodeText(MessageType type, Body body) {
  Reader reader(type, body);
  Message message;
  message.text = reader.GetText(kMaxTextBytes, "text");
  MRS_RETURN_IF_ERROR(reader.Finish());
  return message;
}

template <typename Message>
Result<Message> DecodeToken(MessageType type, Body body) {
  Reader reader(type, body);
  Message message;
  message.token = reader.Get<Token>();
  MRS_RETURN_IF_ERROR(reader.Finish());
  return message;
}

}  // namespace

std::string Encode(const Facts& facts) {
  std::string out = Begin(MessageType::kFacts);
  AppendText(&out, facts.mrs_version);
  Append(&out, facts.format_major);
  Append(&out, facts.format_minor);
  Append(&out, facts.numerics_revision);
  Append(&out, facts.node);
  Append(&out, facts.plan_sha256);
  Append(&out, facts.node_count);
  Append(&out, facts.memory_bytes);
  Append(&out, static_cast<uint8_t>(facts.rehearses));
  Append(&out, facts.streams);
  Append(&out, static_cast<uint32_t>(facts.ranks.size()));
  for (const uint32_t rank : facts.ranks) Append(&out, rank);
  Append(&out, static_cast<uint8_t>(facts.ring.has_value()));
  if (facts.ring.has_value()) {
    AppendText(&out, facts.ring->file);
    AppendEndpoint(&out, facts.ring->listen);
    AppendEndpoint(&out, facts.ring->right);
    AppendText(&out, facts.ring->network);
    Append(&out, facts.ring->machine_bytes);
  }
  return End(std::move(out));
}

Result<Facts> DecodeFacts(Body body) {
  Reader reader(MessageType::kFacts, body);
  Facts facts;
  facts.mrs_version = reader.GetText(64, "version");
  facts.format_major = reader.Get<uint16_t>();
  facts.format_minor = reader.Get<uint16_t>();
  facts.numerics_revision = reader.Get<uint32_t>();
  facts.node = reader.GetBounded(kMaxWorld, "node");
  if (facts.mrs_version != MRS_VERSION) {
    reader.GetBytes(reader.left());
    MRS_RETURN_IF_ERROR(reader.Finish());
    return facts;
  }
  facts.plan_sha256 = reader.Get<Sha256Digest>();
  facts.node_count = reader.GetBounded(kMaxWorld, "count of nodes");
  facts.memory_bytes = reader.Get<uint64_t>();
  facts.rehearses = reader.GetBool("whether it rehearses");
  facts.streams = reader.GetBounded(kMaxStreams, "streams");
  if (facts.streams == 0) reader.Fail("streams");
  const uint32_t count = reader.GetBounded(kMaxWorld, "count of ranks");
  for (uint32_t i = 0; i < count && reader.left() > 0; ++i) {
    facts.ranks.push_back(reader.GetBounded(kMaxWorld - 1, "rank"));
    if (i > 0 && facts.ranks[i] <= facts.ranks[i - 1]) reader.Fail("order of ranks");
  }
  if (facts.ranks.size() != count) reader.Fail("count of ranks");
  if (reader.GetBool("whether it has a RING_CONFIG")) {
    RingFacts& ring = facts.ring.emplace();
    ring.file = reader.GetText(kMaxPathBytes, "file of RING_CONFIG");
    ring.listen = GetEndpoint(reader);
    ring.right = GetEndpoint(reader);
    ring.network = reader.GetText(kMaxNetworkBytes, "network");
    ring.machine_bytes = reader.Get<uint64_t>();
  }
  MRS_RETURN_IF_ERROR(reader.Finish());
  return facts;
}

std::string Encode(const Seat& seat) {
  std::string out = Begin(MessageType::kSeat);
  Append(&out, seat.token);
  return End(std::move(out));
}
Result<Seat> DecodeSeat(Body body) { return DecodeToken<Seat>(MessageType::kSeat, body); }

std::string Encode(const Claim& claim) {
  std::string out = Begin(MessageType::kClaim);
  Append(&out, claim.token);
  return End(std::move(out));
}
Result<Claim> DecodeClaim(Body body) { return DecodeToken<Claim>(MessageType::kClaim, body); }

std::string Encode(const Waiting& waiting) { return EncodeText(MessageType::kWaiting, waiting.text); }
Result<Waiting> DecodeWaiting(Body body) { return DecodeText<Waiting>(MessageType::kWaiting, body); }

std::string Encode(const Stands& stands) {
  std::string out = Begin(MessageType::kStands);
  Append(&out, stands.rehearsal);
  Append(&out, stands.cluster_port);
  return End(std::move(out));
}

Result<Stands> DecodeStands(Body body) {
  Reader reader(MessageType::kStands, body);
  Stands stands;
  stands.rehearsal = static_cast<RehearsalScope>(reader.Get<uint8_t>());
  if (stands.rehearsal > RehearsalScope::kAll) reader.Fail("rehearsal");
  stands.cluster_port = reader.Get<uint16_t>();
  MRS_RETURN_IF_ERROR(reader.Finish());
  return stands;
}

std::string Encode(const Beat& beat) {
  std::string out = Begin(MessageType::kBeat);
  Append(&out, static_cast<uint32_t>(beat.ranks.size()));
  for (const RankBeat& one : beat.ranks) {
    Append(&out, one.rank);
    Append(&out, one.progress.beat);
    Append(&out, one.progress.work);
    Append(&out, one.progress.looks);
    Append(&out, one.progress.wakes);
    Append(&out, one.progress.step);
    Append(&out, static_cast<uint32_t>(one.progress.phase));
    Append(&out, one.progress.operation);
    Append(&out, one.progress.operations);
    Append(&out, one.progress.plan_step);
    Append(&out, one.progress.waits_for.has_value() ? *one.progress.waits_for + 1 : 0);
  }
  return End(std::move(out));
}

Result<Beat> DecodeBeat(Body body) {
  Reader reader(MessageType::kBeat, body);
  Beat beat;
  const uint32_t count = reader.GetBounded(kMaxWorld, "count of ranks");
  for (uint32_t i = 0; i < count && reader.left() > 0; ++i) {
    RankBeat& one = beat.ranks.emplace_back();
    one.rank = reader.GetBounded(kMaxWorld - 1, "rank");
    one.progress.beat = reader.Get<uint64_t>();
    one.progress.work = reader.Get<uint64_t>();
    one.progress.looks = reader.Get<uint64_t>();
    one.progress.wakes = reader.Get<uint64_t>();
    one.progress.step = reader.Get<uint64_t>();
    one.progress.phase = static_cast<RankPhase>(reader.GetBounded(static_cast<uint32_t>(RankPhase::kSending), "phase"));
    one.progress.operation = reader.Get<uint32_t>();
    one.progress.operations = reader.Get<uint32_t>();
    one.progress.plan_step = reader.Get<uint32_t>();
    const uint32_t waits_for = reader.Get<uint32_t>();
    if (waits_for > 0) one.progress.waits_for = waits_for - 1;
  }
  if (beat.ranks.size() != count) reader.Fail("count of ranks");
  MRS_RETURN_IF_ERROR(reader.Finish());
  return beat;
}

std::string Encode(const Ended& ended) {
  std::string out = Begin(MessageType::kEnded);
  Append(&out, ended.first_rank);
  Append(&out, ended.rank_count);
  Append(&out, ended.pid);
  Append(&out, static_cast<uint8_t>(ended.wait_status.has_value()));
  Append(&out, ended.wait_status.value_or(0));
  return End(std::move(out));
}

Result<Ended> DecodeEnded(Body body) {
  Reader reader(MessageType::kEnded, body);
  Ended ended;
  ended.first_rank = reader.GetBounded(kMaxWorld, "first rank");
  ended.rank_count = reader.GetBounded(kMaxWorld, "rank count");
  ended.pid = reader.Get<uint32_t>();
  const bool has_status = reader.GetBool("whether there is a status");
  const auto status = reader.Get<int32_t>();
  if (has_status) ended.wait_status = status;
  if (!has_status && status != 0) reader.Fail("status");
  if (ended.rank_count == 0 || uint64_t{ended.first_rank} + ended.rank_count > kMaxWorld) reader.Fail("rank count");
  MRS_RETURN_IF_ERROR(reader.Finish());
  return ended;
}

std::string Encode(const Leaving& leaving) { return EncodeText(MessageType::kLeaving, leaving.text); }
Result<Leaving> DecodeLeaving(Body body) { return DecodeText<Leaving>(MessageType::kLeaving, body); }
std::string Encode(const Verdict& verdict) { return EncodeText(MessageType::kVerdict, verdict.text); }
Result<Verdict> DecodeVerdict(Body body) { return DecodeText<Verdict>(MessageType::kVerdict, body); }

std::string Encode(const Log& log) {
  std::string out = Begin(MessageType::kLog);
  Append(&out, log.dropped);
  const size_t count = std::min(log.lines.size(), kMaxLogLines);
  Append(&out, static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const LogLine& line = log.lines[i];
    Append(&out, line.rank.has_value() ? *line.rank + 1 : 0);
    AppendText(&out, line.text.substr(0, kMaxLogText));
  }
  return End(std::move(out));
}

Result<Log> DecodeLog(Body body) {
  Reader reader(MessageType::kLog, body);
  Log log;
  log.dropped = reader.Get<uint64_t>();
  const uint32_t count = reader.GetBounded(kMaxLogLines, "count of lines");
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    LogLine& line = log.lines.emplace_back();
    const uint32_t rank = reader.GetBounded(kMaxWorld, "rank");
    if (rank > 0) line.rank = rank - 1;
    const Body text = reader.GetBytes(reader.GetBounded(kMaxLogText, "bytes of a line"));
    line.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
  }
  MRS_RETURN_IF_ERROR(reader.Finish());
  return log;
}

}  // namespace mrs::wire
