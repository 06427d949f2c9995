// Every message between ranks opens with the operation that its sender is in, so that a rank in another one finds out.
//
//   MakeHeader({.kind = OperationKind::kAllReduce, .algorithm = 1, .sequence = 7, .bytes = 4096}, 4096)
//
// The header has a fixed size and layout; the receiver knows what it must be, byte for byte, and takes nothing from it.
#pragma once

#include <bit>
#include <cstdint>
#include <string>

#include "plans/status.h"

namespace mrs {

enum class OperationKind : uint8_t {
  kNone = 0,
  kAllReduce = 1,
  kAllGather = 2,
  kReduceScatter = 3,
  kBroadcast = 4,
  kSendRecv = 5,
  kBarrier = 6,
};

// What all ranks that take part must agree on.
struct Operation {
  OperationKind kind = OperationKind::kNone;
  uint8_t algorithm = 0;  // ReduceAlgorithm of an all-reduce, else 0
  uint32_t root = 0;      // of a broadcast, else 0
  uint32_t group = 0;     // fingerprint of the members
  uint64_t sequence = 0;  // collectives of the group so far; of send/recv: messages from this sender to this receiver
  uint64_t bytes = 0;     // the operand on one rank
};

struct MessageHeader {
  uint32_t magic = 0;
  uint8_t kind = 0;
  uint8_t algorithm = 0;
  uint16_t reserved = 0;
  uint32_t root = 0;
  uint32_t group = 0;
  uint64_t sequence = 0;
  uint64_t operand_bytes = 0;
  uint64_t payload_bytes = 0;  // what follows the header
  bool operator==(const MessageHeader&) const = default;
};
static_assert(sizeof(MessageHeader) == 40 && std::endian::native == std::endian::little);

MessageHeader MakeHeader(const Operation& operation, uint64_t payload_bytes);

// "all-reduce", for the start of an error.
const char* OperationName(OperationKind kind);

// The error of a rank that expected one header from a peer and got another; it names both operations.
Error MismatchError(const MessageHeader& expected, const MessageHeader& actual, int rank, int size, int peer);

}  // namespace mrs
