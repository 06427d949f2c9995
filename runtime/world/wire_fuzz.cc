// Any bytes as any message between supervisor and ranks: refused or decoded, and what decodes encodes to the same
// bytes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "runtime/world/wire.h"
#include "runtime/world/wire_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::wire;
  if (size < kHeaderBytes) return 0;
  const auto header = DecodeHeader(std::as_bytes(std::span(data, kHeaderBytes)), kMaxControlBytes);
  if (!header.ok()) return 0;
  const size_t body_size = size - kHeaderBytes;
  std::vector<uint64_t> words(body_size / 8 + 1);
  std::memcpy(words.data(), data + kHeaderBytes, body_size);
  const Body body = std::as_bytes(std::span(words)).first(body_size);
  switch (header->type) {
    case MessageType::kConfig:
      ExpectSame(DecodeConfig(body), body);
      break;
    case MessageType::kHello:
      ExpectSame(DecodeHello(body), body);
      break;
    case MessageType::kPeers:
      ExpectSame(DecodePeers(body), body);
      break;
    case MessageType::kProgress:
      ExpectSame(DecodeProgress(body), body);
      break;
    case MessageType::kReady:
      ExpectSame(DecodeReady(body), body);
      break;
    case MessageType::kBatch: {
      const auto batch = DecodeBatch(body);
      if (batch.ok() && batch->batch.table_stride > 0) {
        const std::string again = Encode(batch->step, batch->batch);
        if (again.size() != kHeaderBytes + body.size()) std::abort();
      }
      break;
    }
    case MessageType::kResult: {
      const auto result = DecodeResult(body);
      if (result.ok()) {
        // Touches the last byte of each span.
        volatile float last = result->output.logits.empty() ? 0 : result->output.logits.back();
        volatile std::byte byte = result->output.candidates.empty() ? std::byte{0} : result->output.candidates.back();
        (void)last;
        (void)byte;
      }
      break;
    }
    case MessageType::kFailure:
      ExpectSame(DecodeFailure(body), body);
      break;
    case MessageType::kDigests:
      ExpectSame(DecodeDigests(body), body);
      break;
    case MessageType::kMeasured:
      ExpectSame(DecodeMeasured(body), body);
      break;
    case MessageType::kReport:
    case MessageType::kShutdown:
      break;
    default:  // between nodes: rendezvous_fuzz.cc
      break;
  }
  return 0;
}
