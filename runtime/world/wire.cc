#include "runtime/world/wire.h"

#include <bit>
#include <cstring>
#include <type_traits>

namespace mrs::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian, and so must the host be");

template <typename T>
void Append(std::string* out, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendText(std::string* out, const std::string& text) {
  Append(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

void AppendInts(std::string* out, const std::vector<int32_t>& values) {
  out->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int32_t));
}

std::string Begin(MessageType type) {
  std::string out;
  Append(&out, kMagic);
  Append(&out, kVersion);
  Append(&out, static_cast<uint16_t>(type));
  Append(&out, uint32_t{0});  // set by End
  return out;
}

std::string End(std::string out, uint64_t payload_bytes = 0) {
  const uint64_t body_bytes = out.size() - kHeaderBytes + payload_bytes;
  MRS_CHECK(body_bytes <= UINT32_MAX);
  const uint32_t length = static_cast<uint32_t>(body_bytes);
  std::memcpy(out.data() + 8, &length, sizeof(length));
  return out;
}

// Walks a body; after the first failure everything reads as zero, and Finish tells.
class Reader {
 public:
  Reader(MessageType type, Body body) : type_(type), body_(body) {}

  template <typename T>
  T Get() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (Take(sizeof(T))) std::memcpy(&value, body_.data() + at_ - sizeof(T), sizeof(T));
    return value;
  }

  uint32_t GetBounded(uint32_t max, const char* what) {
    const uint32_t value = Get<uint32_t>();
    if (value > max) Fail(what);
    return failed_ == nullptr ? value : 0;
  }

  bool GetBool(const char* what) {
    const uint8_t value = Get<uint8_t>();
    if (value > 1) Fail(what);
    return value == 1;
  }

  std::string GetText(uint32_t max, const char* what) {
    const uint32_t size = GetBounded(max, what);
    if (!Take(size)) return "";
    const std::string text(reinterpret_cast<const char*>(body_.data()) + at_ - size, size);
    if (text.find('\0') != std::string::npos) Fail(what);
    return text;
  }

  std::vector<int32_t> GetInts(uint64_t count) {
    std::vector<int32_t> values;
    if (!Take(count * sizeof(int32_t))) return values;
    values.resize(count);
    if (count != 0) {
      std::memcpy(values.data(), body_.data() + at_ - count * sizeof(int32_t), count * sizeof(int32_t));
    }
    return values;
  }

  Body GetBytes(uint64_t count) {
    if (!Take(count)) return {};
    return body_.subspan(at_ - count, count);
  }

  void Fail(const char* what) {
    if (failed_ == nullptr) failed_ = what;
  }

  Status Finish() {
    if (failed_ == nullptr && at_ != body_.size()) Fail("bytes past its end");
    if (failed_ == nullptr) return Status();
    return Refuse("malformed {} message between supervisor and rank ({} bytes): {}", MessageTypeName(type_),
                  body_.size(), failed_);
  }

 private:
  bool Take(uint64_t count) {
    if (failed_ != nullptr) return false;
    if (count > body_.size() - at_) {
      Fail("ends too early");
      return false;
    }
    at_ += count;
    return true;
  }

  MessageType type_;
  Body body_;
  size_t at_ = 0;
  const char* failed_ = nullptr;
};

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
  if (type < static_cast<uint16_t>(MessageType::kConfig) || type > static_cast<uint16_t>(MessageType::kShutdown)) {
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
  Append(&out, config.timeout_ms);
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
  config.timeout_ms = reader.GetBounded(1u << 30, "timeout");
  if (config.transport < Transport::kLocal || config.transport > Transport::kTcp) reader.Fail("transport");
  if (config.rank_count == 0 || uint64_t{config.first_rank} + config.rank_count > config.world_size) {
    reader.Fail("ranks past the world");
  }
  if (config.threads == 0) reader.Fail("threads");
  if (config.timeout_ms == 0) reader.Fail("timeout");
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
  Append(&out, static_cast<uint32_t>(peers.ports.size()));
  for (const uint16_t port : peers.ports) Append(&out, port);
  return End(std::move(out));
}

Result<Peers> DecodePeers(Body body) {
  Reader reader(MessageType::kPeers, body);
  Peers peers;
  peers.secret = reader.Get<std::array<uint8_t, 32>>();
  const uint32_t count = reader.GetBounded(kMaxWorld, "port count");
  for (uint32_t i = 0; i < count; ++i) peers.ports.push_back(reader.Get<uint16_t>());
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

std::string Encode(const Ready& ready) {
  std::string out = Begin(MessageType::kReady);
  Append(&out, ready.first_rank);
  Append(&out, ready.resident_bytes);
  return End(std::move(out));
}

Result<Ready> DecodeReady(Body body) {
  Reader reader(MessageType::kReady, body);
  Ready ready;
  ready.first_rank = reader.GetBounded(kMaxWorld, "rank");
  ready.resident_bytes = reader.Get<uint64_t>();
  MRS_RETURN_IF_ERROR(reader.Finish());
  return ready;
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

std::string EncodeShutdown() { return End(Begin(MessageType::kShutdown)); }

}  // namespace mrs::wire
