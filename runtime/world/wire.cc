#include "runtime/world/wire.h"

#include <cstring>
#include <string_view>

#include "runtime/comm/stripes.h"
#include "runtime/world/wire_bytes.h"

namespace mrs::wire {
namespace {

constexpr size_t kDigestBytes = 16;

}  // namespace

const char* MessageTypeName(MessageType type) {
  switch (type) {
    case MessageType::kConfig:
      return "config";
    case MessageType::kHello:
      return "hello";
    case MessageType::kPeers:
      return "peers";
    case MessageType::kProgress:
      return "progress";
    case MessageType::kReady:
      return "ready";
    case MessageType::kBatch:
      return "batch";
    case MessageType::kResult:
      return "result";
    case MessageType::kFailure:
      return "failure";
    case MessageType::kShutdown:
      return "shutdown";
    case MessageType::kReport:
      return "report";
    case MessageType::kMeasured:
      return "measured";
    case MessageType::kDigests:
      return "digests";
    case MessageType::kFacts:
      return "facts";
    case MessageType::kSeat:
      return "seat";
    case MessageType::kClaim:
      return "claim";
    case MessageType::kWaiting:
      return "waiting";
    case MessageType::kStands:
      return "stands";
    case MessageType::kBeat:
      return "beat";
    case MessageType::kEnded:
      return "ended";
    case MessageType::kLeaving:
      return "leaving";
    case MessageType::kVerdict:
      return "verdict";
    case MessageType::kLog:
      return "log";
  }
  return "unknown";
}

const char* TransportName(Transport transport) {
  switch (transport) {
    case Transport::kLocal:
      return "local";
    case Transport::kShm:
      return "shm";
    case Transport::kTcp:
      return "tcp";
    case Transport::kRing:
      return "ring";
    case Transport::kMixed:
      return "mixed";
  }
  return "unknown";
}

Result<Header> DecodeHeader(Body first_12_bytes, uint32_t max_body_bytes) {
  MRS_CHECK(first_12_bytes.size() == kHeaderBytes);
  uint32_t magic, body_bytes;
  uint16_t version, type;
  std::memcpy(&magic, first_12_bytes.data(), 4);
  std::memcpy(&version, first_12_bytes.data() + 4, 2);
  std::memcpy(&type, first_12_bytes.data() + 6, 2);
  std::memcpy(&body_bytes, first_12_bytes.data() + 8, 4);
  if (magic != kMagic)
    return Refuse("message between supervisor and rank starts with {:#x}, expected {:#x}", magic, kMagic);
  if (version != kVersion) {
    return Refuse("message between supervisor and rank has version {}, expected {}: both must be the same mrs-exec",
                  version, kVersion);
  }
  if (MessageTypeName(static_cast<MessageType>(type)) == std::string_view("unknown")) {
    return Refuse("message between supervisor and rank has unknown type {}", type);
  }
  if (body_bytes > max_body_bytes) {
    return Refuse("{} message between supervisor and rank has {} bytes, at most {} are allowed",
                  MessageTypeName(static_cast<MessageType>(type)), body_bytes, max_body_bytes);
  }
  return Header{.type = static_cast<MessageType>(type), .body_bytes = body_bytes};
}

std::string Encode(const Config& config) {
  std::string out = Begin(MessageType::kConfig);
  AppendText(&out, config.plan_path);
  Append(&out, config.plan_sha256);
  AppendText(&out, config.model_dir);
  Append(&out, config.world_size);
  Append(&out, config.first_rank);
  Append(&out, config.rank_count);
  Append(&out, config.transport);
  Append(&out, config.threads);
  Append(&out, config.isa);
  Append(&out, static_cast<uint8_t>(config.spin));
  Append(&out, static_cast<uint8_t>(config.spin_for_batch));
  Append(&out, static_cast<uint8_t>(config.cuda_graphs));
  Append(&out, static_cast<uint8_t>(config.dependent_launch));
  Append(&out, config.rehearsal);
  AppendText(&out, config.listen_address);
  Append(&out, config.listen_port);
  Append(&out, config.meet_within_ms);
  Append(&out, static_cast<uint32_t>(config.local_ranks.size()));
  for (const uint32_t rank : config.local_ranks) Append(&out, rank);
  Append(&out, static_cast<uint8_t>(config.integrity));
  Append(&out, config.streams);
  AppendText(&out, config.congestion);
  return End(std::move(out));
}

Result<Config> DecodeConfig(Body body) {
  Reader reader(MessageType::kConfig, body);
  Config config;
  config.plan_path = reader.GetText(kMaxPathBytes, "plan path");
  config.plan_sha256 = reader.Get<Sha256Digest>();
  config.model_dir = reader.GetText(kMaxPathBytes, "model folder");
  config.world_size = reader.GetBounded(kMaxWorld, "world size");
  config.first_rank = reader.GetBounded(kMaxWorld, "first rank");
  config.rank_count = reader.GetBounded(kMaxWorld, "rank count");
  config.transport = static_cast<Transport>(reader.Get<uint8_t>());
  config.threads = reader.GetBounded(4096, "threads");
  config.isa = reader.Get<uint8_t>();
  config.spin = reader.GetBool("spin");
  config.spin_for_batch = reader.GetBool("spin for batch");
  config.cuda_graphs = reader.GetBool("CUDA graphs");
  config.dependent_launch = reader.GetBool("dependent launch");
  config.rehearsal = static_cast<RehearsalScope>(reader.Get<uint8_t>());
  if (config.rehearsal > RehearsalScope::kAll) reader.Fail("rehearsal");
  config.listen_address = reader.GetText(kMaxAddressBytes, "address to listen at");
  config.listen_port = reader.Get<uint16_t>();
  config.meet_within_ms = reader.Get<uint32_t>();
  const uint32_t local_count = reader.GetBounded(kMaxWorld, "count of ranks of the host");
  for (uint32_t i = 0; i < local_count && reader.left() > 0; ++i) {
    config.local_ranks.push_back(reader.GetBounded(kMaxWorld - 1, "rank of the host"));
    if (i > 0 && config.local_ranks[i] <= config.local_ranks[i - 1]) reader.Fail("order of the host's ranks");
  }
  if (config.local_ranks.size() != local_count) reader.Fail("count of ranks of the host");
  config.integrity = reader.GetBool("integrity");
  config.streams = reader.GetBounded(kMaxStreams, "streams");
  if (config.streams == 0) reader.Fail("streams");
  config.congestion = reader.GetText(kMaxCongestionBytes, "congestion control");
  if (config.transport < Transport::kLocal || config.transport > Transport::kMixed) reader.Fail("transport");
  if (config.rank_count == 0 || uint64_t{config.first_rank} + config.rank_count > config.world_size) {
    reader.Fail("ranks past the world");
  }
  if (config.threads == 0) reader.Fail("threads");
  MRS_RETURN_IF_ERROR(reader.Finish());
  return config;
}

std::string Encode(const Hello& hello) {
  std::string out = Begin(MessageType::kHello);
  AppendText(&out, hello.mrs_version);
  Append(&out, hello.format_major);
  Append(&out, hello.format_minor);
  Append(&out, hello.numerics_revision);
  Append(&out, hello.plan_sha256);
  Append(&out, hello.world_size);
  Append(&out, hello.first_rank);
  Append(&out, hello.listen_port);
  return End(std::move(out));
}

Result<Hello> DecodeHello(Body body) {
  Reader reader(MessageType::kHello, body);
  Hello hello;
  hello.mrs_version = reader.GetText(64, "version");
  hello.format_major = reader.Get<uint16_t>();
  hello.format_minor = reader.Get<uint16_t>();
  hello.numerics_revision = reader.Get<uint32_t>();
  hello.plan_sha256 = reader.Get<Sha256Digest>();
  hello.world_size = reader.GetBounded(kMaxWorld, "world size");
  hello.first_rank = reader.GetBounded(kMaxWorld, "first rank");
  hello.listen_port = reader.Get<uint16_t>();
  MRS_RETURN_IF_ERROR(reader.Finish());
  return hello;
}

std::string Encode(const Peers& peers) {
  std::string out = Begin(MessageType::kPeers);
  Append(&out, peers.secret);
  Append(&out, static_cast<uint32_t>(peers.endpoints.size()));
  for (const Endpoint& endpoint : peers.endpoints) {
    AppendText(&out, endpoint.address);
    Append(&out, endpoint.port);
  }
  return End(std::move(out));
}

Result<Peers> DecodePeers(Body body) {
  Reader reader(MessageType::kPeers, body);
  Peers peers;
  peers.secret = reader.Get<std::array<uint8_t, 32>>();
  const uint32_t count = reader.GetBounded(kMaxWorld, "count of endpoints");
  for (uint32_t i = 0; i < count && reader.left() > 0; ++i) {
    Endpoint& endpoint = peers.endpoints.emplace_back();
    endpoint.address = reader.GetText(kMaxAddressBytes, "address");
    endpoint.port = reader.Get<uint16_t>();
  }
  if (peers.endpoints.size() != count) reader.Fail("count of endpoints");
  MRS_RETURN_IF_ERROR(reader.Finish());
  return peers;
}

std::string Encode(const Progress& progress) {
  std::string out = Begin(MessageType::kProgress);
  Append(&out, progress.rank);
  Append(&out, progress.bytes_done);
  Append(&out, progress.bytes_total);
  return End(std::move(out));
}

Result<Progress> DecodeProgress(Body body) {
  Reader reader(MessageType::kProgress, body);
  Progress progress;
  progress.rank = reader.GetBounded(kMaxWorld, "rank");
  progress.bytes_done = reader.Get<uint64_t>();
  progress.bytes_total = reader.Get<uint64_t>();
  MRS_RETURN_IF_ERROR(reader.Finish());
  return progress;
}

std::string Encode(const Digests& digests) {
  std::string out = Begin(MessageType::kDigests);
  Append(&out, digests.rank);
  Append(&out, static_cast<uint32_t>(digests.xxh3.size()));
  for (const std::string& digest : digests.xxh3) {
    MRS_CHECK(digest.size() == kDigestBytes);
    out += digest;
  }
  return End(std::move(out));
}

Result<Digests> DecodeDigests(Body body) {
  Reader reader(MessageType::kDigests, body);
  Digests digests;
  digests.rank = reader.GetBounded(kMaxWorld, "rank");
  const uint32_t count = reader.GetBounded(kMaxDigests, "count of digests");
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    const Body digest = reader.GetBytes(kDigestBytes);
    digests.xxh3.emplace_back(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  MRS_RETURN_IF_ERROR(reader.Finish());
  return digests;
}

std::string Encode(const Ready& ready) {
  std::string out = Begin(MessageType::kReady);
  Append(&out, ready.first_rank);
  Append(&out, ready.resident_bytes);
  Append(&out, ready.graphs);
  Append(&out, ready.capture_ms);
  return End(std::move(out));
}

Result<Ready> DecodeReady(Body body) {
  Reader reader(MessageType::kReady, body);
  Ready ready;
  ready.first_rank = reader.GetBounded(kMaxWorld, "rank");
  ready.resident_bytes = reader.Get<uint64_t>();
  ready.graphs = reader.Get<uint32_t>();
  ready.capture_ms = reader.Get<uint32_t>();
  MRS_RETURN_IF_ERROR(reader.Finish());
  return ready;
}

std::string Encode(const Measured& measured) {
  std::string out = Begin(MessageType::kMeasured);
  Append(&out, measured.rank);
  Append(&out, measured.resident_bytes);
  Append(&out, static_cast<uint32_t>(measured.links.size()));
  for (const LinkTimes& link : measured.links) {
    Append(&out, link.from);
    Append(&out, link.to);
    Append(&out, link.latency_ns);
    Append(&out, link.bytes_per_second);
  }
  Append(&out, static_cast<uint32_t>(measured.exchanges.size()));
  for (const MeasuredExchange& measured_exchange : measured.exchanges) {
    Append(&out, measured_exchange.exchange.kind);
    Append(&out, measured_exchange.exchange.algorithm);
    Append(&out, measured_exchange.exchange.bytes);
    Append(&out, measured_exchange.count);
    Append(&out, measured_exchange.min_ns);
    Append(&out, measured_exchange.median_ns);
  }
  return End(std::move(out));
}

Result<Measured> DecodeMeasured(Body body) {
  Reader reader(MessageType::kMeasured, body);
  Measured measured;
  measured.rank = reader.GetBounded(kMaxWorld, "rank");
  measured.resident_bytes = reader.Get<uint64_t>();
  const uint32_t link_count = reader.GetBounded(kMaxWorld, "link count");
  for (uint32_t i = 0; i < link_count && reader.ok(); ++i) {
    LinkTimes& link = measured.links.emplace_back();
    link.from = reader.GetBounded(kMaxWorld, "rank of a link");
    link.to = reader.GetBounded(kMaxWorld, "rank of a link");
    link.latency_ns = reader.Get<uint64_t>();
    link.bytes_per_second = reader.Get<uint64_t>();
  }
  const uint32_t exchange_count = reader.GetBounded(kMaxExchanges, "count of exchanges");
  for (uint32_t i = 0; i < exchange_count && reader.ok(); ++i) {
    MeasuredExchange& exchange = measured.exchanges.emplace_back();
    exchange.exchange.kind = static_cast<ExchangeKind>(reader.Get<uint8_t>());
    exchange.exchange.algorithm = static_cast<plan::CollectiveAlgorithm>(reader.Get<uint8_t>());
    exchange.exchange.bytes = reader.Get<uint64_t>();
    exchange.count = reader.Get<uint64_t>();
    exchange.min_ns = reader.Get<uint64_t>();
    exchange.median_ns = reader.Get<uint64_t>();
    const ExchangeKind kind = exchange.exchange.kind;
    if (kind < ExchangeKind::kAllReduce || kind > ExchangeKind::kRecv) reader.Fail("kind of exchange");
    if (exchange.exchange.algorithm > plan::CollectiveAlgorithm::MAX) reader.Fail("algorithm of a sum");
  }
  MRS_RETURN_IF_ERROR(reader.Finish());
  return measured;
}

uint64_t BatchBodyBytes(const BatchCounts& c) {
  return 8 + 4 + 5 * 4 + 4 * (3 * c.tokens + c.logit_rows + c.spaces * (c.tokens + c.sequences * c.table_stride));
}

std::string Encode(uint64_t step, const Batch& batch) {
  const BatchCounts counts{.tokens = batch.tokens.size(),
                           .sequences = batch.sequence_count(),
                           .logit_rows = batch.logit_rows.size(),
                           .spaces = batch.kv.size(),
                           .table_stride = batch.table_stride};
  MRS_CHECK(batch.positions.size() == counts.tokens && batch.sequence.size() == counts.tokens);
  std::string out = Begin(MessageType::kBatch);
  out.reserve(kHeaderBytes + BatchBodyBytes(counts));
  Append(&out, step);
  Append(&out, static_cast<uint32_t>(batch.variant));
  for (const uint64_t count :
       {counts.tokens, counts.sequences, counts.logit_rows, counts.spaces, counts.table_stride}) {
    Append(&out, static_cast<uint32_t>(count));
  }
  AppendInts(&out, batch.tokens);
  AppendInts(&out, batch.positions);
  AppendInts(&out, batch.sequence);
  AppendInts(&out, batch.logit_rows);
  for (const KvBatch& kv : batch.kv) {
    MRS_CHECK(kv.slots.size() == counts.tokens);
    MRS_CHECK(kv.block_table.size() == counts.sequences * counts.table_stride);
    AppendInts(&out, kv.slots);
    AppendInts(&out, kv.block_table);
  }
  return End(std::move(out));
}

Result<BatchMessage> DecodeBatch(Body body) {
  Reader reader(MessageType::kBatch, body);
  BatchMessage message;
  message.step = reader.Get<uint64_t>();
  const uint32_t variant = reader.GetBounded(static_cast<uint32_t>(Variant::kAllLogits), "variant");
  if (variant < static_cast<uint32_t>(Variant::kCandidates)) reader.Fail("variant");
  BatchCounts counts;
  counts.tokens = reader.GetBounded(kMaxBatchTokens, "token count");
  counts.sequences = reader.GetBounded(kMaxBatchTokens, "sequence count");
  counts.logit_rows = reader.GetBounded(kMaxBatchTokens, "logit row count");
  counts.spaces = reader.GetBounded(kMaxSpaces, "count of KV spaces");
  counts.table_stride = reader.GetBounded(kMaxBatchTokens, "table stride");
  if (counts.spaces == 0) reader.Fail("count of KV spaces");
  if (BatchBodyBytes(counts) != body.size()) reader.Fail("counts do not give its length");
  Batch& batch = message.batch;
  batch.variant = static_cast<Variant>(variant);
  batch.table_stride = static_cast<uint32_t>(counts.table_stride);
  batch.tokens = reader.GetInts(counts.tokens);
  batch.positions = reader.GetInts(counts.tokens);
  batch.sequence = reader.GetInts(counts.tokens);
  batch.logit_rows = reader.GetInts(counts.logit_rows);
  for (uint64_t space = 0; space < counts.spaces; ++space) {
    KvBatch& kv = batch.kv.emplace_back();
    kv.slots = reader.GetInts(counts.tokens);
    kv.block_table = reader.GetInts(counts.sequences * counts.table_stride);
  }
  MRS_RETURN_IF_ERROR(reader.Finish());
  return message;
}

uint64_t ResultBodyBytes(uint64_t candidates_bytes, uint64_t logits_count) {
  return 8 + 8 + 8 + candidates_bytes + 4 * logits_count;
}

std::string EncodeResultHead(uint64_t step, const StepOutput& output) {
  std::string out = Begin(MessageType::kResult);
  Append(&out, step);
  Append(&out, uint64_t{output.candidates.size()});
  Append(&out, uint64_t{output.logits.size()});
  return End(std::move(out), output.candidates.size() + output.logits.size_bytes());
}

Result<ResultMessage> DecodeResult(Body body) {
  MRS_CHECK(reinterpret_cast<uintptr_t>(body.data()) % 8 == 0);
  Reader reader(MessageType::kResult, body);
  ResultMessage message;
  message.step = reader.Get<uint64_t>();
  const uint64_t candidates_bytes = reader.Get<uint64_t>();
  const uint64_t logits_count = reader.Get<uint64_t>();
  if (candidates_bytes > UINT32_MAX || candidates_bytes % 4 != 0) reader.Fail("candidate bytes");
  if (logits_count > UINT32_MAX / 4) reader.Fail("logit count");
  message.output.candidates = reader.GetBytes(candidates_bytes);
  const Body logits = reader.GetBytes(logits_count * 4);
  MRS_RETURN_IF_ERROR(reader.Finish());
  // Aligned: the body is, and what stands before the logits is a multiple of four bytes.
  message.output.logits = {reinterpret_cast<const float*>(logits.data()), logits.size() / 4};
  return message;
}

std::string Encode(const Failure& failure) {
  std::string out = Begin(MessageType::kFailure);
  Append(&out, failure.rank);
  Append(&out, static_cast<uint32_t>(failure.kind));
  std::string text = failure.message.substr(0, kMaxTextBytes);
  for (char& c : text) {
    if (c == '\0') c = ' ';
  }
  AppendText(&out, text);
  return End(std::move(out));
}

Result<Failure> DecodeFailure(Body body) {
  Reader reader(MessageType::kFailure, body);
  Failure failure;
  failure.rank = reader.GetBounded(kMaxWorld, "rank");
  failure.kind = static_cast<ErrorKind>(reader.GetBounded(static_cast<uint32_t>(ErrorKind::kTimedOut), "kind"));
  failure.message = reader.GetText(kMaxTextBytes, "text");
  MRS_RETURN_IF_ERROR(reader.Finish());
  return failure;
}

std::string EncodeReport() { return End(Begin(MessageType::kReport)); }
std::string EncodeHeader(MessageType type, uint32_t body_bytes) { return End(Begin(type), body_bytes); }

std::string EncodeShutdown() { return End(Begin(MessageType::kShutdown)); }

}  // namespace mrs::wire
