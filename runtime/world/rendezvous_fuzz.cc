// Any bytes as any message between nodes, and as a cluster's text: refused or decoded, and what decodes encodes to the
// same bytes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "plans/cluster_nodes.h"
#include "runtime/world/node_wire.h"
#include "runtime/world/wire_fuzz.h"

namespace {

using mrs::wire::Body;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::wire;
  if (size < kHeaderBytes) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  [[maybe_unused]] const auto nodes = mrs::ReadNodeNames(text);
  const auto header = DecodeHeader(std::as_bytes(std::span(data, kHeaderBytes)), kMaxRendezvousBytes);
  if (!header.ok()) return 0;
  const size_t body_size = size - kHeaderBytes;
  std::vector<uint64_t> words(body_size / 8 + 1);
  std::memcpy(words.data(), data + kHeaderBytes, body_size);
  const Body body = std::as_bytes(std::span(words)).first(body_size);
  switch (header->type) {
    case MessageType::kFacts: {
      const auto facts = DecodeFacts(body);
      if (facts.ok() && !facts->ranks.empty()) ExpectSame(facts, body);  // of another version there are none
      break;
    }
    case MessageType::kSeat:
      ExpectSame(DecodeSeat(body), body);
      break;
    case MessageType::kClaim:
      ExpectSame(DecodeClaim(body), body);
      break;
    case MessageType::kWaiting:
      ExpectSame(DecodeWaiting(body), body);
      break;
    case MessageType::kStands:
      ExpectSame(DecodeStands(body), body);
      break;
    case MessageType::kBeat: {
      const auto beat = DecodeBeat(body);
      if (beat.ok() && Encode(*beat).size() != size) std::abort();
      break;
    }
    case MessageType::kEnded:
      ExpectSame(DecodeEnded(body), body);
      break;
    case MessageType::kLeaving:
      ExpectSame(DecodeLeaving(body), body);
      break;
    case MessageType::kVerdict:
      ExpectSame(DecodeVerdict(body), body);
      break;
    case MessageType::kLog:
      ExpectSame(DecodeLog(body), body);
      break;
    default:
      break;
  }
  return 0;
}
