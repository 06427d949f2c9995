#include "formats/sha256_of.h"

#define OPENSSL_SUPPRESS_DEPRECATED  // the functions that need neither memory nor a provider
#include <openssl/sha.h>

#include <cstdint>

namespace mrs {

std::string Sha256Of(std::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes.data(), bytes.size());
  SHA256_Final(reinterpret_cast<uint8_t*>(digest.data()), &context);
  return digest;
}

}  // namespace mrs
