// Before two ranks speak over a socket, each proves that it knows the cluster's secret, and which rank it is.
//
//   acceptor -> connector: nonce_a                         32 random bytes
//   connector -> acceptor: nonce_c, hello, proof           32 + 32 + 32 bytes
//   acceptor -> connector: hello, proof                    32 + 32 bytes
//   proof = HMAC-SHA256(secret, role byte, nonce_a, nonce_c, hello)
//
// All sizes are fixed, and a hello is read only after its proof holds. The role byte ('C' or 'A') keeps a proof from
// being played back to its maker. This authenticates; it does not encrypt.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "plans/status.h"

namespace mrs {

using Nonce = std::array<std::byte, 32>;
using Proof = std::array<std::byte, 32>;

// What the connections of a world are between.
enum class MeshShape : uint32_t {
  kMesh = 0,  // all ranks
  kRing = 1,  // neighbours
};

struct Hello {
  uint32_t magic = 0x4853524d;  // "MRSH"
  uint32_t version = 3;
  uint32_t rank = 0;       // of the sender
  uint32_t size = 0;       // of the world, as the sender knows it
  uint32_t shape = 0;      // MeshShape
  uint16_t integrity = 0;  // 1: every message has a tag (integrity.h)
  uint8_t streams = 0;     // connections between two ranks of different hosts (stripes.h); 0: of a rendezvous
  uint8_t stream = 0;      // which of them this is
  // The ranks between which the connection leads, or a way of which it is a part: the one that dials, and the other.
  uint32_t from = 0;
  uint32_t to = 0;
};

// Connector to acceptor.
struct ConnectorMessage {
  Nonce nonce;
  Hello hello;
  Proof proof;
};
// Acceptor to connector.
struct AcceptorMessage {
  Hello hello;
  Proof proof;
};
static_assert(sizeof(ConnectorMessage) == 96 && sizeof(AcceptorMessage) == 64);

enum class AuthRole : uint8_t { kConnector = 'C', kAcceptor = 'A' };

Result<Nonce> RandomNonce();

Proof MakeProof(std::string_view secret, AuthRole role, const Nonce& acceptor_nonce, const Nonce& connector_nonce,
                const Hello& hello);

// HMAC-SHA256 of RFC 2104.
Proof Hmac(std::string_view secret, std::string_view message);

// In constant time.
bool SameProof(const Proof& a, const Proof& b);

}  // namespace mrs
