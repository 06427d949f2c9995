#include "runtime/comm/tcp_auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstring>

namespace mrs {

Result<Nonce> RandomNonce() {
  Nonce nonce;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(nonce.data()), nonce.size()) != 1) {
    return Unavailable("tcp: OpenSSL has no random bytes");
  }
  return nonce;
}

Result<Proof> MakeProof(std::string_view secret, AuthRole role, const Nonce& acceptor_nonce,
                        const Nonce& connector_nonce, const Hello& hello) {
  std::array<unsigned char, 1 + sizeof(Nonce) * 2 + sizeof(Hello)> message;
  message[0] = static_cast<unsigned char>(role);
  std::memcpy(&message[1], acceptor_nonce.data(), sizeof(Nonce));
  std::memcpy(&message[1 + sizeof(Nonce)], connector_nonce.data(), sizeof(Nonce));
  std::memcpy(&message[1 + 2 * sizeof(Nonce)], &hello, sizeof(Hello));
  Proof proof;
  unsigned int length = 0;
  const char* const key = secret.empty() ? "" : secret.data();
  if (HMAC(EVP_sha256(), key, static_cast<int>(secret.size()), message.data(), message.size(),
           reinterpret_cast<unsigned char*>(proof.data()), &length) == nullptr ||
      length != proof.size()) {
    return Unavailable("tcp: OpenSSL cannot compute HMAC-SHA256");
  }
  return proof;
}

bool SameProof(const Proof& a, const Proof& b) { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace mrs
