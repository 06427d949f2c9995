#include "runtime/comm/message.h"

namespace mrs {
namespace {

constexpr uint32_t kMagic = 0x4353524d;  // "MRSC"

const char* AlgorithmName(uint8_t algorithm) {
  switch (algorithm) {
    case 1:
      return "doubling";
    case 2:
      return "halving-doubling";
    case 3:
      return "gather-add";
    case 4:
      return "rank order";
    default:
      return "unknown algorithm";
  }
}

std::string Describe(const MessageHeader& header) {
  const auto kind = static_cast<OperationKind>(header.kind);
  std::string text = fmt::format("{} #{} of {} bytes", OperationName(kind), header.sequence, header.operand_bytes);
  if (kind == OperationKind::kAllReduce) text += fmt::format(" ({})", AlgorithmName(header.algorithm));
  if (kind == OperationKind::kBroadcast) text += fmt::format(" (root {})", header.root);
  return text;
}

}  // namespace

MessageHeader MakeHeader(const Operation& operation, uint64_t payload_bytes) {
  return {.magic = kMagic,
          .kind = static_cast<uint8_t>(operation.kind),
          .algorithm = operation.algorithm,
          .root = operation.root,
          .group = operation.group,
          .sequence = operation.sequence,
          .operand_bytes = operation.bytes,
          .payload_bytes = payload_bytes};
}

const char* OperationName(OperationKind kind) {
  switch (kind) {
    case OperationKind::kNone:
      break;
    case OperationKind::kAllReduce:
      return "all-reduce";
    case OperationKind::kAllGather:
      return "all-gather";
    case OperationKind::kReduceScatter:
      return "reduce-scatter";
    case OperationKind::kBroadcast:
      return "broadcast";
    case OperationKind::kSendRecv:
      return "send/recv";
    case OperationKind::kBarrier:
      return "barrier";
  }
  return "unknown operation";
}

Error MismatchError(const MessageHeader& expected, const MessageHeader& actual, int rank, int size, int peer) {
  const auto kind = static_cast<OperationKind>(expected.kind);
  if (actual.magic != kMagic) {
    return Refuse("{}: rank {} of {}: rank {} sent bytes that are no message (magic 0x{:08x}, expected 0x{:08x})",
                  OperationName(kind), rank, size, peer, actual.magic, kMagic);
  }
  return Refuse(
      "{}: rank {} of {} runs {}, but rank {} runs {}{}; the ranks do not replay the same schedule: compare their plan "
      "hashes and versions",
      OperationName(kind), rank, size, Describe(expected), peer, Describe(actual),
      expected.group != actual.group ? " in another group"
      : expected.payload_bytes != actual.payload_bytes
          ? fmt::format(" and sent a message of {} bytes instead of {}", actual.payload_bytes, expected.payload_bytes)
          : "");
}

}  // namespace mrs
