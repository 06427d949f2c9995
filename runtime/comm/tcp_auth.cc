#include "runtime/comm/tcp_auth.h"

#define OPENSSL_SUPPRESS_DEPRECATED  // the functions that need neither memory nor a provider
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace mrs {
namespace {

template <typename Plain>
void Append(std::string* message, const Plain& value) {
  message->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

Result<Nonce> RandomNonce() {
  Nonce nonce;
  if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size())) {
    return Unavailable("tcp: no random bytes: {}", std::strerror(errno));
  }
  return nonce;
}

Proof Hmac(std::string_view secret, std::string_view message) {
  std::array<unsigned char, SHA256_CBLOCK> key{};
  Proof digest;
  auto* const out = reinterpret_cast<unsigned char*>(digest.data());
  SHA256_CTX context;
  if (secret.size() > key.size()) {
    SHA256_Init(&context);
    SHA256_Update(&context, secret.data(), secret.size());
    SHA256_Final(key.data(), &context);
  } else if (!secret.empty()) {
    std::memcpy(key.data(), secret.data(), secret.size());
  }
  const auto begin = [&](unsigned char pad) {
    std::array<unsigned char, SHA256_CBLOCK> block;
    for (size_t i = 0; i < key.size(); ++i) block[i] = key[i] ^ pad;
    SHA256_Init(&context);
    SHA256_Update(&context, block.data(), block.size());
  };
  begin(0x36);
  SHA256_Update(&context, message.data(), message.size());
  SHA256_Final(out, &context);
  begin(0x5c);
  SHA256_Update(&context, out, digest.size());
  SHA256_Final(out, &context);
  return digest;
}

Proof MakeProof(std::string_view secret, AuthRole role, const Nonce& acceptor_nonce, const Nonce& connector_nonce,
                const Hello& hello) {
  std::string message;
  Append(&message, role);
  Append(&message, acceptor_nonce);
  Append(&message, connector_nonce);
  Append(&message, hello);
  return Hmac(secret, message);
}

bool SameProof(const Proof& a, const Proof& b) { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace mrs
